"""The rules of ReLU against a truth table, against a pass by hand, and in composition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax
from jax.tree_util import Partial

import jaxviz as jv
from jaxviz.transform import backward

# What a ReLU sees, the signal that comes back to it, and what each rule makes of it.
SEEN = jnp.array([1.0, 1.0, -1.0, -1.0, 8.0])
SIGNAL = jnp.array([1.0, -1.0, 2.0, -2.0, 3.0])
EXPECTED = {
    "gradient": [1.0, -1.0, 0.0, 0.0, 3.0],
    "deconvnet": [1.0, 0.0, 2.0, 0.0, 3.0],
    "guided": [1.0, 0.0, 0.0, 0.0, 3.0],
}

RELUS = {
    "jax.nn.relu": jax.nn.relu,
    "nnx.relu": nnx.relu,
    "linen.relu": linen.relu,
    "maximum": lambda x: jnp.maximum(x, 0),
    "maximum the other way": lambda x: jnp.maximum(0.0, x),
    "maximum of zeros": lambda x: jnp.maximum(x, jnp.zeros_like(x)),
    "lax.max": lambda x: lax.max(x, jnp.zeros(5)),
    "where": lambda x: jnp.where(x > 0, x, 0),
    "where not": lambda x: jnp.where(x <= 0, 0, x),
    "where zeros": lambda x: jnp.where(0 < x, x, jnp.zeros_like(x)),
    "gate": lambda x: x * (x > 0),
    "clip": lambda x: jnp.clip(x, 0),
    "lax.clamp": lambda x: lax.clamp(0.0, x, 100.0),
    "tapped": lambda x: jnp.where(jv.tap(x, "a") > 0, x, 0),
    "jit": jax.jit(jax.nn.relu),
    "remat": jax.checkpoint(jax.nn.relu),
    "scan": lambda x: lax.scan(lambda c, _: (jax.nn.relu(c), None), x, None, length=1)[0],
    "scan of where": lambda x: lax.scan(lambda c, _: (c * (c > 0), None), x, None, length=1)[0],
    "cond": lambda x: lax.cond(x[0] > 0, jax.nn.relu, lambda x: x, x),
    "vmap": jax.vmap(jax.nn.relu),
    "custom_jvp": jax.custom_jvp(lambda x: jnp.maximum(x, 0)),
    "custom_vjp": jax.custom_vjp(lambda x: jnp.maximum(x, 0)),
}
RELUS["custom_jvp"].defjvp(lambda x, t: (RELUS["custom_jvp"](*x), 9 * t[0]))
RELUS["custom_vjp"].defvjp(lambda x: (RELUS["custom_vjp"](x), None), lambda _, g: (9 * g,))


@pytest.mark.parametrize("form", RELUS)
@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_every_form_of_relu_pulls_back_by_the_rule(form, rule):
    relu = RELUS[form]
    value, pull_back = jax.vjp(backward(relu, rule), SEEN)
    assert value.tolist() == relu(SEEN).tolist()
    assert pull_back(SIGNAL)[0].tolist() == EXPECTED[rule]
    compiled = jax.jit(lambda x, g: jax.vjp(backward(relu, rule), x)[1](g)[0])
    assert compiled(SEEN, SIGNAL).tolist() == EXPECTED[rule]


def test_the_redirected_rule_opens_only_what_is_shut_for_a_whole_image():
    # Images: open somewhere; shut, with signal to raise and to lower; shut, nothing comes back.
    seen = jnp.array([[1.0, -1.0, 2.0], [-1.0, -2.0, -3.0], [-1.0, -1.0, -1.0]])
    signal = jnp.array([[3.0, 5.0, -4.0], [2.0, -7.0, 0.0], [0.0, 0.0, 0.0]])
    expected = [[3.0, 0.0, -4.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    for form in ("jax.nn.relu", "maximum", "where", "clip", "gate"):
        pull_back = jax.vjp(backward(RELUS[form], "redirected"), seen)[1]
        assert pull_back(signal)[0].tolist() == expected


def test_the_redirected_rule_is_the_gradient_of_any_model_that_is_not_shut():
    x = jax.random.normal(jax.random.key(0), (2, 7))
    for f in (
        jax.nn.gelu,
        jax.nn.silu,
        jax.nn.leaky_relu,
        jax.nn.hard_swish,
        lambda x: jnp.maximum(x, 1.0) + jnp.sin(jax.nn.relu(x)),
    ):
        value, pull_back = jax.vjp(backward(f, "redirected"), x)
        expected, gradient = jax.vjp(f, x)
        assert jnp.allclose(value, expected, rtol=1e-6)
        assert jnp.allclose(pull_back(x)[0], gradient(x)[0], rtol=1e-6)


def test_the_gradient_rule_leaves_the_function_alone():
    assert (
        jax.vjp(backward(jax.nn.relu, "gradient"), SEEN)[1](SIGNAL)[0].tolist()
        == (EXPECTED["gradient"])
    )


def test_relu6_keeps_the_gradient_of_its_upper_bound():
    for relu6 in (jax.nn.relu6, lambda x: jnp.clip(x, 0, 6), lambda x: lax.clamp(0.0, x, 6.0)):
        back = jax.vjp(backward(relu6, "deconvnet"), SEEN)[1](SIGNAL)[0]
        assert back.tolist() == [1.0, 0.0, 2.0, 0.0, 0.0]


def test_a_rule_of_ones_own():
    halved = backward(jax.nn.relu, lambda x, g: g / 2)
    assert jax.vjp(halved, SEEN)[1](SIGNAL)[0].tolist() == (SIGNAL / 2).tolist()
    with pytest.raises(ValueError, match="unknown rule 'deconv'; choose one of: gradient, deconv"):
        backward(jax.nn.relu, "deconv")


@pytest.mark.parametrize(
    "activation",
    [
        jax.nn.gelu,
        jax.nn.silu,
        jax.nn.leaky_relu,
        jax.nn.elu,
        jax.nn.celu,
        jax.nn.selu,
        jax.nn.softplus,
        jax.nn.hard_swish,
        jax.nn.mish,
        jax.nn.glu,
        jax.nn.softmax,
        jnp.tanh,
        jnp.abs,
        lambda x: jax.nn.gelu(x, approximate=False),
        lambda x: jnp.where(x >= 0, x, 0.1 * x),
        lambda x: -jnp.minimum(x, 0),
        lambda x: jnp.maximum(x, 0.1 * x),
        lambda x: jnp.maximum(x, 1.0),
        lambda x: jnp.maximum(x, -jnp.arange(6.0)),
    ],
)
def test_other_nonlinearities_are_refused_by_name_and_layer(activation):
    def model(x):
        return activation(jv.tap(jax.nn.relu(x), "stem"))

    with pytest.raises(NotImplementedError, match=r"model computes .+ after layer 'stem'"):
        backward(model, "guided")(jnp.ones(6))


def test_what_does_not_depend_on_the_input_is_left_alone():
    def model(x):
        return x * jnp.tanh(jnp.ones(5)) * jnp.maximum(jnp.ones(5), 0)

    assert jnp.allclose(jax.grad(lambda x: backward(model, "guided")(x).sum())(SEEN), jnp.tanh(1.0))


def test_a_custom_derivative_without_relu_is_kept():
    @jax.custom_vjp
    def rounded(x):
        return jnp.where(jnp.ones(5) > 0, 5 * x, 0)

    rounded.defvjp(lambda x: (rounded(x), None), lambda _, g: (g,))
    back = jax.grad(lambda x: backward(lambda x: rounded(jax.nn.relu(x)), "guided")(x).sum())(SEEN)
    assert back.tolist() == [1.0, 1.0, 0.0, 0.0, 1.0]


def test_the_variance_of_a_group_norm_is_no_relu():
    """Flax keeps a variance that rounds below zero at zero by `maximum`: no activation."""
    with jax.enable_x64(True):
        norm, x = linen.GroupNorm(2), jax.random.normal(jax.random.key(0), (2, 5, 5, 4))
        model = Partial(norm.apply, norm.init(jax.random.key(1), x))
        g = jax.random.normal(jax.random.key(2), x.shape)
        plain, guided = jax.vjp(model, x)[1](g)[0], jax.vjp(backward(model, "guided"), x)[1](g)[0]
        assert plain.dtype == jnp.float64
        # The two programs may add cotangents up in another order, to float64's rounding.
        assert jnp.abs(plain - guided).max() <= 1e-12


def test_a_norm_that_is_kept_from_zero_is_no_relu():
    model = lambda x: x / jnp.maximum(jnp.sqrt(jnp.sum(x**2)), 1e-6)
    plain, guided = jax.vjp(model, SEEN)[1](SIGNAL)[0], jax.vjp(backward(model, "guided"), SEEN)
    assert jnp.array_equal(plain, guided[1](SIGNAL)[0])


def by_hand(kernels, dense, x, channel_of, rule):
    """Zeiler & Fergus' deconvnet in numpy: unpool at the switches, rectify, filter transposed."""
    steps = []
    for kernel in kernels:
        x = np.pad(x, [(1, 1), (1, 1), (0, 0)])
        rows, columns = x.shape[0] - 2, x.shape[1] - 2
        y = np.zeros((rows, columns, kernel.shape[-1]))
        for r in range(rows):
            for c in range(columns):
                y[r, c] = np.einsum("hwi,hwio->o", x[r : r + 3, c : c + 3], kernel)
        rectified = np.maximum(y, 0)
        pooled = np.zeros((rows // 2, columns // 2, y.shape[-1]))
        switches = np.zeros(pooled.shape, int)
        for r, c, k in np.ndindex(pooled.shape):
            block = rectified[2 * r : 2 * r + 2, 2 * c : 2 * c + 2, k].ravel()
            switches[r, c, k] = block.argmax()
            pooled[r, c, k] = block.max()
        steps.append((kernel, y, switches))
        x = pooled
    signal = (dense[:, channel_of] / (x.shape[0] * x.shape[1])) * np.ones_like(x)
    for kernel, y, switches in reversed(steps):
        unpooled = np.zeros(y.shape)
        for r, c, k in np.ndindex(switches.shape):
            dr, dc = divmod(switches[r, c, k], 2)
            unpooled[2 * r + dr, 2 * c + dc, k] = signal[r, c, k]
        rectified = np.maximum(unpooled, 0)
        if rule == "guided":
            rectified = rectified * (y > 0)
        if rule == "gradient":
            rectified = unpooled * (y > 0)
        padded = np.zeros((y.shape[0] + 2, y.shape[1] + 2, kernel.shape[2]))
        for r in range(y.shape[0]):
            for c in range(y.shape[1]):
                padded[r : r + 3, c : c + 3] += np.einsum("o,hwio->hwi", rectified[r, c], kernel)
        signal = padded[1:-1, 1:-1]
    return signal


@pytest.mark.parametrize("method", [jv.saliency, jv.deconvnet, jv.guided_backprop])
def test_a_pass_by_hand_in_float64(method):
    rule = {"saliency": "gradient", "guided_backprop": "guided"}.get(
        method.__name__, method.__name__
    )
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(3, 3, 3, 6)), rng.normal(size=(3, 3, 6, 8))]
    dense, x = rng.normal(size=(8, 4)), rng.normal(size=(12, 8, 3))

    def apply(parameters, x):
        kernels, dense = parameters
        for kernel in kernels:
            x = lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = nnx.max_pool(jax.nn.relu(x), (2, 2), (2, 2))
        return x.mean((1, 2)) @ dense

    with jax.enable_x64(True):
        model = Partial(apply, (list(map(jnp.asarray, kernels)), jnp.asarray(dense)))
        found = np.asarray(method(model, jnp.asarray(x)[None], 2))[0]
    expected = by_hand(kernels, dense, x, 2, rule)
    assert found.dtype == np.float64
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()
