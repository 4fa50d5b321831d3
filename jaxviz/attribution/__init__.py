"""What in an image a model's answer rests on: (model, image) -> map."""

from jaxviz.attribution.approximate import Approximation as Approximation
from jaxviz.attribution.approximate import OcclusionError as OcclusionError
from jaxviz.attribution.approximate import approximate_occlusion as approximate_occlusion
from jaxviz.attribution.backprojection import deconvnet as deconvnet
from jaxviz.attribution.backprojection import guided_backprop as guided_backprop
from jaxviz.attribution.backprojection import saliency as saliency
from jaxviz.attribution.cam import cam as cam
from jaxviz.attribution.cam import grad_cam as grad_cam
from jaxviz.attribution.margin import RegionMargin as RegionMargin
from jaxviz.attribution.margin import region_margin as region_margin
from jaxviz.attribution.occlusion import OcclusionMaps as OcclusionMaps
from jaxviz.attribution.occlusion import occlusion as occlusion
from jaxviz.attribution.panels import OcclusionPanels as OcclusionPanels
from jaxviz.attribution.panels import occlusion_panels as occlusion_panels
from jaxviz.attribution.parts import Occluded as Occluded
from jaxviz.attribution.parts import occlude_boxes as occlude_boxes
from jaxviz.attribution.parts import occlude_masks as occlude_masks
from jaxviz.attribution.reconstruction import AffineModel as AffineModel
from jaxviz.attribution.reconstruction import reconstruct as reconstruct
from jaxviz.attribution.region import cam_region as cam_region
from jaxviz.attribution.removal import RemovalCurves as RemovalCurves
from jaxviz.attribution.removal import removal_curves as removal_curves
from jaxviz.attribution.sanity import randomized as randomized
from jaxviz.attribution.sanity import rank_correlation as rank_correlation
