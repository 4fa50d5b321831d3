"""Values as an edit of the input changes them: the original, and a window of new entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from jaxviz.transform.spans import Spans, Window

__all__ = ["Changed", "Place", "region"]

Place = tuple[Int[Array, ""], Int[Array, ""]]
"""Where an edit is: the numbers of its row and of its column among those that are possible."""


class Changed(NamedTuple):
    """A value after an edit.

    Attributes:
      new: the new entries: a window of the value along the axes of `windows`, all of it along the
        others.
      windows: which part of the value `new` is.
      spans: what can differ from the original, inside of `windows`.
    """

    new: Array
    windows: Mapping[int, Window]
    spans: Spans


def region(
    original: Array,
    changed: Changed | None,
    wanted: Mapping[int, Window],
    place: Place,
    fill: Any = 0,
) -> Array:
    """A window of an edited value: new entries where there are any, the original's around them.

    Args:
      original: the value before the edit.
      changed: what the edit made of it; None where it changes nothing.
      wanted: the window by axis; the others are wanted as a whole.
      place: where the edit is.
      fill: the entries outside of the value.

    Returns:
      An array of the window's size.
    """
    if changed is None:
        return _cut(original, wanted, place, fill)
    axes = sorted({*wanted, *changed.windows})
    target = {axis: wanted.get(axis, _whole(original, axis)) for axis in axes}
    source = {axis: changed.windows.get(axis, _whole(original, axis)) for axis in axes}
    inner = {axis: _relative(target[axis], source[axis]) for axis in axes}
    new = _cut(changed.new, inner, place, fill)
    inside = None
    for axis, piece in inner.items():
        size = source[axis].size
        if (piece.start < 0).any() or (piece.start + piece.size > size).any():
            index = _at(piece, place) + jnp.arange(piece.size)
            shape = [1] * new.ndim
            shape[axis] = piece.size
            own = ((index >= 0) & (index < size)).reshape(shape)
            inside = own if inside is None else inside & own
    if inside is None:
        return new
    return jnp.where(inside, new, _cut(original, wanted, place, fill))


def _whole(value: Array, axis: int) -> Window:
    return Window(0, np.zeros(1, int), value.shape[axis])


def _relative(inner: Window, outer: Window) -> Window:
    """A window as seen from the start of another one; they move along or stand still."""
    side = inner.side if inner.start.size > 1 else outer.side
    return Window(side, inner.start - outer.start, inner.size)


def _at(window: Window, place: Place) -> Any:
    """Where the window starts, for this edit: a number where it is the same for all."""
    first = int(window.start[0])
    if (window.start == first).all():
        return first
    return jnp.asarray(window.start, jnp.int32)[place[window.side]]


def _cut(value: Array, pieces: Mapping[int, Window], place: Place, fill: Any) -> Array:
    """Pieces of some axes of a value, filled up where they leave it."""
    edges, starts, sizes = [(0, 0, 0)] * value.ndim, [0] * value.ndim, list(value.shape)
    for axis, piece in pieces.items():
        before = max(0, -int(piece.start.min()))
        after = max(0, int(piece.start.max()) + piece.size - value.shape[axis])
        edges[axis] = (before, after, 0)
        starts[axis], sizes[axis] = before + _at(piece, place), piece.size
    if any(map(any, edges)):
        value = lax.pad(value, jnp.asarray(fill, value.dtype), edges)
    if all(isinstance(start, int) for start in starts):
        stops = [start + size for start, size in zip(starts, sizes, strict=True)]
        return lax.slice(value, starts, stops)
    return lax.dynamic_slice(value, [jnp.asarray(start, jnp.int32) for start in starts], sizes)
