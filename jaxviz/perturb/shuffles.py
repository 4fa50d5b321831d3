"""Pixels or patches of an image in another order: shuffled in cells, all over, patch by patch."""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from jaxviz.perturb.blur import gaussian_blur
from jaxviz.perturb.inputs import batch

__all__ = ["grid_shuffle_blur", "shuffle_patches", "shuffle_pixels"]


def grid_shuffle_blur(
    key: PRNGKeyArray,
    x: Float[ArrayLike, "n h w c"],
    *,
    cell: int = 8,
    sigma: float | Float[ArrayLike, ""] = 0.0,
) -> Float[Array, "n h w c"]:
    """Images without their detail: the pixels of each cell of a grid are shuffled, then smoothed.

    Each cell has its own permutation, each image too, and a pixel's channels move together. Before
    the smoothing every cell keeps exactly the pixels it had, so that colours and contours that are
    coarser than a cell stay, and all finer order is gone.

    Args:
      key: randomness; the same key gives the same images.
      x: images, or a model's input.
      cell: side of the cells in pixels. 1 changes nothing; where it does not divide the image, the
        last cells are smaller; a cell as large as the image or larger is the whole image.
      sigma: standard deviation of `gaussian_blur` afterwards, in pixels; 0 leaves it out.

    Returns:
      Images of the same shape and type.

    Raises:
      ValueError: `x` is not a batch of floating-point images, `cell` is not a positive whole
        number known while tracing, or `sigma` is negative.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> shuffled = jv.grid_shuffle_blur(jax.random.key(0), x, cell=2)
      >>> sorted(shuffled[0, :2, :2, 0].ravel().tolist())
      [0.0, 1.0, 4.0, 5.0]

    References:
      Guo, Zhang, Wang, Exploring the impact of skip connection structures on the deep neural
      networks feature extraction based on feature visualization, Computer Engineering 51(4), 2025.
      The smaller cells at the borders are our choice.
    """
    x = batch(x)
    if not isinstance(sigma, Tracer) and np.any(np.asarray(sigma) < 0):
        raise ValueError(f"sigma must not be negative, got {sigma}.")
    shuffled = _cells_shuffled(key, x, cell=_side("cell", cell))
    # A sigma that is traced may be 0, which blurs nothing but costs the products.
    return gaussian_blur(shuffled, sigma) if isinstance(sigma, Tracer) or sigma else shuffled


def shuffle_pixels(key: PRNGKeyArray, x: Float[ArrayLike, "n h w c"]) -> Float[Array, "n h w c"]:
    """Images whose pixels are shuffled all over: the colours stay, and where they were is lost.

    It is `grid_shuffle_blur` with a cell as large as the image.

    Args:
      key: randomness; each image has its own permutation.
      x: images, or a model's input.

    Returns:
      Images of the same shape and type.

    Raises:
      ValueError: `x` is not a batch of floating-point images.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> x = jnp.arange(6.0).reshape(1, 2, 3, 1)
      >>> sorted(jv.shuffle_pixels(jax.random.key(0), x).ravel().tolist())
      [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """
    x = batch(x)
    return _cells_shuffled(key, x, cell=max(x.shape[1:3]))


def shuffle_patches(
    key: PRNGKeyArray, x: Float[ArrayLike, "n h w c"], *, patch: int
) -> Float[Array, "n h w c"]:
    """Images cut into patches that change places: detail stays, and the contour is lost.

    The counterpart of `grid_shuffle_blur`. A patch trades places with patches of its own size, so
    that where `patch` does not divide the image, the smaller ones at the right and at the bottom
    stay there, and the one in the corner stays as it is.

    Args:
      key: randomness; each image has its own permutation.
      x: images, or a model's input.
      patch: side of the patches in pixels. 1 shuffles pixels; a patch as large as the image or
        larger changes nothing.

    Returns:
      Images of the same shape and type.

    Raises:
      ValueError: `x` is not a batch of floating-point images, or `patch` is not a positive whole
        number known while tracing.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> x = jnp.repeat(jnp.arange(3.0), 2).reshape(1, 1, 6, 1)
      >>> jv.shuffle_patches(jax.random.key(1), x, patch=2).ravel()[::2].tolist()
      [1.0, 0.0, 2.0]

    References:
      Brendel & Bethge, Approximating CNNs with bag-of-local-features models, 2019.
    """
    return _patches_shuffled(key, batch(x), patch=_side("patch", patch))


@functools.partial(jax.jit, static_argnames="patch")
def _patches_shuffled(key, x: Float[Array, "n h w c"], *, patch: int) -> Float[Array, "n h w c"]:
    n, h, w, _ = x.shape
    rows, columns = (np.minimum(patch, size - np.arange(0, size, patch)) for size in (h, w))
    # Of one size are the patches that are both cut at the right or not, at the bottom or not.
    sizes = 2 * (rows < patch)[:, None] + (columns < patch)
    moved = _permutations(key, n, np.unique(sizes, return_inverse=True)[1].ravel())
    row, column = np.divmod(np.arange(h * w), w)
    place = row // patch * len(columns) + column // patch
    top, left = np.divmod(np.arange(sizes.size), len(columns))
    corner = jnp.asarray(top * patch * w + left * patch)
    inside = row % patch * w + column % patch
    return _rearranged(x, corner[moved][:, place] + inside)


@functools.partial(jax.jit, static_argnames="cell")
def _cells_shuffled(key, x: Float[Array, "n h w c"], *, cell: int) -> Float[Array, "n h w c"]:
    n, h, w, _ = x.shape
    if cell == 1:
        return x
    row, column = np.divmod(np.arange(h * w), w)
    cells = row // cell * -(-w // cell) + column // cell
    return _rearranged(x, _permutations(key, n, cells))


def _permutations(key, n: int, group: Int[np.ndarray, " m"]) -> Int[Array, "n m"]:
    """For each of `n` images a random order of `m` things, in which each stays in its group.

    Entry i is the thing that takes the place of thing i. The groups are numbered from 0 and none
    is empty.
    """
    order = np.argsort(group, kind="stable")
    count = np.bincount(group)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(count) - count, count)
    # A row for each group: its things, and, in a group smaller than the largest, places to spare.
    members = np.full((len(count), count.max()), len(group), np.int32)
    members[group, rank] = np.arange(len(group))
    spare = members == len(group)

    def drawn(image):
        lots = jax.random.bits(jax.random.fold_in(key, image), members.shape)
        # Spare places come last: a stable sort puts even the largest lot before them.
        return jnp.argsort(jnp.where(spare, np.uint32(2**32 - 1), lots), axis=-1)

    drawn_by = jax.vmap(drawn)(jnp.arange(n))
    taken = jnp.take_along_axis(jnp.asarray(members)[None], drawn_by, axis=-1)
    return taken.reshape(n, -1)[:, group * members.shape[1] + rank]


def _rearranged(
    x: Float[Array, "n h w c"], source: Int[Array, "n pixels"]
) -> Float[Array, "n h w c"]:
    """The images whose pixel i is the old pixel `source[i]`, counted row by row."""
    pixels = x.reshape(len(x), -1, x.shape[-1])
    return jnp.take_along_axis(pixels, source[..., None], axis=1).reshape(x.shape)


def _side(name: str, side: int) -> int:
    """A number of pixels that shapes depend on."""
    try:
        number = operator.index(side)
    except TypeError:
        number = 0
    if isinstance(side, Tracer):
        raise ValueError(
            f"{name} must be known while tracing, for the shapes that depend on it; got a tracer. "
            f"Name it in jax.jit's static_argnames."
        )
    if number < 1:
        raise ValueError(f"{name} must be a positive whole number of pixels, got {side}.")
    return number
