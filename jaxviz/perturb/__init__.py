"""An image without what one wants to take from it: image -> image."""

from jaxviz.perturb.blur import gaussian_blur as gaussian_blur
from jaxviz.perturb.fills import noise as noise
from jaxviz.perturb.low_pass import low_pass as low_pass
from jaxviz.perturb.moves import Fill as Fill
from jaxviz.perturb.moves import rotate as rotate
from jaxviz.perturb.moves import scale as scale
from jaxviz.perturb.moves import translate as translate
from jaxviz.perturb.shuffles import grid_shuffle_blur as grid_shuffle_blur
from jaxviz.perturb.shuffles import shuffle_patches as shuffle_patches
from jaxviz.perturb.shuffles import shuffle_pixels as shuffle_pixels
