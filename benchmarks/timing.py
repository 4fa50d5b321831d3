"""Times contestants in turns, so that what else the machine does falls on all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax

__all__ = ["Contestant", "Row", "race", "seconds"]


class Row(NamedTuple):
    """One contestant's times for one case, in seconds for one item."""

    case: str
    contestant: str
    median: float
    fastest: float
    ratio: float  # the median of (its time / ours) over the rounds: above 1, ours is faster


class Contestant(NamedTuple):
    """A function of nothing, and how many images, positions or steps one call handles.

    JAX arrays that it returns are waited for.
    """

    run: Callable[[], object]
    items: int


def seconds(contestant: Contestant) -> float:
    """How long one call takes now, for one item."""
    start = time.perf_counter()
    jax.block_until_ready(contestant.run())
    return (time.perf_counter() - start) / contestant.items


def race(case: str, contestants: Mapping[str, Contestant], *, rounds: int) -> list[Row]:
    """Runs each contestant once to warm up, then all of them in turns.

    Args:
      case: what is timed.
      contestants: by name; the first is ours.
      rounds: how often each runs.

    Returns:
      A row for each contestant.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for contestant in contestants.values():
        seconds(contestant)
    for _ in range(rounds):
        for name, contestant in contestants.items():
            times[name].append(seconds(contestant))
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
