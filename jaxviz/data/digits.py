"""Handwritten digits: a small real set that comes with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from jaxviz.data.image_set import Skipped, kept

__all__ = ["Digits", "digits_images"]

_TRAINING = 1437
"""How many of the 1,797 digits, in the file's order, are for training: four in five."""


@dataclass(frozen=True, eq=False)
class Digits:
    """Labelled handwritten digits, held in memory: an `ImageSet`.

    Attributes:
      grey: the ink of each pixel, in [0, 1].
      labels: of each image the digit.
      first: the number, in the whole set, of the first image.
    """

    grey: Float[np.ndarray, "n 8 8"]
    labels: Int[np.ndarray, " n"]
    first: int = 0

    @property
    def categories(self) -> tuple[str, ...]:
        """The ten digits."""
        return tuple("0123456789")

    @kept
    def names(self) -> Sequence[str]:
        """`digits-NUMBER` of each image, its number in the whole set."""
        return [f"digits-{self.first + i:04d}" for i in range(len(self.grey))]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """None is ever left out."""
        return ()

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.grey)

    def __getitem__(self, index: int) -> tuple[Float[np.ndarray, "8 8 3"], int]:
        """An image, white ink on black, and its label."""
        return np.repeat(self.grey[index][..., None], 3, -1), int(self.labels[index])


def digits_images(split: Literal["all", "train", "test"] = "all") -> Digits:
    """The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn brings along.

    Args:
      split: "train" for the first 1,437 in the file's order, "test" for the other 360. Neighbours
        in the file are often of one hand, so a random split would be easier than the task is.

    Returns:
      `Digits`: an `ImageSet`.

    Raises:
      ImportError: scikit-learn is not installed; it comes with the extra `data`.
      ValueError: another split.

    Example:
      >>> digits = digits_images("test")
      >>> len(digits), digits.categories[digits[0][1]]
      (360, '2')

    References:
      E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI, 1998.
    """
    parts = {"all": slice(None), "train": slice(_TRAINING), "test": slice(_TRAINING, None)}
    if split not in parts:
        raise ValueError(f"digits_images needs a split of {', '.join(parts)}, not {split!r}.")
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError(
            "the handwritten digits come with scikit-learn, which is not installed; "
            "`pip install 'jaxviz[data]'` brings it."
        ) from None
    bunch: Any = load_digits()
    grey, labels = (np.asarray(bunch[name])[parts[split]] for name in ("images", "target"))
    return Digits((grey / 16).astype(np.float32), labels, parts[split].start or 0)
