"""Changes of place that keep every pixel as it is: shifts, margins, crops."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

__all__ = ["Transform", "jitter", "pad", "random_crop"]

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


@functools.cache
def pad(pixels: int, fill: float = 0.5) -> Transform:
    """Puts a margin around every image, so that what follows can move it without losing its border.

    The image becomes larger by twice the margin; a model that takes one size only needs a
    `random_crop` behind it.

    Args:
      pixels: width of the margin.
      fill: its value, in [0, 1]; mid-grey by default.

    Returns:
      A function of a key, which it does not need, and images.

    Raises:
      ValueError: `pixels` is negative.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> image = jnp.ones((1, 1, 2, 1))
      >>> jv.transforms.pad(1)(jax.random.key(0), image)[0, :, :, 0].tolist()
      [[0.5, 0.5, 0.5, 0.5], [0.5, 1.0, 1.0, 0.5], [0.5, 0.5, 0.5, 0.5]]

    References:
      Olah, Mordvintsev, Schubert, Feature visualization, 2017, appendix.
    """
    if pixels < 0:
        raise ValueError(f"pixels must not be negative, got {pixels}.")

    def padded(key: PRNGKeyArray, images: jax.Array) -> jax.Array:
        margin = (pixels, pixels)
        return jnp.pad(images, ((0, 0), margin, margin, (0, 0)), constant_values=fill)

    return padded


@functools.cache
def random_crop(size: int | tuple[int, int]) -> Transform:
    """Cuts a window out of every image, each at a place of its own.

    Args:
      size: rows and columns of the window, or one number for both, in pixels.

    Returns:
      A function of a key and images.

    Raises:
      ValueError: the size is not positive; at the first use, where it exceeds the images'.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> images = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> window = jv.transforms.random_crop(2)(jax.random.key(0), images)[0, :, :, 0]
      >>> (window - window[0, 0]).tolist()
      [[0.0, 1.0], [4.0, 5.0]]

    References:
      Fel et al., Unlocking feature visualization for deeper networks with MAgnitude Constrained
      Optimization, 2023, section 3.
    """
    rows, columns = (size, size) if isinstance(size, int) else size
    if min(rows, columns) < 1:
        raise ValueError(f"size must be positive, got {size}.")

    def cropped(key: PRNGKeyArray, images: jax.Array) -> jax.Array:
        n, h, w, channels = images.shape
        if rows > h or columns > w:
            raise ValueError(f"size {(rows, columns)} must fit into images of {h} x {w} pixels.")
        starts = jax.random.randint(key, (n, 2), 0, jnp.array([h - rows + 1, w - columns + 1]))
        starts = jnp.pad(starts, ((0, 0), (0, 1)))
        window = functools.partial(jax.lax.dynamic_slice, slice_sizes=(rows, columns, channels))
        return jax.vmap(window)(images, starts)

    return cropped
