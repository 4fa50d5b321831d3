"""jaxviz: what a convolutional network sees, as function transformations in JAX."""

from jaxviz.transform import tap as tap
