"""The experiments of the papers: from a model and images to numbers, and what they say."""

# Layers taken out
from jaxviz.studies.ablation import VARIANTS as VARIANTS
from jaxviz.studies.ablation import Ablated as Ablated
from jaxviz.studies.ablation import ablation as ablation
from jaxviz.studies.ablation import depth_claim as depth_claim
from jaxviz.studies.batches import in_batches as in_batches

# Estimates, comparisons, verdicts
from jaxviz.studies.claims import Claim as Claim
from jaxviz.studies.claims import Comparison as Comparison
from jaxviz.studies.claims import Estimate as Estimate
from jaxviz.studies.claims import compared as compared
from jaxviz.studies.claims import estimate as estimate
from jaxviz.studies.claims import mean_of as mean_of
from jaxviz.studies.claims import verdict as verdict

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

# Networks of numbered layers
from jaxviz.studies.variant_net import LayerSpec as LayerSpec
from jaxviz.studies.variant_net import Variant as Variant
from jaxviz.studies.variant_net import VariantNet as VariantNet
from jaxviz.studies.variant_net import layers_of as layers_of
