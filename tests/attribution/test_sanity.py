"""Shuffled weights and rank correlation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.tree_util import Partial

import jaxviz as jv


def model():
    weights = {
        "kernel": jnp.arange(60.0).reshape(5, 3, 4),
        "bias": jnp.linspace(0, 1, 4),
        "steps": jnp.arange(7),
        "dropout": jax.random.key(3),
    }
    return Partial(lambda weights, x: x, weights)


def test_every_array_keeps_its_numbers_and_loses_their_order():
    before = model()
    after = jv.randomized(jax.random.key(0), before)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for name in ("kernel", "bias"):
        old, new = np.asarray(before.args[0][name]), np.asarray(after.args[0][name])
        assert not np.array_equal(old, new)
        np.testing.assert_array_equal(np.sort(old, None), np.sort(new, None))
    assert after.args[0]["steps"].tolist() == [*range(7)]
    assert after.args[0]["dropout"] == jax.random.key(3)


def test_the_key_decides():
    one, same, other = (
        jv.randomized(jax.random.key(seed), model()).args[0]["kernel"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_is_spearmans(ties):
    a, b = np.asarray(jax.random.normal(jax.random.key(0), (2, 3, 40, 50)))
    b = b + 0.5 * a
    if ties:
        a, b = a.round(1), np.maximum(b, 0)
    found = jv.rank_correlation(a, b)
    for i in range(3):
        expected = scipy.stats.spearmanr(a[i].ravel(), b[i].ravel()).statistic
        # Sums over 2,000 ranks in float32.
        assert found[i] == pytest.approx(expected, abs=1e-5)


def test_a_constant_map_has_no_order():
    assert jnp.isnan(jv.rank_correlation(jnp.zeros((1, 4)), jnp.arange(4.0)[None]))[0]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="two maps must have one shape"):
        jv.rank_correlation(jnp.zeros((1, 4)), jnp.zeros((1, 5)))
