"""Faster derivatives against JAX's own, over every kind of convolution and pooling."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax import lax

from jaxviz.transform import fast_pullbacks

NHWC = ("NHWC", "HWIO", "NHWC")
CONVOLUTIONS = {
    "same": ((2, 9, 11, 4), (3, 3, 4, 6), (1, 1), "SAME", (1, 1), 1, NHWC),
    "strided, uneven": ((2, 9, 11, 4), (3, 2, 4, 6), (2, 3), ((2, 1), (0, 3)), (1, 1), 1, NHWC),
    "dilated, grouped": ((2, 9, 11, 4), (3, 3, 2, 6), (2, 1), ((1, 1), (2, 0)), (2, 1), 2, NHWC),
    "depthwise": ((2, 9, 11, 4), (3, 3, 1, 4), (1, 1), "SAME", (1, 1), 4, NHWC),
    "channels first": (
        (2, 4, 12, 13), (8, 1, 5, 3), (2, 2), "VALID", (1, 2), 4, ("NCHW", "OIHW", "NCHW")
    ),
    "one by one": ((2, 9, 11, 4), (1, 1, 4, 6), (2, 2), "VALID", (1, 1), 1, NHWC),
    "one axis": ((2, 30, 4), (5, 4, 6), (3,), "SAME", (1,), 1, ("NWC", "WIO", "NWC")),
}  # fmt: skip


def uses_custom_derivative(f, *args):
    return "custom_vjp" in str(jax.make_jaxpr(fast_pullbacks(f))(*args))


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolution(kind):
    size, kernel_size, stride, padding, dilation, groups, numbers = CONVOLUTIONS[kind]

    def convolution(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            stride,
            padding,
            rhs_dilation=dilation,
            feature_group_count=groups,
            dimension_numbers=numbers,
        )

    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 3)
        x, kernel = jax.random.normal(keys[0], size), jax.random.normal(keys[1], kernel_size)
        y, own = jax.vjp(convolution, x, kernel)
        y_fast, fast = jax.vjp(fast_pullbacks(convolution), x, kernel)
        g = jax.random.normal(keys[2], y.shape)
        assert jnp.array_equal(y, y_fast)
        for a, b in zip(own(g), fast(g), strict=True):
            assert jnp.abs(a - b).max() <= 1e-12 * jnp.abs(a).max()
    assert uses_custom_derivative(convolution, x, kernel)


@pytest.mark.parametrize(
    ("window", "stride", "padding"),
    [((2, 2), (2, 2), "VALID"), ((3, 3), (2, 2), ((1, 1), (1, 1))), ((3, 2), (1, 3), "SAME")],
)
def test_max_pooling(window, stride, padding):
    def pool(x):
        return nnx.max_pool(x, window, stride, padding)

    with jax.enable_x64(True):
        # Whole numbers, so that there are ties; zeros, as after a ReLU.
        x = jnp.maximum(jax.random.randint(jax.random.key(0), (2, 9, 8, 3), -3, 4), 0).astype(float)
        y, own = jax.vjp(pool, x)
        y_fast, fast = jax.vjp(fast_pullbacks(pool), x)
        g = jax.random.normal(jax.random.key(1), y.shape)
        assert jnp.array_equal(y, y_fast)
        assert jnp.abs(own(g)[0] - fast(g)[0]).max() <= 1e-12
    assert uses_custom_derivative(pool, x)


def test_half_precision_and_integers():
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 2), jnp.bfloat16)
    pool = lambda x: nnx.max_pool(x, (2, 2), (2, 2))
    assert jax.grad(lambda x: fast_pullbacks(pool)(x).sum())(x).dtype == jnp.bfloat16
    whole = jnp.arange(16).reshape(1, 4, 4, 1)
    pooled = fast_pullbacks(
        lambda x: lax.reduce_window(x, 0, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    )
    assert pooled(whole).ravel().tolist() == [5, 7, 13, 15]


def test_products_in_half_precision_summed_in_single():
    x = jax.random.normal(jax.random.key(0), (1, 5, 5, 2), jnp.bfloat16)
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 2, 4), jnp.bfloat16)

    def summed(x):
        y = lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=NHWC, preferred_element_type=jnp.float32
        )
        return y.sum()

    assert jnp.array_equal(jax.grad(fast_pullbacks(summed))(x), jax.grad(summed)(x))


def test_inside_a_loop():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 2, 2))

    def looped(x):
        def turn(x, _):
            return nnx.max_pool(
                lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC),
                (3, 3),
                (1, 1),
                "SAME",
            ), None

        return lax.scan(turn, x, None, length=3)[0].sum()

    x = jax.random.normal(jax.random.key(1), (1, 6, 6, 2))
    own, fast = jax.grad(looped)(x), jax.grad(fast_pullbacks(looped))(x)
    assert jnp.allclose(own, fast, rtol=1e-5, atol=1e-5)
