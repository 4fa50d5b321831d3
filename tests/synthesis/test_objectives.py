"""Objectives: what they measure, their arithmetic, their images."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv

OUTPUT = jnp.array([[3.0, 2.0, 1.0], [0.0, 4.0, -1.0]])
TAPS = {
    "conv": jax.random.normal(jax.random.key(0), (2, 4, 5, 6)),
    "dense": jax.random.normal(jax.random.key(1), (2, 7)),
}
o = jv.objectives
GIVEN = jax.random.normal(jax.random.key(2), (2, 4, 5, 6))


def cosine(a, b):
    return np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)


def at_positions(measure, v):
    """`measure(activations, direction)` at every position by itself, averaged."""
    conv = np.asarray(TAPS["conv"]).reshape(2, 20, 6)
    return np.array([[measure(a, v) for a in image] for image in conv]).mean(1)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (o.logit(1), OUTPUT[:, 1]),
        (o.logit([2, 0]), OUTPUT[[0, 1], [2, 0]]),
        (o.probability(0), jax.nn.softmax(OUTPUT)[:, 0]),
        (o.log_probability([1, 2]), np.log(jax.nn.softmax(OUTPUT))[[0, 1], [1, 2]]),
        (o.channel("conv", 3), TAPS["conv"][..., 3].mean((1, 2))),
        (o.channel("dense", 3), TAPS["dense"][:, 3]),
        (o.strongest("conv", [1, 2]), TAPS["conv"].max((1, 2))[[0, 1], [1, 2]]),
        (o.feature_map("conv", 2), 0.5 * (TAPS["conv"][..., 2] ** 2).sum((1, 2))),
        (o.neuron("conv", [5, 1], 2, [0, 4]), TAPS["conv"][[0, 1], [2, 2], [0, 4], [5, 1]]),
        (o.layer("dense"), (TAPS["dense"] ** 2).mean(-1)),
        (o.direction("dense", jnp.arange(7)), TAPS["dense"] @ jnp.arange(7.0)),
        (
            o.direction("conv", jnp.eye(6)[:2]),
            TAPS["conv"].mean((1, 2))[[0, 1], [0, 1]],
        ),
        (
            o.direction("conv", jnp.arange(6.0), cosine_power=2),
            at_positions(lambda a, v: a @ v * max(cosine(a, v), 0.1) ** 2, np.arange(6.0)),
        ),
        (o.cosine("conv", jnp.arange(6.0)), at_positions(cosine, np.arange(6.0))),
        (o.cosine("dense", -5 * TAPS["dense"]), -jnp.ones(2)),
        (o.match("conv", GIVEN), -((TAPS["conv"] - GIVEN) ** 2).mean((1, 2, 3))),
        (
            o.match("conv", TAPS["conv"][:1]),
            -((TAPS["conv"] - TAPS["conv"][0]) ** 2).mean((1, 2, 3)),
        ),
        (o.match("dense", TAPS["dense"]), jnp.zeros(2)),
        (o.caricature("conv", GIVEN, cosine_power=0), (TAPS["conv"] * GIVEN).mean((1, 2, 3))),
        # The cosine of activations with themselves is 1; with their negative -1, counted as 0.1.
        (o.caricature("dense", 2 * TAPS["dense"]), 2 * (TAPS["dense"] ** 2).mean(1)),
        (o.caricature("dense", -TAPS["dense"]), -0.1 * (TAPS["dense"] ** 2).mean(1)),
        (o.interpolate(o.logit(0), o.logit(1), 0.25), OUTPUT[:, :2] @ jnp.array([0.75, 0.25])),
        (o.interpolate(o.logit(0), o.logit(1), [0.0, 1.0]), jnp.array([3.0, 4.0])),
        (o.each([o.logit(0), -o.channel("dense", 1)]), jnp.array([3.0, -TAPS["dense"][1, 1]])),
        # Arithmetic; the sign of a difference has been got wrong elsewhere.
        (o.logit(0) - o.logit(1), OUTPUT[:, 0] - OUTPUT[:, 1]),
        (-(o.logit(0) - 2 * o.logit(1)), 2 * OUTPUT[:, 1] - OUTPUT[:, 0]),
        (1 - o.logit(0), 1 - OUTPUT[:, 0]),
        (o.logit(0) + 1 - 3, OUTPUT[:, 0] - 2),
        (o.logit(0) * o.logit(1), OUTPUT[:, 0] * OUTPUT[:, 1]),
        (0.5 * o.logit(1) ** 2, 0.5 * OUTPUT[:, 1] ** 2),
        (o.logit([0, 1]) * jnp.array([1.0, -1.0]), jnp.array([3.0, -4.0])),
    ],
)
def test_values(objective, expected):
    assert jnp.allclose(objective(OUTPUT, TAPS), expected, atol=1e-6)
    # An image's own objective gives its score, also where the image's number is not known.
    one = jax.jit(
        lambda i: objective.of(i)(OUTPUT[i][None], {k: v[i][None] for k, v in TAPS.items()})
    )
    for i in range(2):
        assert jnp.allclose(one(i)[0], expected[i], atol=1e-6)


def test_layers_and_images():
    both = o.channel("conv", [1, 2]) + o.logit(0) - o.neuron("dense2", 0, 0, 0)
    assert both.layers == ("conv", "dense2")
    assert both.images == 2
    assert o.logit(3).images == 1
    assert o.each([o.logit(0), o.logit(1), o.layer("conv")]).images == 3


def test_diversity_is_least_for_equal_images():
    same = {"conv": jnp.repeat(TAPS["conv"][:1], 3, 0)}
    assert jnp.allclose(o.diversity("conv")(None, same), -1, atol=1e-5)
    apart = {"conv": jnp.zeros((2, 1, 1, 2)).at[0, 0, 0, 0].set(1).at[1, 0, 0, 1].set(1)}
    assert jnp.allclose(o.diversity("conv")(None, apart), 0)


def test_alignment_is_highest_for_equal_images():
    same = {"conv": jnp.repeat(TAPS["conv"][:1], 3, 0)}
    assert (o.alignment("conv")(None, same) == 0).all()
    steps = {"dense": jnp.array([[0.0, 0.0], [2.0, 0.0], [2.0, 4.0]])}
    assert jnp.allclose(o.alignment("dense")(None, steps), jnp.array([-2.0, -5.0, -8.0]))
    assert o.alignment("dense")(None, {"dense": jnp.ones((1, 7))}).tolist() == [0.0]


def test_a_cosine_of_nothing_is_0_and_has_a_gradient():
    dead = jnp.zeros((2, 4, 5, 6))
    for objective in [
        o.cosine("conv", jnp.ones(6)),
        o.cosine("conv", jnp.zeros(6)),
        o.direction("conv", jnp.ones(6), cosine_power=1.5),
        o.caricature("conv", GIVEN, cosine_power=1.5),
        o.caricature("conv", dead),
    ]:
        scores, pull_back = jax.vjp(partial(scored, objective), dead)
        assert (scores == 0).all()
        assert jnp.isfinite(pull_back(jnp.ones(2))[0]).all()


def scored(objective, conv):
    return objective(None, {"conv": conv})


def test_given_activations_are_captured_ones():
    """Feature inversion from `jv.capture`: nothing is nearer to an image than the image."""
    weights = jax.random.normal(jax.random.key(3), (3, 5))
    model = lambda x: jv.tap(jnp.tanh(x @ weights), "mixed").mean((1, 2))
    x = jax.random.uniform(jax.random.key(4), (3, 4, 4, 3))
    _, seen = jv.capture(model, x[:1], ["mixed"])
    scores = jv.objectives.score(model, x, o.match("mixed", seen["mixed"]))[1]
    assert scores[0] == 0
    assert (scores[1:] < 0).all()


@pytest.mark.parametrize("of", ["channel", "strongest", "feature_map", "direction", "cosine"])
def test_the_image_axes_are_reduced_as_they_are(of):
    """A reshape would hide from a rule on the jaxpr where in the image a value is."""
    objective = getattr(o, of)("conv", jnp.ones(6) if of in ("direction", "cosine") else 1)
    jaxpr = jax.make_jaxpr(partial(scored, objective))(TAPS["conv"])
    for equation in jaxpr.eqns:
        if equation.primitive.name == "reshape":
            assert equation.invars[0].aval.size < TAPS["conv"].size


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: o.logit(0.5), "class must be an int or a list of ints, .* got float32"),
        (lambda: o.channel("conv", [[1]]), r"channel must be an int .* shape \(1, 1\)"),
        (lambda: o.logit([0, 1, 2])(OUTPUT, TAPS), "class has 3 entries for 2 images"),
        (lambda: o.logit(0)(TAPS["conv"], {}), r"class needs values of shape \(n, class\)"),
        (lambda: o.neuron("dense", 0, 0, 0)(None, TAPS), r"needs a layer of shape \(n, h, w, c\)"),
        (lambda: o.direction("dense", [1.0])(None, TAPS), "one entry for each of the 7 channels"),
        (lambda: o.cosine("dense", [1.0])(None, TAPS), "one entry for each of the 7 channels"),
        (
            lambda: o.match("conv", GIVEN[0])(None, TAPS),
            r"shape of 'conv', \(2, 4, 5, 6\), or 1 .* got \(4, 5, 6\)",
        ),
    ],
)
def test_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
