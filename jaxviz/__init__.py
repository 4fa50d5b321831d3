"""jaxviz: what a convolutional network sees, as function transformations in JAX."""

from jaxviz.transform import capture as capture
from jaxviz.transform import edit as edit
from jaxviz.transform import layers as layers
from jaxviz.transform import tap as tap
