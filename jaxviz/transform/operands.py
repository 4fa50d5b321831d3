"""What goes into an equation and what comes out of it, when an edit has changed some of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jax import lax
from jax.extend import core
from jaxtyping import Array

from jaxviz.transform.changes import Changed, Place, region
from jaxviz.transform.spans import Spans, Window

__all__ = [
    "Operand",
    "Passed",
    "Rule",
    "Unreachable",
    "Windows",
    "bind",
    "inverse",
    "remaining",
    "renamed",
]

Windows = Mapping[int, Window]


class Operand(NamedTuple):
    """What goes into an equation.

    Attributes:
      original: the value before the edit.
      changed: what the edit made of it; None where it changes nothing.
      spread: `(value, axes)` where the original is `value` broadcast along all other axes than
        `axes`, so that a window of it need not be read from memory; else None.
    """

    original: Array
    changed: Changed | None = None
    spread: tuple[Array, Sequence[int]] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole value."""
        return self.original.shape

    @property
    def spans(self) -> Spans:
        """What can differ from the original; nothing has a span where the whole value can."""
        return {} if self.changed is None else self.changed.spans

    def cut(self, windows: Windows, place: Place, fill: Any = 0) -> Array:
        """A window of the edited value; `fill` is what lies outside of it."""
        # What no edit changes is never read over its border, so that no fill is needed here.
        if self.changed is None and self.spread is not None:
            value, axes = self.spread
            sizes = [
                windows[axis].size if axis in windows else size
                for axis, size in enumerate(self.shape)
            ]
            own = {axis: value.shape[i] for i, axis in enumerate(axes)}
            if all(own.get(axis, 1) == 1 for axis in windows):
                return lax.broadcast_in_dim(value, sizes, axes)
        return region(self.original, self.changed, windows, place, fill)

    def before(self, windows: Windows, place: Place) -> Array:
        """The same window of the original."""
        return region(self.original, None, windows, place)


class Passed(NamedTuple):
    """A change behind an equation.

    Attributes:
      spans: what it reaches of each result; an axis that is not there is reached as a whole.
      compute: `compute(windows, place)` gives the results' new entries in windows along some of
        the spans' axes.
    """

    spans: Spans
    compute: Callable[[Windows, Place], Sequence[Array]]


class Unreachable(NamedTuple):
    """Why a rule does not apply, so that the equation is computed as a whole."""

    reason: str


Rule = Callable[[core.JaxprEqn, Sequence[Operand], Sequence[Array]], Passed | Unreachable]
"""`rule(equation, operands, results)`: `results` are those of the unedited input."""


def bind(equation: core.JaxprEqn, *inputs: Array, **changes: Any) -> Sequence[Array]:
    """The equation's results for inputs of other sizes, with some parameters changed."""
    results = equation.primitive.bind(*inputs, **{**equation.params, **changes})
    return results if equation.primitive.multiple_results else [results]


def renamed(mapping: Mapping[int, Any], axes: Mapping[int, int]) -> dict[int, Any]:
    """What is known by axis, under the axes' new numbers; axes without one are dropped."""
    return {axes[axis]: value for axis, value in mapping.items() if axis in axes}


def inverse(axes: Mapping[int, int]) -> dict[int, int]:
    """From new numbers of axes to old ones."""
    return {new: old for old, new in axes.items()}


def remaining(rank: int, gone: Sequence[int]) -> dict[int, int]:
    """The axes that are left when some are dropped, with their new numbers."""
    dropped = {axis % rank for axis in gone}
    return {axis: i for i, axis in enumerate(a for a in range(rank) if a not in dropped)}
