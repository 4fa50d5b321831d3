"""The models as they are: sizes, names of layers, modes; nothing here needs a weight file."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxviz as jv
import ports
from ports.naming import torch_names, variables
from ports.registry import entry
from ports.resnet import Basic

# One of each way in which a family is built.
KINDS = ["alexnet", "zfnet", "vgg11_bn", "resnet18", "resnext50_32x4d", "densenet121", "googlenet"]


@functools.cache
def abstract(name):
    """The model with shapes for weights: nothing is allocated."""
    return nnx.eval_shape(lambda: entry(name).build(rngs=nnx.Rngs(0)))


def tapped(name, size=224):
    x = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    jaxpr = jax.make_jaxpr(lambda model, x: model(x))(abstract(name), x)
    return [e.params["name"] for e in jaxpr.jaxpr.eqns if e.primitive.name == "name"]


def layers(model, x):
    """As `jv.layers`, of a model that has only shapes for weights."""
    found = {}
    jax.eval_shape(lambda model, x: found.update(jv.layers(model, x)), model, x)
    return found


@pytest.mark.parametrize("name", ports.names())
def test_number_of_parameters(name):
    parameters = [v for v in variables(abstract(name)).values() if isinstance(v, nnx.Param)]
    count = sum(int(np.prod(v.get_value().shape)) for v in parameters)
    assert count == ports.card(name).parameters == entry(name).parameters


@pytest.mark.parametrize("name", ports.names())
def test_logits_of_the_cards_input(name):
    size, classes = ports.card(name).input_size, len(ports.card(name).categories) or 1000
    x = jax.ShapeDtypeStruct((3, size, size, 3), jnp.float32)
    out = jax.eval_shape(lambda model, x: model(x), abstract(name), x)
    assert (out.shape, out.dtype) == ((3, classes), jnp.float32)


@pytest.mark.parametrize("name", KINDS)
def test_each_layer_has_one_name(name):
    names = tapped(name)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("vgg11_bn", ["features.0", "features.28", "features", "avgpool", "flatten", "classifier"]),
        ("resnet18", ["relu", "layer1.0.relu", "layer2.0.downsample", "layer3.1.add", "layer4"]),
        (
            "densenet121",
            ["features.denseblock1.denselayer1.cat", "features.denseblock4.denselayer16.conv2"]
            + ["features.denseblock2", "features.transition1.pool", "features", "relu"],
        ),
        ("googlenet", ["conv1.relu", "conv1", "inception4a", "inception3a.branch4.0", "dropout"]),
    ],
)
def test_names_are_torchvisions_and_modules_name_their_outputs(name, some):
    assert set(some) <= set(tapped(name))


def test_sizes_of_zfnets_maps_are_those_of_the_papers_figure():
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    shapes = layers(abstract("zfnet"), x)
    sizes = {i: shapes[f"features.{i}"].shape[1:] for i in (0, 3, 4, 7, 8, 10, 12, 14)}
    assert sizes == {
        0: (110, 110, 96),
        3: (55, 55, 96),
        4: (26, 26, 256),
        7: (13, 13, 256),
        8: (13, 13, 384),
        10: (13, 13, 384),
        12: (13, 13, 256),
        14: (6, 6, 256),
    }


@pytest.mark.parametrize("name", ["vgg11", "resnet50"])
def test_weights_are_named_as_their_layers(name):
    found = set(tapped(name))
    for tensor in torch_names(abstract(name)):
        assert tensor.rpartition(".")[0] in found


def test_1x1_convolutions_are_products_and_others_are_not():
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    jaxpr = jax.make_jaxpr(lambda model, x: model(x))(abstract("resnet50"), x)
    kinds = [equation.primitive.name for equation in jaxpr.jaxpr.eqns]
    convolutions = [kind for kind in kinds if kind == "conv_general_dilated"]
    products = [kind for kind in kinds if kind == "dot_general"]
    assert (len(convolutions), len(products)) == (1 + 16, 2 * 16 + 4 + 1)


def test_a_small_image_is_refused_by_name():
    with pytest.raises(ValueError, match=r"features\.\d+ needs at least 2 pixels a side"):
        tapped("vgg11_bn", 16)


def test_training_mode_moves_batch_statistics_and_gradients_flow():
    block = Basic("block", 3, 4, stride=2, groups=1, base_width=64, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    before = block.bn1.mean.get_value()

    @nnx.jit
    def loss(block):
        return nnx.value_and_grad(lambda block: (block(x) ** 2).mean())(block)

    loss(block)
    np.testing.assert_array_equal(block.bn1.mean.get_value(), before)
    block.train()
    value, gradient = loss(block)
    assert np.isfinite(value)
    assert float(jnp.abs(gradient["conv1"]["kernel"].get_value()).max()) > 0
    assert float(jnp.abs(block.bn1.mean.get_value() - before).max()) > 0


def test_models_are_pytrees_and_stack_into_ensembles():
    models = [ports.load("shapes-plain", key=jax.random.key(i)) for i in range(2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)
    x = jax.random.normal(jax.random.key(1), (1, 64, 64, 3))
    both = jax.jit(jax.vmap(lambda model: model(x)))(stacked)
    alone = jax.jit(lambda model: model(x))(models[1])
    np.testing.assert_allclose(both[1], alone, rtol=1e-4, atol=1e-5)


def test_random_weights_follow_the_key_and_hes_rule():
    one, again, other = (ports.load("resnet18", key=jax.random.key(i)) for i in (0, 0, 1))
    kernels = [getattr(m.layer4, "0").conv1.kernel.get_value() for m in (one, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert float(jnp.abs(kernels[0] - kernels[2]).max()) > 0
    assert float(kernels[0].std()) == pytest.approx(np.sqrt(2 / (9 * 256)), rel=0.01)
    assert float(one.fc.bias.get_value().max()) == 0.0
    assert float(one.bn1.var.get_value().min()) == 1.0


def test_google_nets_input_can_stay_as_it_is():
    assert "getitem" in tapped("googlenet")
    plain = nnx.eval_shape(
        lambda: ports.GoogLeNet(transform_input=False, num_classes=7, rngs=nnx.Rngs(0))
    )
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    found = layers(plain, x)
    assert "getitem" not in found
    assert found["fc"].shape == (1, 7)
