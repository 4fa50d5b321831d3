"""Training an image classifier, on an endless source or a set, with a checkpoint every epoch."""

# What a run leaves behind
from jaxviz.training.checkpoints import OtherModel as OtherModel
from jaxviz.training.checkpoints import OtherRun as OtherRun
from jaxviz.training.checkpoints import epochs_saved as epochs_saved
from jaxviz.training.checkpoints import restore as restore
from jaxviz.training.descent import Epoch as Epoch
from jaxviz.training.descent import Trained as Trained

# The run: on a set of images, or on an endless source
from jaxviz.training.image_sets import evaluate_on as evaluate_on
from jaxviz.training.image_sets import train_on as train_on
from jaxviz.training.loop import evaluate as evaluate
from jaxviz.training.loop import train as train

# How it descends
from jaxviz.training.optimizers import SETTINGS as SETTINGS
from jaxviz.training.optimizers import Settings as Settings
from jaxviz.training.optimizers import adamw as adamw
from jaxviz.training.optimizers import clip_filter_rms as clip_filter_rms
from jaxviz.training.optimizers import zeiler_fergus as zeiler_fergus

# An endless source
from jaxviz.training.sources import ShapesSource as ShapesSource
from jaxviz.training.sources import Source as Source
