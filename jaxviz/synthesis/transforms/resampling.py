"""Random rotation and scaling about the middle of the image."""

from __future__ import annotations

import functools

import jax
from jaxtyping import PRNGKeyArray

from jaxviz.perturb import rotate, scale
from jaxviz.synthesis.transforms.placement import Transform

__all__ = ["random_rotate", "random_scale"]


@functools.cache
def random_rotate(degrees: float, *, fill: float = 0.5) -> Transform:
    """Rotates every image about its middle, each by an angle of its own.

    Args:
      degrees: the largest angle, either way.
      fill: what comes in from outside, in [0, 1]; mid-grey by default.

    Returns:
      A function of a key and images.

    Raises:
      ValueError: `degrees` is negative.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> turned = jv.transforms.random_rotate(10.0)(jax.random.key(0), jnp.ones((2, 9, 9, 3)))
      >>> bool(jnp.allclose(turned[:, 4, 4], 1)), bool((turned[0] != turned[1]).any())
      (True, True)

    References:
      Olah, Mordvintsev, Schubert, Feature visualization, 2017, section "Transformation robustness".
    """
    if degrees < 0:
        raise ValueError(f"degrees must not be negative, got {degrees}.")

    def rotated(key: PRNGKeyArray, images: jax.Array) -> jax.Array:
        angles = jax.random.uniform(key, (len(images),), minval=-degrees, maxval=degrees)
        return rotate(images, angles, fill=fill)

    return rotated


@functools.cache
def random_scale(low: float, high: float, *, fill: float = 0.5) -> Transform:
    """Enlarges or shrinks every image about its middle, each by a factor of its own.

    Args:
      low: the smallest factor, above 0; below 1 the image shrinks.
      high: the largest factor.
      fill: what comes in from outside, in [0, 1]; mid-grey by default.

    Returns:
      A function of a key and images.

    Raises:
      ValueError: `low` is not positive, or above `high`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> images = jnp.ones((2, 9, 9, 3))
      >>> smaller = jv.transforms.random_scale(0.5, 0.7)(jax.random.key(0), images)
      >>> bool((smaller[:, 0] == 0.5).all()), bool(jnp.allclose(smaller[:, 4, 4], 1))
      (True, True)

    References:
      Olah, Mordvintsev, Schubert, Feature visualization, 2017, section "Transformation robustness".
    """
    if not 0 < low <= high:
        raise ValueError(f"low and high must be positive and in order, got {low} and {high}.")

    def scaled(key: PRNGKeyArray, images: jax.Array) -> jax.Array:
        factors = jax.random.uniform(key, (len(images),), minval=low, maxval=high)
        return scale(images, factors, fill=fill)

    return scaled
