"""Training an image classifier on an endless source, with a checkpoint after every epoch."""

# What a run leaves behind
from jaxviz.training.checkpoints import OtherModel as OtherModel
from jaxviz.training.checkpoints import OtherRun as OtherRun
from jaxviz.training.checkpoints import epochs_saved as epochs_saved
from jaxviz.training.checkpoints import restore as restore

# The run
from jaxviz.training.loop import Epoch as Epoch
from jaxviz.training.loop import Trained as Trained
from jaxviz.training.loop import adamw as adamw
from jaxviz.training.loop import evaluate as evaluate
from jaxviz.training.loop import train as train

# What it learns from
from jaxviz.training.sources import ShapesSource as ShapesSource
from jaxviz.training.sources import Source as Source
