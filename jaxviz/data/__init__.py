"""Images in: files, folders, sets of labelled images, the synthetic shapes; knows no model."""

from jaxviz.data.arrays import ImageArrays as ImageArrays
from jaxviz.data.arrays import image_arrays as image_arrays
from jaxviz.data.batches import Batch as Batch
from jaxviz.data.batches import batches as batches
from jaxviz.data.digits import Digits as Digits
from jaxviz.data.digits import digits_images as digits_images
from jaxviz.data.folder import ImageFolder as ImageFolder
from jaxviz.data.folder import image_folder as image_folder
from jaxviz.data.image_files import list_images as list_images
from jaxviz.data.image_files import load_image as load_image
from jaxviz.data.image_set import ImageSet as ImageSet
from jaxviz.data.image_set import Skipped as Skipped
from jaxviz.data.open_images import open_images as open_images
from jaxviz.data.part import Part as Part
from jaxviz.data.part import held_out as held_out
from jaxviz.data.part import part as part
from jaxviz.data.shapes_images import ShapesImages as ShapesImages
from jaxviz.data.shapes_images import shapes_images as shapes_images
from jaxviz.data.synthetic import SHAPE_NAMES as SHAPE_NAMES
from jaxviz.data.synthetic import Shapes as Shapes
from jaxviz.data.synthetic import shapes as shapes
from jaxviz.data.tfds_images import TfdsImages as TfdsImages
from jaxviz.data.tfds_images import tfds_images as tfds_images
