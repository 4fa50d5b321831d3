"""An endless set of pictures of simple shapes, each with the region that the object covers."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

__all__ = ["SHAPE_NAMES", "Shapes", "shapes"]

SHAPE_NAMES = (
    "circle",
    "square",
    "triangle",
    "hexagon",
    "star",
    "ring",
    "cross",
    "crescent",
    "heart",
    "arrow",
)
"""The ten classes, in the order of their labels."""


class Shapes(NamedTuple):
    """Images of shapes.

    Attributes:
      image: float32 in [0, 1], RGB.
      label: the class, an index into `SHAPE_NAMES`.
      mask: where the object covers at least half of a pixel.
    """

    image: Float[Array, "n size size 3"]
    label: Int[Array, "n"]
    mask: Bool[Array, "n size size"]


def shapes(key: PRNGKeyArray, count: int, *, size: int = 64) -> Shapes:
    """Draws pictures of one shape each, a pure function of the key."""
    raise NotImplementedError
