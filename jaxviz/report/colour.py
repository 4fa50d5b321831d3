"""From numbers to colours: signed maps, heat maps, labels, projections, overlays.

Every function takes arrays and returns RGB in [0, 1]; `to_uint8` makes bytes of them. A batch given
in one call shares one scale, so that its pictures can be compared; map by map, each has its own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

PERCENTILE = 99.5
"""How much of |map| a scale covers by default: a few extreme pixels must not grey the rest."""

OTHER = (0.62, 0.62, 0.62)
"""The colour of the labels that have none of their own."""


@functools.cache
def _table(name: str, size: int) -> Float[np.ndarray, "size 3"]:
    import matplotlib

    return matplotlib.colormaps[name].resampled(size)(np.arange(size))[:, :3]


def _look_up(name: str, unit: Float[np.ndarray, "*b"]) -> Float[np.ndarray, "*b 3"]:
    """The colours of values in [0, 1]; an odd table, so that 0.5 has an entry of its own."""
    size = 1025
    return _table(name, size)[np.rint(unit * (size - 1)).astype(int)]


def _numbers(values: Float[np.ndarray, "*b"], what: str) -> Float[np.ndarray, "*b"]:
    """`values` in float64, or an error that says how many of them are no numbers."""
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        raise ValueError(f"{what} must have at least one value; its shape is {values.shape}.")
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise ValueError(
            f"{what} must be finite to be shown; {bad} of its {values.size} values are NaN or "
            "infinite. Look for the division or the overflow that made them."
        )
    return values


def scale_limit(values: Float[np.ndarray, "*b"], *, percentile: float = PERCENTILE) -> float:
    """The magnitude at which a zero-centred scale saturates: a percentile of `|values|`.

    A sparse map, whose percentile is zero, is scaled by its largest magnitude; a map of zeros by 1.

    Args:
      values: numbers of any shape.
      percentile: how much of `|values|` lies within the scale, in percent.

    Returns:
      A positive number.

    Example:
      >>> scale_limit(np.array([-2.0, 1.0, 0.5]), percentile=100)
      2.0
      >>> scale_limit(np.zeros(3))
      1.0
    """
    size = np.abs(_numbers(values, "the map"))
    return float(np.percentile(size, percentile)) or float(size.max()) or 1.0


def signed_colours(
    map: Float[np.ndarray, "*b h w"], *, limit: float | None = None
) -> Float[np.ndarray, "*b h w 3"]:
    """Zero-centred colours: red above zero, blue below, a near-white grey at zero.

    Args:
      map: signed numbers, one or more maps; all are coloured on one scale.
      limit: the magnitude with the strongest colours, larger ones look the same; None takes the
          99.5th percentile of `|map|` (`scale_limit`).

    Returns:
      RGB in [0, 1].

    Raises:
      ValueError: for NaN or infinite values, and for a limit that is not positive.

    Example:
      >>> signed_colours(np.array([[0.0, 1.0, -1.0]]))[0].round(2).tolist()
      [[0.97, 0.97, 0.97], [0.4, 0.0, 0.12], [0.02, 0.19, 0.38]]
    """
    map = _numbers(map, "the map")
    limit = scale_limit(map) if limit is None else limit
    if not limit > 0:
        raise ValueError(f"limit must be a positive magnitude, not {limit}.")
    return _look_up("RdBu_r", 0.5 + 0.5 * np.clip(map / limit, -1, 1))


def heat_colours(
    map: Float[np.ndarray, "*b h w"], *, low: float | None = None, high: float | None = None
) -> Float[np.ndarray, "*b h w 3"]:
    """Sequential, perceptually uniform colours from dark (`low`) to bright (`high`).

    Args:
      map: numbers without a meaningful sign, one or more maps; all are coloured on one scale.
      low: the value of the darkest colour; None takes the smallest.
      high: the value of the brightest colour; None takes the largest. Where `low` and `high` are
          equal nothing stands out, and all is dark.

    Returns:
      RGB in [0, 1].

    Raises:
      ValueError: for NaN or infinite values.

    Example:
      >>> bool(np.ptp(heat_colours(np.full((2, 2), 7.0)), axis=(0, 1)).any())
      False
    """
    map = _numbers(map, "the map")
    return _look_up("magma", heat_fraction(map, low=low, high=high))


def heat_fraction(
    map: Float[np.ndarray, "*b h w"], *, low: float | None = None, high: float | None = None
) -> Float[np.ndarray, "*b h w"]:
    """Where each value lies between `low` (0) and `high` (1), as `heat_colours` colours it.

    Args:
      map: finite numbers.
      low: the value that becomes 0; None takes the smallest.
      high: the value that becomes 1; None takes the largest.

    Returns:
      Numbers in [0, 1], all 0 where `low` equals `high`.

    Example:
      >>> heat_fraction(np.array([[1.0, 2.0, 5.0]])).tolist()
      [[0.0, 0.25, 1.0]]
    """
    map = _numbers(map, "the map")
    low = float(map.min()) if low is None else low
    high = float(map.max()) if high is None else high
    return np.clip((map - low) / ((high - low) or np.inf), 0, 1)


class LabelColours(NamedTuple):
    """A picture of labels, and what its colours mean.

    Attributes:
      colours: RGB in [0, 1], of the labels' shape.
      legend: (label, its colour) from the most frequent label on; label None stands for all the
          labels that have no colour of their own.
    """

    colours: Float[np.ndarray, "*b h w 3"]
    legend: list[tuple[int | None, tuple[float, float, float]]]


def label_colours(
    labels: Int[np.ndarray, "*b h w"], *, first: Sequence[int] = (), most: int = 10
) -> LabelColours:
    """One colour for each of the most frequent labels; the rest share a grey.

    Args:
      labels: whole numbers, such as the most probable class at each position.
      first: labels that take the first colours, in this order, whether they occur or not, so that
          a class keeps its colour from picture to picture.
      most: how many labels get a colour of their own, at most 10.

    Returns:
      The picture and its legend; the legend names only labels that occur.

    Example:
      >>> picture = label_colours(np.array([[3, 3, 7]]))
      >>> [label for label, _ in picture.legend]
      [3, 7]
    """
    labels = np.asarray(labels)
    values, counts = np.unique(labels, return_counts=True)
    frequent = [int(v) for v in values[np.argsort(-counts, kind="stable")]]
    named = [*first, *(v for v in frequent if v not in first)][: min(most, 10)]
    palette = {label: tuple(colour) for label, colour in zip(named, _palette(), strict=False)}
    colours = np.empty((*labels.shape, 3))
    colours[:] = OTHER
    for label, colour in palette.items():
        colours[labels == label] = colour
    legend: list = [(label, palette[label]) for label in frequent if label in palette]
    if any(label not in palette for label in frequent):
        legend.append((None, OTHER))
    return LabelColours(colours, legend)


@functools.cache
def _palette() -> tuple[tuple[float, float, float], ...]:
    """Ten colours that differ in hue and lightness; "tab10" without its grey, and softer."""
    import matplotlib

    colours = [c for i, c in enumerate(matplotlib.colormaps["tab10"].colors) if i != 7]  # type: ignore[attr-defined]
    colours.append((0.16, 0.24, 0.45))
    return tuple(tuple(0.85 * np.array(c) + 0.15) for c in colours)


def contrast(
    projection: Float[np.ndarray, "*b h w 3"], *, limit: float | None = None
) -> Float[np.ndarray, "*b h w 3"]:
    """A projection into pixel space as a picture around grey: zero is 0.5, as in Zeiler & Fergus.

    Args:
      projection: signed RGB, as deconvnet and guided backpropagation give it.
      limit: the magnitude that becomes black or full colour; None takes the 99.5th percentile of
          `|projection|` (`scale_limit`).

    Returns:
      RGB in [0, 1].

    Raises:
      ValueError: for NaN or infinite values.

    Example:
      >>> contrast(np.zeros((1, 1, 3))).tolist()
      [[[0.5, 0.5, 0.5]]]

    References:
      Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, Fig. 2.
    """
    projection = _numbers(projection, "the projection")
    limit = scale_limit(projection) if limit is None else limit
    return np.clip(0.5 + 0.5 * projection / limit, 0, 1)


def overlay(
    image: Float[np.ndarray, "*b h w 3"],
    colours: Float[np.ndarray, "*b h w 3"],
    *,
    alpha: float | Float[np.ndarray, "*b h w"] = 0.5,
) -> Float[np.ndarray, "*b h w 3"]:
    """Colours laid over an image: `(1 - alpha) * image + alpha * colours`.

    Args:
      image: RGB in [0, 1].
      colours: RGB in [0, 1], of the same shape.
      alpha: how much of the colours shows, in [0, 1]; one number, or one for each pixel.

    Returns:
      RGB in [0, 1].

    Raises:
      ValueError: where the shapes differ.

    Example:
      >>> overlay(np.zeros((1, 1, 3)), np.ones((1, 1, 3)), alpha=0.25).tolist()
      [[[0.25, 0.25, 0.25]]]
    """
    image, colours = np.asarray(image, np.float64), np.asarray(colours, np.float64)
    if image.shape != colours.shape:
        raise ValueError(
            f"image and colours must have one shape, not {image.shape} and {colours.shape}; "
            "bring the map to the image's size with jaxviz.report.enlarge first."
        )
    share = np.asarray(alpha, np.float64)
    share = share[..., None] if share.ndim else share
    return (1 - share) * image + share * colours


def to_uint8(image: Float[np.ndarray, "*b h w 3"]) -> UInt8[np.ndarray, "*b h w 3"]:
    """[0, 1] as bytes, rounded to the nearest; values outside are clipped.

    Args:
      image: RGB, nominally in [0, 1].

    Returns:
      RGB in 0 to 255.

    Raises:
      ValueError: for NaN or infinite values.

    Example:
      >>> to_uint8(np.array([[[0.0, 0.5, 1.2]]])).tolist()
      [[[0, 128, 255]]]
    """
    return np.floor(np.clip(_numbers(image, "the image"), 0, 1) * 255 + 0.5).astype(np.uint8)
