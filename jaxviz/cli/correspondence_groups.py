"""Images with the same parts: drawn shapes, class by class, or photographs with boxes of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

import jaxviz as jv
from jaxviz import studies
from jaxviz.cli import choose
from jaxviz.cli.mistakes import Mistake

__all__ = ["Group", "drawn_groups", "read_group"]

EACH, SEARCHED = 5, 400
"""How many shapes of each class are taken, and among how many they are looked for."""


class Group(NamedTuple):
    """Images that show the same kind of thing, and its parts in each.

    Attributes:
      name: what they show.
      names: of the images.
      shown: the images as people see them, in [0, 1], at the size of the network's input.
      boxes: by part: top, left, bottom, right in pixels of `shown`.
      masks: the object of each image, if it is known.
    """

    name: str
    names: list[str]
    shown: Float[np.ndarray, "n s s 3"]
    boxes: dict[str, Int[np.ndarray, "n 4"]]
    masks: Bool[np.ndarray, "n s s"] | None


def drawn_groups(*, seed: int) -> list[Group]:
    """Five fresh images of each shape, with the parts that their outlines show.

    Example:
      >>> groups = drawn_groups(seed=0)
      >>> len(groups), groups[3].name, groups[3].shown.shape, list(groups[3].boxes)
      (10, 'star', (5, 64, 64, 3), ['middle', 'tip', 'notch'])
    """
    drawn = jv.data.shapes(jax.random.key(3000 + seed), SEARCHED)
    image, label, mask = (np.asarray(part) for part in drawn)
    side, _ = choose.default_window(image.shape[1])
    groups = []
    for k, name in enumerate(jv.data.SHAPE_NAMES):
        own = np.flatnonzero(label == k)[:EACH]
        boxes = studies.object_parts(mask[own], side=side)
        names = [f"{name} {n}" for n in range(1, len(own) + 1)]
        groups.append(Group(name, names, image[own], boxes, mask[own]))
    return groups


def read_group(file: str, card: Any) -> Group:
    """Photographs and boxes around their parts, of a JSON file.

    The file is `{"rex.jpg": {"left eye": [top, left, bottom, right], "nose": ...}, ...}`, in pixels
    of each image's file, whose path is relative to that of the JSON file.

    Args:
      file: its path.
      card: the network's, which tells what it sees of an image.

    Returns:
      One group.

    Raises:
      Mistake: the file is none such.
      ValueError, OSError: an image that cannot be read, or a box outside of what the network sees.
    """
    try:
        told = json.loads(Path(file).read_text())
    except ValueError as error:
        raise Mistake(f"--boxes {file} is no JSON: {error}") from error
    _check(file, told)
    parts = list(next(iter(told.values())))
    shown, boxes = [], {part: [] for part in parts}
    for name, own in told.items():
        image = jv.data.load_image(Path(file).parent / name)
        shown.append(card.to_display(image)[0])
        for part in parts:
            try:
                boxes[part].append(card.place(own[part], size=image.shape[:2]))
            except ValueError as error:
                raise Mistake(f"--boxes {file}: {part} of {name}: {error}") from error
    found = {part: np.array(places) for part, places in boxes.items()}
    return Group(Path(file).stem, list(told), np.stack(shown), found, None)


def _check(file: str, told: Any) -> None:
    if not isinstance(told, Mapping) or len(told) < 3:
        raise Mistake(
            f"--boxes {file} must name at least three images, each with boxes of its parts"
        )
    first, parts = next(iter(told.items()))
    for name, own in told.items():
        if not isinstance(own, Mapping) or not own:
            raise Mistake(f"--boxes {file}: {name} must have a box for each part")
        if set(own) != set(parts):
            raise Mistake(
                f"--boxes {file}: {name} must have the parts of {first} ({', '.join(parts)}), and "
                f"has {', '.join(own)}"
            )
        for part, box in own.items():
            numbers = isinstance(box, list) and len(box) == 4
            if not numbers or not all(isinstance(v, int) and v >= 0 for v in box):
                raise Mistake(
                    f"--boxes {file}: {part} of {name} must be [top, left, bottom, right] in whole "
                    f"pixels, not {json.dumps(box)}"
                )
