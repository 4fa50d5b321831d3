"""Shuffled weights and rank correlation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jaxviz as jv
import ports


def test_every_array_keeps_its_numbers_and_loses_their_order():
    model = ports.load("shapes-plain", weights="shapes")
    shuffled = jv.randomized(jax.random.key(0), model)
    assert jax.tree.structure(model) == jax.tree.structure(shuffled)
    moved = 0
    for before, after in zip(*map(jax.tree.leaves, (model, shuffled)), strict=True):
        before, after = np.asarray(before).ravel(), np.asarray(after).ravel()
        np.testing.assert_array_equal(np.sort(before), np.sort(after))
        moved += not np.array_equal(before, after)
    assert moved > 10


def test_the_key_decides():
    model = ports.load("shapes-plain", weights="shapes")
    one, same, other = (
        jax.tree.leaves(jv.randomized(jax.random.key(seed), model)) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


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
