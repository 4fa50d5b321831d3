"""Which images of a set can be used, found out before they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from jaxviz import data
from jaxviz.cli.mistakes import Mistake

__all__ = ["Usable", "places", "usable"]

_READERS = 8


def places(images: data.ImageSet) -> list[str]:
    """Where each image is found: its file, else its name in its set.

    Args:
      images: any set.

    Returns:
      As many as there are images.

    Example:
      >>> places(data.part(data.shapes_images(9), [7]))
      ['shapes-0-000007']
    """
    if isinstance(images, data.Part):
        whole = places(images.whole)
        return [whole[int(i)] for i in images.indices]
    return list(map(str, images.paths if isinstance(images, data.ImageFolder) else images.names))


class Usable(NamedTuple):
    """The images of a set that can be used.

    Attributes:
      images: those.
      pixels: a digest of their pixels.
      skipped: the others, and why.
    """

    images: data.Part
    pixels: str
    skipped: list[tuple[str, str]]


def usable(images: data.ImageSet, prepare: Callable[[Any], Any], *, strict: bool) -> Usable:
    """Reads and prepares every image once, by several threads, and leaves out what fails.

    So a run's images are known before it begins, and are the same when it is started again.

    Args:
      images: a set.
      prepare: what is done with each image; a `ValueError` or an `OSError` leaves it out.
      strict: whether such an image is an error.

    Returns:
      `Usable`.

    Raises:
      Mistake: no image can be used, or one cannot and `strict`.

    Example:
      >>> usable(data.shapes_images(3), lambda image: image, strict=True).skipped
      []
    """
    where = places(images)

    def tried(index: int) -> bytes | tuple[str, str]:
        try:
            image, _ = images[index]
            prepare(image)
        except (ValueError, OSError) as error:
            place, reason = where[index], str(error)
            if strict:
                raise Mistake(reason if place in reason else f"{place}: {reason}") from error
            return place, reason
        return hashlib.sha256(image.tobytes()).digest()

    with ThreadPoolExecutor(_READERS) as readers:
        found = list(readers.map(tried, range(len(images))))
    skipped = [(str(one.path), one.reason) for one in images.skipped]
    skipped += [one for one in found if isinstance(one, tuple)]
    sound = [i for i, one in enumerate(found) if isinstance(one, bytes)]
    if not sound:
        first = f"; the first: {skipped[0][1]}" if skipped else ""
        raise Mistake(f"none of the {len(found)} images can be used{first}")
    pixels = hashlib.sha256(b"".join(one for one in found if isinstance(one, bytes)))
    return Usable(data.part(images, sound), pixels.hexdigest(), skipped)
