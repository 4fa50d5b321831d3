"""Layers by name, through every construct of JAX and in every framework."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from flax import linen, nnx
from jax.tree_util import Partial

import jaxviz as jv


def everywhere(x):
    """A function with a tap inside each construct that the interpreter goes into."""
    x = jv.tap(x + 1, "plain")
    x = jax.jit(lambda x: jv.tap(x * 2, "jit"))(x)
    x, _ = jax.lax.scan(lambda c, a: (jv.tap(c + a, "scan"), None), x, jnp.arange(3.0))
    x = jax.checkpoint(lambda x: jv.tap(jnp.sin(x), "remat"))(x)
    x = jax.lax.cond(x.sum() > 0, lambda x: jv.tap(x, "cond"), lambda x: jv.tap(-x, "cond"), x)
    x = custom(x)
    return jv.tap(x, "plain")


@jax.custom_vjp
def custom(x):
    return jv.tap(3 * x, "custom_vjp")


custom.defvjp(lambda x: (custom(x), None), lambda _, g: (100 * g,))


def by_hand(x):
    a = x + 1
    b = a * 2
    scanned = jnp.stack([b, b + 1, b + 3])
    d = jnp.sin(scanned[-1])
    e = jnp.where(d.sum() > 0, d, -d)
    return {
        "plain": a,
        "jit": b,
        "scan": scanned,
        "remat": d,
        "cond": e,
        "custom_vjp": 3 * e,
        "plain_1": 3 * e,
    }


@pytest.mark.parametrize("compiled", [False, True])
def test_capture_finds_every_tap(compiled):
    x = jnp.array([0.3, -2.0])
    expected = by_hand(x)
    capture = lambda x: jv.capture(everywhere, x, list(expected))
    output, values = (jax.jit(capture) if compiled else capture)(x)
    assert list(jv.layers(everywhere, x)) == list(expected)
    for name, value in expected.items():
        assert jnp.allclose(values[name], value, atol=1e-6), name
    assert jnp.array_equal(output, values["plain_1"])


def test_capture_under_vmap_and_grad():
    x = jnp.array([[0.3, -2.0], [1.0, 0.5]])
    stacked = jax.vmap(lambda x: jv.capture(everywhere, x, ["jit"])[1]["jit"])(x)
    assert jnp.allclose(stacked, 2 * (x + 1))
    gradient = jax.grad(lambda x: jv.capture(everywhere, x, ["jit"])[1]["jit"].sum())(x[0])
    assert jnp.array_equal(gradient, jnp.full(2, 2.0))


def test_a_custom_derivative_is_kept_where_no_tap_of_interest_lies_inside():
    x = jnp.array([0.3, 0.1])
    captured = jax.grad(lambda x: jv.capture(everywhere, x, ["jit"])[0].sum())(x)
    assert jnp.allclose(captured, jax.grad(lambda x: everywhere(x).sum())(x))


def test_edit_changes_what_comes_after():
    x = jnp.array([0.3, -2.0])
    assert jnp.array_equal(jv.edit(everywhere, {"cond": jnp.zeros_like})(x), jnp.zeros(2))
    doubled = jv.edit(everywhere, {"custom_vjp": lambda a: 2 * a})(x)
    assert jnp.allclose(doubled, 2 * everywhere(x))
    slope = jax.grad(lambda d: jv.edit(everywhere, {"jit": lambda a: a + d})(x).sum())(jnp.zeros(2))
    assert jnp.allclose(slope, jax.grad(lambda x: everywhere(x).sum())(x) / 2)


def test_a_layer_met_twice_has_two_names():
    class Twice(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(3, 3, (3, 3), rngs=rngs)

        def __call__(self, x):
            # The second time inside a call, which does not know of the first.
            return jax.jit(lambda x: self.conv(nnx.relu(x)))(self.conv(x)).mean((1, 2))

    model, x = Twice(nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    first = model.conv(x)
    second = model.conv(nnx.relu(first))
    _, values = jv.capture(model, x, ["conv", "conv_1"])
    assert jnp.allclose(values["conv"], first, atol=1e-6)
    assert jnp.allclose(values["conv_1"], second, atol=1e-6)
    assert (jv.edit(model, {"conv_1": jnp.zeros_like})(x) == 0).all()
    edited = jv.edit(model, {"conv": jnp.zeros_like})(x)
    assert jnp.allclose(edited, model.conv(jnp.zeros_like(x)).mean((1, 2)), atol=1e-6)
    above = lambda a: model.conv(nnx.relu(a)).mean((1, 2))[:, 1].sum()
    weights = jax.grad(above)(first).mean((1, 2), keepdims=True)
    expected = (weights * first).sum(-1)
    found = jv.grad_cam(model, x, 1, layer="conv", relu=False)
    assert jnp.allclose(found, expected, atol=1e-6)


def test_layers_computes_nothing():
    def model(x):
        jax.debug.callback(lambda: pytest.fail("the model ran"))
        return jv.tap(x, "layer")

    assert jv.layers(model, jax.ShapeDtypeStruct((2, 3), jnp.float32))["layer"].shape == (2, 3)


def test_capture_compiles_only_what_is_used():
    def model(x):
        x = jv.tap(jnp.sin(x), "low")
        return jnp.linalg.inv(x)

    low = jax.jit(lambda x: jv.capture(model, x, ["low"])[1]["low"])
    text = low.lower(jnp.eye(3)).compile().as_text()
    assert "custom-call" not in text
    assert "sine" in text


class Block(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 3, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.norm(self.conv(x)))


class Net(nnx.Module):
    def __init__(self, rngs):
        self.blocks = nnx.List([Block(rngs), Block(rngs)])
        self.head = nnx.Linear(3, 5, rngs=rngs)

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


def test_nnx_modules_without_taps_are_named_by_path():
    model, x = Net(nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    model.eval()
    names = [f"blocks.{i}{part}" for i in (0, 1) for part in (".conv", ".norm", "")] + ["head"]
    assert list(jv.layers(model, x)) == names
    output, values = jax.jit(lambda m, x: jv.capture(m, x, names))(model, x)
    # The same sum, fused differently.
    assert jnp.allclose(output, model(x), atol=1e-6)
    assert jnp.allclose(values["blocks.0"], model.blocks[0](x), atol=1e-6)
    assert type(model.blocks[0]) is Block


def test_a_model_in_train_mode_is_not_changed():
    model, x = Net(nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    before = model.blocks[0].norm.mean[...]
    jv.capture(model, x, ["head"])
    jv.saliency(model, x, 0)
    assert jnp.array_equal(model.blocks[0].norm.mean[...], before)


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(4, (3, 3))(x))
        x = linen.relu(linen.Conv(4, (3, 3), name="second")(x))
        return linen.Dense(5)(x.mean((1, 2)))


def test_linen_modules_without_taps_are_named_by_path():
    net, x = LinenNet(), jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    model = Partial(net.apply, net.init(jax.random.key(1), x))
    assert list(jv.layers(model, x)) == ["Conv_0", "second", "Dense_0"]
    output, values = jv.capture(model, x, ["Dense_0"])
    assert jnp.allclose(output, values["Dense_0"])
    assert jnp.allclose(output, model(x), atol=1e-6)


class EquinoxNet(eqx.Module):
    conv: eqx.nn.Conv2d
    activation: callable = jax.nn.relu

    def __call__(self, x):
        x = jax.vmap(self.conv)(x.transpose(0, 3, 1, 2))
        return jv.tap(self.activation(x), "relu").mean((2, 3))


def test_equinox_models_are_tapped_by_hand():
    model = EquinoxNet(eqx.nn.Conv2d(3, 4, 3, key=jax.random.key(0)))
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    assert jv.layers(model, x)["relu"].shape == (2, 4, 6, 6)
    # A function among the leaves (the activation) does not keep it from being compiled.
    assert jv.deconvnet(model, x, 1).shape == x.shape


def test_unknown_layers_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown layer 'jti'; nearest: jit"):
        jv.capture(everywhere, jnp.ones(2), ["jti"])
    with pytest.raises(ValueError, match="unknown layer 'zzz'; the model has 7 layers"):
        jv.edit(everywhere, {"zzz": lambda a: a})(jnp.ones(2))


def test_an_edit_keeps_the_shape():
    with pytest.raises(ValueError, match=r"edit of 'jit' makes \(\) float32 of \(2,\) float32"):
        jv.edit(everywhere, {"jit": jnp.sum})(jnp.ones(2))


def test_layers_without_a_single_value_are_refused():
    def in_loop(x):
        return jax.lax.while_loop(lambda x: x < 3, lambda x: jv.tap(x + 1, "turn"), x)

    def in_branch(x):
        return jax.lax.cond(x > 0, lambda x: jv.tap(x, "positive"), lambda x: x, x)

    with pytest.raises(NotImplementedError, match="'turn' lies in a while loop"):
        jv.layers(in_loop, 1.0)
    with pytest.raises(NotImplementedError, match="'positive' lies in one branch of a cond"):
        jv.layers(in_branch, 1.0)
    # Other layers of such a model can be read all the same.
    model = lambda x: jv.tap(in_loop(x), "result")
    assert jv.capture(model, 1.0, ["result"])[1]["result"] == 3.0
