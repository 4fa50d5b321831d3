"""Sets that TensorFlow Datasets has prepared, read without TensorFlow."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from jaxviz.data.image_files import as_rgb, without_warnings
from jaxviz.data.image_set import Skipped, kept

__all__ = ["TfdsImages", "tfds_images"]

_READERS = 8
_ANY_SET = "**/*.*.*/features.json"


@dataclass(frozen=True, eq=False)
class TfdsImages:
    """Labelled images of a prepared set of TensorFlow Datasets: an `ImageSet`.

    Attributes:
      name: the set's full name, with its configuration and version.
      split: which part of it.
      source: TFDS's random-access source of that part, with images as the bytes of their files.
      categories: the classes' names.
      records: the stretches of splits that it is made of: split, first record, one past the last.
    """

    name: str
    split: str
    source: Any
    categories: tuple[str, ...]
    records: tuple[tuple[str, int, int], ...]

    @kept
    def labels(self) -> Int[np.ndarray, " n"]:
        """Of each image the index of its category; -1 of a record that cannot be used.

        All records are read once for it, and no image is decoded.
        """

        def label(index: int) -> int:
            try:
                return int(self.source[index]["label"])
            except Exception:  # as in `__getitem__`, which says what is wrong
                return -1

        with ThreadPoolExecutor(_READERS) as readers:
            return np.array(list(readers.map(label, range(len(self)))))

    @kept
    def names(self) -> Sequence[str]:
        """`NAME/SPLIT/NUMBER` of each record, its number in the whole split."""
        return [
            f"{self.name}/{split}/{i:07d}"
            for split, start, stop in self.records
            for i in range(start, stop)
        ]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """None is left out when the set is opened; a broken record raises when it is read."""
        return ()

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Float[np.ndarray, "h w 3"], int]:
        """An image, as it is stored, and its label."""
        index = range(len(self))[index]
        try:
            record = self.source[index]
            with without_warnings():
                image = as_rgb(Image.open(io.BytesIO(record["image"])))
        except Exception as error:
            # Files and records that are damaged raise what their decoders please.
            raise ValueError(f"the record cannot be read; it may be damaged ({error}).") from error
        if record["label"] < 0:
            raise ValueError("the record has no label.")
        return image, int(record["label"])


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
      ValueError: it has no such split, the split has no labels or the same record twice, the set is
        none of images with labels, or is not kept as ArrayRecord files.

    Example:
      >>> tfds_images("mnist", split="test", data_dir="nowhere")
      Traceback (most recent call last):
      FileNotFoundError: There is no prepared set mnist in nowhere; it has none.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise ImportError(
            "sets of TensorFlow Datasets need tensorflow-datasets, which is not installed; "
            "`pip install 'jaxviz[data]'` brings it."
        ) from None
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    builder: Any = tfds.builder_from_directory(_prepared(root, name))
    info = builder.info
    features = dict(info.features.items()) if hasattr(info.features, "items") else {}
    if not (
        isinstance(features.get("image"), tfds.features.Image)
        and isinstance(features.get("label"), tfds.features.ClassLabel)
    ):
        raise ValueError(
            f"{info.full_name} must have a feature `image`, an image, and `label`, a class; "
            f"it has {', '.join(features)}."
        )
    if features["image"].np_dtype == np.float32:
        raise ValueError(f"{info.full_name} must have images of whole numbers, not of float32.")
    if info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        raise ValueError(
            f"{info.full_name} is kept as {info.file_format.value}, and can be read at random as "
            'array_record only; prepare it with file_format="array_record".'
        )
    if re.split(r"[\[+]", split)[0] not in info.splits:
        raise ValueError(f"{info.full_name} has the splits {', '.join(info.splits)}, not {split}.")
    # Pillow decodes the images, as it does those of folders; TFDS would say that it misses OpenCV.
    undecoded = {"image": tfds.decode.SkipDecoding()}
    try:
        source = builder.as_data_source(split=split, decoders=undecoded)
        stretches = tfds.core.ReadInstruction.from_spec(split).to_absolute(info.splits)
    except (ValueError, KeyError):
        raise ValueError(
            f"{info.full_name} has no part {split}; a part is like train or train[:80%]."
        ) from None
    records = tuple(
        (
            one.splitname,
            one.from_ or 0,
            info.splits[one.splitname].num_examples if one.to is None else one.to,
        )
        for one in stretches
    )
    images = TfdsImages(info.full_name, split, source, tuple(features["label"].names), records)
    unlabelled = False
    # Public test splits often come without labels, with -1 in each record.
    with contextlib.suppress(Exception):  # a damaged record raises when it is read
        unlabelled = len(images) > 0 and source[0]["label"] < 0
    if unlabelled:
        raise ValueError(
            f"{split} of {info.full_name} must have labels, and its first record has none."
        )
    if len(set(images.names)) < len(images.names):
        raise ValueError(f"{split} has some records of {info.full_name} twice.")
    return images


def _prepared(root: Path, name: str) -> Path:
    """The folder of a set: of several versions, the newest."""
    base, _, version = name.partition(":")
    found = [
        file.parent
        for file in (root / base).glob(f"{version or '*.*.*'}/features.json")
        if re.fullmatch(r"\d+\.\d+\.\d+", file.parent.name)
    ]
    if not found:
        there = sorted(str(file.parents[1].relative_to(root)) for file in root.glob(_ANY_SET))
        listed = f"it has {', '.join(dict.fromkeys(there))}" if there else "it has none"
        raise FileNotFoundError(f"There is no prepared set {name} in {root}; {listed}.")
    return max(found, key=lambda folder: [int(part) for part in folder.name.split(".")])
