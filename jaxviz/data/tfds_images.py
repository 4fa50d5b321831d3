"""Sets that TensorFlow Datasets has prepared, read without TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxviz.data.image_set import Skipped

__all__ = ["TfdsImages", "tfds_images"]


@dataclass(frozen=True, eq=False)
class TfdsImages:
    """Labelled images of a prepared set of TensorFlow Datasets: an `ImageSet`.

    Attributes:
      name: the set's full name, with its configuration and version.
      split: which part of it.
      source: TFDS's random-access source of that part.
      categories: the classes' names.
    """

    name: str
    split: str
    source: Any
    categories: tuple[str, ...]
    _labelled: Any

    @cached_property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Of each image the index of its category; the records are read once for it, undecoded."""
        count = len(self._labelled)
        return np.array([int(self._labelled[i]["label"]) for i in range(count)])

    @cached_property
    def names(self) -> Sequence[str]:
        """`NAME/SPLIT/NUMBER` of each record."""
        return [f"{self.name}/{self.split}/{i:07d}" for i in range(len(self))]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """None is left out when the set is opened; a broken record raises when it is read."""
        return ()

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Float[np.ndarray, "h w 3"], int]:
        """An image and its label; grey images get three equal channels."""
        index = range(len(self))[index]
        record = self.source[index]
        image = np.asarray(record["image"], np.float32) / 255
        return np.repeat(image, 3 // image.shape[-1], -1), int(record["label"])


def tfds_images(
    name: str, *, split: str = "train", data_dir: str | os.PathLike[str] | None = None
) -> TfdsImages:
    """A set that TensorFlow Datasets has prepared on this machine, without TensorFlow.

    It is read through `as_data_source`, hence must have been prepared as ArrayRecord files:
    `tfds.builder(name, file_format="array_record").download_and_prepare()`.

    Args:
      name: the set's name, as `mnist`, `NAME/CONFIG` or `NAME:VERSION`.
      split: a split, or a part of one, as `train[:80%]`.
      data_dir: where the prepared sets lie; by default where TFDS itself looks.

    Returns:
      `TfdsImages`: an `ImageSet`.

    Raises:
      ImportError: tensorflow-datasets is not installed; it comes with the extra `data`.
      FileNotFoundError: the set is not prepared there.
      ValueError: it has no such split, is no set of images with labels, or is not kept as
        ArrayRecord files.
    """
    raise NotImplementedError("sets of TensorFlow Datasets cannot be read yet")
