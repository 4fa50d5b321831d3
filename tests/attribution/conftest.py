"""A small network: two convolutions with ReLU, a max pooling, global pooling, a dense layer."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import jaxviz as jv


class Small(nnx.Module):
    def __init__(self, rngs, dtype):
        options = {"param_dtype": dtype, "dtype": dtype, "rngs": rngs}
        self.conv1 = nnx.Conv(3, 8, (3, 3), **options)
        self.conv2 = nnx.Conv(8, 12, (3, 3), **options)
        self.head = nnx.Linear(12, 5, **options)

    def __call__(self, x):
        x = jv.tap(nnx.relu(self.conv1(x)), "relu1")
        x = nnx.max_pool(x, (2, 2), (2, 2))
        x = jv.tap(nnx.relu(self.conv2(x)), "relu2")
        return self.head(x.mean((1, 2)))


@pytest.fixture
def small():
    """(seed, dtype) -> the network."""
    return lambda seed=0, dtype=jnp.float32: Small(nnx.Rngs(seed), dtype)


@pytest.fixture
def images():
    """(count, dtype) -> random inputs of 16 x 16."""
    return lambda count=4, dtype=jnp.float32: jax.random.normal(
        jax.random.key(1), (count, 16, 16, 3), dtype
    )


METHODS = {
    "saliency": jv.saliency,
    "deconvnet": jv.deconvnet,
    "guided_backprop": jv.guided_backprop,
    "grad_cam": lambda *args: jv.grad_cam(*args, layer="relu2"),
    "cam": lambda *args: jv.cam(*args, layer="relu2"),
    "occlusion": lambda *args: jv.occlusion(*args, window=(5, 4), stride=(4, 3)).drop,
}


@pytest.fixture(params=METHODS)
def method(request):
    """Each attribution as a function (model, x, target) -> map."""
    return METHODS[request.param]
