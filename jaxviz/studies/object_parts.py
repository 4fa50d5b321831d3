"""Parts of an object that can be found from its outline alone."""

from __future__ import annotations

import numpy as np
from jaxtyping import ArrayLike, Bool, Int

__all__ = ["object_parts"]


def object_parts(
    masks: Bool[ArrayLike, "n h w"], *, side: int
) -> dict[str, Int[np.ndarray, "n 4"]]:
    """Boxes around corresponding parts of objects, however these are turned.

    `middle` is the centre of gravity; `tip` the place of the object that is farthest from it, of an
    arrow its point or its end; and `notch` the place outside of the object that is nearest to it,
    of a star the bottom of a gap between two points.

    Args:
      masks: the pixels of each object, at least one.
      side: of a box, in pixels, at most that of the image.

    Returns:
      Name of the part -> boxes: top, left, bottom, right, moved into the image where they left it.

    Raises:
      ValueError: an image without an object, or filled by one; or a box that does not fit.

    Example:
      >>> mask = np.zeros((1, 8, 8), bool)
      >>> mask[0, 3:5, 1:7] = True  # a bar
      >>> {name: box[0].tolist() for name, box in object_parts(mask, side=2).items()}
      {'middle': [3, 3, 5, 5], 'tip': [3, 1, 5, 3], 'notch': [2, 3, 4, 5]}
    """
    given = np.asarray(masks, bool)
    inside = given.sum((1, 2))
    if (inside == 0).any() or (inside == given[0].size).any():
        i = int(np.flatnonzero((inside == 0) | (inside == given[0].size))[0])
        raise ValueError(
            f"masks must each have pixels of the object and others; number {i} has {inside[i]} of "
            f"{given[0].size}."
        )
    if not 1 <= side <= min(given.shape[1:]):
        raise ValueError(f"side must be from 1 to {min(given.shape[1:])} pixels, got {side}.")
    places = {"middle": [], "tip": [], "notch": []}
    row, column = np.mgrid[: given.shape[1], : given.shape[2]]
    for mask in given:
        middle = row[mask].mean(), column[mask].mean()
        distance = np.hypot(row - middle[0], column - middle[1])
        places["middle"].append(middle)
        for name, far in (
            ("tip", np.where(mask, distance, -1).argmax()),
            ("notch", np.where(mask, np.inf, distance).argmin()),
        ):
            places[name].append(np.unravel_index(far, mask.shape))
    return {name: _around(np.array(at), side, given.shape[1:]) for name, at in places.items()}


def _around(places: np.ndarray, side: int, size: tuple[int, ...]) -> Int[np.ndarray, "n 4"]:
    corner = np.clip(np.floor(places - side / 2 + 1).astype(int), 0, np.array(size) - side)
    return np.concatenate([corner, corner + side], 1)
