"""Random changes of the image before each look at it: what survives them is robust."""

# fixed turns and sizes
from jaxviz.perturb import rotate as rotate
from jaxviz.perturb import scale as scale

# colours
from jaxviz.synthesis.transforms.colours import adjust_colours as adjust_colours
from jaxviz.synthesis.transforms.colours import colour_jitter as colour_jitter

# pixels that move as they are
from jaxviz.synthesis.transforms.placement import Transform as Transform
from jaxviz.synthesis.transforms.placement import jitter as jitter
from jaxviz.synthesis.transforms.placement import pad as pad
from jaxviz.synthesis.transforms.placement import random_crop as random_crop

# pixels between pixels
from jaxviz.synthesis.transforms.resampling import random_rotate as random_rotate
from jaxviz.synthesis.transforms.resampling import random_scale as random_scale
