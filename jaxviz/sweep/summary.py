"""What a store of a sweep holds: how many images, what failed, and what they come to together."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxviz.sweep import store
from jaxviz.sweep.methods import METHODS
from jaxviz.sweep.store import Store

__all__ = ["Failure", "Sample", "Summary", "mean_map", "sample", "summary", "sweep_status"]

SCORES = ("probability", "deletion_area", "insertion_area", "in_object", "likeness_randomized")
"""The arrays with one number for each image whose mean says something."""


_SUMS = 64
"""How many batches' sums of maps are read at one time."""


class Failure(NamedTuple):
    """An image without a map that can be used.

    Attributes:
      image: its name.
      status: unreadable, or not_finite.
      reason: in a sentence.
    """

    image: str
    status: str
    reason: str


class Summary(NamedTuple):
    """What a store holds.

    Attributes:
      place: its path or address.
      about: what was asked, of what model, with which versions.
      counts: how many images are pending, done, unreadable, not_finite.
      failures: the images that are neither done nor pending.
      scores: of the images that are done, by name: the probability of the explained class, and,
        where they were asked for, the areas of deletion and insertion, whether the map's peak lies
        in the object (1 or 0), and how alike the map of the randomized model is.
      curves: the mean curves of deletion and insertion, where they were asked for.
      mean_map: the mean over the images of how much each pixel matters; None until all are done.
    """

    place: str
    about: Mapping[str, Any]
    counts: Mapping[str, int]
    failures: list[Failure]
    scores: Mapping[str, Float[np.ndarray, " n"]]
    curves: Mapping[str, Float[np.ndarray, " steps"]]
    mean_map: Float[np.ndarray, "h w"] | None

    @property
    def complete(self) -> bool:
        """Whether no image is pending."""
        return self.counts["pending"] == 0


def sweep_status(out: str | os.PathLike[str]) -> Summary:
    """What a store of a sweep holds, also while the sweep is running.

    Args:
      out: the store.

    Returns:
      `Summary`.

    Raises:
      OSError: there is no store of a sweep, or it cannot be read.

    Example:
      >>> sweep_status("nowhere.zarr")
      Traceback (most recent call last):
      FileNotFoundError: There is no store of a sweep at nowhere.zarr.
    """
    return summary(store.open_store(os.fspath(out)))


def summary(kept: Store) -> Summary:
    """As `sweep_status`, of an open store."""
    status = store.statuses(kept)
    names = store.read_strings(kept, "image")
    done = status == store.DONE
    failed = np.flatnonzero((status != store.DONE) & (status != store.PENDING))
    counts = {word: int((status == i).sum()) for i, word in enumerate(store.MEANINGS)}
    scores = {name: store.read(kept, name)[done] for name in SCORES if name in kept.arrays}
    curves = {}
    if "deletion" in kept.arrays and done.any():
        for name in ("deletion", "insertion"):
            curves[name] = store.read(kept, name)[done].astype(float).mean(0)
    return Summary(
        kept.place,
        kept.about,
        counts,
        [
            Failure(
                names[i], store.MEANINGS[status[i]], store.read_strings(kept, "reason", int(i))[0]
            )
            for i in failed
        ],
        scores,
        curves,
        _kept_mean(kept) if not counts["pending"] and done.any() else None,
    )


def _kept_mean(kept: Store) -> Float[np.ndarray, "h w"] | None:
    """The mean map, or None where a run was killed before it was written."""
    found = store.read(kept, "mean_map")
    return None if np.isnan(found).all() else found


class Sample(NamedTuple):
    """One image of a store.

    Attributes:
      image: its name.
      target: the class that was explained.
      probability: of that class.
      arrays: its maps, by name.
    """

    image: str
    target: int
    probability: float
    arrays: dict[str, np.ndarray]


def sample(out: str | os.PathLike[str], count: int) -> list[Sample]:
    """Some of the images that are done, from all parts of a store.

    Args:
      out: the store.
      count: how many at most.

    Raises:
      OSError: there is no store of a sweep, or it cannot be read.
    """
    kept = store.open_store(os.fspath(out))
    done = np.flatnonzero(store.statuses(kept) == store.DONE)
    chosen = done[
        np.unique(np.linspace(0, len(done) - 1, min(count, len(done))).round().astype(int))
    ]
    names = store.read_strings(kept, "image")
    maps = METHODS[kept.about["parameters"]["method"]].axes
    return [
        Sample(
            names[i],
            int(store.read(kept, "target", i)),
            float(store.read(kept, "probability", i)),
            {name: store.read(kept, name, i) for name in maps},
        )
        for i in chosen.tolist()
    ]


def mean_map(kept: Store, status: UInt8[np.ndarray, " n"]) -> Float[np.ndarray, "h w"]:
    """The mean over all images that are done of how much each pixel matters.

    The sums of the batches are added in their order, so that it does not matter who computed them.
    """
    done = status == store.DONE
    total = np.zeros(kept.arrays["map_sum"].shape[1:], np.float64)
    groups = math.ceil(len(kept) / kept.batch)
    for first in range(0, groups, _SUMS):
        # Read together, which in a bucket is much faster, and added one by one.
        block = store.read(kept, "map_sum", slice(first, min(first + _SUMS, groups)))
        for number, one in enumerate(block, first):
            if done[number * kept.batch : (number + 1) * kept.batch].any():
                total += one
    return (total / max(done.sum(), 1)).astype(np.float32)
