"""How objectives read the values of a layer: which axes are positions, which entry is meant."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

__all__ = ["indices", "nan_unless", "pick", "positions", "within"]


def positions(values: Array) -> tuple[int, ...]:
    """The axes between images and channels; reduced as they are, they stay known as the image's."""
    return tuple(range(1, values.ndim - 1))


def indices(name: str, index: Any) -> Int[Array, " n"]:
    """A number, or one for each image, as an array with an axis of images."""
    index = jnp.asarray(index)
    if not jnp.issubdtype(index.dtype, jnp.integer) or index.ndim > 1:
        raise ValueError(
            f"{name} must be an int or a list of ints, one for each image; got "
            f"{index.dtype} of shape {index.shape}."
        )
    return jnp.atleast_1d(index)


def pick(values: Float[Array, "n k"], index: Int[Array, " m"], name: str) -> Float[Array, " n"]:
    """Each image's entry `index`; NaN where it has none."""
    if values.ndim != 2:
        raise ValueError(
            f"{name} needs values of shape (n, {name}), got {values.shape}; choose another "
            "objective, or a layer with one number for each."
        )
    if len(index) not in (1, len(values)):
        raise ValueError(
            f"{name} has {len(index)} entries for {len(values)} images; give one, or one for each."
        )
    index = jnp.broadcast_to(index, len(values))
    picked = jnp.take_along_axis(values, index[:, None], axis=1, mode="clip")[:, 0]
    return picked * nan_unless(within(index, values.shape[1]))


def within(index: Int[Array, " n"], size: int) -> Bool[Array, " n"]:
    """Which indices an axis of `size` has."""
    return (index >= 0) & (index < size)


def nan_unless(valid: Bool[Array, " n"]) -> Float[Array, " n"]:
    """A factor that leaves what is valid."""
    # A compiled program cannot refuse an index out of range; then the score and its gradient are
    # NaN, and not those of a neighbour, or zero.
    return jnp.where(valid, 1.0, jnp.nan)
