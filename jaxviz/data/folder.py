"""A folder of labelled images: one folder inside it for each class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from jaxviz.data.image_files import IMAGE_SUFFIXES, load_image
from jaxviz.data.image_set import Skipped, kept

__all__ = ["ImageFolder", "image_folder"]

_READERS = 8


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Labelled images on a disk, each read when it is asked for: an `ImageSet`.

    `len(folder)` is the number of images, and `folder[i]` one of them with its label: an RGB image
    in [0, 1] as `load_image` reads it, of the file's own size, and the index of its category.

    Attributes:
      categories: the classes' names, those of their folders, sorted.
      paths: the images' files, class by class, each class sorted by name.
      labels: of each image the index of its category.
      skipped: the files that are left out.
    """

    categories: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: Int[np.ndarray, " n"]
    skipped: tuple[Skipped, ...] = ()

    @kept
    def names(self) -> Sequence[str]:
        """The path of each image below the folder: its class's folder and its file."""
        return [f"{path.parent.name}/{path.name}" for path in self.paths]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Float[np.ndarray, "h w 3"], int]:
        """An image and its label; a file that has changed since it was found may raise."""
        return load_image(self.paths[index]), int(self.labels[index])


def image_folder(
    path: str | os.PathLike[str],
    *,
    per_class: int | None = None,
    strict: bool = False,
    check: bool = True,
) -> ImageFolder:
    """The images below a folder that holds one folder of images for each class.

    Every image is decoded once, by several threads, so that none fails in the middle of a long
    run; `per_class` bounds that work. Files whose names do not end as images' names do, hidden
    files and folders, and whatever lies deeper are not looked at.

    Args:
      path: the folder of the classes' folders.
      per_class: take the first so many images of each class that can be used; None takes all.
      strict: whether a file that cannot be used is an error; otherwise it is skipped and listed.
      check: whether to decode every image now; otherwise a file that cannot be used is among the
        images, links without a file too, and raises when it is read.

    Returns:
      `ImageFolder`: length, random access, labels, categories, and what was skipped.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds no folder, or no image that can be used; `per_class` is not positive; or
        a file is damaged, and `strict`.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as root:
      ...     for name in ("cat/tom.png", "dog/rex.png", "dog/spike.png"):
      ...         (Path(root) / name).parent.mkdir(exist_ok=True)
      ...         Image.new("RGB", (4, 2)).save(f"{root}/{name}")
      ...     folder = image_folder(root)
      ...     image, label = folder[2]
      >>> len(folder), folder.categories[label], image.shape
      (3, 'dog', (2, 4, 3))
    """
    if per_class is not None and per_class < 1:
        raise ValueError(f"per_class must be at least 1, got {per_class}.")
    root = Path(path)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise FileNotFoundError(f"The folder of images {root} {what}.")
    classes = sorted(inside for inside in _visible(root) if inside.is_dir())
    if not classes:
        raise ValueError(
            f"The folder {root} must hold a folder of images for each class, and holds none."
        )
    paths: list[Path] = []
    labels: list[int] = []
    skipped: list[Skipped] = []
    with ThreadPoolExecutor(_READERS) as readers:
        for label, folder in enumerate(classes):
            files = sorted(file for file in _visible(folder) if _named_as_image(file, check))
            if not check:
                paths += files[:per_class]
                labels += [label] * len(files[:per_class])
                continue
            sound: list[Path] = []
            for file, fault in zip(files, _faults(readers, files, per_class), strict=False):
                if fault is None:
                    sound.append(file)
                elif strict:
                    raise ValueError(fault)
                else:
                    skipped.append(Skipped(file, fault))
                if len(sound) == per_class:
                    break
            paths += sound
            labels += [label] * len(sound)
    if not paths:
        left = f"; {len(skipped)} cannot be used, the first: {skipped[0].reason}" if skipped else ""
        raise ValueError(f"The folders in {root} hold no image that can be used{left}")
    return ImageFolder(
        tuple(folder.name for folder in classes), tuple(paths), np.array(labels), tuple(skipped)
    )


def _visible(folder: Path) -> Iterator[Path]:
    return (inside for inside in folder.iterdir() if not inside.name.startswith("."))


def _named_as_image(file: Path, check: bool) -> bool:
    there = file.is_file() if check else not file.is_dir()
    return file.suffix.lower() in IMAGE_SUFFIXES and there


def _faults(
    readers: ThreadPoolExecutor, files: list[Path], wanted: int | None
) -> Iterator[str | None]:
    """Why each file cannot be used, or None; no more of them at a time than are wanted."""
    size = len(files) if wanted is None else max(wanted, _READERS)
    for start in range(0, len(files), max(size, 1)):
        yield from readers.map(_fault, files[start : start + size])


def _fault(file: Path) -> str | None:
    try:
        load_image(file)
    except (ValueError, OSError) as error:
        return str(error)
    return None
