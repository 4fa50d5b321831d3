"""The layers against slow, obvious versions of themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ports.layers import AdaptiveAvgPool, AvgPool, BatchNorm, Conv, LocalResponseNorm, MaxPool


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("height", [1, 5, 6, 7, 12, 13, 20])
@pytest.mark.parametrize("width", [3, 6, 18])
def test_adaptive_pooling_averages_torchs_bins(height, width):
    x, size = image(2, height, width, 3), 6
    expected = np.zeros((2, size, size, 3))
    for i in range(size):
        for j in range(size):
            rows = slice(int(np.floor(i * height / size)), int(np.ceil((i + 1) * height / size)))
            cols = slice(int(np.floor(j * width / size)), int(np.ceil((j + 1) * width / size)))
            expected[:, i, j] = x[:, rows, cols].astype(np.float64).mean((1, 2))
    np.testing.assert_allclose(AdaptiveAvgPool("p", size)(x), expected, atol=2e-6)


def test_adaptive_pooling_of_a_map_of_its_size_is_the_identity():
    x = image(1, 7, 7, 2)
    np.testing.assert_array_equal(AdaptiveAvgPool("p", 7)(x), x)


@pytest.mark.parametrize("size", [2, 3, 5, 6, 7, 8, 9])
@pytest.mark.parametrize(
    ("window", "stride", "pad", "ceil"),
    [(2, 2, 0, False), (3, 2, 0, True), (3, 2, 1, False), (3, 1, 1, True), (2, 2, 0, True)],
)
def test_max_pooling(size, window, stride, pad, ceil):
    layer = MaxPool("pool", window, stride=stride, pad=pad, ceil=ceil)
    if size + 2 * pad < window:
        with pytest.raises(ValueError, match="pool needs at least"):
            layer(image(1, size, size, 2))
        return
    x = image(1, size, size, 2)
    # A window that hangs over counts under `ceil`, if it starts in the image or before it.
    starts, end = [-pad], size + pad
    while starts[-1] + window < end:
        start = starts[-1] + stride
        if start + window > end and not (ceil and start < size):
            break
        starts.append(start)
    expected = np.stack(
        [
            np.stack(
                [x[:, max(r, 0) : r + window, max(c, 0) : c + window].max((1, 2)) for c in starts],
                1,
            )
            for r in starts
        ],
        1,
    )
    np.testing.assert_array_equal(layer(x), expected)


def test_average_pooling():
    x = image(1, 5, 4, 2)
    expected = x[:, :4].reshape(1, 2, 2, 2, 2, 2).mean((2, 4))
    np.testing.assert_allclose(AvgPool("p", 2)(x), expected, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_1x1_convolution_is_a_matrix_product_with_the_same_result(stride):
    layer = Conv("c", 5, 7, 1, stride=stride, rngs=nnx.Rngs(0))
    x = image(2, 8, 7, 5)
    expected = jax.lax.conv_general_dilated(
        x,
        layer.kernel.get_value(),
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert "conv_general_dilated" not in str(jax.make_jaxpr(layer)(x))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 8, 3), r"c takes an array \(n, h, w, 3\) and received \(8, 8, 3\)"),
        ((1, 3, 8, 8), r"c takes an array \(n, h, w, 3\) and received \(1, 3, 8, 8\)"),
        ((1, 4, 8, 3), "c needs at least 5 pixels a side and received 4"),
    ],
)
def test_a_convolution_says_what_it_takes(shape, message):
    layer = Conv("c", 3, 4, 5, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(shape, np.float32))


def test_batch_norm_uses_running_statistics_and_learns_them_in_training_mode():
    layer = BatchNorm("n", 3)
    layer.mean[...] = jnp.array([1.0, 2.0, 3.0])
    layer.var[...] = jnp.array([4.0, 1.0, 0.25])
    layer.scale[...] = jnp.array([2.0, 1.0, 1.0])
    layer.bias[...] = jnp.array([0.0, 1.0, 0.0])
    x = image(4, 5, 6, 3)
    mean, std = np.array([1, 2, 3]), np.sqrt(np.array([4, 1, 0.25]) + 1e-5)
    expected = (x - mean) / std * np.array([2, 1, 1]) + np.array([0, 1, 0])
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    layer.train()
    y = (layer(x) - layer.bias.get_value()) / layer.scale.get_value()
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-4)
    rows = x.reshape(-1, 3)
    np.testing.assert_allclose(
        layer.var.get_value(), 0.9 * np.array([4, 1, 0.25]) + 0.1 * rows.var(0, ddof=1), rtol=1e-5
    )
    np.testing.assert_allclose(layer.mean.get_value(), 0.9 * mean + 0.1 * rows.mean(0), rtol=1e-5)
    layer.eval()
    np.testing.assert_array_equal(layer(x[:1]), layer(x)[:1])


def test_local_response_norm():
    x = image(1, 2, 2, 9)
    expected = np.empty_like(x)
    for i in range(9):
        squares = (x[..., max(0, i - 2) : i + 3] ** 2).sum(-1)
        expected[..., i] = x[..., i] / (2 + 1e-4 * squares) ** 0.75
    np.testing.assert_allclose(LocalResponseNorm("n")(x), expected, rtol=1e-6)
