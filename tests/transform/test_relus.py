"""Which layers are ReLUs' outputs."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import jaxviz as jv
import ports
from jaxviz.transform import relu_layers


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        # By the papers' tables: 16 convolutions; the stem and 3 in each of 16 blocks; the stem, 2
        # in each of 98 layers, 3 transitions and the end.
        ("vgg19", 16, "features.1", "features.35"),
        ("resnet50", 1 + 3 * 16, "relu", "layer4.2.relu_2"),
        ("densenet201", 1 + 2 * 98 + 3 + 1, "features.relu0", "relu"),
        ("shapes-plain", 9, "layer1.relu", "layer5.relu_1"),
        ("shapes-residual", 9, "layer1.relu", "layer5.relu_1"),
        ("shapes-dense", 13, "layer1.relu", "layer5.relu_2"),
    ],
)
def test_ports(name, count, first, last):
    size = ports.card(name).input_size
    model = nnx.eval_shape(lambda: ports.new(name, rngs=nnx.Rngs(0)))
    found = {}
    x = jnp.zeros((1, size, size, 3))
    jax.eval_shape(lambda model: found.update(relu_layers(model, x)), model)
    layers = {}
    jax.eval_shape(lambda model: layers.update(jv.layers(model, x)), model)
    spatial = [name for name, shape in found.items() if len(shape.shape) == 4]
    assert len(spatial) == count
    assert spatial[0] == first
    assert spatial[-1] == last
    # In the order and of the shapes of all layers.
    assert list(found) == [name for name in layers if name in found]
    assert all(found[name].shape == layers[name].shape for name in found)


def test_no_value_of_theirs_is_negative_and_others_are():
    model = ports.load("shapes-residual", key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 64, 64, 3))
    layers = list(jv.layers(model, x))
    values = jv.capture(model, x, layers)[1]
    rectified = relu_layers(model, x)
    assert all(values[name].min() == 0 for name in rectified)
    others = [name for name in layers if ".bn" in name or ".conv" in name]
    assert all(values[name].min() < 0 for name in others)


def test_ways_to_write_a_relu():
    def model(x):
        a = jv.tap(jax.nn.relu(x), "a")
        b = jv.tap(jnp.maximum(x, 0), "b")
        c = jv.tap(jax.jit(jax.nn.relu)(x), "c")
        d = jv.tap(jax.checkpoint(jax.nn.relu)(x), "d")
        e = jax.jit(lambda x: jv.tap(jax.nn.relu(x), "e"))(x)
        f = jv.tap(jax.nn.relu6(x), "f")
        g = jv.tap(jnp.clip(x, 0, 1), "g")
        h = jv.tap(jnp.where(x > 0, x, 0), "h")
        i = jv.tap(jnp.where(x <= 0, 0, x), "i")
        j = jv.tap(x * (x > 0), "j")
        k = jv.tap(jax.nn.relu(x).astype(jnp.bfloat16), "k")
        return a + b + c + d + e + f + g + h + i + j + k

    assert list(relu_layers(model, jnp.ones((1, 3)))) == list("abcdefghijk")


def test_what_is_none():
    def model(x):
        x = jv.tap(jnp.maximum(x, 1.0), "above one")
        x = jv.tap(jax.nn.relu(x) + 1, "shifted")
        x = jv.tap(jax.nn.gelu(x), "gelu")
        x = jv.tap(jax.nn.leaky_relu(x), "leaky")
        x = jv.tap(jax.nn.hard_swish(x), "gate")
        x = jv.tap(jnp.minimum(x, 6), "capped")
        x = jv.tap(jv.tap(jax.nn.relu(x), "relu"), "the same once more")
        return jv.tap(jnp.max(x, -1), "largest")

    assert list(relu_layers(model, jnp.ones((1, 3)))) == ["relu"]


def test_names_met_again_are_numbered_as_everywhere():
    def model(x):
        for _ in range(3):
            x = jv.tap(jv.tap(2 * x, "block"), "other")
            x = jv.tap(jax.nn.relu(x), "block")
        return x

    assert list(relu_layers(model, jnp.ones((1, 3)))) == ["block_1", "block_3", "block_5"]


def test_modules_without_taps_have_paths():
    class Net(nnx.Module):
        def __init__(self):
            self.dense = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
            self.act = Rectify()

        def __call__(self, x):
            return self.act(self.dense(x))

    class Rectify(nnx.Module):
        def __call__(self, x):
            return jax.nn.relu(x)

    assert list(relu_layers(Net(), jnp.ones((1, 3)))) == ["act"]
