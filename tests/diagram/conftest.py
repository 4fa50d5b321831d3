"""Graphs of ports, read once, and models of other frameworks."""

import functools

import jax
import jax.numpy as jnp
import pytest
from flax import linen, nnx
from jax.tree_util import Partial

import jaxviz as jv
import ports
from jaxviz.diagram.architecture import architecture


@functools.cache
def graph_of_port(name):
    size = ports.card(name).input_size
    net = nnx.eval_shape(lambda: ports.new(name, rngs=nnx.Rngs(0)))
    return architecture(net, jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32))


@pytest.fixture(scope="session")
def port_graph():
    return graph_of_port


class LinenBlock(linen.Module):
    features: int

    @linen.compact
    def __call__(self, x):
        y = linen.Conv(self.features, (3, 3), use_bias=False)(x)
        y = linen.relu(linen.BatchNorm(use_running_average=True)(y))
        y = linen.BatchNorm(use_running_average=True)(linen.Conv(self.features, (3, 3))(y))
        return linen.relu(x + y)


class LinenNet(linen.Module):
    """A stem, two residual blocks, a head: 3x3 convolutions of 8 channels on 16x16 pixels."""

    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(8, (3, 3), strides=2, padding=1, name="stem")(x))
        x = LinenBlock(8, name="block1")(x)
        x = LinenBlock(8, name="block2")(x)
        return linen.Dense(5, name="head")(x.mean((1, 2)))


@pytest.fixture(scope="session")
def linen_model():
    net = LinenNet()
    x = jnp.zeros((1, 16, 16, 3))
    return Partial(net.apply, net.init(jax.random.key(0), x)), x


@pytest.fixture(scope="session")
def equinox_model():
    """Channels first, as Equinox has them: convolution, pooling, normalisation, dense."""
    import equinox as eqx

    class Net(eqx.Module):
        conv: eqx.nn.Conv2d
        norm: eqx.nn.LayerNorm
        pool: eqx.nn.MaxPool2d
        fc: eqx.nn.Linear

        def __init__(self, key):
            first, second = jax.random.split(key)
            self.conv = eqx.nn.Conv2d(3, 6, 5, stride=2, padding=2, key=first)
            self.norm = eqx.nn.LayerNorm((6, 4, 4))
            self.pool = eqx.nn.MaxPool2d(2, 2)
            self.fc = eqx.nn.Linear(6 * 4 * 4, 5, key=second)

        def one(self, x):
            x = jv.tap(jax.nn.relu(jv.tap(self.conv(x), "conv")), "relu")
            x = jv.tap(self.pool(x), "pool")
            x = jv.tap(self.norm(x), "norm")
            return jv.tap(self.fc(x.reshape(-1)), "fc")

        def __call__(self, x):
            return jax.vmap(self.one)(x.transpose(0, 3, 1, 2))

    return Net(jax.random.key(0)), jnp.zeros((1, 16, 16, 3))
