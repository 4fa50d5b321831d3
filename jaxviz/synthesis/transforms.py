"""Random changes of the image before each look at it: what survives them is robust."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

__all__ = ["Transform", "jitter"]

Transform = Callable[[PRNGKeyArray, Float[Array, "n h w c"]], Float[Array, "n h w c"]]


@functools.cache
def jitter(pixels: int) -> Transform:
    """Moves every image by up to `pixels` in each direction; what leaves returns at the far side.

    Args:
      pixels: the largest shift.

    Returns:
      A function of a key and images.

    Raises:
      ValueError: `pixels` is negative.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> image = jnp.arange(4.0).reshape(1, 1, 4, 1)
      >>> sorted(jv.transforms.jitter(1)(jax.random.key(0), image).ravel().tolist())
      [0.0, 1.0, 2.0, 3.0]

    References:
      Mordvintsev, Olah, Tyka, Inceptionism, 2015.
    """
    if pixels < 0:
        raise ValueError(f"pixels must not be negative, got {pixels}.")

    def jittered(key: PRNGKeyArray, images: jax.Array) -> jax.Array:
        shifts = jax.random.randint(key, (len(images), 2), -pixels, pixels + 1)
        return jax.vmap(lambda image, shift: jnp.roll(image, shift, (0, 1)))(images, shifts)

    return jittered
