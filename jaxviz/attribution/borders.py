"""Positions of a grid grouped by how near the border they are, where windows are cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxviz.transform.incremental import Step

__all__ = ["Group", "split_at_borders"]

# Every group is a program of its own, and compiling it takes a few seconds: as long as some hundred
# positions of a large network.
_LEAST_SAVING = 0.05
_FEWEST = 256


class Group(NamedTuple):
    """Boxes that run together.

    Attributes:
      boxes: their numbers among all.
      starts: the rows and the columns where their windows may begin; None if anywhere.
    """

    boxes: tuple[int, ...]
    starts: tuple[tuple[int, ...], tuple[int, ...]] | None


def split_at_borders(
    steps: Sequence[Step], starts: tuple[tuple[int, ...], tuple[int, ...]]
) -> tuple[Group, ...]:
    """Groups of a grid's positions: at the border an occluder reaches less of each layer.

    All positions of a group compute windows of one size, the largest that one of them needs. So
    the rows near the top and the bottom are taken together, and the columns near the left and the
    right, where there are many positions and this saves a twentieth of the work.

    Args:
      steps: what `Incremental.explain` says of the grid's windows.
      starts: rows and columns of the grid.

    Returns:
      One to four groups that hold every position once.
    """
    if math.prod(map(len, starts)) < _FEWEST:
        return (Group(tuple(range(math.prod(map(len, starts)))), starts),)
    lengths = [_lengths(steps, side, len(starts[side])) for side in range(2)]
    weights = np.array([_per_place(step) for step in steps])
    classes = [_classes(lengths[side], weights * lengths[1 - side].mean(1)) for side in range(2)]
    return tuple(
        Group(
            tuple(r * len(starts[1]) + c for r in rows for c in columns),
            (tuple(starts[0][r] for r in rows), tuple(starts[1][c] for c in columns)),
        )
        for rows in classes[0]
        for columns in classes[1]
    )


def _per_place(step: Step) -> float:
    """What an entry costs along the axes that edits move, the others taken together."""
    extents = math.prod(max(span.extent, 1) for span in step.spans.values())
    return (step.work + math.prod(step.shape)) / extents


def _lengths(steps: Sequence[Step], side: int, count: int) -> np.ndarray:
    """Entries that each position reaches along the axis that it moves, (steps, positions)."""
    rows = []
    for step in steps:
        own = [span.high - span.low for span in step.spans.values() if span.side == side]
        rows.append(own[0] if own else np.ones(count))
    return np.array(rows, float).reshape(len(steps), count)


def _classes(lengths: np.ndarray, weights: np.ndarray) -> list[list[int]]:
    """Positions along one axis, all in one class or in two: near the border and further in."""
    count = lengths.shape[1]
    distance = np.minimum(np.arange(count), np.arange(count)[::-1])

    def split(cut):
        return [np.flatnonzero(distance < cut), np.flatnonzero(distance >= cut)]

    def work(classes):
        return sum(len(own) * weights @ lengths[:, own].max(1) for own in classes)

    together = [np.arange(count)]
    apart = min(map(split, range(1, distance.max(initial=0) + 1)), key=work, default=together)
    chosen = apart if work(apart) <= (1 - _LEAST_SAVING) * work(together) else together
    return [own.tolist() for own in chosen]
