"""Times contestants in turns, so that what else the machine does falls on all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax

__all__ = ["Row", "race"]


class Row(NamedTuple):
    """One contestant's times for one case, in seconds for one item."""

    case: str
    contestant: str
    median: float
    fastest: float
    ratio: float  # the median of (its time / ours) over the rounds: above 1, ours is faster


def race(
    case: str, contestants: Mapping[str, Callable[[], object]], *, items: int, rounds: int
) -> list[Row]:
    """Runs each contestant once to warm up, then all of them in turns.

    Args:
      case: what is timed.
      contestants: name -> function of nothing; the first is ours. JAX arrays that it returns are
        waited for.
      items: how many images or positions one run handles.
      rounds: how often each runs.

    Returns:
      A row for each contestant.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            if turn:
                times[name].append((time.perf_counter() - start) / items)
    ours = next(iter(times.values()))
    return [
        Row(
            case,
            name,
            statistics.median(own),
            min(own),
            statistics.median(theirs / mine for theirs, mine in zip(own, ours, strict=True)),
        )
        for name, own in times.items()
    ]
