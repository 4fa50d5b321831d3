"""Function transformations; they know nothing of pictures."""

from jaxviz.transform.affine import gated as gated
from jaxviz.transform.arguments import as_argument as as_argument
from jaxviz.transform.backward import backward as backward
from jaxviz.transform.incremental import Incremental as Incremental
from jaxviz.transform.incremental import incremental as incremental
from jaxviz.transform.pullbacks import fast_pullbacks as fast_pullbacks
from jaxviz.transform.receptive import ReceptiveFields as ReceptiveFields
from jaxviz.transform.receptive import receptive_fields as receptive_fields
from jaxviz.transform.relus import relu_layers as relu_layers
from jaxviz.transform.taps import capture as capture
from jaxviz.transform.taps import edit as edit
from jaxviz.transform.taps import layers as layers
from jaxviz.transform.taps import tap as tap
