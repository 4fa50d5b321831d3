"""What a model looks for: model -> image."""

from jaxviz.synthesis.ascent import Maximized as Maximized
from jaxviz.synthesis.ascent import Region as Region
from jaxviz.synthesis.ascent import Trace as Trace
from jaxviz.synthesis.ascent import maximize as maximize
from jaxviz.synthesis.dream import deep_dream as deep_dream
from jaxviz.synthesis.gradients import blur_every as blur_every
from jaxviz.synthesis.gradients import normalize_gradient as normalize_gradient
from jaxviz.synthesis.gradients import pyramid_scale as pyramid_scale
