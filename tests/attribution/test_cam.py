"""CAM and Grad-CAM against their definitions."""

import jax
import jax.numpy as jnp
import pytest

import jaxviz as jv


def test_cam_is_the_features_weighted_by_the_classs_row(small, images):
    model, x = small(), images()
    values = jv.capture(model, x, ["relu2"])[1]["relu2"]
    weights = model.head.kernel[...]
    found = jv.cam(model, x, 3, layer="relu2")
    assert jnp.allclose(found, values @ weights[:, 3], atol=1e-6)
    # Conservation: the mean over the positions, plus the bias, is the logit.
    logit = found.mean((1, 2)) + model.head.bias[...][3]
    assert jnp.allclose(logit, model(x)[:, 3], atol=1e-6)


def test_grad_cam_by_its_definition(small, images):
    model, x = small(), images()
    values = jv.capture(model, x, ["relu1"])[1]["relu1"]
    rest = lambda a: jv.edit(model, {"relu1": lambda _: a})(x)[:, 2].sum()
    weights = jax.grad(rest)(values).mean((1, 2), keepdims=True)
    expected = (weights * values).sum(-1)
    assert jnp.allclose(jv.grad_cam(model, x, 2, layer="relu1", relu=False), expected, atol=1e-6)
    found = jv.grad_cam(model, x, 2, layer="relu1")
    assert jnp.allclose(found, jnp.maximum(expected, 0), atol=1e-6)


def test_grad_cam_of_a_network_for_cam_is_cam(small, images):
    model, x = small(), images()
    positions = 8 * 8
    found = jv.grad_cam(model, x, 2, layer="relu2", relu=False) * positions
    assert jnp.allclose(found, jv.cam(model, x, 2, layer="relu2"), atol=1e-5)


def test_an_objective_of_another_layer(small, images):
    model, x = small(), images()
    objective = jv.objectives.channel("relu2", 1) + jv.objectives.logit(0)
    values = jv.capture(model, x, ["relu1"])[1]["relu1"]

    def score(a):
        output, taps = jv.capture(jv.edit(model, {"relu1": lambda _: a}), x, ["relu2"])
        return (taps["relu2"][..., 1].mean((1, 2)) + output[:, 0]).sum()

    expected = (jax.grad(score)(values).mean((1, 2), keepdims=True) * values).sum(-1)
    found = jv.grad_cam(model, x, objective, layer="relu1", relu=False)
    assert jnp.allclose(found, expected, atol=1e-6)


def test_cam_refuses_what_is_not_linear(small, images):
    with pytest.raises(ValueError, match=r"above layer 'relu1' is not linear: .*`jv.grad_cam`"):
        jv.cam(small(), images(), 2, layer="relu1")
    with pytest.raises(ValueError, match="above layer 'relu2' is not linear: it computes"):
        jv.cam(small(), images(), jv.objectives.probability(2), layer="relu2")


def test_layers_without_positions_are_refused(small, images):
    model = lambda x: jv.tap(small()(x), "logits")
    for method in (jv.cam, jv.grad_cam):
        with pytest.raises(ValueError, match=r"layer 'logits' has shape \(4, 5\), and a map needs"):
            method(model, images(), 2, layer="logits")
        with pytest.raises(ValueError, match="unknown layer 'relu3'; nearest: relu2, relu1"):
            method(small(), images(), 2, layer="relu3")
