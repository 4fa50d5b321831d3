"""What an ascent pays for an unnatural image: image -> penalty."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Regularizer", "l2", "total_variation"]

Regularizer = Callable[[Float[Array, "n h w c"]], Float[Array, " n"]]


@functools.cache
def total_variation(weight: float) -> Regularizer:
    """The mean absolute difference of neighbouring pixels, times `weight`.

    Args:
      weight: in the objective's units, for an image in [0, 1].

    Returns:
      A function of images, one penalty for each.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> image = jnp.array([[0.0, 1.0], [0.0, 1.0]]).reshape(1, 2, 2, 1)
      >>> jv.regularizers.total_variation(2.0)(image).tolist()
      [2.0]

    References:
      Mahendran & Vedaldi, Understanding deep image representations by inverting them, 2015.
    """

    def penalty(images: Array) -> Array:
        down, right = jnp.diff(images, axis=1), jnp.diff(images, axis=2)
        return weight * (jnp.abs(down).mean((1, 2, 3)) + jnp.abs(right).mean((1, 2, 3)))

    return penalty


@functools.cache
def l2(weight: float) -> Regularizer:
    """The mean squared distance from mid-grey, times `weight`.

    Args:
      weight: in the objective's units, for an image in [0, 1].

    Returns:
      A function of images, one penalty for each.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> jv.regularizers.l2(4.0)(jnp.ones((1, 2, 2, 3))).tolist()
      [1.0]

    References:
      Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks, 2014, section 2.
    """
    return lambda images: weight * jnp.mean((images - 0.5) ** 2, (1, 2, 3))
