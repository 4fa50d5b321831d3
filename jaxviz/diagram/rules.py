"""What each primitive becomes: a new layer, or a part of the layer before.

A bias joins its convolution, the steps of batch normalisation are one layer, the division joins the
average. What only moves values (transposed axes, axes of one entry) leaves no trace unless it has a
name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxviz.diagram.layer import Layer
from jaxviz.diagram.program import CALLS, Operation
from jaxviz.transform.interpret import opened

__all__ = ["Result", "Rule", "Value", "channels_last", "renamed", "rule_of"]


class Value(NamedTuple):
    """What an operation puts out.

    Attributes:
      layer: that makes it.
      shape: as the program has it.
      channels: the axis of the channels, -1 for the last.
      open: whether the next operation may join the layer: nothing else reads it, no tap names it.
    """

    layer: Layer
    shape: tuple[int, ...]
    channels: int
    open: bool


class Result(NamedTuple):
    """The layer that a rule made or found, and the axis of its channels."""

    layer: Layer
    channels: int


Rule = Callable[[Operation, Sequence[Value]], Result]


def channels_last(shape: tuple[int, ...], channels: int) -> tuple[int, ...]:
    """A shape with the axis of the channels moved to the end."""
    if len(shape) < 3 or channels == -1:
        return shape
    return (*shape[:channels], *shape[channels + 1 :], shape[channels])


def _last_axis(axis: int, channels: int, rank: int) -> int:
    """Where an axis lies when the channels are last."""
    if rank < 3:
        return axis
    channels %= rank
    return rank - 1 if axis == channels else axis - (axis > channels)


def _places(shape: Sequence[int], channels: int) -> list[int]:
    """The axes that are neither the batch nor the channels."""
    return [axis for axis in range(1, len(shape)) if axis != channels % len(shape)]


def _new(
    kind: str,
    operation: Operation,
    sources: Sequence[Value],
    channels: int | None = None,
    **settings: Any,
) -> Result:
    if channels is None:
        same_rank = [value for value in sources if len(value.shape) == len(operation.shape)]
        channels = same_rank[0].channels if same_rank else -1
    layer = Layer(
        kind,
        [value.layer for value in sources],
        channels_last(operation.shape, channels),
        settings,
        multiplications=operation.multiplications,
    )
    return _joined(layer, operation, channels)


def _joined(layer: Layer, operation: Operation, channels: int) -> Result:
    """`layer` with the weights that the operation reads."""
    for weight in operation.weights:
        layer.leaves |= weight.leaves
        layer.made_by |= weight.made_by
        layer.scalars += weight.scalars
    return Result(layer, channels)


def renamed(operation: Operation, value: Value) -> Layer:
    """A layer of its own for a value that was only moved, but has got a name."""
    kind = "identity"
    if len(operation.shape) != len(value.shape):
        kind = "flatten" if len(operation.shape) == 2 else "reshape"
    return Layer(kind, [value.layer], operation.shape)


# Rules. Each is given an operation and the values that it reads.


def rule_of(operation: Operation) -> Rule:
    """What becomes of an operation; one that has no rule is a layer named after its primitive."""
    if operation.name in CALLS:
        return lambda operation, sources: _new(CALLS[operation.name], operation, sources[:1])
    return _RULES.get(operation.name, _any)


def _any(operation: Operation, sources: Sequence[Value]) -> Result:
    return _new(operation.name.replace("_", " "), operation, sources)


def _input(operation: Operation, sources: Sequence[Value]) -> Result:
    return _new("input", operation, sources)


def _moved(operation: Operation, sources: Sequence[Value]) -> Result:
    (value,) = sources
    channels = value.channels
    if operation.name == "transpose":
        order = operation.parameters["permutation"]
        return Result(value.layer, order.index(channels % len(order)))
    before = [size for size in value.shape if size != 1]
    after = [size for size in operation.shape if size != 1]
    if operation.name == "reshape" and before != after:
        flat = len(operation.shape) == 2 and operation.shape[0] == value.shape[0]
        return _new("flatten" if flat else "reshape", operation, sources, -1)
    if len(operation.shape) != len(value.shape):
        channels = _carried(value.shape, operation.shape, channels)
    return Result(value.layer, channels)


def _carried(before: Sequence[int], after: Sequence[int], axis: int) -> int:
    """Where an axis lies after axes of one entry were added or taken away."""
    if axis == -1 or before[axis] == 1:
        return -1
    rank = sum(size != 1 for size in before[:axis])
    wide = [place for place, size in enumerate(after) if size != 1]
    return wide[rank] if rank < len(wide) else -1


def _copied(operation: Operation, sources: Sequence[Value]) -> Result:
    return Result(sources[0].layer, sources[0].channels)


def _convolution(operation: Operation, sources: Sequence[Value]) -> Result:
    if len(sources) > 1 or not isinstance(operation.operands[0], int):
        return _any(operation, sources)  # a kernel that is computed of the image
    p = operation.parameters
    numbers, kernel = p["dimension_numbers"], operation.inputs[1]
    padding = [tuple(pair) for pair in p["padding"]]
    value = sources[0]
    read = sources
    places = numbers.lhs_spec[2:]
    if value.open and value.layer.kind == "pad" and _only_borders(value.layer, places):
        added = [value.layer.settings["pads"][axis] for axis in places]
        padding = [
            (low + more[0], high + more[1])
            for (low, high), more in zip(padding, added, strict=True)
        ]
        read = [value._replace(layer=value.layer.sources[0])]
    spread = any(factor > 1 for factor in p["lhs_dilation"])
    return _new(
        "transposed conv" if spread else "conv",
        operation,
        read,
        numbers.out_spec[1],
        kernel=tuple(kernel[axis] for axis in numbers.rhs_spec[2:]),
        stride=tuple(p["lhs_dilation"] if spread else p["window_strides"]),
        padding=tuple(padding),
        dilation=tuple(p["rhs_dilation"]),
        groups=p["feature_group_count"],
        channels_read=value.shape[numbers.lhs_spec[1]],
        bias=False,
    )


def _only_borders(pad: Layer, places: Sequence[int]) -> bool:
    """Whether a padding puts zeros around the image, as a convolution does."""
    pads = pad.settings["pads"]
    elsewhere = [pair for axis, pair in enumerate(pads) if axis not in places]
    return pad.settings["zero"] and not any(map(any, elsewhere))


def _product(operation: Operation, sources: Sequence[Value]) -> Result:
    """A dense layer, or the same at every place of an image: a 1x1 convolution."""
    if len(sources) == 2:
        return _new("matrix product", operation, sources)
    (value,) = sources
    (weight,) = operation.weights
    (left, right), (batch, _) = operation.parameters["dimension_numbers"]
    axes = left if isinstance(operation.operands[0], int) else right
    if not weight.leaves:
        if value.open and value.layer.kind == "linear map":
            value.layer.multiplications += operation.multiplications
            value.layer.shape = operation.shape
            return _joined(value.layer, operation, value.channels)
        return _new("linear map", operation, sources)
    features = 1
    for axis in axes:
        features *= value.shape[axis]
    free = [axis for axis in range(len(value.shape)) if axis not in axes]
    # The product has the free axes of the image first, and the new channels behind them.
    from_left = isinstance(operation.operands[0], int)
    if len(axes) != 1 or len(free) < 3 or batch:
        return _new("dense", operation, sources, -1, channels_read=features, bias=False)
    read, stride = sources, (1,) * (len(free) - 1)
    if value.open and value.layer.kind == "slice" and _only_strides(value, free[1:]):
        stride = tuple(value.layer.settings["stride"][axis] for axis in free[1:])
        read = [value._replace(layer=value.layer.sources[0])]
    return _new(
        "conv",
        operation,
        read,
        -1 if from_left else 0,
        kernel=(1,) * (len(free) - 1),
        stride=stride,
        padding=((0, 0),) * (len(free) - 1),
        dilation=(1,) * (len(free) - 1),
        groups=1,
        channels_read=features,
        bias=False,
    )


def _only_strides(value: Value, axes: Sequence[int]) -> bool:
    """Whether a slice takes every so many of all places along `axes`, as a convolution does."""
    steps, sizes = (value.layer.settings[key] for key in ("stride", "sizes"))
    return not any(value.layer.settings["start"]) and all(
        made == (-(-size // step) if axis in axes else size)
        for axis, (made, size, step) in enumerate(zip(value.shape, sizes, steps, strict=True))
    )


def _slice(operation: Operation, sources: Sequence[Value]) -> Result:
    (value,) = sources[:1]
    if operation.shape == value.shape:
        return Result(value.layer, value.channels)
    p, rank = operation.parameters, len(value.shape)
    start = tuple(p.get("start_indices", ()))
    stride = tuple(p.get("strides") or (1,) * rank)
    parts = [
        (_last_axis(axis, value.channels, rank), first, stop, size)
        for axis, (first, stop, size) in enumerate(
            zip(start, p.get("limit_indices", ()), value.shape, strict=False)
        )
        if (first, stop) != (0, size)
    ]
    return _new(
        "slice", operation, sources, start=start, stride=stride, parts=parts, sizes=value.shape
    )


def _config(operation: Operation) -> Sequence[tuple[int, int, int]]:
    return operation.parameters["padding_config"]


def _pad(operation: Operation, sources: Sequence[Value]) -> Result:
    pads = tuple((low, high) for low, high, _ in _config(operation))
    plain = all(not inner and min(low, high) >= 0 for low, high, inner in _config(operation))
    zero = plain and bool(operation.weights) and operation.weights[-1].value == 0.0
    return _new("pad", operation, sources, pads=pads, zero=zero)


def _windows(kind: str) -> Rule:
    def rule(operation: Operation, sources: Sequence[Value]) -> Result:
        p, value = operation.parameters, sources[0]
        own = kind
        if "jaxpr" in p:
            inside = {equation.primitive.name for equation in opened(p["jaxpr"])[0].eqns}
            own = {"max": "max pool", "add": "sum pool"}.get("".join(inside), "window function")
        window, places = p["window_dimensions"], _places(value.shape, value.channels)
        if any(window[axis] > 1 for axis in range(len(window)) if axis not in places):
            return _new(
                "window sum" if own == "sum pool" else own, operation, sources, kernel=tuple(window)
            )
        if len(places) > 2:  # an axis of one entry, which `vmap` put there
            places = [axis for axis in places if value.shape[axis] > 1 or window[axis] > 1]
        if all(window[axis] == 1 == p["window_strides"][axis] for axis in places):
            return Result(value.layer, value.channels)
        return _new(
            own,
            operation,
            sources[:1],
            kernel=tuple(window[axis] for axis in places),
            stride=tuple(p["window_strides"][axis] for axis in places),
            padding=tuple(tuple(p["padding"][axis]) for axis in places),
        )

    return rule


def _reduction(kind: str) -> Rule:
    def rule(operation: Operation, sources: Sequence[Value]) -> Result:
        value = sources[0]
        axes = sorted(operation.parameters["axes"])
        everywhere = bool(axes) and axes == _places(value.shape, value.channels)
        over = "image" if everywhere and len(value.shape) > 2 else tuple(axes)
        own = "global max pool" if kind == "largest" and over == "image" else kind
        channels = value.channels % len(value.shape)
        left = -1 if channels in axes else channels - sum(axis < channels for axis in axes)
        return _new(own, operation, sources, left, over=over)

    return rule


def _arithmetic(kind: str) -> Rule:
    def rule(operation: Operation, sources: Sequence[Value]) -> Result:
        if len(sources) != 1:
            return _new(kind, operation, sources)
        (value,), (weight,), layer = sources, operation.weights, sources[0].layer
        name = operation.name
        if name == "max" and weight.value == 0.0:
            return _new("rectification", operation, sources)
        if name not in ("add", "sub", "mul", "div"):
            return _new(kind, operation, sources, other=weight.value)
        step = name, weight.value
        if value.open:
            takes_bias = layer.settings.get("bias") is False and name == "add" and weight.leaves
            averages = layer.kind in _AVERAGES and name in ("mul", "div") and not weight.leaves
            if takes_bias:
                layer.settings["bias"] = True
            if averages:
                over = layer.settings.get("over")
                layer.kind = "global average pool" if over == "image" else _AVERAGES[layer.kind]
            if layer.kind == "scale":
                layer.steps.append(step)
            if takes_bias or averages or layer.kind == "scale":
                return _joined(layer, operation, value.channels)
        result = _new("scale", operation, sources)
        result.layer.steps.append(step)
        return result

    return rule


_AVERAGES = {"sum": "mean", "sum pool": "average pool"}


def _clip(operation: Operation, sources: Sequence[Value]) -> Result:
    bounds = [weight.value for weight in operation.weights]
    return _new("ReLU6" if bounds == [0.0, 6.0] else "clip", operation, sources)


def _concatenation(operation: Operation, sources: Sequence[Value]) -> Result:
    axis = _last_axis(operation.parameters["dimension"], sources[0].channels, len(operation.shape))
    return _new("concat", operation, sources, axis=axis)


_RULES: dict[str, Rule] = {
    "input": _input,
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "slice": _slice,
    "dynamic_slice": _slice,
    "pad": _pad,
    "clamp": _clip,
    "concatenate": _concatenation,
    "reduce_window_max": _windows("max pool"),
    "reduce_window_sum": _windows("sum pool"),
    "reduce_window": _windows("window function"),
    "reduce_sum": _reduction("sum"),
    "reduce_max": _reduction("largest"),
    "reduce_min": _reduction("smallest"),
    "logistic": lambda operation, sources: _new("sigmoid", operation, sources),
    **dict.fromkeys(("transpose", "reshape", "squeeze", "broadcast_in_dim"), _moved),
    **dict.fromkeys(
        (
            "convert_element_type",
            "copy",
            "copy_p",
            "device_put",
            "optimization_barrier",
            "pvary",
            "reduce_precision",
            "sharding_constraint",
            "stop_gradient",
        ),
        _copied,
    ),
    **{
        name: _arithmetic(kind)
        for name, kind in {
            "add": "add",
            "add_any": "add",
            "sub": "subtract",
            "mul": "multiply",
            "div": "divide",
            "max": "maximum",
            "min": "minimum",
            "pow": "power",
        }.items()
    },
}
