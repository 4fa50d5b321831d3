"""Images from files, as arrays."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["IMAGE_SUFFIXES", "as_rgb", "list_images", "load_image"]

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""What `list_images` takes for an image in a folder, by its name's ending in lower case."""

PathLike = str | os.PathLike[str]


_opening = threading.Lock()


def _open(path: Path) -> Image.Image:
    """Reads an image's header, however many pixels it announces."""
    # Pillow warns at 89 megapixels and refuses at 179, whatever the caller allows, and names
    # neither the file nor a remedy; `load_image` has its own limit, which takes the place of it.
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def as_rgb(picture: Image.Image) -> Float[np.ndarray, "h w 3"]:
    """One frame of Pillow's as RGB in [0, 1]."""
    mode = picture.mode
    if mode.startswith(("I", "F")):
        # Pillow's own conversion of these to RGB clips all values above 255.
        grey = np.asarray(picture, np.float32)
        if mode.startswith("I"):
            if grey.max() > 65535:
                raise ValueError("32-bit integers, whose range for white is unknown")
            grey = grey / 65535
        elif not np.isfinite(grey).all():
            raise ValueError("floating-point values that are not finite")
        return np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=-1)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    image = np.asarray(picture.convert("RGB"), np.float32)
    image /= 255  # in place, since a hundred megapixels are 1.2 GB
    return image


def load_image(path: PathLike, *, max_megapixels: float = 100.0) -> Float[np.ndarray, "h w 3"]:
    """Reads an image file as people see it: upright, RGB, between 0 and 1.

    The rotation that a camera notes in EXIF is applied. A transparent image is laid over white.
    Greyscale, palette and CMYK images become RGB (CMYK by Pillow's plain formula, without colour
    profiles). 16-bit greyscale is divided by 65,535, so nothing is clipped; a floating-point image
    is taken to be in [0, 1] already. Of an animation or a file with several pages, the first frame
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
      >>> image.shape, image[0, 0].round(3).tolist()
      ((2, 4, 3), [1.0, 0.0, 0.20000000298023224])
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not an image; `list_images` finds the images in it.")
    try:
        # Odd metadata gives warnings, and so does damaged data before its error.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(path) as picture:
                width, height = picture.size
                if width * height <= max_megapixels * 1e6:
                    return as_rgb(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no image file {path}.") from None
    except PermissionError:
        raise PermissionError(f"The image file {path} may not be read.") from None
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image, or of a kind that Pillow cannot read.") from None
    except Exception as error:
        # On damaged data, decoders raise what they please: OSError, SyntaxError, struct.error ...
        raise ValueError(
            f"The image {path} cannot be decoded; it may be damaged or cut off ({error})."
        ) from error
    raise ValueError(
        f"{path} has {width:,} x {height:,} pixels, more than the limit of {max_megapixels:g} "
        "megapixels; make it smaller, or raise max_megapixels."
    )


def list_images(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """The image files among files and folders, in order.

    Args:
      paths: one file or folder, or several. A file is taken as it is, whatever its name; of a
        folder, the files in it (not in its subfolders) whose names end as images' names do.

    Returns:
      The paths, in the order given, each folder's sorted by name.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: a folder without an image, or no path at all.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     for name in ("b.png", "a.JPG"):
      ...         Image.new("RGB", (2, 2)).save(f"{folder}/{name}")
      ...     [path.name for path in list_images(folder)]
      ['a.JPG', 'b.png']
    """
    several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    found: list[Path] = []
    for path in map(Path, several):
        if path.is_dir():
            inside = sorted(
                file
                for file in path.iterdir()
                if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
            )
            if not inside:
                endings = ", ".join(sorted(IMAGE_SUFFIXES))
                raise ValueError(f"The folder {path} has no image in it (a name in {endings}).")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f"There is no image file or folder {path}.")
    if not found:
        raise ValueError("list_images needs at least one file or folder.")
    return found
