"""Changes behind windows that slide over an image: convolution, pooling, slices, padding."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from jaxviz.transform.operands import Passed, Unreachable, bind

__all__ = ["convolution", "largest", "padding", "pooling", "slicing", "smallest"]


def convolution(equation, operands, results):
    """`conv_general_dilated`, but for transposed ones."""
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
        return bind(equation, image.cut(read, place), kernel.original, padding=tuple(padding))

    return Passed(spans, compute)


def pooling(fill):
    """`reduce_window_max` and its like; `fill(dtype)` is what padding counts as."""

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
            return bind(
                equation,
                operand.cut(read, place, fill(operand.original.dtype)),
                padding=tuple(padding),
            )

        return Passed(spans, compute)

    return rule


def smallest(dtype):
    """What no maximum takes."""
    if jnp.issubdtype(dtype, jnp.bool_):
        return False
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


def largest(dtype):
    """What no minimum takes."""
    if jnp.issubdtype(dtype, jnp.bool_):
        return True
    return jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).max


def slicing(equation, operands, results):
    """`slice`, with any stride."""
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


def padding(equation, operands, results):
    """`pad`, also with negative edges, which crop."""
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
