"""Every pixel is a parameter."""

from __future__ import annotations

import functools

import jax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxviz.synthesis.images.parameterization import (
    Parameterization,
    checked,
    logits,
    rows_and_columns,
)

__all__ = ["pixel"]


@functools.cache
def pixel(size: int | tuple[int, int], *, deviation: float = 0.1) -> Parameterization:
    """Every pixel is a parameter; a sigmoid keeps it in [0, 1].

    Args:
      size: rows and columns of the image, or one number for both, in pixels.
      deviation: standard deviation of the random start before the sigmoid, around mid-grey.

    Returns:
      A parameterization; a given image comes back to 1e-6.

    Raises:
      ValueError: the size is not positive.

    Example:
      >>> import jax, jaxviz as jv
      >>> image = jv.images.pixel(8)
      >>> image.decode(image.init(jax.random.key(0), 2)).shape
      (2, 8, 8, 3)
    """
    rows, columns = rows_and_columns(size)

    def init(key: PRNGKeyArray, count: int) -> Array:
        return deviation * jax.random.normal(key, (count, rows, columns, 3))

    def encode(images: Float[ArrayLike, "n h w 3"]) -> Array:
        return logits(checked(images, rows, columns))

    return Parameterization(init, jax.nn.sigmoid, encode)
