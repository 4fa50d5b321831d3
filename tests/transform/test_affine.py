"""The affine piece of a function around an input, for every piecewise-linear construct."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax
from jax.tree_util import Partial

import jaxviz as jv
from jaxviz.transform import gated
from jaxviz.transform.affine import walls


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


SHAPE = (2, 6, 7, 3)
KERNEL = np.random.default_rng(0).normal(size=(3, 3, 3, 3))
MATRICES = np.random.default_rng(1).normal(size=(4, 3, 3))


def point(seed):
    return jax.random.normal(jax.random.key(seed), SHAPE)


@jax.custom_vjp
def declares_another_derivative(x):
    return jnp.maximum(x, 0)


declares_another_derivative.defvjp(
    lambda x: (jnp.maximum(x, 0), None), lambda _, g: (100 * jnp.ones(SHAPE) * g,)
)


@jax.custom_vjp
def reverses_its_gradient(x):
    return x


reverses_its_gradient.defvjp(lambda x: (x, None), lambda _, g: (-g,))


def convolution(x, strides=(1, 1), **options):
    return lax.conv_general_dilated(
        x, KERNEL, strides, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), **options
    )


PADDING = ((0, 0), (1, 2), (0, 1), (0, 0))


def pooled(
    x, compare=lax.max, start=-jnp.inf, window=(1, 3, 2, 1), strides=(1, 2, 1, 1), padding=PADDING,
    **options,
):  # fmt: skip
    return lax.reduce_window(x, start, compare, window, strides, padding, **options)


def scanned(x):
    def turn(carry, matrix):
        step, x = carry
        x = jax.nn.relu(x @ matrix) + jnp.where(step > 1, x, 0.5 * x)
        return (step + 1, x), x.sum(1)

    (_, x), sums = lax.scan(turn, (0, x), jnp.asarray(MATRICES))
    return x, sums


PIECEWISE_LINEAR = {
    "relu": jax.nn.relu,
    "maximum": lambda x: jnp.maximum(x, 0.1),
    "the other way": lambda x: jnp.maximum(0.1, x),
    "minimum": lambda x: -jnp.minimum(x, 0),
    "of two that vary": lambda x: jnp.maximum(x, 2 * x[:, ::-1] + 1) + jnp.minimum(x, 0.3 - x),
    "where": lambda x: jnp.where(x > 0, x, 0),
    "where not": lambda x: jnp.where(x <= 0.2, 0, x),
    "gate": lambda x: x * (x > 0),
    "gate of another": lambda x: x * (x[..., ::-1] >= 0.1),
    "thresholds": lambda x: jnp.select([x < -1, x < 1], [-x, 3 * x + 1], 2.0),
    "clip": lambda x: jnp.clip(x, -0.5, 0.7),
    "lax.clamp": lambda x: lax.clamp(jnp.full(SHAPE, -0.5), x, jnp.full(SHAPE, 0.7)),
    "bounds that vary": lambda x: jnp.clip(x, -1 + 0.1 * x[:, ::-1], 1 + 0.2 * x[..., ::-1]),
    "relu6": jax.nn.relu6,
    "leaky relu": jax.nn.leaky_relu,
    "parametric relu": lambda x: jnp.where(x >= 0, x, jnp.array([0.1, 0.2, -0.3]) * x),
    "hard tanh": jax.nn.hard_tanh,
    "hard sigmoid": jax.nn.hard_sigmoid,
    "abs": jnp.abs,
    "sign": lambda x: jnp.sign(x) * x + jnp.sign(x),
    "concatenated relu": lambda x: jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], -1),
    "median of three": lambda x: (
        x.sum(-1) - x.max(-1) - x.min(-1)
    ),
    "maximum over axes": lambda x: x.max((1, 3)).sum(-1, keepdims=True) + x.max((1, 2)),
    "max pooling": pooled,
    "dilated max pooling": lambda x: pooled(x, window_dilation=(1, 2, 3, 1)),
    "min pooling": lambda x: pooled(x, lax.min, jnp.inf),
    "max pooling of flax": lambda x: nnx.max_pool(x, (2, 2), (2, 2)),
    "max pooling over channels": lambda x: pooled(
        x, window=(1, 1, 1, 2), strides=(1, 1, 1, 1), padding="VALID"
    ),
    "average pooling": lambda x: nnx.avg_pool(jax.nn.relu(x), (3, 3), (2, 2), "SAME"),
    "convolution": lambda x: convolution(jax.nn.relu(convolution(x, (2, 1))), rhs_dilation=(2, 2)),
    "products": lambda x: jnp.einsum("nhwc,cd->nd", jax.nn.relu(x), KERNEL[0, 0]) / 3.0 + 2,
    "resized": lambda x: jax.image.resize(jax.nn.relu(x), (2, 9, 4, 3), "bilinear"),
    "nearest": lambda x: jax.image.resize(jax.nn.relu(x), (2, 9, 4, 3), "nearest"),
    "gathered": lambda x: jax.nn.relu(x)[:, jnp.array([0, 0, 4])] + x[:, 1:4],
    "at a place that is data": lambda x: lax.dynamic_slice_in_dim(jnp.abs(x), jnp.array(2), 3, 1),
    "updated": lambda x: x.at[:, 2].set(0.5).at[0].add(jax.nn.relu(x[1])),
    "padded, turned, summed": lambda x: jnp.cumsum(jnp.rot90(jnp.pad(x, 1), axes=(1, 2)), 1),
    "split": lambda x: jnp.split(jax.nn.relu(x), 3, -1)[1],
    "stopped gradient": lambda x: x + 2 * lax.stop_gradient(jax.nn.relu(x)),
    "another derivative": declares_another_derivative,
    "reversed gradient": lambda x: reverses_its_gradient(jax.nn.relu(x)),
    "jit": jax.jit(lambda x: jax.nn.relu(x) * 2),
    "remat": jax.checkpoint(lambda x: jax.nn.relu(convolution(x))),
    "scan": lambda x: scanned(x)[0],
    "stacked by a scan": lambda x: scanned(x)[1],
    "cond": lambda x: lax.cond(x[0, 0, 0, 0] > -9, lambda x: jax.nn.relu(x), lambda x: 3 * x, x),
    "while": lambda x: lax.while_loop(
        lambda c: c[0] < 3, lambda c: (c[0] + 1, jax.nn.relu(c[1] - 0.1)), (0, x)
    )[1],
    "vmap": jax.vmap(lambda image: pooled(image[None])[0]),
    "tapped": lambda x: jnp.where(jv.tap(x, "a") > 0, x, 0),
    "batch norm": lambda x: jax.nn.relu((x - 0.3) * lax.rsqrt(jnp.array([1.0, 2, 3]) + 1e-5)),
    "without the input": lambda x: jnp.tanh(jnp.ones(3)) * jax.nn.softmax(jnp.arange(3.0)),
}  # fmt: skip


STEP = 1e-6
NEAR = [(seed, size) for seed in range(3) for size in (0.0, 1e-3, 0.03, 1.0)]


@functools.cache
def examined(kind):
    """What the tests ask of one function, compiled once."""
    f, x, direction = PIECEWISE_LINEAR[kind], point(0), point(1)
    a, b = 10 * point(2), 10 * point(3)
    near = jnp.stack([x + size * point(5 + seed) for seed, size in NEAR])
    has_walls = kind not in ("cond", "while")

    @jax.jit
    def run(x, direction, a, b, near):
        piece = gated(f, x)
        found = {
            "f": f(x),
            "f beside": f(x + STEP * direction),
            "f near": jax.lax.map(f, near),
            "piece near": jax.lax.map(piece, near),
        }
        of = ("x", "beside", "a", "b", "between")
        moved = (x, x + direction, a, b, 0.3 * a + 0.7 * b)
        values = jax.lax.map(piece, jnp.stack(moved))
        found |= dict(zip(of, values, strict=True))
        found["along"] = jax.jvp(piece, (a,), (direction,))[1]
        if kind != "while":
            signal = jnp.cos(jnp.arange(values[0].size)).reshape(values[0].shape)
            pulled = jax.vjp(piece, a)[1](signal)[0]
            found["pairing"] = (pulled * direction).sum(), (signal * found["along"]).sum()
        if has_walls:
            gates = walls(f, x)
            found["walls"] = [jnp.min(gate.wall) for own in gates(x).values() for gate in own]
            inside = lambda moved: jnp.stack(
                [jnp.array(True)]
                + [(gate.moved >= 0).all() for own in gates(moved).values() for gate in own]
            ).all()
            found["inside"] = jax.lax.map(inside, near)
        return found

    return jax.tree.map(np.asarray, run(x, direction, a, b, near))


@pytest.mark.parametrize("kind", PIECEWISE_LINEAR)
def test_the_piece_touches_the_function_and_is_affine(kind):
    found = examined(kind)
    assert np.abs(found["x"] - found["f"]).max() <= 1e-13
    # A step so small that no gate turns: the function's difference is the piece's, whatever
    # derivative it declares. Rounding errors of values near 10 are divided by the step.
    difference = (found["f beside"] - found["f"]) / STEP
    slope = found["beside"] - found["x"]
    assert np.abs(difference - slope).max() <= 1e-7
    assert np.abs(found["along"] - slope).max() <= 1e-12
    # On a line far away it is still straight.
    between = 0.3 * found["a"] + 0.7 * found["b"]
    assert np.abs(found["between"] - between).max() <= 1e-11


@pytest.mark.parametrize("kind", [kind for kind in PIECEWISE_LINEAR if kind != "while"])
def test_the_pieces_transpose_is_its_derivatives(kind):
    pulled, pushed = examined(kind)["pairing"]
    assert np.isclose(pulled, pushed, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("activation", "what"),
    [
        (jax.nn.gelu, "'integer_pow'|'tanh'"),
        (lambda x: jax.nn.gelu(x, approximate=False), "'erf"),
        (jax.nn.silu, "'logistic'"),
        (jax.nn.softmax, "'exp'"),
        (jax.nn.elu, "'expm1'|'exp'"),
        (jax.nn.softplus, "'"),
        (jax.nn.glu, "'logistic'"),
        (jnp.tanh, "'tanh'"),
        (jax.nn.hard_swish, "'mul' of two values that both depend on the input"),
        (lambda x: x * x[::-1], "'mul' of two values that both depend on the input"),
        (lambda x: x @ x.T, "'dot_general' of two values that both depend on the input"),
        (lambda x: x**2, "'(square|integer_pow)'"),
        (lambda x: 1 / x, "'(div' by a value that depends on the input|integer_pow')"),
        (lambda x: x / x.sum(), "'div' by a value that depends on the input"),
        (lambda x: jnp.sort(x), "'sort'"),
        (lambda x: jnp.arange(6.0)[jnp.argmax(x, -1)], "'argmax'"),
        (lambda x: x == 1, "'eq'"),
        (lambda x: jnp.floor(x), "'floor'"),
        (lambda x: x.astype(int), "'convert_element_type' to int64"),
        (lambda x: jnp.prod(x), "'reduce_prod'"),
        (lambda x: jnp.fft.fft(x).real, "'"),
        (lambda x: lax.reduce_window(x, 1.0, lax.mul, (1, 2), (1, 1), "VALID"), "'reduce_window"),
        (lambda x: lax.scan(lambda c, y: (c * 0.5, y * c), x[0], x)[1], "'mul' of two values"),
        (jax.jit(lambda x: jnp.exp(x)), "'exp'"),
        (lambda x: (x - x.mean()) / jnp.sqrt(x.var()), "'(square|integer_pow|mul)'"),
        (lambda x: x.at[0].mul(3.0), "'scatter"),
    ],
)
def test_what_is_not_piecewise_linear_is_refused_by_name_and_layer(activation, what):
    def model(x):
        return activation(jv.tap(jax.nn.relu(x), "stem"))

    message = f"piecewise-linear networks only, and this one computes {what}.* after layer 'stem'"
    with pytest.raises(NotImplementedError, match=message):
        gated(model, jnp.ones((6, 6)))(jnp.ones((6, 6)))


def test_only_what_is_asked_for_must_be_piecewise_linear():
    """A layer below a softmax; the softmax of what does not depend on the input."""
    model = lambda x: jax.nn.softmax(jv.tap(jax.nn.relu(x), "relu"))
    x = point(0)
    below = gated(lambda x: jv.capture(model, x, ["relu"])[1]["relu"], x)
    assert jnp.array_equal(below(x), jax.nn.relu(x))
    within = jax.jit(model)
    below = gated(lambda x: jv.capture(within, x, ["relu"])[1]["relu"], x)
    assert jnp.array_equal(below(x), jax.nn.relu(x))


def test_a_primitive_that_nobody_knows_is_refused():
    """`igamma` of (1, x) is 1 - exp(-x): nothing says so, and nothing is assumed."""
    with pytest.raises(NotImplementedError, match=r"'\w+' after the input"):
        gated(lambda x: lax.igamma(jnp.ones(3), x), jnp.ones(3))(jnp.ones(3))


def test_gates_are_those_of_the_first_input_and_not_of_the_second():
    """Everything is turned at the second input: signs, order in a window, the sign of a bound."""
    x, moved = jnp.array([1.0, -2.0, 3.0, 1.0]), jnp.array([-5.0, 4.0, 1.0, 7.0])
    pairs = {"window": (2,), "strides": (2,), "padding": "VALID"}
    for f, expected in [
        (jax.nn.relu, [-5.0, 0.0, 1.0, 7.0]),
        (jnp.abs, [-5.0, -4.0, 1.0, 7.0]),
        (lambda x: pooled(x, **pairs), [-5.0, 1.0]),
        (lambda x: pooled(x, lax.min, jnp.inf, **pairs), [4.0, 7.0]),
        (lambda x: x.max(keepdims=True), [1.0]),
        (lambda x: jnp.clip(x, -1, 2), [-5.0, -1.0, 2.0, 7.0]),
        (lambda x: (x > 0) * 1.0, [1.0, 0.0, 1.0, 1.0]),
    ]:
        assert gated(f, x)(moved).tolist() == expected


def test_ties():
    """A ReLU at zero is off; of equal entries of a window the first is taken, wherever it lies."""
    x = jnp.zeros(4)
    for f in (jax.nn.relu, lambda x: jnp.maximum(x, 0), lambda x: jnp.maximum(0, x),
              lambda x: x * (x > 0), lambda x: jnp.where(x > 0, x, 0), jax.nn.relu6):  # fmt: skip
        assert jax.jacrev(gated(f, x))(x).tolist() == np.zeros((4, 4)).tolist()
    pool = lambda x: pooled(x, window=(3,), strides=(1,), padding=[(1, 1)])
    assert jax.jacrev(gated(pool, x))(x).argmax(-1).tolist() == [0, 0, 1, 2]
    assert jax.jacrev(gated(jnp.max, x))(x).tolist() == [1.0, 0.0, 0.0, 0.0]


class Plain(nnx.Module):
    """Without taps, so that its modules name its layers."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs, param_dtype=jnp.float64)
        self.norm = nnx.BatchNorm(4, rngs=rngs, use_running_average=True, param_dtype=jnp.float64)
        self.head = nnx.Linear(4, 2, rngs=rngs, param_dtype=jnp.float64)

    def __call__(self, x):
        return self.head(nnx.gelu(nnx.relu(self.norm(self.conv(x)))).mean((1, 2)))


def test_layers_keep_their_names():
    model = Plain()
    with pytest.raises(NotImplementedError, match="after layer 'norm'"):
        gated(model, point(0))(point(0))

    def tapped(x):
        x = jv.tap(jax.nn.relu(x), "relu")
        x = jax.jit(lambda x: jv.tap(jnp.abs(x - 1), "abs"))(x)
        return jv.tap(jax.nn.relu(x - 0.5), "relu")

    x, moved = point(0), point(1)
    piece = gated(tapped, x)
    assert list(jv.layers(piece, x)) == list(jv.layers(tapped, x)) == ["relu", "abs", "relu_1"]
    _, values = jv.capture(piece, moved, ["relu", "abs"])
    assert jnp.array_equal(values["relu"], jnp.where(x > 0, moved, 0))
    # The part above a layer, as a function of the layer's value.
    above = jv.edit(piece, {"abs": lambda _: values["abs"]})
    assert jnp.array_equal(above(x), piece(moved))


def test_linen_equinox_and_partial_models():
    norm = linen.Sequential([linen.Conv(4, (3, 3)), linen.relu, linen.Dense(2)])
    model = Partial(norm.apply, norm.init(jax.random.key(0), point(0)))
    assert jnp.abs(gated(model, point(0))(point(0)) - model(point(0))).max() <= 1e-14


def test_pytrees_with_whole_numbers():
    f = lambda inputs: jax.nn.relu(inputs["x"])[inputs["rows"]]
    x = {"x": jnp.array([1.0, -1.0, 2.0]), "rows": jnp.array([2, 1])}
    moved = x | {"x": jnp.array([7.0, 8.0, 9.0])}
    assert gated(f, x)(moved).tolist() == [9.0, 0.0]


@pytest.mark.parametrize("moved", [jnp.ones((6, 5)), jnp.ones((5, 6), jnp.float32)])
def test_another_kind_of_input_is_refused(moved):
    with pytest.raises(ValueError, match=r"the one that fixes the gates, float64\[5, 6\]; got"):
        gated(jnp.abs, jnp.ones((5, 6)))(moved)


def test_under_vmap_each_input_has_gates_of_its_own():
    x, moved = point(0), point(1)
    f = lambda image: pooled(jax.nn.relu(image)[None])[0]
    both = jax.vmap(lambda x, moved: gated(f, x)(moved))(x, moved)
    for i in range(2):
        assert jnp.array_equal(both[i], gated(f, x[i])(moved[i]))


# walls


@pytest.mark.parametrize("kind", [k for k in PIECEWISE_LINEAR if k not in ("cond", "while")])
def test_walls_are_passed_where_the_piece_leaves_the_function(kind):
    found = examined(kind)
    assert all(wall >= 0 for wall in found["walls"])
    apart = np.abs(found["f near"] - found["piece near"]).reshape(len(NEAR), -1).max(-1)
    assert (apart[found["inside"]] <= 1e-13).all()
    assert found["inside"][[size == 0 for _, size in NEAR]].all()
    # A wall may lie behind another one, so that not every passing shows; some must.
    assert (apart[~found["inside"]] > 1e-6).any() or not found["walls"]


def test_walls_are_listed_by_the_layer_above_them():
    def model(x):
        x = jv.tap(jax.nn.relu(jv.tap(convolution(x), "conv")), "relu")
        x = jax.checkpoint(lambda x: jv.tap(pooled(jax.nn.relu6(x)), "pool"))(x)
        x = lax.scan(lambda x, _: (jax.nn.relu(x - 0.1), None), x, None, length=3)[0]
        return jv.tap(x, "looped").max((1, 2))

    found = walls(model, point(0))(point(0))
    assert list(found) == ["relu", "pool", "looped", "output"]
    shapes = {name: [gate.wall.shape for gate in gates] for name, gates in found.items()}
    assert shapes == {
        "relu": [(*SHAPE, 1)],
        # Both bounds of the relu6, then the six places of the window.
        "pool": [(*SHAPE, 1), (*SHAPE, 1), (2, 4, 7, 3, 6)],
        "looped": [(3, 2, 4, 7, 3, 1)],
        "output": [(2, 3, 28)],
    }


def test_walls_inside_of_branches_are_refused():
    for kind in ("cond", "while"):
        with pytest.raises(NotImplementedError, match=f"gates inside of '{kind}' after the input"):
            walls(PIECEWISE_LINEAR[kind], point(0))(point(0))
