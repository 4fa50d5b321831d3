"""The similarity of layers against the textbook's formula, and when they settle."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv
from jaxviz.studies import comoments, evolution, linear_cka, settled, strongest


class Batch(NamedTuple):
    index: np.ndarray
    input: jnp.ndarray


def textbook(x, y):
    """Kornblith et al. 2019, equations 2 and 3: HSIC of centred Gram matrices, in float64."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    n = len(x)
    centre = np.eye(n) - np.full((n, n), 1 / n)
    grams = [values @ values.T for values in (x, y)]

    def hsic(one, other):
        return np.trace(one @ centre @ other @ centre) / (n - 1) ** 2

    return hsic(*grams) / np.sqrt(hsic(grams[0], grams[0]) * hsic(grams[1], grams[1]))


def features(seed=0, n=60, p=5, q=8):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    return x, x @ rng.normal(size=(p, q)) + rng.normal(size=(n, q))


def in_parts(x, y, sizes):
    found, start = None, 0
    for size in sizes:
        found = comoments(x[start : start + size], y[start : start + size], found)
        start += size
    assert start == len(x)
    return found


@pytest.mark.parametrize("sizes", [[60], [1, 59], [20, 20, 20], [1] * 60])
def test_cka_is_the_textbooks_in_any_parts(sizes):
    x, y = features()
    # Both in float64: what differs is the order of the sums.
    assert linear_cka(in_parts(x, y, sizes)) == pytest.approx(textbook(x, y), rel=1e-12)


def test_cka_does_not_lose_digits_to_a_large_mean():
    x, y = features()
    shifted = in_parts(x + 1e7, y - 1e7, [1] * 60)
    # The inputs themselves keep 1e-9 of their spread behind such a mean.
    assert linear_cka(shifted) == pytest.approx(textbook(x, y), rel=1e-7)


def test_cka_knows_no_rotation_no_scale_and_no_order():
    x, y = features()
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    assert linear_cka(comoments(x, -3 * x @ rotation + 2)) == pytest.approx(1, rel=1e-12)
    assert linear_cka(comoments(x, y)) == pytest.approx(linear_cka(comoments(y, x)), rel=1e-12)
    assert 0 < linear_cka(comoments(x, y)) < 1
    assert linear_cka(comoments(x, np.ones((60, 2)))) == 0


@pytest.mark.parametrize("shapes", [((3, 2), (4, 2)), ((0, 2), (0, 2)), ((3,), (3, 1))])
def test_features_must_be_of_the_same_examples(shapes):
    with pytest.raises(ValueError, match="of the same examples, got"):
        comoments(*map(np.zeros, shapes))


def net(weights, x):
    x = jv.tap(jax.nn.relu(jnp.einsum("nhwc,cd->nhwd", x, weights[0])), "first")
    return jv.tap(jax.nn.relu(jnp.einsum("nhwc,cd->nhwd", x, weights[1])), "second").mean((1, 2))


def test_a_checkpoint_by_hand():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 4, 5, 3)).astype(np.float32)
    now, final = (
        jax.tree_util.Partial(net, [rng.normal(size=(3, 6)), rng.normal(size=(6, 4))])
        for _ in range(2)
    )
    filled = np.concatenate([x[4:], 9 + np.zeros((1, 4, 5, 3), np.float32)])
    batches = [
        Batch(np.arange(4), jnp.asarray(x[:4])),
        Batch(np.array([4, 5, 6, -1]), jnp.asarray(filled)),
    ]
    found = evolution(now, final, batches, ["first", "second"])
    top = strongest(now, batches, ["first", "second"], count=1)
    for layer in ("first", "second"):
        values = [
            np.asarray(jv.capture(model, jnp.asarray(x), [layer])[1][layer])
            for model in (now, final)
        ]
        rows = [value.reshape(-1, value.shape[-1]) for value in values]
        # The same float32 values, but of batches of other sizes, whose rounding may differ.
        assert found.similarity[layer] == pytest.approx(textbook(*rows), rel=1e-5)
        best = found.strongest[layer]
        np.testing.assert_allclose(best.value[:, 0], values[0].max((0, 1, 2)), rtol=1e-6)
        np.testing.assert_array_equal(best.image, top[layer].image)
    same = evolution(final, final, batches, ["second"])
    assert same.similarity["second"] == pytest.approx(1, rel=1e-12)


def test_a_checkpoint_needs_images():
    with pytest.raises(ValueError, match="at least one batch"):
        evolution(jnp.sin, jnp.sin, [], ["first"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0, 1.0], 4.7),  # on the way from epoch 2 to epoch 5
        ([0.96, 0.99, 0.98, 1.0], 1.0),  # there from the beginning
        ([1.0, 0.9, 1.0, 1.0], 3.5),  # what it comes to only to leave it does not count
        ([0.1, 0.2, 0.3, 0.5], 9.375),  # the final value need not be 1
    ],
)
def test_when_a_layer_settles(values, expected):
    assert settled([1, 2, 5, 10], values) == pytest.approx(expected, rel=1e-12)


def test_a_layer_that_is_dead_at_the_end_does_not_settle():
    assert np.isnan(settled([1, 2, 5], [0.3, 0.2, 0.0]))


def test_values_that_are_not_finite_are_no_similarity():
    """float32 overflows in the first layer."""
    weights = [jnp.full((3, 2), 1e30), jnp.ones((2, 2))]
    model = jax.tree_util.Partial(net, weights)
    batch = Batch(np.arange(1), jnp.full((1, 2, 2, 3), 1e30))
    with pytest.raises(ValueError, match="the values of 'first' must be finite"):
        evolution(model, model, [batch], ["first"])


def test_settling_needs_rising_epochs():
    for epochs, values in (([2, 1], [0, 1]), ([1], [0, 1]), ([], []), ([1, 2], [0, -1])):
        with pytest.raises(ValueError, match="a value for each of some rising epochs"):
            settled(epochs, values)
