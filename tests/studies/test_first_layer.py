"""The first convolution read from a program; aliasing on waves whose frequency is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxviz as jv
import ports
from jaxviz import studies


@pytest.mark.parametrize(
    ("name", "stride"), [("alexnet", (4, 4)), ("zfnet", (2, 2)), ("shapes-residual", (1, 1))]
)
def test_the_kernel_is_the_ports(name, stride):
    small = {} if name.startswith("shapes") else {"width": 0.0625, "num_classes": 3}
    model = ports.load(name, key=jax.random.key(0), **small)
    first = model.layer1.conv1 if name.startswith("shapes") else getattr(model.features, "0")
    kernel, found = studies.first_convolution(model, jnp.zeros((1, 64, 64, 3)))
    assert found == stride
    np.testing.assert_array_equal(kernel, first.kernel[...])


def test_a_kernel_in_another_layout_is_turned():
    weights = jnp.arange(2 * 3 * 4 * 5.0).reshape(5, 4, 2, 3)  # filters, channels, rows, columns

    def model(x):
        layout = ("NHWC", "OIHW", "NHWC")
        return jax.jit(
            lambda x: jax.lax.conv_general_dilated(
                x, weights, (2, 1), "VALID", dimension_numbers=layout
            )
        )(x)

    kernel, stride = studies.first_convolution(model, jnp.zeros((1, 8, 8, 4)))
    assert stride == (2, 1)
    np.testing.assert_array_equal(kernel, weights.transpose(2, 3, 1, 0))


def wave(rows, columns, size=64):
    """A wave of so many cycles a pixel along each axis."""
    row, column = np.mgrid[:size, :size]
    return np.cos(2 * np.pi * (rows * row + columns * column) + 0.3)[None, ..., None]


@pytest.mark.parametrize(
    ("frequency", "stride", "folded"),
    [
        ((0.1, 0.0), (4, 4), 0),
        ((0.2, 0.0), (4, 4), 1),
        ((0.2, 0.0), (2, 2), 0),
        ((0.0, 0.4), (2, 2), 1),
        ((0.0, 0.4), (2, 1), 0),
        ((0.3, 0.1), (1, 2), 0),
        ((0.1, 0.3), (1, 2), 1),
    ],
)
def test_a_wave_is_folded_where_the_stride_is_too_wide_for_it(frequency, stride, folded):
    found = studies.aliasing(np.ones((1, 1, 1, 1)), wave(*frequency), stride=stride)
    assert found[0] == pytest.approx(folded, abs=1e-3)


def test_aliasing_is_a_share_of_power():
    """Two waves that the filters weigh: one of channel 0 that is held, one of channel 1 not.

    They are no whole numbers of cycles, so their powers are equal to 0.3 % only.
    """
    x = np.concatenate([wave(0.05, 0.0), wave(0.3, 0.0)], -1)
    kernel = np.array([[1.0, 0.0, 1.0, 3.0, 0.0], [0.0, 1.0, 1.0, 1.0, 0.0]]).reshape(1, 1, 2, 5)
    found = studies.aliasing(kernel, np.concatenate([x, 2 * x]), stride=(2, 2), memory=1)
    np.testing.assert_allclose(found, [0, 1, 1 / 2, 1 / 10, 0], atol=3e-3)


def test_what_is_folded_cannot_be_told_from_another_wave():
    """At stride 4, 0.2 and 0.05 cycles a pixel give the same samples: that is what is counted."""
    fine, coarse = (np.cos(2 * np.pi * f * np.arange(0, 64, 4)) for f in (0.2, 0.05))
    np.testing.assert_allclose(fine, coarse, atol=1e-12)


class Net(nnx.Module):
    def __init__(self):
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0))
        kernel = self.conv.kernel[...]
        self.conv.kernel[...] = kernel.at[..., 1].set(0.0).at[..., 2].multiply(1e-4)
        self.conv.bias[...] = jnp.array([0.0, -1.0, 0.0, 0.1])

    def __call__(self, x):
        return jv.tap(nnx.relu(self.conv(x)), "relu").mean((1, 2))


def test_dead_filters_hardly_answer():
    model, x = Net(), jax.random.normal(jax.random.key(0), (3, 16, 16, 3))
    found = studies.first_layer(model, x)
    peak = np.asarray(jv.capture(model, x, ["relu"])[1]["relu"]).max((0, 1, 2))
    np.testing.assert_allclose(found.peak, peak, rtol=1e-5)
    assert found.dead.tolist() == [False, True, True, False]
    rms = [np.sqrt((np.asarray(model.conv.kernel[..., i]) ** 2).mean()) for i in range(4)]
    np.testing.assert_allclose(found.rms, rms, rtol=1e-6)
    assert not found.folded.any()


def test_errors():
    with pytest.raises(ValueError, match="must have a convolution of two axes"):
        studies.first_convolution(lambda x: x.mean((1, 2)), jnp.ones((1, 4, 4, 3)))
    linear = lambda x: jax.lax.conv_general_dilated(
        x, jnp.ones((3, 3, 3, 2)), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    with pytest.raises(ValueError, match=r"a map for each of the 2 filters .* the model has none"):
        studies.first_layer(linear, jnp.ones((1, 4, 4, 3)))
