"""Exact re-evaluation of a model after local edits of one input."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jaxtyping import Array, Float, Int

from jaxviz.transform.changes import Changed, Place
from jaxviz.transform.interpret import Rules, called, evaluate, interpret, opened, trace
from jaxviz.transform.operands import Operand, Passed, Unreachable
from jaxviz.transform.propagation import RULES
from jaxviz.transform.spans import Span, Spans, windows
from jaxviz.transform.work import multiplications

__all__ = ["Incremental", "Step", "incremental"]

# A window that covers more than this share of its map costs more than the whole map, which needs
# no surroundings from the original.
NEARLY_ALL = 0.85


class Step(NamedTuple):
    """What an edit changes in the results of one equation.

    Attributes:
      layer: the first tap at or after the equation; "" behind the last one.
      primitive: what is computed.
      shape: of the whole result.
      window: of what is computed anew.
      reason: why that is everything, from here on; "" where the rule says nothing.
      spans: what can differ, by axis, for each place of the edit; as a whole along other axes.
      work: multiplications for the whole result, see `multiplications`.
    """

    layer: str
    primitive: str
    shape: tuple[int, ...]
    window: tuple[int, ...]
    reason: str
    spans: Spans
    work: int


@dataclass(frozen=True)
class Incremental:
    """A function at one input, ready to be evaluated at inputs that differ from it in one place.

    Functions under `jax.jit` close over it; make it inside of them, so that it is compiled too.

    Attributes:
      output: the function's value at the input.
    """

    output: Any
    _program: core.ClosedJaxpr
    _values: Mapping[core.Var, Array]
    _structure: Any
    _axes: tuple[int, int]

    def __call__(
        self,
        patch: Float[Array, "*axes"],
        start: tuple[Int[Array, ""] | int, Int[Array, ""] | int] | Int[Array, " 2"],
        *,
        starts: tuple[Sequence[int], Sequence[int]] | None = None,
        reach: float = 1.0,
    ) -> Any:
        """The function's value where `patch` replaces a part of the input.

        Vectorize it with `jax.vmap` over patches and starts: the original's values are shared.

        Args:
          patch: as the input, but shorter along the two axes of the edit.
          start: the row and the column where the patch begins; data, so that another place needs
            no recompilation.
          starts: the rows and the columns where patches may begin, known while tracing; by default
            all. A few that are alike (all at a border, or all at multiples of 8) need smaller
            windows. A start that is not among them makes a floating-point result NaN.
          reach: the largest share of an axis that an edit may change in any value; what lies
            further out keeps its original value. 1 is exact.

        Returns:
          As the function's output.

        Raises:
          ValueError: the patch does not fit into the input, a start cannot be, or `reach` is not
            in (0, 1].
        """
        edit, place = self._edit(jnp.asarray(patch, self._input.dtype), start, starts)
        known = (place[0] >= 0) & (place[1] >= 0)
        output = self._walk(edit, place, reach, NEARLY_ALL, [])
        return jax.tree.map(functools.partial(_nan_unless, known), output)

    def explain(
        self,
        size: tuple[int, int],
        *,
        starts: tuple[Sequence[int], Sequence[int]] | None = None,
        reach: float = 1.0,
        nearly_all: float = NEARLY_ALL,
    ) -> list[Step]:
        """What an edit changes, equation by equation; nothing is computed.

        Args:
          size: rows and columns of the edit.
          starts: the rows and the columns where edits may begin; by default all.
          reach: as for the call.
          nearly_all: the share of a map from which on the whole map is computed.

        Returns:
          One step for each equation whose result depends on the edit.
        """
        steps: list[Step] = []
        x = self._input
        shape = list(x.shape)
        for axis, length in zip(self._axes, size, strict=True):
            shape[axis] = length

        def run(patch):
            edit, place = self._edit(patch, (0, 0), starts)
            return self._walk(edit, place, reach, nearly_all, steps)

        jax.eval_shape(run, jax.ShapeDtypeStruct(tuple(shape), x.dtype))
        return steps

    @property
    def _input(self) -> Array:
        return self._values[opened(self._program)[0].invars[0]]

    def _edit(self, patch, start, starts) -> tuple[Changed, Place]:
        x = self._input
        expected = list(x.shape)
        for axis in self._axes:
            expected[axis] = patch.shape[axis] if patch.ndim == x.ndim else 0
        if tuple(expected) != patch.shape or 0 in expected:
            raise ValueError(
                f"a patch must be as the input {x.shape} along all axes but {self._axes}, "
                f"got {patch.shape}."
            )
        spans: dict[int, Span] = {}
        place = []
        for side, axis in enumerate(self._axes):
            extent, size = x.shape[axis], patch.shape[axis]
            possible = range(extent - size + 1) if starts is None else starts[side]
            low = np.asarray(possible, int)
            if size > extent or not low.size or low.min() < 0 or low.max() + size > extent:
                raise ValueError(
                    f"a patch of {size} starting at {_brief(low)} does not fit into axis {axis} "
                    f"of the input, which has {extent} entries."
                )
            spans[axis] = Span(side, low, low + size, extent)
            number = np.full(extent, -1, np.int32)
            number[low] = np.arange(low.size)
            found = jnp.asarray(number).at[start[side]]
            place.append(found.get(mode="fill", fill_value=-1, wrap_negative_indices=False))
        return Changed(patch, windows(spans), spans), (place[0], place[1])

    def _walk(self, edit, place, reach, nearly_all, steps) -> Any:
        if not 0 < reach <= 1:
            raise ValueError(f"reach must be in (0, 1], got {reach}.")
        jaxpr, _ = opened(self._program)
        changed: dict[core.Var, Changed] = {jaxpr.invars[0]: edit}
        spread: dict[core.Var, Any] = {}
        names = _next_names(jaxpr)
        for i, equation in enumerate(jaxpr.eqns):
            if all(_known(changed, atom) is None for atom in equation.invars):
                if equation.primitive.name == "broadcast_in_dim":
                    spread[equation.outvars[0]] = (
                        self._original(equation.invars[0]),
                        equation.params["broadcast_dimensions"],
                    )
                continue
            operands = [
                Operand(
                    self._original(atom),
                    _known(changed, atom),
                    _known(spread, atom),
                )
                for atom in equation.invars
            ]
            if not equation.outvars:  # a callback, which has seen the original
                continue
            results = [self._values[v] for v in equation.outvars]
            passed, reason = _pass(equation, operands, results, reach, nearly_all)
            moving = windows(passed.spans)
            for v, new in zip(equation.outvars, passed.compute(moving, place), strict=True):
                changed[v] = Changed(new, moving, passed.spans)
            result = results[0]
            window = tuple(moving[a].size if a in moving else s for a, s in enumerate(result.shape))
            steps.append(
                Step(
                    names[i],
                    equation.primitive.name,
                    result.shape,
                    window,
                    reason,
                    passed.spans,
                    multiplications(equation),
                )
            )
        outputs = [
            Operand(self._original(atom), _known(changed, atom)).cut({}, place)
            for atom in jaxpr.outvars
        ]
        return jax.tree.unflatten(self._structure, outputs)

    def _original(self, atom: core.Var | core.Literal) -> Array:
        if isinstance(atom, core.Literal):
            return jnp.asarray(atom.val, getattr(atom.aval, "dtype", None))
        return self._values[atom]


def _known(values: Mapping[core.Var, Any], atom: core.Var | core.Literal) -> Any:
    return None if isinstance(atom, core.Literal) else values.get(atom)


def _brief(numbers: np.ndarray) -> str:
    return "no place" if not numbers.size else f"{numbers.min()} to {numbers.max()}"


def _nan_unless(known: Array, value: Array) -> Array:
    return jnp.where(known, value, jnp.nan) if jnp.issubdtype(value.dtype, jnp.inexact) else value


def _pass(equation, operands, results, reach, nearly_all) -> tuple[Passed, str]:
    """The change behind an equation, and why it has become everything, if it has."""

    def everything(windows, place):
        inputs = [operand.cut({}, place) for operand in operands]
        return evaluate(equation, *inputs)

    had_windows = any(operand.spans for operand in operands)
    rule = RULES.get(equation.primitive.name)
    passed = (
        Unreachable(f"no rule for '{equation.primitive.name}'")
        if rule is None
        else rule(equation, operands, results)
    )
    if isinstance(passed, Unreachable):
        return Passed({}, everything), passed.reason if had_windows else ""
    spans = {axis: span.within(reach) for axis, span in passed.spans.items()}
    share = np.prod([span.window.size / max(span.extent, 1) for span in spans.values()])
    if spans and share >= nearly_all:
        return passed._replace(spans={}), f"{share:.0%} of the map"
    return passed._replace(spans=spans), ""


def _next_names(jaxpr: core.Jaxpr) -> list[str]:
    names, name = [], ""
    for equation in reversed(jaxpr.eqns):
        if equation.primitive.name == "name":
            name = equation.params["name"]
        names.append(name)
    return names[::-1]


def _inline(equation, operands, found):
    program = called(equation)
    if program is None:
        return None
    return interpret(program, operands, Rules(rule=_inline, enters=lambda inner: False))[0]


def incremental(
    f: Callable, x: Float[Array, "*axes"], *, axes: tuple[int, int] = (1, 2)
) -> Incremental:
    """As `jax.linearize`, but for finite, local edits, and exact: `f(x)`, ready to be edited.

    A patch that replaces a small part of an image changes a small part of each layer; only this
    part is computed anew, from the patch and its surroundings in the original. It is worth it
    where windows stay small against the maps, that is in the early layers of a CNN.

    Args:
      f: any function of an array: a model on a batch of one image.
      x: the input that is edited. The patches replace a part of all images of a batch.
      axes: the axes of rows and columns.

    Returns:
      A function of a patch and its place; `output` is `f(x)`. It can be differentiated, but without
      custom derivatives: where a ReLU's input is exactly 0, its gradient is 1/2. Sums over the
      image are updated by what the patch adds to them, so that rounding is relative to the
      original's sums, and an infinity or NaN of the original stays in them.

    Raises:
      TypeError: `f` cannot be traced with `x`.
      ValueError: `axes` are not two axes of `x`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxviz.transform import incremental
      >>> edited = incremental(lambda x: x.sum((1, 2)), jnp.ones((1, 8, 8, 1)))
      >>> edited.output.item(), edited(jnp.zeros((1, 2, 3, 1)), (4, 5)).item()
      (64.0, 58.0)

    References:
      Nakandala, Kumar, Papakonstantinou, Incremental and approximate inference for faster
      occlusion-based deep CNN explanations, SIGMOD 2019: the idea, for three networks by hand.
    """
    x = jnp.asarray(x)
    if any(not -x.ndim <= axis < x.ndim for axis in axes) or axes[0] % x.ndim == axes[1] % x.ndim:
        raise ValueError(f"axes must be two of the input's {x.ndim} axes, got {axes}.")
    rows, columns = (axis % x.ndim for axis in axes)
    program, structure = trace(f, x)
    rules = Rules(rule=_inline, enters=lambda inner: False)
    flat, _ = trace(lambda x: interpret(program, [x], rules)[0], x)
    jaxpr, constants = opened(flat)
    values: dict[core.Var, Any] = dict(zip(jaxpr.constvars, constants, strict=True))
    values[jaxpr.invars[0]] = x

    def read(atom):
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        outputs = evaluate(equation, *map(read, equation.invars))
        values.update(zip(equation.outvars, outputs, strict=True))
    output = jax.tree.unflatten(structure, [*map(read, jaxpr.outvars)])
    return Incremental(output, flat, values, structure, (rows, columns))
