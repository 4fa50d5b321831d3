"""Images taken apart by scale: Gaussian and Laplacian pyramids."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

__all__ = ["from_laplacian_levels", "gaussian_levels", "laplacian_levels", "most_levels", "smooth"]

# Burt & Adelson's generating kernel with a = 0.4, the one most like a Gaussian.
KERNEL = np.array([0.05, 0.25, 0.4, 0.25, 0.05])


def gaussian_levels(
    images: Float[ArrayLike, "n h w c"], levels: int
) -> list[Float[Array, "n _ _ c"]]:
    """Images at ever lower resolution: each level is the one before, smoothed and halved.

    Args:
      images: images of any size, odd or even.
      levels: how many, with the images themselves.

    Returns:
      The levels, finest first; one of m pixels is followed by one of ceil(m / 2).

    Raises:
      ValueError: there are more levels than halvings of the size, or none.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> [level.shape[1:3] for level in jv.images.gaussian_levels(jnp.ones((1, 9, 6, 3)), 3)]
      [(9, 6), (5, 3), (3, 2)]

    References:
      Burt & Adelson, The Laplacian pyramid as a compact image code, 1983.
    """
    images = jnp.asarray(images)
    most = most_levels(*images.shape[1:3])
    if not 1 <= levels <= most:
        rows, columns = images.shape[1:3]
        raise ValueError(f"levels must be 1 to {most} for images of {rows} x {columns}: {levels}.")
    pyramid = [images]
    for _ in range(levels - 1):
        rows, columns = pyramid[-1].shape[1:3]
        pyramid.append(_resampled(pyramid[-1], _halving(rows), _halving(columns)))
    return pyramid


def laplacian_levels(
    images: Float[ArrayLike, "n h w c"], levels: int
) -> list[Float[Array, "n _ _ c"]]:
    """Images as a sum of scales: what each level of a Gaussian pyramid has beyond the next coarser.

    Args:
      images: images of any size, odd or even.
      levels: how many, with the coarsest.

    Returns:
      The levels, finest first: octaves of detail, and last the coarsest level as it is.

    Raises:
      ValueError: there are more levels than halvings of the size, or none.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> fine, coarse = jv.images.laplacian_levels(jnp.ones((1, 8, 8, 3)), 2)
      >>> bool(jnp.abs(fine).max() < 1e-6), bool(jnp.abs(coarse - 1).max() < 1e-6)
      (True, True)

    References:
      Burt & Adelson, The Laplacian pyramid as a compact image code, 1983.
    """
    pyramid = gaussian_levels(images, levels)
    details = [
        fine - _doubled(coarse, *fine.shape[1:3]) for fine, coarse in itertools.pairwise(pyramid)
    ]
    return [*details, pyramid[-1]]


def from_laplacian_levels(pyramid: Sequence[Float[Array, "n _ _ c"]]) -> Float[Array, "n h w c"]:
    """The images whose `laplacian_levels` are given; they come back to 1e-6 of their range.

    Args:
      pyramid: levels, finest first.

    Returns:
      Images of the first level's size.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> images = jax.random.uniform(jax.random.key(0), (1, 7, 10, 3))
      >>> again = jv.images.from_laplacian_levels(jv.images.laplacian_levels(images, 3))
      >>> bool(jnp.abs(again - images).max() < 1e-6)
      True

    References:
      Burt & Adelson, The Laplacian pyramid as a compact image code, 1983.
    """
    images = pyramid[-1]
    for detail in reversed(pyramid[:-1]):
        images = detail + _doubled(images, *detail.shape[1:3])
    return images


def most_levels(rows: int, columns: int) -> int:
    """How many levels an image has at most: one, and one for each time a side can be halved."""
    return min(rows, columns).bit_length()


def smooth(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """What is left before a level is halved: nothing of the highest frequency."""
    rows, columns = images.shape[1:3]
    return _resampled(images, _smoothing(rows), _smoothing(columns))


def _doubled(images: Float[Array, "n _ _ c"], rows: int, columns: int) -> Float[Array, "n h w c"]:
    return _resampled(images, _doubling(rows), _doubling(columns))


def _resampled(images: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    # As products with matrices: XLA's gradient of a convolution is slow inside a loop.
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    return product("vw,nhwc->nhvc", columns, product("gh,nhwc->ngwc", rows, images))


@functools.cache
def _smoothing(size: int) -> Float[np.ndarray, "h h"]:
    matrix = np.zeros((size, size), np.float32)
    for pixel in range(size):
        for shift, weight in zip(range(-2, 3), KERNEL, strict=True):
            matrix[pixel, _mirrored(pixel + shift, size)] += weight
    return matrix


def _halving(size: int) -> Float[np.ndarray, "m h"]:
    return _smoothing(size)[::2]


@functools.cache
def _doubling(size: int) -> Float[np.ndarray, "h m"]:
    """Coarse pixels stand at the even places of `size`; the kernel fills what is between."""
    coarse = -(-size // 2)
    matrix = np.zeros((size, coarse), np.float32)
    for pixel in range(size):
        for shift, weight in zip(range(-2, 3), KERNEL, strict=True):
            if (pixel + shift) % 2 == 0:
                matrix[pixel, _mirrored((pixel + shift) // 2, coarse)] += 2 * weight
    return matrix


def _mirrored(index: int, size: int) -> int:
    """The pixel that is seen at `index`, beyond the border in its mirror."""
    index %= 2 * size
    return min(index, 2 * size - 1 - index)
