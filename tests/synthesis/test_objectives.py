"""Objectives: what they measure, their arithmetic, their images."""

import jax
import jax.numpy as jnp
import pytest

import jaxviz as jv

OUTPUT = jnp.array([[3.0, 2.0, 1.0], [0.0, 4.0, -1.0]])
TAPS = {
    "conv": jax.random.normal(jax.random.key(0), (2, 4, 5, 6)),
    "dense": jax.random.normal(jax.random.key(1), (2, 7)),
}
o = jv.objectives


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (o.logit(1), OUTPUT[:, 1]),
        (o.logit([2, 0]), OUTPUT[[0, 1], [2, 0]]),
        (o.probability(0), jax.nn.softmax(OUTPUT)[:, 0]),
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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: o.logit(0.5), "class must be an int or a list of ints, .* got float32"),
        (lambda: o.channel("conv", [[1]]), r"channel must be an int .* shape \(1, 1\)"),
        (lambda: o.logit([0, 1, 2])(OUTPUT, TAPS), "class has 3 entries for 2 images"),
        (lambda: o.logit(0)(TAPS["conv"], {}), r"class needs values of shape \(n, class\)"),
        (lambda: o.neuron("dense", 0, 0, 0)(None, TAPS), r"needs a layer of shape \(n, h, w, c\)"),
        (lambda: o.direction("dense", [1.0])(None, TAPS), "one entry for each of the 7 channels"),
    ],
)
def test_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
