"""Sums of images from coarse to fine, each half as large as the next."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxviz.synthesis.images.levels import most_levels, smooth
from jaxviz.synthesis.images.parameterization import (
    Parameterization,
    checked,
    logits,
    rows_and_columns,
)

__all__ = ["gaussian_pyramid", "laplacian_pyramid"]


def laplacian_pyramid(
    size: int | tuple[int, int],
    *,
    levels: int | None = None,
    gain: float | Sequence[float] = 1.0,
    deviation: float = 0.5,
) -> Parameterization:
    """A sum of images from coarse to fine, each half as large as the next; then a sigmoid.

    A coarse pixel stands for many fine ones and collects their gradients, so that an ascent
    raises low frequencies first and the picture is smooth where nothing asks for detail.

    Args:
      size: rows and columns of the image, or one number for both, in pixels.
      levels: the number of images in the sum; by default down to about four pixels, or as many as
        there are gains.
      gain: how much more each level weighs than the next finer one, above 1 raises the low
        frequencies more; or the weights themselves, positive, one for each level, finest first.
        All weights together are scaled to a norm of 1.
      deviation: standard deviation of each level's random start before the sigmoid. From a start
        too close to mid-grey some units see nothing, and have no gradient.

    Returns:
      A parameterization; a given image comes back to 1e-5.

    Raises:
      ValueError: more levels than halvings of the size, or none; a gain is not positive, or there
        are not as many as levels.

    Example:
      >>> import jax, jaxviz as jv
      >>> image = jv.images.laplacian_pyramid(16, levels=3)
      >>> [level.shape for level in image.init(jax.random.key(0), 1)]
      [(1, 16, 16, 3), (1, 8, 8, 3), (1, 4, 4, 3)]
      >>> image = jv.images.laplacian_pyramid(16, gain=[1.0, 2.0, 0.5])

    References:
      Tao, Fu, Zhu, Wang, Deep visualization based on the spatial pyramid decomposition, 2017.
      Burt & Adelson, The Laplacian pyramid as a compact image code, 1983.
    """
    rows, columns = rows_and_columns(size)
    gains = np.asarray(gain, float)
    levels = _levels(rows, columns, len(gains) if gains.ndim and levels is None else levels)
    gains = gains if gains.ndim else gains ** np.arange(levels)
    if len(gains) != levels:
        raise ValueError(f"gain must be a number, or one for each of {levels} levels; got {gain}.")
    if min(gains) <= 0:
        raise ValueError(f"gain must be positive, got {gain}.")
    return _pyramid(rows, columns, tuple(gains.tolist()), deviation, smoothed=False)


def gaussian_pyramid(
    size: int | tuple[int, int],
    *,
    levels: int | None = None,
    temper: float = 0.5,
    deviation: float = 0.5,
) -> Parameterization:
    """A sum of blurred images from coarse to fine, which weigh less and less; then a sigmoid.

    Where a Laplacian pyramid raises the low frequencies, this one tempers the high ones: no level
    reaches the highest frequency of its own resolution, and each weighs half as much as the next
    coarser, as amplitudes fall from octave to octave in photographs (our choice).

    Args:
      size: rows and columns of the image, or one number for both, in pixels.
      levels: the number of images in the sum; by default down to about four pixels.
      temper: how much less each level weighs than the next coarser one, above 0. All weights
        together are scaled to a norm of 1.
      deviation: standard deviation of each level's random start before the sigmoid.

    Returns:
      A parameterization; a given image comes back without its finest grain, which no level has: a
      smooth one (blurred by two pixels) to 0.01.

    Raises:
      ValueError: more levels than halvings of the size, or none; `temper` is not positive.

    Example:
      >>> import jax, jaxviz as jv
      >>> image = jv.images.gaussian_pyramid((16, 9), levels=3)
      >>> [level.shape for level in image.init(jax.random.key(0), 1)]
      [(1, 16, 9, 3), (1, 8, 5, 3), (1, 4, 3, 3)]

    References:
      Tao, Fu, Zhu, Wang, Deep visualization based on the spatial pyramid decomposition, 2017.
      Burt & Adelson, The Laplacian pyramid as a compact image code, 1983: the kernel.
    """
    rows, columns = rows_and_columns(size)
    levels = _levels(rows, columns, levels)
    if temper <= 0:
        raise ValueError(f"temper must be positive, got {temper}.")
    gains = tuple(temper**-level for level in range(levels))
    return _pyramid(rows, columns, gains, deviation, smoothed=True)


def _levels(rows: int, columns: int, levels: int | None) -> int:
    most = most_levels(rows, columns)
    levels = max(most - 2, 1) if levels is None else levels
    if not 1 <= levels <= most:
        raise ValueError(
            f"levels must be 1 to {most} for an image of {rows} x {columns}: {levels}."
        )
    return levels


@functools.cache
def _pyramid(
    rows: int, columns: int, gains: tuple[float, ...], deviation: float, *, smoothed: bool
) -> Parameterization:
    sizes = [(-(-rows >> level), -(-columns >> level)) for level in range(len(gains))]
    weights = np.array(gains, np.float32)
    weights = weights / np.linalg.norm(weights)

    def init(key: PRNGKeyArray, count: int) -> list[Array]:
        keys = jax.random.split(key, len(gains))
        return [
            deviation * jax.random.normal(key, (count, *size, 3))
            for key, size in zip(keys, sizes, strict=True)
        ]

    def enlarged(level: Array) -> Array:
        level = smooth(level) if smoothed else level
        return jax.image.resize(level, (len(level), rows, columns, 3), "linear")

    def decode(pyramid: list[Array]) -> Array:
        total = sum(
            weight * enlarged(level) for weight, level in zip(weights, pyramid, strict=True)
        )
        return jax.nn.sigmoid(total)

    def encode(images: Float[ArrayLike, "n h w 3"]) -> list[Array]:
        # From coarse to fine each level takes what it can of what the coarser ones have left over;
        # smoothing takes from the finest level's share, which is asked for what is missing again.
        rest = logits(checked(images, rows, columns))
        pyramid = [jnp.zeros((len(rest), *size, 3)) for size in sizes]
        for level in [*reversed(range(len(sizes))), *[0] * (4 if smoothed else 0)]:
            share = jax.image.resize(rest, pyramid[level].shape, "linear") / weights[level]
            rest = rest - weights[level] * enlarged(share)
            pyramid[level] += share
        return pyramid

    return Parameterization(init, decode, encode)
