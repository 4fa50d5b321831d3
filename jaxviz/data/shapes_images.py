"""A part of the endless shapes set, of fixed length, as a set of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxviz.data.image_set import Skipped, kept
from jaxviz.data.synthetic import SHAPE_NAMES, Shapes, shapes

__all__ = ["ShapesImages", "shapes_images"]

_ROW = 71
"""Keeps these pictures apart from those that a training on the endless set draws from a seed."""

_LABELS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class ShapesImages:
    """Labelled pictures of shapes, each drawn when it is asked for: an `ImageSet`.

    Picture `i` is a pure function of `seed`, `size` and `i`; there is one program for all of them.

    Attributes:
      count: how many there are.
      seed: which ones.
      size: height and width, in pixels.
    """

    count: int
    seed: int = 0
    size: int = 64

    @property
    def categories(self) -> tuple[str, ...]:
        """The ten shapes."""
        return SHAPE_NAMES

    @kept
    def labels(self) -> Int[np.ndarray, " n"]:
        """Of each picture the index of its shape; nothing is drawn for it."""
        firsts = range(0, self.count, _LABELS_AT_ONCE)
        return np.concatenate([_labels(self.seed, first) for first in firsts])[: self.count]

    @kept
    def names(self) -> Sequence[str]:
        """`shapes-SEED-NUMBER` of each picture."""
        return [f"shapes-{self.seed}-{i:06d}" for i in range(self.count)]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """None is ever left out."""
        return ()

    def __len__(self) -> int:
        """How many pictures there are."""
        return self.count

    def __getitem__(self, index: int) -> tuple[Float[np.ndarray, "size size 3"], int]:
        """A picture and its label."""
        drawn = _drawn(self.seed, range(self.count)[index], self.size)
        return np.asarray(drawn.image), int(drawn.label)

    def masks(self, indices: Sequence[int]) -> Bool[np.ndarray, "n size size"]:
        """The pixels that the object covers, in some of the pictures."""
        wanted = [range(self.count)[index] for index in indices]
        found = np.zeros((len(wanted), self.size, self.size), bool)
        for place, index in enumerate(wanted):
            found[place] = _drawn(self.seed, index, self.size).mask
        return found


def shapes_images(count: int, *, seed: int = 0, size: int = 64) -> ShapesImages:
    """A set of pictures of simple shapes, with the region that each object covers.

    The pictures of a smaller `count` are the first ones of a larger, bit for bit.

    Args:
      count: how many pictures.
      seed: which ones.
      size: height and width, in pixels; the scene does not depend on it, but for its grain.

    Returns:
      `ShapesImages`: an `ImageSet`, with `masks(indices)`.

    Raises:
      ValueError: `count` or `size` is below 1, or `seed` is no number for a key.

    Example:
      >>> images = shapes_images(100, seed=3)
      >>> image, label = images[7]
      >>> image.shape, images.names[7], images.masks([7]).shape
      ((64, 64, 3), 'shapes-3-000007', (1, 64, 64))
      >>> images.categories[label] == images.categories[images.labels[7]]
      True
    """
    if count < 1 or size < 1:
        raise ValueError(
            f"shapes_images needs a count and a size of at least 1, not {count=}, {size=}."
        )
    if not 0 <= seed < 2**31:
        raise ValueError(f"shapes_images needs a seed from 0 to {2**31 - 1}, not {seed}.")
    return ShapesImages(count, seed, size)


def _one(seed: Int[Array, ""], index: Int[Array, ""], size: int) -> Shapes:
    row = jax.random.fold_in(jax.random.key(seed), _ROW)
    drawn = shapes(jax.random.fold_in(row, index), 1, size=size)
    return jax.tree.map(lambda leaf: leaf[0], drawn)


@partial(jax.jit, static_argnames="size")
def _drawn(seed: Int[Array, ""], index: Int[Array, ""], size: int) -> Shapes:
    return _one(seed, index, size)


@jax.jit
def _labels(seed: Int[Array, ""], first: Int[Array, ""]) -> Int[Array, " n"]:
    # A scene does not depend on the size, so a picture of one pixel tells its label.
    index = first + jnp.arange(_LABELS_AT_ONCE)
    return jax.vmap(lambda index: _one(seed, index, 1).label)(index)
