"""What an ascent pays for an unnatural image: image -> penalty."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Regularizer", "alpha_norm", "l2", "total_variation"]

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


@functools.cache
def alpha_norm(weight: float, alpha: float = 6.0) -> Regularizer:
    """The mean of the distance from mid-grey to a high power, times `weight`.

    The higher the power, the freer are ordinary colours, and the dearer the few that stick out.

    Args:
      weight: in the objective's units; an image of black and white alone pays `weight`.
      alpha: the power, above 1.

    Returns:
      A function of images, one penalty for each.

    Raises:
      ValueError: `alpha` is not above 1.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> image = jnp.array([[0.0, 1.0], [0.5, 0.5]]).reshape(1, 2, 2, 1)
      >>> jv.regularizers.alpha_norm(2.0)(image).tolist()
      [1.0]

    References:
      Mahendran & Vedaldi, Understanding deep image representations by inverting them, 2015.
    """
    if alpha <= 1:
        raise ValueError(f"alpha must be above 1, got {alpha}.")
    return lambda images: weight * jnp.mean(jnp.abs(2 * images - 1) ** alpha, (1, 2, 3))
