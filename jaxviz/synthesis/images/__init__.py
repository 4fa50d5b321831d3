"""Image parameterizations: the numbers that an ascent moves, and the image that they make."""

# images taken apart by scale, and put together again
from jaxviz.synthesis.images.levels import from_laplacian_levels as from_laplacian_levels
from jaxviz.synthesis.images.levels import gaussian_levels as gaussian_levels
from jaxviz.synthesis.images.levels import laplacian_levels as laplacian_levels

# parameterizations
from jaxviz.synthesis.images.networks import cppn as cppn
from jaxviz.synthesis.images.parameterization import Parameterization as Parameterization
from jaxviz.synthesis.images.phases import maco as maco
from jaxviz.synthesis.images.phases import spectrum as spectrum
from jaxviz.synthesis.images.pixels import pixel as pixel
from jaxviz.synthesis.images.pyramids import gaussian_pyramid as gaussian_pyramid
from jaxviz.synthesis.images.pyramids import laplacian_pyramid as laplacian_pyramid
from jaxviz.synthesis.images.waves import fourier as fourier
