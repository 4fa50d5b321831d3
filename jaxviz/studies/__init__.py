"""The experiments of the papers: (model, images) -> numbers."""

from jaxviz.studies.reconstruction import OctaveShares as OctaveShares
from jaxviz.studies.reconstruction import Reconstruction as Reconstruction
from jaxviz.studies.reconstruction import octave_shares as octave_shares
from jaxviz.studies.reconstruction import reconstruction as reconstruction
