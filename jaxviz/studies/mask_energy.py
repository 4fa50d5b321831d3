"""Whether a unit's projection lies on the object: its energy inside the object's mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxviz.studies.claims import Estimate, estimate
from jaxviz.transform import ReceptiveFields

__all__ = ["MaskEnergy", "ObjectShare", "mask_energy", "object_share"]

SHOWS = 0.5
"""How much of the object must lie in the receptive field, for the unit to be shown the object."""


class MaskEnergy(NamedTuple):
    """Of projections, one for each image.

    Attributes:
      inside: the share of the squared projection that lies on the object; NaN of an empty one.
      chance: the object's share of the receptive field: what a projection that is the same
        everywhere would have.
      visible: the share of the object that lies in the receptive field.
    """

    inside: Float[np.ndarray, " n"]
    chance: Float[np.ndarray, " n"]
    visible: Float[np.ndarray, " n"]


def mask_energy(
    projections: Float[np.ndarray, "n h w c"],
    masks: Bool[np.ndarray, "n h w"],
    fields: ReceptiveFields,
) -> MaskEnergy:
    """How much of each projection lies on the object, and how much would by chance.

    Args:
      projections: of one unit for each image.
      masks: the pixels of the image's object.
      fields: the receptive field of each unit, arrays of length n.

    Returns:
      `MaskEnergy`.

    Example:
      >>> import numpy as np
      >>> from jaxviz.studies import mask_energy
      >>> from jaxviz.transform import ReceptiveFields
      >>> mask = np.zeros((1, 4, 4), bool)
      >>> mask[0, :, 0] = True
      >>> edges = ReceptiveFields(*(np.array([edge]) for edge in (0, 2, 0, 4)))
      >>> found = mask_energy(np.arange(16.0).reshape(1, 4, 4, 1) % 4 == 0, mask, edges)
      >>> [float(share[0]) for share in found]
      [1.0, 0.25, 0.5]
    """
    energy = (np.asarray(projections, float) ** 2).sum(-1)
    rows, cols = (np.arange(size) for size in masks.shape[1:])
    down = (rows >= fields.top[:, None]) & (rows < fields.bottom[:, None])
    across = (cols >= fields.left[:, None]) & (cols < fields.right[:, None])
    field = down[:, :, None] & across[:, None, :]

    def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        total = whole.sum((1, 2))
        return part.sum((1, 2)) / np.where(total > 0, total, 1)

    return MaskEnergy(
        np.where(energy.any((1, 2)), share(energy * masks, energy), np.nan),
        share(field & masks, field),
        share(field & masks, masks),
    )


class ObjectShare(NamedTuple):
    """Of a layer's channels whose strongest images show the object.

    Attributes:
      channels: which of those given, by their place among them.
      inside: of each the share of energy on the object, the mean over those images.
      chance: likewise, by chance.
    """

    channels: Int[np.ndarray, " m"]
    inside: Float[np.ndarray, " m"]
    chance: Float[np.ndarray, " m"]

    def estimates(self) -> tuple[Estimate, Estimate] | None:
        """Both as means over the channels, or None where there is no channel."""
        if not len(self.channels):
            return None
        return estimate([self.inside]), estimate([self.chance])


def object_share(channels: Sequence[MaskEnergy]) -> ObjectShare:
    """The energy on the object, for the channels whose strongest images show it.

    An image shows the object to a unit if at least half of the object lies in its receptive field,
    and the strongest images of a channel do if more than half of them do. Images whose projection
    is empty have no share, and are left out of the means.

    Args:
      channels: for each channel, its strongest images.

    Returns:
      `ObjectShare`.

    Example:
      >>> import numpy as np
      >>> from jaxviz.studies import MaskEnergy, object_share
      >>> sees = MaskEnergy(np.array([0.5, 0.9]), np.array([0.2, 0.4]), np.array([0.6, 1.0]))
      >>> found = object_share([sees._replace(visible=np.zeros(2)), sees])
      >>> found.channels.tolist(), found.inside.tolist()
      ([1], [0.7])
    """
    found = []
    for place, one in enumerate(channels):
        shown = one.visible >= SHOWS
        told = shown & np.isfinite(one.inside)
        if shown.sum() * 2 > len(shown) and told.any():
            found.append((place, one.inside[told].mean(), one.chance[told].mean()))
    places, inside, chance = zip(*found, strict=True) if found else ((), (), ())
    return ObjectShare(np.array(places, int), np.array(inside, float), np.array(chance, float))
