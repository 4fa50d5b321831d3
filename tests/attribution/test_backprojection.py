"""Seeds of back-projection: units, strongest activations, whole maps."""

import jax
import jax.numpy as jnp
import pytest

import jaxviz as jv
from jaxviz.transform import backward


def project(model, x, layer, seed):
    """The deconvnet from a layer's values with `seed` as the signal."""
    values = lambda x: jv.capture(model, x, [layer])[1][layer]
    return jax.vjp(backward(values, "deconvnet"), x)[1](seed)[0]


@pytest.mark.parametrize("layer", ["relu1", "relu2"])
def test_seeds(layer, small, images):
    model, x = small(), images(2)
    values = jv.capture(model, x, [layer])[1][layer]
    own = values[..., 3:4]
    strongest = own == own.max((1, 2), keepdims=True)
    one_hot = (jnp.arange(values.shape[-1]) == 3).astype(float)
    unit = jnp.zeros_like(values).at[:, 2, 4, 3].set(1.0)
    expected = {
        "neuron": (jv.objectives.neuron(layer, 3, 2, 4), unit),
        "strongest": (jv.objectives.strongest(layer, 3), strongest * one_hot),
        "strongest, its value kept": (
            0.5 * jv.objectives.strongest(layer, 3) ** 2,
            values * strongest * one_hot,
        ),
        "map": (jv.objectives.feature_map(layer, 3), values * one_hot),
        "mean": (
            jv.objectives.channel(layer, 3),
            jnp.broadcast_to(one_hot, values.shape) / (values.shape[1] * values.shape[2]),
        ),
    }
    for name, (objective, seed) in expected.items():
        found = jv.deconvnet(model, x, objective)
        assert jnp.abs(found).max() > 0, name
        assert jnp.allclose(found, project(model, x, layer, seed), atol=1e-6), name


def test_a_unit_sees_its_receptive_field_and_no_more(small, images):
    """relu2 at (3, 3): 3 x 3 of pooled pairs of 3 x 3, so rows 3 to 10 of the input."""
    found = jv.deconvnet(small(), images(1), jv.objectives.neuron("relu2", 0, 3, 3))
    rows = jnp.flatnonzero(jnp.abs(found).max((0, 2, 3)) > 0)
    assert rows.min() >= 3
    assert rows.max() <= 10


def test_a_channel_that_is_not_there_scores_nan(small, images):
    model, x = small(), images(2)
    _, taps = jv.capture(model, x, ["relu2"])
    for c in (-1, 12, 99):
        for objective in (
            jv.objectives.channel("relu2", c),
            jv.objectives.neuron("relu2", c, 0, 0),
        ):
            assert jnp.isnan(objective(None, taps)).all()
            assert jnp.isnan(jv.saliency(model, x, objective)).any()
