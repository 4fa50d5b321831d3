"""Caffe's description, read back by protobuf, with the shapes that Caffe would give it."""

import math

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

import ports
from jaxviz.diagram.architecture import architecture
from jaxviz.diagram.graph import Graph, Node
from jaxviz.diagram.prototxt import prototxt

# The fields of caffe.proto that a description of ours may have: name -> (type, repeated).
_MESSAGES = {
    "Net": {"name": "string", "layer": "*Layer"},
    "Layer": {
        "name": "string",
        "type": "string",
        "bottom": "*string",
        "top": "*string",
        "input_param": "Input",
        "convolution_param": "Convolution",
        "inner_product_param": "InnerProduct",
        "batch_norm_param": "BatchNorm",
        "scale_param": "Scale",
        "power_param": "Power",
        "pooling_param": "Pooling",
        "eltwise_param": "Eltwise",
        "concat_param": "Concat",
        "slice_param": "Slice",
        "lrn_param": "LRN",
    },
    "Shape": {"dim": "*int64"},
    "Input": {"shape": "*Shape"},
    "Convolution": {
        "num_output": "uint32",
        "bias_term": "bool",
        "pad": "*uint32",
        "kernel_size": "*uint32",
        "stride": "*uint32",
        "dilation": "*uint32",
        "pad_h": "uint32",
        "pad_w": "uint32",
        "kernel_h": "uint32",
        "kernel_w": "uint32",
        "stride_h": "uint32",
        "stride_w": "uint32",
        "group": "uint32",
    },
    "InnerProduct": {"num_output": "uint32", "bias_term": "bool", "axis": "int32"},
    "BatchNorm": {"use_global_stats": "bool", "eps": "float"},
    "Scale": {"bias_term": "bool"},
    "Power": {"scale": "float", "shift": "float", "power": "float"},
    "Pooling": {
        "pool": "=MAX AVE STOCHASTIC",
        "pad": "uint32",
        "pad_h": "uint32",
        "pad_w": "uint32",
        "kernel_size": "uint32",
        "kernel_h": "uint32",
        "kernel_w": "uint32",
        "stride": "uint32",
        "stride_h": "uint32",
        "stride_w": "uint32",
        "global_pooling": "bool",
        "round_mode": "=CEIL FLOOR",
    },
    "Eltwise": {"operation": "=PROD SUM MAX"},
    "Concat": {"axis": "int32"},
    "Slice": {"axis": "int32", "slice_point": "*uint32"},
    "LRN": {"local_size": "uint32", "alpha": "float", "beta": "float", "k": "float"},
}


def _net_class():
    file = descriptor_pb2.FileDescriptorProto(name="subset.proto", package="caffe", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = message.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            if kind.startswith("*"):
                added.label, kind = kinds.LABEL_REPEATED, kind[1:]
            if kind.startswith("="):
                choice = message.enum_type.add(name=f"Of_{field}")
                for value, word in enumerate(kind[1:].split()):
                    choice.value.add(name=f"{word}", number=value)
                added.type, added.type_name = kinds.TYPE_ENUM, f".caffe.{name}.Of_{field}"
            elif kind in _MESSAGES:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                added.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.Net"))


Net = _net_class()


def parsed(text):
    return text_format.Parse(text, Net())


def _pair(message, name):
    both = getattr(message, f"{name}_h", 0), getattr(message, f"{name}_w", 0)
    if any(both):
        return both
    one = getattr(message, "kernel_size" if name == "kernel" else name)
    values = list(one) if hasattr(one, "__len__") else [one]
    return (values or [0])[0], (values or [0])[-1]


def caffe_shapes(net):
    """The shape of every blob by Caffe's rules, and the numbers that its layers learn."""
    shapes, learnt = {}, 0
    for layer in net.layer:
        below = [shapes[bottom] for bottom in layer.bottom]
        if layer.type == "Input":
            shape = tuple(layer.input_param.shape[0].dim)
        elif layer.type == "Convolution":
            p = layer.convolution_param
            pads, windows, steps = (_pair(p, name) for name in ("pad", "kernel", "stride"))
            gaps = list(p.dilation) or [1, 1]
            sides = [
                (size + 2 * pad - (gap * (window - 1) + 1)) // max(step, 1) + 1
                for size, pad, gap, window, step in zip(
                    below[0][2:], pads, gaps, windows, steps, strict=True
                )
            ]
            shape = (below[0][0], p.num_output, *sides)
            learnt += math.prod(windows) * below[0][1] // max(p.group, 1) * p.num_output
            learnt += p.num_output * p.bias_term
        elif layer.type == "Pooling":
            p = layer.pooling_param
            sides = []
            for size, pad, window, step in zip(
                below[0][2:], *(_pair(p, name) for name in ("pad", "kernel", "stride")), strict=True
            ):
                if p.global_pooling:
                    sides.append(1)
                    continue
                room = (size + 2 * pad - window) / step
                up = p.round_mode == 0
                count = (math.ceil(room) if up else math.floor(room)) + 1
                sides.append(count - (pad > 0 and (count - 1) * step >= size + pad))
            shape = (*below[0][:2], *sides)
        elif layer.type == "InnerProduct":
            p = layer.inner_product_param
            shape = (below[0][0], p.num_output)
            learnt += math.prod(below[0][1:]) * p.num_output + p.num_output * p.bias_term
        elif layer.type == "Flatten":
            shape = (below[0][0], math.prod(below[0][1:]))
        elif layer.type == "Concat":
            axis = layer.concat_param.axis
            shape = list(below[0])
            shape[axis] = sum(other[axis] for other in below)
            shape = tuple(shape)
        elif layer.type == "Slice":
            p = layer.slice_param
            ends = [0, *p.slice_point, below[0][p.axis]]
            for top, first, last in zip(layer.top, ends[:-1], ends[1:], strict=True):
                part = list(below[0])
                part[p.axis] = last - first
                shapes[top] = tuple(part)
            continue
        else:
            assert layer.type in ("ReLU", "BatchNorm", "Scale", "Power", "Eltwise", "LRN")
            assert len(set(below)) == 1
            shape = below[0]
            learnt += 2 * shape[1] * (layer.type == "Scale")
        (top,) = layer.top
        assert top == layer.name, "Netscope knows values by the layers that make them"
        assert top not in shapes
        shapes[top] = shape
    return shapes, learnt


@pytest.mark.parametrize("name", ports.names())
def test_caffe_makes_the_same_shapes_and_numbers(name, port_graph):
    graph = port_graph(name)
    net = parsed(prototxt(graph, title=name))
    assert net.name == name
    shapes, learnt = caffe_shapes(net)
    assert learnt == graph.parameters
    for node in graph.nodes:
        if node.name not in shapes:
            assert node.kind in ("identity", "reshape")
            continue
        # Caffe keeps axes of one entry, and has the channels second.
        expected = (node.shape[0], node.shape[-1], *node.shape[1:-1])
        without_ones = [size for size in shapes[node.name] if size != 1]
        assert without_ones == [size for size in expected if size != 1], node.name
    assert len(net.layer) >= sum(node.kind != "identity" for node in graph.nodes) - 3


def test_linen(linen_model):
    net = parsed(prototxt(architecture(*linen_model), title="linen"))
    shapes, learnt = caffe_shapes(net)
    assert shapes["head"] == (1, 5)
    assert learnt == architecture(*linen_model).parameters


def test_what_caffe_cannot_say_is_refused(equinox_model):
    with pytest.raises(NotImplementedError, match="no layer for 'norm', which 'norm' is"):
        prototxt(architecture(*equinox_model), title="equinox")
    first = Node("input", "input", (), (1, 8, 8, 3))
    settings = {"kernel": (3, 3), "stride": (2, 2), "padding": ((0, 1), (0, 1)), "dilation": (1, 1)}
    conv = Node("conv", "conv", ("input",), (1, 4, 4, 5), 0, 0, {**settings, "groups": 1})
    with pytest.raises(NotImplementedError, match="'conv' pads 0 before and 1 behind"):
        prototxt(Graph((first, conv), ("conv",)), title="same")


def test_names_are_quoted():
    graph = Graph((Node('say "hi"\\', "input", (), (1, 2)),), ())
    assert parsed(prototxt(graph, title='"')).layer[0].name == 'say "hi"\\'
