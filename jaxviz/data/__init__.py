"""Images in: files, folders, and the synthetic shapes set; knows no model."""

from jaxviz.data.folder import ImageFolder as ImageFolder
from jaxviz.data.folder import Skipped as Skipped
from jaxviz.data.folder import image_folder as image_folder
from jaxviz.data.image_files import list_images as list_images
from jaxviz.data.image_files import load_image as load_image
from jaxviz.data.synthetic import SHAPE_NAMES as SHAPE_NAMES
from jaxviz.data.synthetic import Shapes as Shapes
from jaxviz.data.synthetic import shapes as shapes
