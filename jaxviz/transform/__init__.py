"""Function transformations; they know nothing of pictures."""

from jaxviz.transform.taps import tap as tap
