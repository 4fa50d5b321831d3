"""What every parameterization offers, and what they share: sizes, and the way out of [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, PyTree

__all__ = ["Parameterization", "checked", "logits", "rows_and_columns"]


def _no_encoding(images: Float[ArrayLike, "n h w 3"]) -> PyTree[Float[Array, "n ..."]]:
    raise ValueError(
        "this parameterization cannot start from a given image; choose one that can, such as "
        "fourier or laplacian_pyramid."
    )


class Parameterization(NamedTuple):
    """A way to write images as numbers.

    Attributes:
      init: `init(key, count)` gives the parameters of `count` random images, every array with the
        image's axis in front.
      decode: `decode(parameters)` gives the images (n, h, w, 3) in [0, 1]; differentiable.
      encode: `encode(images)` gives parameters of given images in [0, 1], to start from them: a
        photograph (deep dream), a mean image, plain grey. A sigmoid reaches 0 and 1 nowhere: what
        is nearer to them than half a step of 8 bits, 1/510, comes back at that distance.
    """

    init: Callable[[PRNGKeyArray, int], PyTree[Float[Array, "n ..."]]]
    decode: Callable[[PyTree[Float[Array, "n ..."]]], Float[Array, "n h w 3"]]
    encode: Callable[[Float[ArrayLike, "n h w 3"]], PyTree[Float[Array, "n ..."]]] = _no_encoding


# Factories are cached, so that the same parameterization is the same static argument of a compiled
# function, and asking for it again recompiles nothing.


def rows_and_columns(size: int | tuple[int, int]) -> tuple[int, int]:
    """An image's size, given as one number or two."""
    rows, columns = (size, size) if isinstance(size, int) else size
    if min(rows, columns) < 1:
        raise ValueError(f"size must be positive, got {size}.")
    return rows, columns


def checked(
    images: Float[ArrayLike, "n h w 3"], rows: int, columns: int
) -> Float[Array, "n h w 3"]:
    """Images to encode, refused where they have another size."""
    images = jnp.asarray(images, float)
    if images.shape[1:] != (rows, columns, 3):
        raise ValueError(
            f"images must have shape (n, {rows}, {columns}, 3), the parameterization's size; got "
            f"{images.shape}."
        )
    return images


def logits(images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """What a sigmoid makes these images of."""
    return jax.scipy.special.logit(jnp.clip(images, 1 / 510, 1 - 1 / 510))
