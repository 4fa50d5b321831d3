"""Max pooling by its switches: which entry of each window it takes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

__all__ = ["cuts", "switches", "taken"]

Parameters = Mapping[str, Any]
"""Of the primitive `reduce_window_max`, without base dilation."""


def cuts(
    x: Float[Array, "*image"], parameters: Parameters, fill: float
) -> Iterator[Float[Array, "*pooled"]]:
    """For each place of the window, row by row, what all windows have there.

    Args:
      x: what is pooled.
      parameters: of the pooling.
      fill: what lies in the padding.

    Yields:
      Arrays of the pooling's shape.
    """
    p = parameters
    strides, dilation = p["window_strides"], p["window_dilation"]
    padded = lax.pad(x, jnp.array(fill, x.dtype), [(low, high, 0) for low, high in p["padding"]])
    reach = [(w - 1) * step for w, step in zip(p["window_dimensions"], dilation, strict=True)]
    for place in itertools.product(*map(range, p["window_dimensions"])):
        start = [i * step for i, step in zip(place, dilation, strict=True)]
        stop = [
            first + (size - 1 - far) // stride * stride + 1
            for first, size, far, stride in zip(start, padded.shape, reach, strides, strict=True)
        ]
        yield lax.slice(padded, start, stop, strides)


def switches(
    x: Float[Array, "*image"], y: Float[Array, "*pooled"], parameters: Parameters
) -> list[Bool[Array, "*pooled"]]:
    """For each place of the window, in which windows it has the first of the largest entries.

    Args:
      x: what is pooled.
      y: its pooling.
      parameters: of the pooling.

    Returns:
      One array for each place, in the order of `cuts`; exactly one is true for each window.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxviz.transform.switches import switches
      >>> one = {"window_dilation": (1,), "padding": ((0, 0),)}
      >>> pairs = {"window_dimensions": (2,), "window_strides": (2,), **one}
      >>> first, second = switches(jnp.array([1.0, 3.0, 2.0, 2.0]), jnp.array([3.0, 2.0]), pairs)
      >>> first.tolist(), second.tolist()
      ([False, True], [True, False])
    """
    found, before = [], jnp.zeros(y.shape, bool)
    for cut in cuts(x, parameters, -jnp.inf):
        first = (cut == y) & ~before
        before |= first
        found.append(first)
    return found


def taken(
    x: Float[Array, "*image"], switches: Sequence[Bool[Array, "*pooled"]], parameters: Parameters
) -> Float[Array, "*pooled"]:
    """What a pooling takes of `x` when its switches are given: a linear function of `x`.

    Args:
      x: of the shape of what was pooled.
      switches: see there.
      parameters: of the pooling.

    Returns:
      An array of the pooling's shape.
    """
    total = jnp.zeros(switches[0].shape, x.dtype)
    for switch, cut in zip(switches, cuts(x, parameters, 0), strict=True):
        total += jnp.where(switch, cut, 0)
    return total
