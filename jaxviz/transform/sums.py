"""Changes behind sums: products with weights, and sums over the image.

A sum over an axis of the image is updated: the original's, minus the window's entries before, plus
those after. So rounding is relative to what the original's sum is made of, and an infinite or NaN
entry that an edit covers stays in it.
"""

from __future__ import annotations

from jaxviz.transform.changes import region
from jaxviz.transform.operands import Passed, Unreachable, bind, inverse, remaining, renamed

__all__ = ["product", "summed"]


def product(equation, operands, results):
    """`dot_general`: along free axes a window stays one; contracted axes are summed over."""
    changed = [i for i, operand in enumerate(operands) if operand.changed is not None]
    if len(changed) > 1:
        return Unreachable("a product of two values that depend on the input")
    (moving,) = changed
    contracting, batch = equation.params["dimension_numbers"]
    own, other = operands[moving], operands[1 - moving]
    if any(axis in own.spans for axis in batch[moving]):
        return Unreachable("a batched product along an axis of the image")
    if any(axis in own.spans for axis in contracting[moving]):
        return _contraction(equation, operands, results, moving)
    free = [
        [axis for axis in range(len(operand.shape)) if axis not in (*contracted, *batched)]
        for operand, contracted, batched in zip(operands, contracting, batch, strict=True)
    ]
    first = len(batch[0]) + (len(free[0]) if moving else 0)
    axes = {axis: first + i for i, axis in enumerate(free[moving])}

    def compute(windows, place):
        inputs = [other.original] * 2
        inputs[moving] = own.cut(renamed(windows, inverse(axes)), place)
        return bind(equation, *inputs)

    return Passed(renamed(own.spans, axes), compute)


def _contraction(equation, operands, results, moving):
    """A product that sums over an axis of the image: the original's, and what the change adds."""
    contracting, _ = equation.params["dimension_numbers"]
    own, other = operands[moving], operands[1 - moving]
    pairs = dict(zip(contracting[moving], contracting[1 - moving], strict=True))
    if any(axis not in pairs for axis in own.spans):
        return Unreachable("a product that sums over one axis of the image")
    if results[0].dtype == bool:
        return Unreachable("a sum of booleans")

    def compute(windows, place):
        cut = {axis: span.window for axis, span in own.spans.items()}
        inputs = [other.before(renamed(cut, pairs), place)] * 2
        # Subtracted behind the product, which may have more bits than what goes into it.
        (after,), (before,) = (
            bind(equation, *inputs[:moving], part, *inputs[moving + 1 :])
            for part in (own.cut(cut, place), own.before(cut, place))
        )
        return [results[0] + (after - before)]

    return Passed({}, compute)


def summed(equation, operands, results):
    """`reduce_sum`."""
    (operand,) = operands
    axes = remaining(len(operand.shape), equation.params["axes"])
    gone = [axis for axis in operand.spans if axis not in axes]

    def compute(windows, place):
        cut = {axis: operand.spans[axis].window for axis in gone}
        cut |= renamed(windows, inverse(axes))
        if not gone:
            return bind(equation, operand.cut(cut, place))
        (added,) = bind(equation, operand.cut(cut, place) - operand.before(cut, place))
        return [region(results[0], None, windows, place) + added]

    return Passed(renamed(operand.spans, axes), compute)
