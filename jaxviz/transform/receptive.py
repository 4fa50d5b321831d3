"""Which part of the input each unit of a layer sees, read from the model's program.

The rules by which the incremental engine follows an edit (`propagation.RULES`) say here where each
row and each column of the input goes. The engine bounds the places by intervals; here they are
sets, so that what a border, a stride or a dilation leaves out is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jax.extend import core
from jaxtyping import Bool, Int

from jaxviz.transform.changes import Changed
from jaxviz.transform.interpret import Rules, called, interpret, opened
from jaxviz.transform.operands import Operand, Passed
from jaxviz.transform.propagation import RULES
from jaxviz.transform.taps import capture, tapped_program

__all__ = ["ReceptiveFields", "receptive_fields"]


class ReceptiveFields(NamedTuple):
    """Boxes in the input, one for each unit; an end is one past the last row or column.

    A unit that sees nothing of the input has an empty box at 0.
    """

    top: Int[np.ndarray, "*units"]
    bottom: Int[np.ndarray, "*units"]
    left: Int[np.ndarray, "*units"]
    right: Int[np.ndarray, "*units"]

    def of(
        self, row: int | Int[np.ndarray, " m"], col: int | Int[np.ndarray, " m"]
    ) -> ReceptiveFields:
        """Those of some units of a layer."""
        return ReceptiveFields(*(edge[row, col] for edge in self))

    @property
    def height(self) -> int:
        """Of the tallest box."""
        return int((self.bottom - self.top).max())

    @property
    def width(self) -> int:
        """Of the widest box."""
        return int((self.right - self.left).max())


class _Reached(NamedTuple):
    """As `spans.Span`, with sets in the place of intervals.

    Attributes:
      side: 0 for the rows of the input, 1 for its columns.
      entries: which entries of an axis each of them reaches.
    """

    side: int
    entries: Bool[np.ndarray, "places extent"]

    def through(
        self, extent: int, *, window: int = 1, stride: int = 1, pad: int = 0, dilation: int = 1
    ) -> _Reached:
        """Which of the windows that slide over the axis read from those entries."""
        before = self.entries.shape[1]
        first = np.arange(extent) * stride - pad
        found = np.zeros((len(self.entries), extent), bool)
        for offset in range(0, window * dilation, dilation):
            read = first + offset
            inside = (read >= 0) & (read < before)
            found[:, inside] |= self.entries[:, read[inside]]
        return self._replace(entries=found)

    def joined(self, other: _Reached) -> _Reached:
        """What both reach."""
        return self._replace(entries=self.entries | other.entries)


def receptive_fields(model: Callable, x: Any, layers: Sequence[str]) -> dict[str, ReceptiveFields]:
    """The part of the input that each unit of some layers sees, as a box clipped to the image.

    The boxes come from the model's program by exact arithmetic: no table of layers, nothing is
    computed, and the weights do not matter. A box is the smallest one that holds all that the unit
    can depend on. Where a value depends on the whole image, as behind a dense layer or a global
    mean, and behind an operation that is not followed (a loop, a flip, a transposed convolution),
    the box is the whole image: never too small.

    Args:
      model: a callable pytree.
      x: its input (n, h, w, c), or a `jax.ShapeDtypeStruct` of it.
      layers: names of layers of shape (n, h, w, c).

    Returns:
      Layer -> `ReceptiveFields`, arrays of the layer's rows and columns.

    Raises:
      ValueError: `x` is no batch of images, or a layer is unknown or has no places.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> from flax import nnx
      >>> from jaxviz.transform import receptive_fields
      >>> model = lambda x: jv.tap(nnx.max_pool(x, (3, 3), (2, 2), "SAME"), "pool").mean((1, 2))
      >>> fields = receptive_fields(model, jnp.ones((1, 8, 8, 1)), ["pool"])["pool"]
      >>> fields.top[:, 0].tolist(), fields.bottom[:, 0].tolist()
      ([0, 2, 4, 6], [3, 5, 7, 8])
    """
    if len(x.shape) != 4:
        raise ValueError(f"x must be a batch of images (n, h, w, c), got the shape {x.shape}.")
    shapes = jax.eval_shape(lambda x: capture(model, x, layers)[1], x)
    for name, shape in shapes.items():
        if len(shape.shape) != 4:
            raise ValueError(
                f"receptive_fields needs layers of shape (n, h, w, c); '{name}' has {shape.shape}."
            )
    program, _ = tapped_program(model, x)
    # Each row and each column of the input is an edit of its own.
    entries = {axis: _Reached(axis - 1, np.eye(x.shape[axis], dtype=bool)) for axis in (1, 2)}
    _, found = interpret(program, [_operand(x, entries)], _RULES)
    return {name: _boxes(found[name], shapes[name].shape[1:3], x.shape[1:3]) for name in layers}


def _operand(value: Any, reached: Mapping[int, _Reached] | None = None) -> Operand:
    """A value of the program, of which only the shape is known, and what reaches it."""
    shape = jax.ShapeDtypeStruct(np.shape(value), getattr(value, "dtype", np.dtype(float)))
    # The rules ask of a span no more than `_Reached` has, and of an array no more than its shape.
    changed = None if reached is None else Changed(cast(Any, None), {}, cast(Any, reached))
    return Operand(cast(Any, shape), changed)


def _rule(equation: core.JaxprEqn, operands: Sequence[Operand], found: Any) -> list[Operand]:
    program = called(equation)
    if program is not None:
        outputs, inner = interpret(program, operands, _RULES, found.taken.union(found))
        found.update(inner)
        return outputs
    results = [_operand(variable.aval) for variable in equation.outvars]
    if any(operand.changed is not None for operand in operands):
        rule = RULES.get(equation.primitive.name)
        passed = rule(equation, operands, [one.original for one in results]) if rule else None
        reached = cast(Any, passed.spans if isinstance(passed, Passed) else {})
        results = [_operand(one.original, reached) for one in results]
    if equation.primitive.name == "name":
        found[found.numbered(equation.params["name"])] = results[0]
    for name in _taps_inside(equation):
        found[found.numbered(name)] = _operand(0.0, {})
    return results


def _taps_inside(equation: core.JaxprEqn) -> Iterator[str]:
    """The layers inside of a loop or of a choice, whose branches all have the same."""
    programs = list(core.jaxprs_in_params(equation.params))
    for program in programs[:1] if equation.primitive.name == "cond" else programs:
        for inner in opened(program)[0].eqns:
            if inner.primitive.name == "name":
                yield inner.params["name"]
            yield from _taps_inside(inner)


_RULES = Rules(rule=_rule, enters=lambda program: False, constant=_operand)


def _boxes(value: Operand, places: Sequence[int], size: Sequence[int]) -> ReceptiveFields:
    h, w = places
    if value.changed is None:
        return ReceptiveFields(*np.zeros((4, h, w), int))
    reached = {cast(_Reached, own).side: axis for axis, own in value.spans.items()}
    ends = []
    for side, extent in enumerate(size):
        axis = reached.get(side)
        if axis not in (1, 2):  # every unit depends on all of them
            ends.append((np.zeros((h, w), int), np.full((h, w), extent)))
            continue
        entries = cast(_Reached, value.spans[axis]).entries
        low = entries.argmax(0)
        high = np.where(entries.any(0), extent - entries[::-1].argmax(0), 0)
        along = (slice(None), None) if axis == 1 else (None, slice(None))
        ends.append(tuple(np.broadcast_to(edge[along], (h, w)) for edge in (low, high)))
    (top, bottom), (left, right) = ends
    some = (top < bottom) & (left < right)
    return ReceptiveFields(*(np.where(some, edge, 0) for edge in (top, bottom, left, right)))
