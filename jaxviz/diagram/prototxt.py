"""Caffe's description of a network, which Netscope draws."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxviz.diagram.graph import Graph, Node, numbered

__all__ = ["prototxt"]


class Word(str):
    """A value that is written without quotes: the name of one of Caffe's constants."""


_Fields = list[tuple[str, Any]]


def prototxt(graph: Graph, *, title: str) -> str:
    """The network as Caffe describes it, without weights; paste it into Netscope.

    Caffe's axes are batch, channels, height, width. A batch normalisation becomes the two layers
    that Caffe makes of it. Where a pooling rounds down, `round_mode: FLOOR` says so to Caffe;
    Netscope, which only rounds up, then shows one row and column more.

    Args:
      graph: of layers.
      title: the model's name.

    Returns:
      Text in the format of protocol buffers.

    Raises:
      NotImplementedError: Caffe has no such layer, or pads in another way; the layer is named.

    Example:
      >>> nodes = Node("input", "input", (), (1, 2)), Node("relu", "ReLU", ("input",), (1, 2))
      >>> print(prototxt(Graph(nodes, ("relu",)), title="tiny"))
      name: "tiny"
      layer {
        name: "input"
        type: "Input"
        top: "input"
        input_param {
          shape {
            dim: 1
            dim: 2
          }
        }
      }
      layer {
        name: "relu"
        type: "ReLU"
        bottom: "input"
        top: "relu"
      }

    References:
      Jia et al., Caffe: Convolutional Architecture for Fast Feature Embedding, ACM Multimedia 2014.
    """
    nodes = {node.name: node for node in graph.nodes}
    # What Caffe calls the value of a node.
    blob: dict[str, str] = {}
    taken = set(nodes)
    written = [f"name: {json.dumps(title)}"]
    for node in graph.nodes:
        bottoms = [blob[source] for source in node.inputs]
        if _changes_nothing(node, nodes):
            blob[node.name] = bottoms[0]
            continue
        blob[node.name] = node.name
        for kind, suffix, fields in _layers(node, nodes):
            name = numbered(f"{node.name}{suffix}", taken) if suffix else node.name
            taken.add(name)
            head: _Fields = [("name", name), ("type", kind)]
            head += [("bottom", bottom) for bottom in bottoms]
            tops = [value for key, value in fields if key == "top"] or [name]
            head += [("top", top) for top in tops]
            body = [(key, value) for key, value in fields if key != "top"]
            written += _written([("layer", [*head, *body])], "")
            bottoms = [name]
            blob[node.name] = name
    return "\n".join(written) + "\n"


def _written(fields: _Fields, indent: str) -> Iterator[str]:
    for key, value in fields:
        if isinstance(value, list):
            yield f"{indent}{key} {{"
            yield from _written(value, indent + "  ")
            yield f"{indent}}}"
        elif isinstance(value, bool):
            yield f"{indent}{key}: {str(value).lower()}"
        elif isinstance(value, str) and not isinstance(value, Word):
            yield f"{indent}{key}: {json.dumps(value)}"
        else:
            yield f"{indent}{key}: {value}"


def _changes_nothing(node: Node, nodes: dict[str, Node]) -> bool:
    """An identity, or a reshape that adds or takes away axes of one entry: Caffe keeps them all."""
    if node.kind == "identity":
        return True
    sizes = [size for size in node.shape if size != 1]
    return (
        node.kind == "reshape"
        and [size for size in nodes[node.inputs[0]].shape if size != 1] == sizes
    )


def _layers(node: Node, nodes: dict[str, Node]) -> Iterator[tuple[str, str, _Fields]]:
    """Caffe's layers for a node: type, end of the name, fields."""
    if node.kind in _SIMPLE:
        kind, fields = _SIMPLE[node.kind]
        yield kind, "", list(fields)
    elif node.kind in _RULES:
        yield from _RULES[node.kind](node, nodes)
    else:
        raise NotImplementedError(
            f"Caffe has no layer for '{node.kind}', which '{node.name}' is; "
            "onnx, dot and svg show it."
        )


def _axes_of_caffe(shape: Sequence[int]) -> tuple[int, ...]:
    return (shape[0], shape[-1], *shape[1:-1]) if len(shape) > 2 else tuple(shape)


def _input(node: Node, nodes: dict[str, Node]) -> Iterator[tuple[str, str, _Fields]]:
    sizes: _Fields = [("dim", size) for size in _axes_of_caffe(node.shape)]
    yield "Input", "", [("input_param", [("shape", sizes)])]


def _square(key: str, sizes: Sequence[int]) -> _Fields:
    """A size along both axes: one number where it is the same."""
    if len(set(sizes)) == 1:
        return [(key, sizes[0])]
    both = {"kernel_size": "kernel"}.get(key, key)
    return [(f"{both}_h", sizes[0]), (f"{both}_w", sizes[1])]


def _convolution(node: Node, nodes: dict[str, Node]) -> Iterator[tuple[str, str, _Fields]]:
    settings = node.settings
    for low, high in settings["padding"]:
        if low != high:
            raise NotImplementedError(
                f"Caffe pads both sides alike, and '{node.name}' pads {low} before and {high} "
                "behind; onnx keeps the padding."
            )
    pads = [low for low, _ in settings["padding"]]
    fields: _Fields = [("num_output", node.shape[-1]), ("bias_term", settings["bias"])]
    fields += _square("pad", pads) if any(pads) else []
    fields += _square("kernel_size", settings["kernel"])
    fields += _square("stride", settings["stride"])
    if settings["groups"] > 1:
        fields.append(("group", settings["groups"]))
    if any(step > 1 for step in settings["dilation"]):
        fields += [("dilation", step) for step in settings["dilation"]]
    kind = "Convolution" if node.kind == "conv" else "Deconvolution"
    yield kind, "", [("convolution_param", fields)]


def _dense(node: Node, nodes: dict[str, Node]) -> Iterator[tuple[str, str, _Fields]]:
    fields: _Fields = [("num_output", node.shape[-1]), ("bias_term", node.settings["bias"])]
    if len(node.shape) > 2:
        fields.append(("axis", len(node.shape) - 1))
    yield "InnerProduct", "", [("inner_product_param", fields)]


def _batch_norm(node: Node, nodes: dict[str, Node]) -> Iterator[tuple[str, str, _Fields]]:
    fields: _Fields = [("use_global_stats", True)]
    if "eps" in node.settings:
        fields.append(("eps", Word(f"{node.settings['eps']:.7g}")))
    yield "BatchNorm", "", [("batch_norm_param", fields)]
    if node.parameters:
        yield "Scale", ".scale", [("scale_param", [("bias_term", True)])]


def _scale(node: Node, nodes: dict[str, Node]) -> Iterator[tuple[str, str, _Fields]]:
    if node.parameters:
        yield "Scale", "", [("scale_param", [("bias_term", True)])]
        return
    scale, shift = 1.0, 0.0
    for step, number in node.settings["steps"]:
        if number is None:
            raise NotImplementedError(
                f"Caffe has no layer for '{node.name}', which multiplies by an array of constants."
            )
        if step in ("mul", "div"):
            factor = number if step == "mul" else 1 / number
            scale, shift = scale * factor, shift * factor
        else:
            shift += number if step == "add" else -number
    yield (
        "Power",
        "",
        [("power_param", [("scale", Word(f"{scale:.7g}")), ("shift", Word(f"{shift:.7g}"))])],
    )


def _pooling(node: Node, nodes: dict[str, Node]) -> Iterator[tuple[str, str, _Fields]]:
    method = Word("MAX" if node.kind == "max pool" else "AVE")
    settings = node.settings
    kernel, strides, padding = (settings[key] for key in ("kernel", "stride", "padding"))
    fields: _Fields = [("pool", method), *_square("kernel_size", kernel)]
    fields += _square("stride", strides)
    before = [low for low, _ in padding]
    fields += _square("pad", before) if any(before) else []
    read, made = nodes[node.inputs[0]].shape[1:-1], node.shape[1:-1]
    sizes = list(zip(read, kernel, strides, before, strict=True))
    if made != tuple(_pooled(*size, up=True) for size in sizes):
        if made != tuple(_pooled(*size, up=False) for size in sizes):
            raise NotImplementedError(
                f"Caffe pads both sides alike, and '{node.name}' pads {padding}; "
                "onnx keeps the padding."
            )
        fields.append(("round_mode", Word("FLOOR")))
    yield "Pooling", "", [("pooling_param", fields)]


def _pooled(size: int, window: int, stride: int, pad: int, *, up: bool) -> int:
    """How many windows Caffe puts along an axis."""
    room = size + 2 * pad - window
    count = (-(-room // stride) if up else room // stride) + 1
    return count - 1 if pad and (count - 1) * stride >= size + pad else count


def _concatenation(node: Node, nodes: dict[str, Node]) -> Iterator[tuple[str, str, _Fields]]:
    axis = _axis(node.settings["axis"], len(node.shape))
    yield "Concat", "", [("concat_param", [("axis", axis)])]


def _axis(axis: int, rank: int) -> int:
    """An axis as Caffe counts it, which has the channels second."""
    if rank < 3 or axis == 0:
        return axis
    return 1 if axis == rank - 1 else axis + 1


def _slice(node: Node, nodes: dict[str, Node]) -> Iterator[tuple[str, str, _Fields]]:
    parts = node.settings["parts"]
    if len(parts) != 1 or any(step != 1 for step in node.settings["stride"]):
        raise NotImplementedError(
            f"Caffe slices one axis without gaps, and '{node.name}' does not; onnx, dot and svg "
            "show it."
        )
    ((axis, start, stop, size),) = parts
    rank = len(nodes[node.inputs[0]].shape)
    points = [point for point in (start, stop) if 0 < point < size]
    tops = [node.name]
    if start:
        tops.insert(0, f"{node.name}.before")
    if stop < size:
        tops.append(f"{node.name}.behind")
    fields: _Fields = [("axis", _axis(axis, rank)), *(("slice_point", p) for p in points)]
    yield "Slice", "", [*(("top", top) for top in tops), ("slice_param", fields)]


def _response(node: Node, nodes: dict[str, Node]) -> Iterator[tuple[str, str, _Fields]]:
    settings = node.settings
    # Caffe divides alpha by the size of the window.
    alpha = settings["alpha"] * settings["size"]
    yield (
        "LRN",
        "",
        [
            (
                "lrn_param",
                [
                    ("local_size", settings["size"]),
                    ("alpha", Word(f"{alpha:.7g}")),
                    ("beta", Word(f"{settings['beta']:.7g}")),
                    ("k", Word(f"{settings['k']:.7g}")),
                ],
            )
        ],
    )


_SIMPLE: dict[str, tuple[str, _Fields]] = {
    "ReLU": ("ReLU", []),
    "sigmoid": ("Sigmoid", []),
    "tanh": ("TanH", []),
    "ELU": ("ELU", []),
    "abs": ("AbsVal", []),
    "exp": ("Exp", []),
    "log": ("Log", []),
    "softmax": ("Softmax", []),
    "flatten": ("Flatten", []),
    "add": ("Eltwise", [("eltwise_param", [("operation", Word("SUM"))])]),
    "multiply": ("Eltwise", [("eltwise_param", [("operation", Word("PROD"))])]),
    "maximum": ("Eltwise", [("eltwise_param", [("operation", Word("MAX"))])]),
    "global average pool": (
        "Pooling",
        [("pooling_param", [("pool", Word("AVE")), ("global_pooling", True)])],
    ),
    "global max pool": (
        "Pooling",
        [("pooling_param", [("pool", Word("MAX")), ("global_pooling", True)])],
    ),
}

_RULES: dict[str, Callable[[Node, dict[str, Node]], Iterator[tuple[str, str, _Fields]]]] = {
    "input": _input,
    "conv": _convolution,
    "transposed conv": _convolution,
    "dense": _dense,
    "batch norm": _batch_norm,
    "scale": _scale,
    "max pool": _pooling,
    "average pool": _pooling,
    "concat": _concatenation,
    "slice": _slice,
    "local response norm": _response,
}
