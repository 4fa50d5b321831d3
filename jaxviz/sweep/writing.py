"""From computed batches to the store, in a thread of its own, so that devices need not wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxviz.sweep import store
from jaxviz.sweep.methods import METHODS
from jaxviz.sweep.store import Store

__all__ = ["Computed", "Written", "write_group"]


class Computed(NamedTuple):
    """What has become of a group of batches, one for each device.

    Attributes:
      index: which image is in each place; -1 where there is none.
      arrays: by name, with the places in front.
      heat: for each pixel how much it matters.
    """

    index: Int[np.ndarray, " n"]
    arrays: Mapping[str, np.ndarray]
    heat: Float[np.ndarray, "n h w"]


class Written(NamedTuple):
    """What was written.

    Attributes:
      images: how many images.
      failures: of those that are not done, by number: the status in a word, and the reason.
    """

    images: int
    failures: dict[int, tuple[str, str]]


def write_group(
    kept: Store,
    numbers: Sequence[int],
    computed: Computed | None,
    faults: Mapping[int, str],
    masks: Callable[[Sequence[int]], Bool[np.ndarray, "n h w"]] | None,
) -> Written:
    """Writes some batches, and returns when they are on the disk.

    Args:
      kept: the store.
      numbers: of the batches, in the order of their places.
      computed: what was computed; None where none of their images could be read.
      faults: of images that could not be read, by number, why.
      masks: the pixels that the object covers, of images by number.
    """
    images, failures = 0, {}
    for place, number in enumerate(numbers):
        first = number * kept.batch
        which = np.arange(first, min(first + kept.batch, len(kept)))
        own = slice(place * kept.batch, place * kept.batch + len(which))
        there = np.zeros(len(which), bool) if computed is None else computed.index[own] >= 0
        status = np.where(there, store.DONE, store.UNREADABLE).astype(np.uint8)
        reasons = {i: faults[i] for i in which[~there].tolist()}
        arrays, of_batch = {}, {}
        if computed is not None and there.any():
            arrays = {name: values[own] for name, values in computed.arrays.items()}
            broken = there & ~_finite(kept, arrays, len(which))
            status[broken] = store.NOT_FINITE
            reasons |= dict.fromkeys(which[broken].tolist(), _NOT_FINITE)
            done = status == store.DONE
            if masks is not None:
                arrays["in_object"] = _hits(arrays["peak"], done, which, masks)
            arrays = {name: _emptied(values, there) for name, values in arrays.items()}
            of_batch = {"map_sum": computed.heat[own][done].sum(0)}
        store.write(kept, number, arrays, status, of_batch=of_batch, reasons=reasons)
        images += len(which)
        failures |= {i: (store.MEANINGS[status[i - first]], why) for i, why in reasons.items()}
    return Written(images, failures)


_NOT_FINITE = "the map, a curve, or the model's output has values that are not finite"


def _finite(kept: Store, arrays: Mapping[str, np.ndarray], count: int) -> Bool[np.ndarray, " n"]:
    """Of which images maps, probabilities and curves are numbers throughout."""
    # How alike the maps of two models are is no number where one of them is constant.
    curves = [name for name in ("deletion", "insertion") if name in arrays]
    checked = [*METHODS[kept.about["parameters"]["method"]].axes, "probabilities", *curves]
    rows = [np.isfinite(arrays[name]).reshape(count, -1).all(1) for name in checked]
    return np.all(rows, 0)


def _emptied(values: np.ndarray, there: Bool[np.ndarray, " n"]) -> np.ndarray:
    """The values with nothing in the places that hold no image."""
    if there.all():
        return values
    values = values.copy()
    values[~there] = np.nan if values.dtype.kind == "f" else -1
    return values


def _hits(peak, done, which, masks) -> np.ndarray:
    """Whether each map's peak lies in the object: 1 or 0, and -1 where there is no map."""
    found = np.full(len(which), -1, np.int8)
    if done.any():
        inside = masks(which[done].tolist())
        row, column = peak[done].T
        found[done] = inside[np.arange(len(row)), row, column]
    return found
