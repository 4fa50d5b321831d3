"""jaxviz: what a convolutional network sees, as function transformations in JAX."""

from jaxviz import data as data

# (model, image) -> map
from jaxviz.attribution import AffineModel as AffineModel
from jaxviz.attribution import Approximation as Approximation
from jaxviz.attribution import Occluded as Occluded
from jaxviz.attribution import OcclusionError as OcclusionError
from jaxviz.attribution import OcclusionMaps as OcclusionMaps
from jaxviz.attribution import OcclusionPanels as OcclusionPanels
from jaxviz.attribution import RegionMargin as RegionMargin
from jaxviz.attribution import RemovalCurves as RemovalCurves
from jaxviz.attribution import approximate_occlusion as approximate_occlusion
from jaxviz.attribution import cam as cam
from jaxviz.attribution import cam_region as cam_region
from jaxviz.attribution import deconvnet as deconvnet
from jaxviz.attribution import grad_cam as grad_cam
from jaxviz.attribution import guided_backprop as guided_backprop
from jaxviz.attribution import occlude_boxes as occlude_boxes
from jaxviz.attribution import occlude_masks as occlude_masks
from jaxviz.attribution import occlusion as occlusion
from jaxviz.attribution import occlusion_panels as occlusion_panels
from jaxviz.attribution import randomized as randomized
from jaxviz.attribution import rank_correlation as rank_correlation
from jaxviz.attribution import reconstruct as reconstruct
from jaxviz.attribution import region_margin as region_margin
from jaxviz.attribution import removal_curves as removal_curves
from jaxviz.attribution import saliency as saliency

# model -> its architecture
from jaxviz.diagram import diagram as diagram

# image -> image
from jaxviz.perturb import gaussian_blur as gaussian_blur
from jaxviz.perturb import grid_shuffle_blur as grid_shuffle_blur
from jaxviz.perturb import low_pass as low_pass
from jaxviz.perturb import noise as noise
from jaxviz.perturb import rotate as rotate
from jaxviz.perturb import scale as scale
from jaxviz.perturb import shuffle_patches as shuffle_patches
from jaxviz.perturb import shuffle_pixels as shuffle_pixels
from jaxviz.perturb import translate as translate

# images, model -> maps in a store
from jaxviz.sweep import sweep as sweep
from jaxviz.sweep import sweep_status as sweep_status

# model -> image
from jaxviz.synthesis import Maximized as Maximized
from jaxviz.synthesis import Region as Region
from jaxviz.synthesis import blur_every as blur_every
from jaxviz.synthesis import deep_dream as deep_dream
from jaxviz.synthesis import images as images
from jaxviz.synthesis import maximize as maximize
from jaxviz.synthesis import normalize_gradient as normalize_gradient
from jaxviz.synthesis import objectives as objectives
from jaxviz.synthesis import pyramid_scale as pyramid_scale
from jaxviz.synthesis import regularizers as regularizers
from jaxviz.synthesis import transforms as transforms

# model -> function
from jaxviz.transform import capture as capture
from jaxviz.transform import edit as edit
from jaxviz.transform import gated as gated
from jaxviz.transform import incremental as incremental
from jaxviz.transform import layers as layers
from jaxviz.transform import tap as tap
