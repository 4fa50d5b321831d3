"""An image without what one wants to take from it: image -> image."""

from jaxviz.perturb.blur import gaussian_blur as gaussian_blur
from jaxviz.perturb.fills import noise as noise
