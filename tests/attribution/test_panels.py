"""The panels of Zeiler & Fergus' figure against single sweeps."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv


def test_the_panels_are_sweeps_and_a_projection(small, images):
    model, x, label = small(), images(2), jnp.array([1, 4])
    options = {"window": (5, 4), "stride": (4, 3), "fill": 0.3}
    panels = jv.occlusion_panels(model, x, label, layer="relu1", **options)
    values = np.asarray(jv.capture(model, x, ["relu1"])[1]["relu1"])
    totals = values.sum((1, 2))
    assert panels.channel.tolist() == totals.argmax(-1).tolist()
    for i, k in enumerate(panels.channel.tolist()):
        covered = np.array(x[i])
        covered[4:9, 3:7] = 0.3
        acts = jv.capture(model, covered[None], ["relu1"])[1]["relu1"]
        assert np.allclose(panels.activation[i, 1, 1], acts[0, ..., k].sum(), rtol=1e-5)
    probability = jv.occlusion(model, x, jv.objectives.probability(label), **options)
    assert jnp.allclose(panels.probability, probability.score, atol=1e-6)
    assert jnp.array_equal(panels.label, probability.label)
    target = jv.objectives.feature_map("relu1", panels.channel)
    assert jnp.allclose(panels.projection, jv.deconvnet(model, x, target), atol=1e-6)


def test_a_layer_without_maps(small, images):
    model = lambda x: jv.tap(small()(x), "logits")
    with pytest.raises(ValueError, match=r"layer 'logits' must have feature maps"):
        jv.occlusion_panels(model, images(1), 0, layer="logits", window=(4, 4))
