"""Images that are arrays already, as a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from jaxviz.data.image_set import Skipped

__all__ = ["ImageArrays", "image_arrays"]


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """Labelled images held in memory: an `ImageSet`.

    Attributes:
      images: in [0, 1].
      labels: of each image the index of its category.
      categories: the classes' names.
      names: a name of each image.
    """

    images: Float[np.ndarray, "n h w 3"]
    labels: Int[np.ndarray, " n"]
    categories: tuple[str, ...]
    names: Sequence[str]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """None is ever left out."""
        return ()

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Float[np.ndarray, "h w 3"], int]:
        """An image and its label."""
        return self.images[index], int(self.labels[index])


def image_arrays(
    images: Float[np.ndarray, "n h w 3"],
    labels: Int[np.ndarray, " n"],
    *,
    categories: Sequence[str],
    names: Sequence[str] | None = None,
) -> ImageArrays:
    """Images that are arrays already, as a set of images.

    Args:
      images: RGB, in [0, 1].
      labels: of each image the index of its category.
      categories: the classes' names.
      names: a name of each image; by default `image-NUMBER`.

    Returns:
      `ImageArrays`: an `ImageSet`.

    Raises:
      ValueError: not as many labels or names as images, images of another shape, or a label
        without a category.

    Example:
      >>> import numpy as np
      >>> images = image_arrays(np.zeros((2, 4, 4, 3)), np.array([0, 1]), categories=["cat", "dog"])
      >>> len(images), images[1][0].dtype, images.names[1]
      (2, dtype('float32'), 'image-000001')
    """
    images, labels = np.asarray(images, np.float32), np.asarray(labels)
    if images.ndim != 4 or images.shape[-1] != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            "image_arrays needs images (n, h, w, 3) and labels (n,), not "
            f"{images.shape} and {labels.shape}."
        )
    if labels.size and not (labels.min() >= 0 and labels.max() < len(categories)):
        raise ValueError(
            f"image_arrays needs labels from 0 to {len(categories) - 1}, one for each category, "
            f"not {labels.min()} to {labels.max()}."
        )
    names = [f"image-{i:06d}" for i in range(len(images))] if names is None else names
    if len(names) != len(images):
        raise ValueError(f"image_arrays needs {len(images)} names, one an image, not {len(names)}.")
    return ImageArrays(images, labels, tuple(categories), names)
