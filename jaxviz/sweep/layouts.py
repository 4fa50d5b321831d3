"""Which arrays the store of a sweep has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxviz.sweep.methods import AXES, METHODS
from jaxviz.sweep.store import MEANINGS
from jaxviz.sweep.zarr_arrays import Layout

__all__ = ["batch_of", "layouts_of"]


def batch_of(method: str, given: int | None, count: int) -> int:
    """How many images are computed on a device, and written, at one time.

    It does not depend on the devices, since their number must not show in the results. Without a
    wish it is what the method takes, less where the last batch would be nearly empty.

    Example:
      >>> batch_of("occlusion", None, 5)
      3
    """
    if given is not None:
        return min(int(given), count)
    return math.ceil(count / math.ceil(count / METHODS[method].batch))


def layouts_of(
    arrays: Mapping[str, Any],
    heat: Any,
    count: int,
    batch: int,
    *,
    method: str,
    curves: int,
    masks: bool,
) -> dict[str, Layout]:
    """The arrays of numbers: an image's map can be read alone, and a batch is written in one file.

    Args:
      arrays: the shapes of what is computed of a batch, by name.
      heat: the shape of its heat.
      count: how many images there are.
      batch: how many are written at one time.
      method: whose maps they are.
      curves: steps of the curves.
      masks: whether it is known where the objects are.
    """
    maps, axes = METHODS[method].axes, AXES | METHODS[method].axes
    found = {}
    for name, of_batch in arrays.items():
        rest = of_batch.shape[1:]
        alone = name in maps and batch > 1
        found[name] = Layout(
            of_batch.dtype,
            (count, *rest),
            ("image", *axes[name]),
            (1 if alone else batch, *rest),
            (batch, *rest) if alone else None,
        )
    words = {"flag_values": [*range(len(MEANINGS))], "flag_meanings": " ".join(MEANINGS)}
    number, size = np.dtype("float32"), heat.shape[1:]
    groups = math.ceil(count / batch)
    found |= {
        "status": Layout(np.dtype("uint8"), (count,), ("image",), (batch,), attributes=words),
        "label": Layout(np.dtype("int32"), (count,), ("image",), (count,)),
        "map_sum": Layout(number, (groups, *size), ("batch", "y", "x"), (1, *size)),
        "mean_map": Layout(number, size, ("y", "x"), size),
    }
    if curves:
        found["share"] = Layout(number, (curves + 1,), ("share",), (curves + 1,))
    if masks:
        found["in_object"] = Layout(np.dtype("int8"), (count,), ("image",), (batch,))
    return found
