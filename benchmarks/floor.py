"""How much of a model's work an occluder can reach: the least that an exact sweep must compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax

from jaxviz.transform import incremental

__all__ = ["Work", "work"]


class Work(NamedTuple):
    """Multiplications of convolutions and products, for one position.

    Attributes:
      dense: in the whole model.
      reached: in the entries that a position can change, averaged over the grid's positions.
    """

    dense: float
    reached: float

    @property
    def floor(self) -> float:
        """How many times less work an exact sweep can do at best."""
        return self.dense / self.reached


def work(
    model: Callable,
    x: jax.Array,
    *,
    window: tuple[int, int],
    starts: tuple[Sequence[int], Sequence[int]],
) -> Work:
    """Counts the multiplications that depend on what an occluder covers.

    Each position is counted with exactly the rows and columns that it reaches, less at the border;
    a dense layer and what follows a global pooling count as a whole.

    Args:
      model: a callable pytree.
      x: an image, (1, h, w, c).
      window: rows and columns of the occluder.
      starts: rows and columns of its positions.

    Returns:
      The work for one position.
    """
    dense = reached = 0.0
    # Shapes are all that counts, so that nothing is computed.
    steps = []

    def note(x):
        edited = incremental(model, x)
        steps.extend(edited.explain(window, starts=starts, nearly_all=math.inf))

    jax.eval_shape(note, x)
    for step in steps:
        own = float(step.work)
        dense += own
        for span in step.spans.values():
            own *= float((span.high - span.low).mean()) / span.extent
        reached += own
    return Work(dense, reached)
