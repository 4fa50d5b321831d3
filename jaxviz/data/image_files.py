"""Images from files, as arrays."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["IMAGE_SUFFIXES", "list_images", "load_image"]

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""What `list_images` takes for an image, by its name's ending in lower case."""

Pathlike = str | os.PathLike[str]


@contextlib.contextmanager
def _own_size_limit() -> Iterator[None]:
    # Pillow warns at 89 megapixels and refuses at 179, whatever the caller allows. Its message
    # names neither the file nor a remedy, so the check here takes its place.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def load_image(path: Pathlike, *, max_megapixels: float = 100.0) -> Float[np.ndarray, "h w 3"]:
    """Reads an image file as people see it: upright, RGB, between 0 and 1.

    The rotation that a camera notes in EXIF is applied. A transparent image is laid over white.
    Greyscale, palette and CMYK images become RGB (CMYK by Pillow's plain formula, without colour
    profiles). 16-bit values are divided by 65,535, so nothing is clipped; floating-point images
    are taken to be in [0, 1] already. Of an animation or a multi-page file only the first frame
    is read.

    Args:
      path: a file that Pillow can read.
      max_megapixels: a larger image is refused before any of it is decoded.

    Returns:
      float32, height x width x 3, in [0, 1].

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a folder, not an image, a damaged image, or too many pixels.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Image.new("RGB", (4, 2), (255, 0, 51)).save(f"{folder}/red.png")
      ...     image = load_image(f"{folder}/red.png")
      >>> image.shape, image[0, 0].tolist()
      ((2, 4, 3), [1.0, 0.0, 0.20000000298023224])
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not an image; `list_images` finds the images in it.")
    if not path.exists():
        raise FileNotFoundError(f"There is no image file {path}.")
    raise NotImplementedError


def list_images(paths: Pathlike | Iterable[Pathlike]) -> list[Path]:
    """The image files among files and folders."""
    raise NotImplementedError
