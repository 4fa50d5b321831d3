"""Layers, numbers and edges, against what is known of the networks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

import jaxviz as jv
import ports
from jaxviz.diagram.architecture import architecture
from ports.registry import entry


def kinds(graph):
    return [node.kind for node in graph.nodes]


def by_name(graph):
    return {node.name: node for node in graph.nodes}


@pytest.mark.parametrize("name", ports.names())
def test_parameters_of_every_port(name, port_graph):
    graph = port_graph(name)
    assert graph.parameters == entry(name).parameters
    names = [node.name for node in graph.nodes]
    assert len(set(names)) == len(names)
    for place, node in enumerate(graph.nodes):
        assert all(source in names[:place] for source in node.inputs)
    assert graph.nodes[0].kind == "input"
    assert graph.nodes[-1].shape == (1, 10 if name.startswith("shapes") else 1000)


@pytest.mark.parametrize("name", ports.names())
def test_every_operation_of_the_ports_has_a_known_kind(name, port_graph):
    known = {
        *("input", "conv", "batch norm", "ReLU", "max pool", "average pool", "dense", "add"),
        *("global average pool", "concat", "flatten", "identity", "local response norm"),
    }
    # GoogLeNet first moves the three colours to another mean.
    moved = {"slice", "scale", "reshape"} if name == "googlenet" else set()
    assert set(kinds(port_graph(name))) <= known | moved


@pytest.mark.parametrize("name", ports.names())
def test_multiplications_follow_from_the_settings(name, port_graph):
    graph = port_graph(name)
    total = 0
    for node in graph.nodes:
        if node.kind in ("conv", "dense"):
            window = math.prod(node.settings.get("kernel", ()))
            read = node.settings["channels_read"] // node.settings.get("groups", 1)
            assert node.multiplications == math.prod(node.shape) * window * read
            bias = node.shape[-1] if node.settings["bias"] else 0
            assert node.parameters == window * read * node.shape[-1] + bias
            total += node.multiplications
    assert graph.multiplications == total


def test_vgg16_is_the_network_of_the_paper(port_graph):
    graph = port_graph("vgg16")
    # Simonyan and Zisserman, table 1, column D: maps of 224 to 14 pixels, kernels of 3x3.
    convs, channels, side = 0, 3, 224
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            convs += side**2 * 9 * channels * width
            channels = width
        side //= 2
    dense = 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    assert graph.multiplications == convs + dense
    assert round(graph.multiplications / 1e9, 1) == 15.5
    assert graph.parameters == 138_357_544
    counts = {kind: kinds(graph).count(kind) for kind in ("conv", "ReLU", "max pool", "dense")}
    assert counts == {"conv": 13, "ReLU": 15, "max pool": 5, "dense": 3}


def test_resnet50_is_the_network_of_the_paper(port_graph):
    graph = port_graph("resnet50")
    assert kinds(graph).count("conv") == 53
    assert kinds(graph).count("batch norm") == 53
    assert kinds(graph).count("add") == 16
    # torchvision's documentation gives 4.09 billion multiply-adds.
    assert round(graph.multiplications / 1e9, 2) == 4.09
    nodes = by_name(graph)
    first = nodes["conv1"]
    assert first.settings["kernel"] == (7, 7)
    assert first.settings["stride"] == (2, 2)
    assert first.settings["padding"] == ((3, 3), (3, 3))
    # A strided 1x1 convolution is computed as a slice and a product.
    shortcut = nodes["layer2.0.downsample.0"]
    assert (shortcut.kind, shortcut.settings["stride"]) == ("conv", (2, 2))
    assert shortcut.inputs == ("layer1.2.relu_2",)
    assert nodes["layer2.0.add"].inputs == ("layer2.0.bn3", "layer2.0.downsample.1")
    assert nodes["layer1.1.add"].inputs == ("layer1.1.bn3", "layer1.0.relu_2")
    assert nodes["bn1"].parameters == 128
    assert nodes["bn1"].settings["eps"] == pytest.approx(1e-5)


def test_grouped_convolutions(port_graph):
    conv = by_name(port_graph("resnext50_32x4d"))["layer1.0.conv2"]
    assert conv.settings["groups"] == 32
    assert conv.parameters == 3 * 3 * 4 * 128


def test_dense_connections(port_graph):
    nodes = by_name(port_graph("densenet201"))
    assert len(nodes["features.denseblock1.denselayer6.cat"].inputs) == 6
    assert len(nodes["features.denseblock4.cat"].inputs) == 33
    assert nodes["features.transition1.pool"].kind == "average pool"


def test_zfnet_normalises_across_channels(port_graph):
    node = by_name(port_graph("zfnet"))["features.3"]
    assert node.kind == "local response norm"
    assert node.settings == {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}


def test_dropout_and_idle_pooling_are_identities(port_graph):
    nodes = by_name(port_graph("vgg16"))
    assert [nodes[name].kind for name in ("avgpool", "classifier.2")] == ["identity", "identity"]
    assert nodes["flatten"].inputs == ("avgpool",)


@pytest.mark.parametrize("size", [224, 288, 256])
def test_adaptive_pooling(size, port_graph):
    net = nnx.eval_shape(lambda: ports.new("vgg11", rngs=nnx.Rngs(0)))
    x = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    node = by_name(architecture(net, x))["avgpool"]
    # 7x7, 9x9 and 8x8 maps: nothing to do, bins that overlap; neither is a pooling of Caffe's.
    assert node.kind == ("identity" if size == 224 else "linear map")
    assert node.parameters == 0


def test_linen(linen_model):
    model, x = linen_model
    graph = architecture(model, x)
    assert graph.parameters == sum(leaf.size for leaf in jax.tree.leaves(model.args[0]["params"]))
    names = [node.name for node in graph.nodes]
    block = ["Conv_0", "BatchNorm_0", "relu", "Conv_1", "BatchNorm_1", "add", "relu_1"]
    assert names == [
        *("input", "stem", "relu"),
        *(f"block1.{part}" for part in block),
        *(f"block2.{part}" for part in block),
        *("global_average_pool", "head"),
    ]
    assert kinds(graph)[3:10] == ["conv", "batch norm", "ReLU", "conv", "batch norm", "add", "ReLU"]
    assert by_name(graph)["block1.add"].inputs == ("relu", "block1.BatchNorm_1")


def test_equinox(equinox_model):
    model, x = equinox_model
    graph = architecture(model, x)
    assert [(node.name, node.kind) for node in graph.nodes] == [
        ("input", "input"),
        ("conv", "conv"),
        ("relu", "ReLU"),
        ("pool", "max pool"),
        ("norm", "norm"),
        ("flatten", "flatten"),
        ("fc", "dense"),
    ]
    assert graph.nodes[1].shape == (1, 8, 8, 6)
    assert graph.nodes[3].settings["kernel"] == (2, 2)
    arrays = [leaf for leaf in jax.tree.leaves(model) if isinstance(leaf, jax.Array)]
    assert graph.parameters == sum(leaf.size for leaf in arrays)
    assert graph.multiplications == 8 * 8 * 6 * 5 * 5 * 3 + 96 * 5


def test_nnx_without_taps():
    class Block(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(3, 3, (3, 3), padding="VALID", rngs=rngs)
            self.norm = nnx.BatchNorm(3, rngs=rngs, use_running_average=True)

        def __call__(self, x):
            return nnx.relu(self.norm(self.conv(x)))

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.blocks = nnx.List([Block(rngs), Block(rngs)])
            self.head = nnx.Linear(3, 5, rngs=rngs)

        def __call__(self, x):
            for block in self.blocks:
                x = nnx.avg_pool(block(x), (2, 2), (2, 2))
            return nnx.softmax(self.head(x.mean((1, 2))))

    model = Net(nnx.Rngs(0))
    graph = architecture(model, jnp.zeros((1, 16, 16, 3)))
    assert [(node.name, node.kind) for node in graph.nodes] == [
        ("input", "input"),
        ("blocks.0.conv", "conv"),
        ("blocks.0.norm", "batch norm"),
        ("blocks.0.relu", "ReLU"),
        ("blocks.average_pool", "average pool"),
        ("blocks.1.conv", "conv"),
        ("blocks.1.norm", "batch norm"),
        ("blocks.1.relu", "ReLU"),
        ("average_pool", "average pool"),
        ("global_average_pool", "global average pool"),
        ("head", "dense"),
        ("softmax", "softmax"),
    ]
    # Running statistics are no parameters.
    assert graph.parameters == 2 * (9 * 9 + 3 + 6) + 20
    assert by_name(graph)["blocks.0.conv"].settings["bias"] is True


def test_a_bare_function():
    def apply(weights, x):
        kernel, bias, dense = weights
        y = jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "SAME",
            rhs_dilation=(2, 2),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        y = jnp.maximum(y + bias, 0)
        y = jax.nn.sigmoid(y.mean((1, 2), keepdims=True)) * y
        return jnp.concatenate([y, y], -1).reshape(y.shape[0], -1) @ dense

    weights = jnp.zeros((3, 3, 3, 4)), jnp.zeros(4), jnp.zeros((8 * 8 * 8, 7))
    graph = architecture(Partial(apply, weights), jnp.zeros((2, 8, 8, 3)))
    assert kinds(graph) == [
        *("input", "conv", "ReLU", "global average pool", "sigmoid", "multiply", "concat"),
        *("flatten", "dense"),
    ]
    assert graph.nodes[1].settings["dilation"] == (2, 2)
    assert graph.parameters == 3 * 3 * 3 * 4 + 4 + 512 * 7
    assert graph.nodes[5].inputs == ("sigmoid", "relu")


@pytest.mark.parametrize(
    ("part", "joined"),
    [
        (np.s_[:, ::2, ::2], True),
        (np.s_[:, ::2, ::3], True),
        (np.s_[:, :4:2, ::2], False),
        (np.s_[:, 1::2, ::2], False),
        (np.s_[:, ::2, ::2, :2], False),
    ],
)
def test_a_slice_is_a_stride_only_where_it_leaves_nothing_else_out(part, joined):
    x = jnp.zeros((1, 9, 9, 3))
    w = jnp.zeros((x[part].shape[-1], 4))
    graph = architecture(Partial(lambda w, x: x[part] @ w, w), x)
    assert kinds(graph) == (["input", "conv"] if joined else ["input", "slice", "conv"])
    steps = tuple(axis.step or 1 for axis in part[1:3]) if joined else (1, 1)
    assert graph.nodes[-1].settings["stride"] == steps


@pytest.mark.parametrize(("value", "joined"), [(0.0, True), (1.0, False)])
def test_zeros_around_an_image_are_padding(value, joined):
    def apply(w, x):
        x = jnp.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), constant_values=value)
        return jax.lax.conv_general_dilated(
            x, w, (1, 1), [(1, 1), (0, 0)], dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    graph = architecture(Partial(apply, jnp.zeros((3, 3, 3, 4))), jnp.zeros((1, 8, 8, 3)))
    assert kinds(graph) == (["input", "conv"] if joined else ["input", "pad", "conv"])
    padding = ((2, 3), (0, 1)) if joined else ((1, 1), (0, 0))
    assert graph.nodes[-1].settings["padding"] == padding


def test_shared_weights_count_once():
    w = jnp.ones((3, 3))
    graph = architecture(Partial(lambda w, x: (x @ w) @ w, w), jnp.ones((1, 3)))
    assert [node.parameters for node in graph.nodes] == [0, 9, 0]


def test_what_is_not_used_is_not_drawn():
    def model(x):
        jv.tap(jnp.sin(x), "unused")
        return jv.tap(2 * x, "used")

    assert [node.name for node in architecture(model, jnp.ones((1, 3))).nodes] == ["input", "used"]


def test_loops_and_choices_are_one_node():
    w = jnp.ones((4, 3, 3))

    def apply(w, x):
        x, _ = jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)
        return jax.lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x)

    graph = architecture(Partial(apply, w), jnp.ones((2, 3)))
    assert "scan" in kinds(graph)
    assert "cond" in kinds(graph)
    assert (graph.parameters, graph.multiplications) == (36, 4 * 2 * 3 * 3)


def test_nothing_is_computed():
    def model(x):
        jax.debug.callback(lambda: pytest.fail("the model ran"))
        return 2 * x

    architecture(model, jnp.ones((1, 3)))


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="callable pytree, got a int"):
        architecture(3, jnp.ones(3))
    with pytest.raises(TypeError, match="one array, and tuple holds 2"):
        architecture(lambda x: x[0], (jnp.ones(3), jnp.ones(3)))
