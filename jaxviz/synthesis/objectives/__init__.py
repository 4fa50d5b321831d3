"""What to explain or to maximize: a score for each image, from a model's output and layers."""

# several images
from jaxviz.synthesis.objectives.batches import alignment as alignment
from jaxviz.synthesis.objectives.batches import diversity as diversity
from jaxviz.synthesis.objectives.batches import each as each
from jaxviz.synthesis.objectives.batches import interpolate as interpolate

# a direction, or an image's own activations
from jaxviz.synthesis.objectives.directions import caricature as caricature
from jaxviz.synthesis.objectives.directions import cosine as cosine
from jaxviz.synthesis.objectives.directions import direction as direction
from jaxviz.synthesis.objectives.directions import match as match

# the value, and its way into a model
from jaxviz.synthesis.objectives.objective import Objective as Objective
from jaxviz.synthesis.objectives.objective import score as score

# a unit, or a whole layer
from jaxviz.synthesis.objectives.units import channel as channel
from jaxviz.synthesis.objectives.units import feature_map as feature_map
from jaxviz.synthesis.objectives.units import layer as layer
from jaxviz.synthesis.objectives.units import log_probability as log_probability
from jaxviz.synthesis.objectives.units import logit as logit
from jaxviz.synthesis.objectives.units import neuron as neuron
from jaxviz.synthesis.objectives.units import probability as probability
from jaxviz.synthesis.objectives.units import strongest as strongest
