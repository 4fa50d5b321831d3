"""What in an image a model's answer rests on: (model, image) -> map."""

from jaxviz.attribution.backprojection import deconvnet as deconvnet
from jaxviz.attribution.backprojection import guided_backprop as guided_backprop
from jaxviz.attribution.backprojection import saliency as saliency
from jaxviz.attribution.cam import cam as cam
from jaxviz.attribution.cam import grad_cam as grad_cam
from jaxviz.attribution.occlusion import OcclusionMaps as OcclusionMaps
from jaxviz.attribution.occlusion import occlusion as occlusion
