"""Margins against the gates themselves, read on both sides of the border."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxviz as jv


def gates_by_hand(model, x):
    """Which units of `small` are on, and which entry each window takes, layer by layer."""
    before = model.conv1(x)
    n, h, w, c = before.shape
    windows = nnx.relu(before).reshape(n, h // 2, 2, w // 2, 2, c)
    switches = windows.transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, c, 4).argmax(-1)
    pooled = nnx.max_pool(nnx.relu(before), (2, 2), (2, 2))
    later = model.conv2(pooled) > 0
    # The windows come before the second ReLU, and no layer is marked between them.
    return {
        "relu1": (before > 0).reshape(n, -1).astype(int),
        "relu2": jnp.concatenate([switches.reshape(n, -1), later.reshape(n, -1)], -1),
    }


@pytest.mark.parametrize("seed", range(2))
def test_the_named_gate_turns_at_the_margin_and_none_before(seed, small, images):
    with jax.enable_x64(True):
        model, x = small(seed, jnp.float64), images(4, jnp.float64)
        direction = jax.random.normal(jax.random.key(10 + seed), x.shape, x.dtype)
        found = jv.region_margin(model, x, direction)
        here = gates_by_hand(model, x)
        assert found.layers == tuple(here) == ("relu1", "relu2")
        assert found.gates == tuple(value.shape[1] for value in here.values())

        def turned(share, margin):
            moved = x + share * margin[:, None, None, None] * direction
            there = gates_by_hand(model, moved)
            return {name: np.asarray(there[name] != here[name]) for name in here}

        before, behind = turned(1 - 1e-7, found.margin), turned(1 + 1e-7, found.margin)
        assert not any(change.any() for change in before.values())
        for i, name in enumerate(found.names()):
            # A unit that turns may turn the switch of its window in the same place.
            assert np.flatnonzero(behind[name][i]).tolist() == [found.index[i]]
        # Each layer's own margin, where the others may have turned before.
        assert jnp.array_equal(found.by_layer.min(-1), found.margin)
        assert jnp.array_equal(found.by_layer.argmin(-1), found.layer)


def test_a_region_without_end(images):
    """A linear model has no gates; along a direction that changes nothing, none turns."""
    x = images(2)
    found = jv.region_margin(lambda x: x.mean((1, 2)), x, x)
    assert found.margin.tolist() == [np.inf, np.inf]
    assert (found.layers, found.gates, found.names()) == ((), (), ["", ""])
    model = lambda x: jv.tap(jax.nn.relu(x[..., 0]), "relu").sum((1, 2), keepdims=True)[..., 0]
    found = jv.region_margin(model, x, jnp.zeros_like(x).at[..., 1].set(1.0))
    assert found.margin.tolist() == [np.inf, np.inf]
    assert (found.layer.tolist(), found.index.tolist()) == ([-1, -1], [-1, -1])
    assert found.by_layer.shape == (2, 1)


def test_bounds_that_are_passed_one_after_the_other():
    """A relu6 from its middle: on both ends, and with a tie."""
    model = lambda x: jax.nn.relu6(x).sum((1, 2))
    x = jnp.array([2.0, 2.0, 0.0, 6.0, -1.0, 9.0]).reshape(6, 1, 1, 1)
    direction = jnp.array([1.0, -4.0, 1.0, -1.0, 0.5, -2.0]).reshape(6, 1, 1, 1)
    found = jv.region_margin(model, x, direction)
    assert found.margin.tolist() == [4.0, 0.5, 0.0, 0.0, 2.0, 1.5]
    assert found.layers == ("output",)


def test_one_direction_for_all_images_small_budgets_jit_and_vmap(small, images):
    model, x = small(), images(3)
    direction = x[0]
    together = jv.region_margin(model, x, direction)
    margin = lambda image: jv.region_margin(model, image[None], direction).margin[0]
    alone = jax.jit(jax.vmap(margin))
    bounded = jv.region_margin(model, x, direction, memory=1)
    for margin in (alone(x), bounded.margin):
        assert jnp.allclose(margin, together.margin, rtol=1e-4)
    with pytest.raises(ValueError, match=r"shape of an image, \(16, 16, 3\), or of all"):
        jv.region_margin(model, x, x[:2])


def two_layers(x):
    a = jv.tap(nnx.relu(x), "a")
    b = jv.tap(nnx.relu(a - 0.9), "b")
    jnp.maximum(x - 0.95, 0).sum()  # nobody needs this gate
    return b.sum((1, 2))


def test_only_gates_below_the_layer_count():
    x = jnp.array([1.0, 2.0]).reshape(1, 1, 2, 1)
    direction = jnp.array([-1.0, 0.0]).reshape(1, 2, 1)
    whole = jv.region_margin(two_layers, x, direction)
    assert np.allclose(whole.margin, 0.1)
    assert whole.layers == ("a", "b")
    lower = jv.region_margin(two_layers, x, direction, "a")
    assert np.allclose(lower.margin, 1.0)
    assert lower.layers == ("a",)
    # What is above may be anything.
    soft = lambda x: jax.nn.softmax(two_layers(x))
    assert np.allclose(jv.region_margin(soft, x, direction, "b").margin, 0.1)


def test_a_sign_at_zero_turns_at_once():
    model = lambda x: jnp.sign(x - 1).sum((1, 2))
    x, direction = jnp.array([1.0, 2.0]).reshape(1, 1, 2, 1), jnp.ones((1, 2, 1))
    assert jv.region_margin(model, x, direction).margin.tolist() == [0.0]


def test_a_direction_that_is_not_a_number_has_no_margin():
    model = lambda x: nnx.relu(x).sum((1, 2))
    x = jnp.ones((1, 1, 2, 1))
    assert np.isnan(jv.region_margin(model, x, x[0] * np.nan).margin).all()
