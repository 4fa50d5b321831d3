"""Image parameterizations: the numbers that an ascent moves, and the image that they make."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

__all__ = ["Parameterization", "laplacian_pyramid", "pixel"]


class Parameterization(NamedTuple):
    """A way to write images as numbers without bounds.

    Attributes:
      init: `init(key, count)` gives the parameters of `count` random images, every array with the
        image's axis in front.
      decode: `decode(parameters)` gives the images (n, h, w, 3) in [0, 1]; differentiable.
    """

    init: Callable[[PRNGKeyArray, int], PyTree[Float[Array, "n ..."]]]
    decode: Callable[[PyTree[Float[Array, "n ..."]]], Float[Array, "n h w 3"]]


# Factories are cached, so that the same parameterization is the same static argument of a compiled
# function, and asking for it again recompiles nothing.


@functools.cache
def pixel(size: int | tuple[int, int], *, deviation: float = 0.1) -> Parameterization:
    """Every pixel is a parameter; a sigmoid keeps it in [0, 1].

    Args:
      size: rows and columns of the image, or one number for both, in pixels.
      deviation: standard deviation of the random start before the sigmoid, around mid-grey.

    Returns:
      A parameterization.

    Example:
      >>> import jax, jaxviz as jv
      >>> image = jv.images.pixel(8)
      >>> image.decode(image.init(jax.random.key(0), 2)).shape
      (2, 8, 8, 3)
    """
    rows, columns = _rows_and_columns(size)

    def init(key: PRNGKeyArray, count: int) -> Any:
        return deviation * jax.random.normal(key, (count, rows, columns, 3))

    return Parameterization(init, jax.nn.sigmoid)


@functools.cache
def laplacian_pyramid(
    size: int | tuple[int, int],
    *,
    levels: int | None = None,
    gain: float = 1.0,
    deviation: float = 0.5,
) -> Parameterization:
    """A sum of images from coarse to fine, each half as large as the next; then a sigmoid.

    A coarse pixel stands for many fine ones and collects their gradients, so that an ascent
    raises low frequencies first and the picture is smooth where nothing asks for detail.

    Args:
      size: rows and columns of the image, or one number for both, in pixels.
      levels: the number of images in the sum; by default down to about four pixels.
      gain: how much more each level weighs than the next finer one; above 1 raises the low
        frequencies more.
      deviation: standard deviation of each level's random start before the sigmoid. From a start
        too close to mid-grey some units see nothing, and have no gradient.

    Returns:
      A parameterization.

    Raises:
      ValueError: more levels than halvings of the size, or none.

    Example:
      >>> import jax, jaxviz as jv
      >>> image = jv.images.laplacian_pyramid(16, levels=3)
      >>> [level.shape for level in image.init(jax.random.key(0), 1)]
      [(1, 16, 16, 3), (1, 8, 8, 3), (1, 4, 4, 3)]

    References:
      Tao, Fu, Zhu, Wang, Deep visualization based on the spatial pyramid decomposition, 2017.
      Burt & Adelson, The Laplacian pyramid as a compact image code, 1983.
    """
    rows, columns = _rows_and_columns(size)
    most = min(rows, columns).bit_length()
    levels = max(most - 2, 1) if levels is None else levels
    if not 1 <= levels <= most:
        raise ValueError(
            f"levels must be 1 to {most} for an image of {rows} x {columns}: {levels}."
        )
    sizes = [(-(-rows >> level), -(-columns >> level)) for level in range(levels)]
    weights = np.array([gain**level for level in range(levels)], np.float32)
    weights = weights / np.linalg.norm(weights)

    def init(key: PRNGKeyArray, count: int) -> list[jax.Array]:
        keys = jax.random.split(key, levels)
        return [
            deviation * jax.random.normal(key, (count, *size, 3))
            for key, size in zip(keys, sizes, strict=True)
        ]

    def decode(pyramid: list[jax.Array]) -> jax.Array:
        total = sum(
            weight * jax.image.resize(level, (len(level), rows, columns, 3), "linear")
            for weight, level in zip(weights, pyramid, strict=True)
        )
        return jax.nn.sigmoid(total)

    return Parameterization(init, decode)


def _rows_and_columns(size: int | tuple[int, int]) -> tuple[int, int]:
    rows, columns = (size, size) if isinstance(size, int) else size
    if min(rows, columns) < 1:
        raise ValueError(f"size must be positive, got {size}.")
    return rows, columns
