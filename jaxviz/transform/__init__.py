"""Function transformations; they know nothing of pictures."""

from jaxviz.transform.taps import capture as capture
from jaxviz.transform.taps import edit as edit
from jaxviz.transform.taps import layers as layers
from jaxviz.transform.taps import tap as tap
