"""Some of the images of a set, as a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from jaxviz.data.image_set import ImageSet, Skipped, kept

__all__ = ["Part", "held_out", "part"]


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the images of a set: an `ImageSet`.

    Attributes:
      whole: the set.
      indices: which of its images, in this order.
    """

    whole: ImageSet
    indices: Int[np.ndarray, " n"]

    @property
    def categories(self) -> tuple[str, ...]:
        """Those of the whole set, with or without an image here."""
        return self.whole.categories

    @kept
    def labels(self) -> Int[np.ndarray, " n"]:
        """Of each image the index of its category."""
        return self.whole.labels[self.indices]

    @kept
    def names(self) -> Sequence[str]:
        """Of each image its name in the whole set."""
        names = self.whole.names
        return [names[int(i)] for i in self.indices]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Those of the whole set."""
        return self.whole.skipped

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Float[np.ndarray, "h w 3"], int]:
        """An image and its label."""
        return self.whole[int(self.indices[index])]


def part(images: ImageSet, indices: Sequence[int] | Int[np.ndarray, " n"]) -> Part:
    """Some of the images of a set, as a set.

    Args:
      images: any set.
      indices: which of its images, in this order.

    Returns:
      `Part`: an `ImageSet`.

    Raises:
      IndexError: an index that the set does not have.

    Example:
      >>> from jaxviz.data import shapes_images
      >>> part(shapes_images(100), [30, 10]).names
      ['shapes-0-000030', 'shapes-0-000010']
    """
    indices = np.asarray(indices, int)
    if indices.size and not (indices.min() >= 0 and indices.max() < len(images)):
        wrong = indices[(indices < 0) | (indices >= len(images))][0]
        raise IndexError(f"part needs indices from 0 to {len(images) - 1}, and one is {wrong}.")
    return Part(images, indices)


def held_out(key: PRNGKeyArray, images: ImageSet, share: float = 0.2) -> tuple[Part, Part]:
    """Divides a set at random, each class in the same proportion.

    Args:
      key: which images go where.
      images: any set.
      share: which fraction of each class is held out, between 0 and 1; rounded, and at least one
        image of a class that has two.

    Returns:
      The part that remains, and the part that is held out, both in the order of the set.

    Raises:
      ValueError: `share` is not between 0 and 1, or no class has two images.

    Example:
      >>> import jax
      >>> from jaxviz.data import shapes_images
      >>> training, test = held_out(jax.random.key(0), shapes_images(100), 0.3)
      >>> len(training) + len(test), set(training.names) & set(test.names)
      (100, set())
    """
    if not 0 < share < 1:
        raise ValueError(f"held_out needs a share between 0 and 1, not {share}.")
    order = np.asarray(jax.random.permutation(key, len(images)))
    out: list[int] = []
    for label in range(len(images.categories)):
        members = order[images.labels[order] == label]
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        out += members[: max(count, 0)].tolist()
    if not out:
        raise ValueError("held_out needs a class with two images at least, and there is none.")
    chosen = np.isin(np.arange(len(images)), out)
    return part(images, np.flatnonzero(~chosen)), part(images, np.flatnonzero(chosen))
