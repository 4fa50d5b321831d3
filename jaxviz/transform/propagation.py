"""How a local change goes through each kind of equation.

A rule says which part of an equation's results an edit can reach, and how to compute a window that
holds it from windows of the inputs. What has no rule is computed as a whole.

Until it computes, a rule asks of a span no more than `side`, `through` and `joined`, so that
`receptive` can put sets in the place of intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxviz.transform.operands import Passed, Rule, Unreachable, bind, inverse, remaining, renamed
from jaxviz.transform.sliding import (
    convolution,
    largest,
    padding,
    pooling,
    slicing,
    smallest,
)
from jaxviz.transform.spans import joined
from jaxviz.transform.sums import product, summed

__all__ = ["RULES"]


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
        return bind(equation, *inputs)

    changed = [operand for operand in operands if operand.changed is not None]
    return Passed(joined(along(operand, operand.spans) for operand in changed), compute)


def _concatenate(equation, operands, results):
    along = equation.params["dimension"]
    changed = [operand.changed.spans for operand in operands if operand.changed is not None]
    spans = joined(changed)
    if any(along in spans for spans in changed):
        return Unreachable("concatenation along an axis of the image")

    def compute(windows, place):
        return bind(equation, *(operand.cut(windows, place) for operand in operands))

    return Passed(spans, compute)


def _reshaped(p, shape, new):
    """The axes that a reshape leaves as they are: the same length, and as many entries before."""
    if p["dimensions"] is not None:  # it reads its input in another order
        return {}
    before = {(math.prod(new[:axis]), size): axis for axis, size in enumerate(new) if size > 1}
    kept = {
        axis: before.get((math.prod(shape[:axis]), size))
        for axis, size in enumerate(shape)
        if size > 1
    }
    return {axis: to for axis, to in kept.items() if to is not None}


def _rearranged(axes_of: Callable, parameters: Callable):
    """Equations that keep the order of entries along some axes, whatever they do along others.

    `axes_of(parameters, shape, new shape)` gives these axes with their new numbers, and
    `parameters(size)` those parameters of the equation that name the size of its result.
    """

    def rule(equation, operands, results):
        if len(operands) > 1:
            return Unreachable("several inputs that are rearranged together")
        (operand,) = operands
        axes = axes_of(equation.params, operand.shape, results[0].shape)
        lost = [axis for axis in operand.spans if axis not in axes]
        if lost:
            return Unreachable(f"axis {lost[0]} of the image is merged with others")

        def compute(windows, place):
            cut = operand.cut(renamed(windows, inverse(axes)), place)
            new = [
                windows[axis].size if axis in windows else size
                for axis, size in enumerate(results[0].shape)
            ]
            return bind(equation, cut, **parameters(new))

        return Passed(renamed(operand.spans, axes), compute)

    return rule


def _squeezed(p, shape, new):
    return remaining(len(shape), p["dimensions"])


def _reduced(p, shape, new):
    return remaining(len(shape), p["axes"])


def _spread(p, shape, new):
    to = p["broadcast_dimensions"]
    return {axis: to[axis] for axis, size in enumerate(shape) if size == new[to[axis]]}


def _all_but(gone: Callable):
    """The axes that an equation treats entry by entry: all but some."""

    def axes(p, shape, new):
        return {axis: axis for axis in range(len(shape)) if axis not in gone(p)}

    return axes


def _as_it_is(new):
    return {}


_ELEMENTWISE = """
abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp convert_element_type
copy copy_p cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt imag integer_pow
is_finite le lgamma log log1p logistic lt max min mul name ne neg nextafter not or population_count
pow real reduce_precision rem round rsqrt select_n shift_left shift_right_arithmetic
shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh xor
"""

RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), _elementwise),
    "conv_general_dilated": convolution,
    "reduce_window_max": pooling(smallest),
    "reduce_window_min": pooling(largest),
    "reduce_window_sum": pooling(lambda dtype: 0),
    "dot_general": product,
    "slice": slicing,
    "pad": padding,
    "concatenate": _concatenate,
    "reduce_sum": summed,
    **dict.fromkeys(
        "reduce_max reduce_min reduce_prod reduce_and reduce_or argmax argmin".split(),
        _rearranged(_reduced, _as_it_is),
    ),
    "reshape": _rearranged(_reshaped, lambda new: {"new_sizes": tuple(new)}),
    "transpose": _rearranged(
        lambda p, shape, new: inverse(dict(enumerate(p["permutation"]))), _as_it_is
    ),
    "squeeze": _rearranged(_squeezed, _as_it_is),
    "broadcast_in_dim": _rearranged(_spread, lambda new: {"shape": tuple(new)}),
    "rev": _rearranged(_all_but(lambda p: p["dimensions"]), _as_it_is),
    "split": _rearranged(_all_but(lambda p: [p["axis"]]), _as_it_is),
    "cumsum": _rearranged(_all_but(lambda p: [p["axis"]]), _as_it_is),
    "sort": _rearranged(_all_but(lambda p: [p["dimension"]]), _as_it_is),
}
