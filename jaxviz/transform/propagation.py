"""How a local change goes through each kind of equation.

A rule says which part of an equation's results an edit can reach, and how to compute a window that
holds it from windows of the inputs. What has no rule is computed as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jaxtyping import Array

from jaxviz.transform.changes import Changed, Place, region
from jaxviz.transform.spans import Spans, Window, joined

__all__ = ["RULES", "Operand", "Passed", "Unreachable"]

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
        """A window of the edited value."""
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
      work: multiplications that make one entry of the result.
    """

    spans: Spans
    compute: Callable[[Windows, Place], Sequence[Array]]
    work: int = 0


class Unreachable(NamedTuple):
    """Why a rule does not apply, so that the equation is computed as a whole."""

    reason: str


Rule = Callable[[core.JaxprEqn, Sequence[Operand], Sequence[Array]], Passed | Unreachable]
"""`rule(equation, operands, results)`: `results` are those of the unedited input."""


def _bind(equation: core.JaxprEqn, *inputs: Array, **changes: Any) -> Sequence[Array]:
    results = equation.primitive.bind(*inputs, **{**equation.params, **changes})
    return results if equation.primitive.multiple_results else [results]


def _sized(windows: Windows, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(windows[axis].size if axis in windows else size for axis, size in enumerate(shape))


def _renamed(mapping: Mapping[int, Any], axes: Mapping[int, int]) -> dict[int, Any]:
    return {axes[axis]: value for axis, value in mapping.items() if axis in axes}


def _inverse(axes: Mapping[int, int]) -> dict[int, int]:
    return {new: old for old, new in axes.items()}


def _elementwise(equation, operands, results):
    if any(operand.changed is not None and not operand.shape for operand in operands):
        return Unreachable("a number for the whole image is among the inputs")
    shape = results[0].shape

    def along(operand, mapping):
        """Without the axes along which the operand is spread: it has one entry for all of them."""
        return {axis: own for axis, own in mapping.items() if operand.shape[axis] == shape[axis]}

    def compute(windows, place):
        inputs = [
            operand.cut(along(operand, windows), place) if operand.shape else operand.original
            for operand in operands
        ]
        return _bind(equation, *inputs)

    changed = [operand for operand in operands if operand.changed is not None]
    return Passed(joined(along(operand, operand.spans) for operand in changed), compute)


def _convolution(equation, operands, results):
    image, kernel = operands
    p = equation.params
    if kernel.changed is not None:
        return Unreachable("the kernel depends on the input")
    if set(p["lhs_dilation"]) != {1} or p["batch_group_count"] != 1:
        return Unreachable("a transposed or batch-grouped convolution")
    where, filters, to = p["dimension_numbers"]
    sliding = {}
    for i, (axis, out) in enumerate(zip(where[2:], to[2:], strict=True)):
        sliding[axis] = (
            out,
            {
                "window": kernel.shape[filters[i + 2]],
                "stride": p["window_strides"][i],
                "pad": p["padding"][i][0],
                "dilation": p["rhs_dilation"][i],
            },
        )
    spans = {}
    for axis, span in image.spans.items():
        if axis == where[0]:
            spans[to[0]] = span
        elif axis in sliding:
            out, options = sliding[axis]
            spans[out] = span.through(results[0].shape[out], **options)

    def compute(windows, place):
        read = {where[0]: windows[to[0]]} if to[0] in windows else {}
        padding = list(p["padding"])
        for i, (axis, (out, options)) in enumerate(sliding.items()):
            if out in windows:
                read[axis] = windows[out].inputs(**options)
                padding[i] = (0, 0)
        cut = [axis for axis in sliding if axis in read]
        if cut and not any(map(any, padding)):
            # On a CPU, XLA runs a convolution without any padding at a quarter of the speed of
            # one that has some; cropping a row that is read in excess counts as such.
            first = read[cut[0]]
            read[cut[0]] = first._replace(start=first.start - 1, size=first.size + 1)
            padding[list(sliding).index(cut[0])] = (-1, 0)
        return _bind(equation, image.cut(read, place), kernel.original, padding=tuple(padding))

    return Passed(spans, compute, math.prod(kernel.shape) // kernel.shape[filters[0]])


def _pooling(fill):
    def rule(equation, operands, results):
        (operand,) = operands
        p = equation.params
        if set(p["base_dilation"]) != {1}:
            return Unreachable("a dilated pooling")
        options = {
            axis: {
                "window": p["window_dimensions"][axis],
                "stride": p["window_strides"][axis],
                "pad": p["padding"][axis][0],
                "dilation": p["window_dilation"][axis],
            }
            for axis in operand.spans
        }
        spans = {
            axis: span.through(results[0].shape[axis], **options[axis])
            for axis, span in operand.spans.items()
        }

        def compute(windows, place):
            read = {axis: window.inputs(**options[axis]) for axis, window in windows.items()}
            padding = [(0, 0) if axis in windows else pad for axis, pad in enumerate(p["padding"])]
            return _bind(
                equation,
                operand.cut(read, place, fill(operand.original.dtype)),
                padding=tuple(padding),
            )

        return Passed(spans, compute)

    return rule


def _smallest(dtype):
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


def _largest(dtype):
    return jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).max


def _product(equation, operands, results):
    changed = [i for i, operand in enumerate(operands) if operand.changed is not None]
    if len(changed) > 1:
        return Unreachable("a product of two values that depend on the input")
    (moving,) = changed
    contracting, batch = equation.params["dimension_numbers"]
    own, other = operands[moving], operands[1 - moving]
    if any(axis in own.spans for axis in batch[moving]):
        return Unreachable("a batched product along an axis of the image")
    inner = math.prod(own.shape[axis] for axis in contracting[moving])
    if any(axis in own.spans for axis in contracting[moving]):
        return _contraction(equation, operands, results, moving, inner)
    free = [
        [axis for axis in range(len(operand.shape)) if axis not in (*contracted, *batched)]
        for operand, contracted, batched in zip(operands, contracting, batch, strict=True)
    ]
    first = len(batch[0]) + (len(free[0]) if moving else 0)
    axes = {axis: first + i for i, axis in enumerate(free[moving])}

    def compute(windows, place):
        inputs = [other.original] * 2
        inputs[moving] = own.cut(_renamed(windows, _inverse(axes)), place)
        return _bind(equation, *inputs)

    return Passed(_renamed(own.spans, axes), compute, inner)


def _contraction(equation, operands, results, moving, inner):
    """A product that sums over an axis of the image: the original's, and what the change adds."""
    contracting, _ = equation.params["dimension_numbers"]
    own, other = operands[moving], operands[1 - moving]
    pairs = dict(zip(contracting[moving], contracting[1 - moving], strict=True))
    if any(axis not in pairs for axis in own.spans):
        return Unreachable("a product that sums over one axis of the image")

    def compute(windows, place):
        cut = {axis: span.window for axis, span in own.spans.items()}
        inputs = [other.before(_renamed(cut, pairs), place)] * 2
        inputs[moving] = own.cut(cut, place) - own.before(cut, place)
        (added,) = _bind(equation, *inputs)
        return [results[0] + added]

    return Passed({}, compute, inner)


def _kept_axes(shape: Sequence[int], new: Sequence[int]) -> dict[int, int]:
    """The axes that a reshape leaves as they are: the same length, and as many entries before."""
    before = {(math.prod(new[:axis]), size): axis for axis, size in enumerate(new) if size > 1}
    kept = {
        axis: before.get((math.prod(shape[:axis]), size))
        for axis, size in enumerate(shape)
        if size > 1
    }
    return {axis: to for axis, to in kept.items() if to is not None}


def _rearranged(axes_of: Callable, parameters: Callable):
    """Equations that move entries about, and keep the order along the axes in `axes_of`."""

    def rule(equation, operands, results):
        if len(operands) > 1:
            return Unreachable("several inputs that are rearranged together")
        (operand,) = operands
        axes = axes_of(equation.params, operand.shape, results[0].shape)
        lost = [axis for axis in operand.spans if axis not in axes]
        if lost:
            return Unreachable(f"axis {lost[0]} of the image is merged with others")

        def compute(windows, place):
            cut = operand.cut(_renamed(windows, _inverse(axes)), place)
            sized = [_sized(windows, result.shape) for result in results]
            return _bind(equation, cut, **parameters(equation.params, cut.shape, sized[0]))

        return Passed(_renamed(operand.spans, axes), compute)

    return rule


def _squeezed(p, shape, new):
    gone = {axis % len(shape) for axis in p["dimensions"]}
    return {axis: i for i, axis in enumerate(a for a in range(len(shape)) if a not in gone)}


def _spread(p, shape, new):
    to = p["broadcast_dimensions"]
    return {axis: to[axis] for axis, size in enumerate(shape) if size == new[to[axis]]}


def _without(kept: Callable):
    """The axes that an equation treats entry by entry: all but some."""

    def axes(p, shape, new):
        gone = kept(p)
        return {axis: axis for axis in range(len(shape)) if axis not in gone}

    return axes


def _reduced(p, shape, new):
    gone = {axis % len(shape) for axis in p["axes"]}
    return {axis: i for i, axis in enumerate(a for a in range(len(shape)) if a not in gone)}


def _as_it_is(p, shape, new):
    return {}


def _slice(equation, operands, results):
    (operand,) = operands
    p = equation.params
    strides = p["strides"] or (1,) * len(operand.shape)
    options = {
        axis: {"stride": strides[axis], "pad": -p["start_indices"][axis]} for axis in operand.spans
    }
    spans = {
        axis: span.through(results[0].shape[axis], **options[axis])
        for axis, span in operand.spans.items()
    }

    def compute(windows, place):
        read = {axis: window.inputs(**options[axis]) for axis, window in windows.items()}
        starts, stops = list(p["start_indices"]), list(p["limit_indices"])
        for axis, window in read.items():
            starts[axis], stops[axis] = 0, window.size
        return [lax.slice(operand.cut(read, place), starts, stops, strides)]

    return Passed(spans, compute)


def _pad(equation, operands, results):
    operand, value = operands
    configuration = equation.params["padding_config"]
    if value.changed is not None or operand.changed is None:
        return Unreachable("what is padded with depends on the input")
    if any(configuration[axis][2] for axis in operand.spans):
        return Unreachable("padding between the entries")
    spans = {
        axis: span.through(results[0].shape[axis], pad=configuration[axis][0])
        for axis, span in operand.spans.items()
    }

    def compute(windows, place):
        read = {axis: window.inputs(pad=configuration[axis][0]) for axis, window in windows.items()}
        edges = [(0, 0, 0) if axis in windows else e for axis, e in enumerate(configuration)]
        return [lax.pad(operand.cut(read, place, value.original), value.original, edges)]

    return Passed(spans, compute)


def _concatenate(equation, operands, results):
    along = equation.params["dimension"]
    changed = [operand.changed.spans for operand in operands if operand.changed is not None]
    spans = joined(changed)
    if any(along in spans for spans in changed):
        return Unreachable("concatenation along an axis of the image")

    def compute(windows, place):
        return _bind(equation, *(operand.cut(windows, place) for operand in operands))

    return Passed(spans, compute)


def _sum(equation, operands, results):
    (operand,) = operands
    axes = _reduced(equation.params, operand.shape, None)
    summed = [axis for axis in operand.spans if axis not in axes]
    if not summed:
        return _rearranged(_reduced, _as_it_is)(equation, operands, results)

    def compute(windows, place):
        cut = {axis: operand.spans[axis].window for axis in summed}
        cut |= _renamed(windows, _inverse(axes))
        (added,) = _bind(equation, operand.cut(cut, place) - operand.before(cut, place))
        return [region(results[0], None, windows, place) + added]

    return Passed(_renamed(operand.spans, axes), compute)


_ELEMENTWISE = """
abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp convert_element_type
copy copy_p cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt imag integer_pow
is_finite le lgamma log log1p logistic lt max min mul name ne neg nextafter not or population_count
pow real reduce_precision rem round rsqrt select_n shift_left shift_right_arithmetic
shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh xor
"""

RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), _elementwise),
    "conv_general_dilated": _convolution,
    "reduce_window_max": _pooling(_smallest),
    "reduce_window_min": _pooling(_largest),
    "reduce_window_sum": _pooling(lambda dtype: 0),
    "dot_general": _product,
    "slice": _slice,
    "pad": _pad,
    "concatenate": _concatenate,
    "reduce_sum": _sum,
    **dict.fromkeys(
        "reduce_max reduce_min reduce_prod reduce_and reduce_or argmax argmin".split(),
        _rearranged(_reduced, _as_it_is),
    ),
    "reshape": _rearranged(
        lambda p, shape, new: _kept_axes(shape, new), lambda p, old, new: {"new_sizes": new}
    ),
    "transpose": _rearranged(
        lambda p, shape, new: _inverse(dict(enumerate(p["permutation"]))), _as_it_is
    ),
    "squeeze": _rearranged(_squeezed, _as_it_is),
    "broadcast_in_dim": _rearranged(_spread, lambda p, old, new: {"shape": new}),
    "rev": _rearranged(_without(lambda p: p["dimensions"]), _as_it_is),
    "split": _rearranged(_without(lambda p: [p["axis"]]), _as_it_is),
    "cumsum": _rearranged(_without(lambda p: [p["axis"]]), _as_it_is),
    "sort": _rearranged(_without(lambda p: [p["dimension"]]), _as_it_is),
}
