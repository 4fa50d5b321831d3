"""The experiments of the papers: from a model and images to numbers, and what they say."""

# Layers taken out
from jaxviz.studies.ablation import VARIANTS as VARIANTS
from jaxviz.studies.ablation import Ablated as Ablated
from jaxviz.studies.ablation import ablation as ablation
from jaxviz.studies.ablation import depth_claim as depth_claim

# Many images
from jaxviz.studies.batches import at_once as at_once
from jaxviz.studies.batches import in_batches as in_batches

# Estimates, comparisons, verdicts
from jaxviz.studies.claims import Claim as Claim
from jaxviz.studies.claims import Comparison as Comparison
from jaxviz.studies.claims import Estimate as Estimate
from jaxviz.studies.claims import compared as compared
from jaxviz.studies.claims import estimate as estimate
from jaxviz.studies.claims import mean_of as mean_of
from jaxviz.studies.claims import verdict as verdict

# The same part of different images
from jaxviz.studies.correspondence import Correspondence as Correspondence
from jaxviz.studies.correspondence import correspondence as correspondence
from jaxviz.studies.correspondence import random_boxes as random_boxes

# Evolution during training
from jaxviz.studies.evolution import Comoments as Comoments
from jaxviz.studies.evolution import Evolved as Evolved
from jaxviz.studies.evolution import comoments as comoments
from jaxviz.studies.evolution import evolution as evolution
from jaxviz.studies.evolution import linear_cka as linear_cka
from jaxviz.studies.evolution import settled as settled

# The first convolution
from jaxviz.studies.first_layer import FirstLayer as FirstLayer
from jaxviz.studies.first_layer import aliasing as aliasing
from jaxviz.studies.first_layer import first_convolution as first_convolution
from jaxviz.studies.first_layer import first_layer as first_layer

# Linear probes
from jaxviz.studies.generalisation import Generalisation as Generalisation
from jaxviz.studies.generalisation import Split as Split
from jaxviz.studies.generalisation import generalisation as generalisation
from jaxviz.studies.generalisation import higher_layers_claim as higher_layers_claim
from jaxviz.studies.generalisation import split_by_class as split_by_class
from jaxviz.studies.generalisation import trained_features_claim as trained_features_claim

# Images that move
from jaxviz.studies.invariance import Invariance as Invariance
from jaxviz.studies.invariance import Move as Move
from jaxviz.studies.invariance import invariance as invariance
from jaxviz.studies.invariance import invariance_claims as invariance_claims
from jaxviz.studies.invariance import lost_probability as lost_probability
from jaxviz.studies.invariance import relative_distance as relative_distance
from jaxviz.studies.invariance import standard_moves as standard_moves

# Projections on the object
from jaxviz.studies.mask_energy import MaskEnergy as MaskEnergy
from jaxviz.studies.mask_energy import ObjectShare as ObjectShare
from jaxviz.studies.mask_energy import mask_energy as mask_energy
from jaxviz.studies.mask_energy import object_share as object_share
from jaxviz.studies.object_parts import object_parts as object_parts

# An occluder
from jaxviz.studies.occlusion import OccludedFigure as OccludedFigure
from jaxviz.studies.occlusion import occluded_figure as occluded_figure
from jaxviz.studies.occlusion import window_means as window_means
from jaxviz.studies.probes import Probes as Probes
from jaxviz.studies.probes import fit_probes as fit_probes
from jaxviz.studies.probes import pooled_features as pooled_features

# Exact affine maps
from jaxviz.studies.reconstruction import OctaveShares as OctaveShares
from jaxviz.studies.reconstruction import Reconstruction as Reconstruction
from jaxviz.studies.reconstruction import octave_shares as octave_shares
from jaxviz.studies.reconstruction import reconstruction as reconstruction

# Skip connections
from jaxviz.studies.skip_claims import Network as Network
from jaxviz.studies.skip_claims import skip_claims as skip_claims
from jaxviz.studies.skip_claims import stage_features as stage_features
from jaxviz.studies.skips import Answers as Answers
from jaxviz.studies.skips import Features as Features
from jaxviz.studies.skips import Peaks as Peaks
from jaxviz.studies.skips import active_features as active_features
from jaxviz.studies.skips import answers as answers
from jaxviz.studies.skips import answers_under as answers_under
from jaxviz.studies.skips import last_of_each_size as last_of_each_size
from jaxviz.studies.skips import layer_peaks as layer_peaks
from jaxviz.studies.skips import relative_fall as relative_fall

# Strongest activations
from jaxviz.studies.strongest import Indexed as Indexed
from jaxviz.studies.strongest import Strongest as Strongest
from jaxviz.studies.strongest import none_seen as none_seen
from jaxviz.studies.strongest import seen as seen
from jaxviz.studies.strongest import strongest as strongest
from jaxviz.studies.strongest import unit_projections as unit_projections

# Networks of numbered layers
from jaxviz.studies.variant_net import LayerSpec as LayerSpec
from jaxviz.studies.variant_net import Variant as Variant
from jaxviz.studies.variant_net import VariantNet as VariantNet
from jaxviz.studies.variant_net import layers_of as layers_of
