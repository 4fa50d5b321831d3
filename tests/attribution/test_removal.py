"""Curves of deletion and insertion, against the obvious loop over pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv
import ports


def oracle(model, x, heat, k, steps, fill, start):
    """The definition: one image, one step after the other, in NumPy."""
    pixels = heat.size
    order = sorted(range(pixels), key=lambda p: (-heat.reshape(-1)[p], p))
    curves = []
    for base, put in ((x, np.broadcast_to(fill, x.shape)), (start, x)):
        curve = []
        for step in range(steps + 1):
            image = np.array(base).reshape(pixels, -1)
            for p in order[: round(step * pixels / steps)]:
                image[p] = put.reshape(pixels, -1)[p]
            curve.append(float(jax.nn.softmax(model(image.reshape(1, *x.shape)))[0, k]))
        curves.append(curve)
    return np.array(curves)


def test_curves_are_what_the_definition_says():
    model = ports.load("shapes-plain", key=jax.random.key(0))
    x = np.asarray(jax.random.normal(jax.random.key(1), (2, 16, 16, 3)))
    heat = np.asarray(jax.random.normal(jax.random.key(2), (2, 16, 16))).round(1)  # with ties
    start = np.asarray(jv.gaussian_blur(x, 2.0))
    target = np.array([3, 7])
    found = jv.removal_curves(
        model, x, heat, jv.objectives.probability(target), steps=8, fill=0.5, start=start
    )
    for i in range(2):
        expected = oracle(model, x[i], heat[i], target[i], 8, np.float32(0.5), start[i])
        # Batches of two and of one may round differently in the seventh digit.
        np.testing.assert_allclose(found.deletion[i], expected[0], atol=1e-6)
        np.testing.assert_allclose(found.insertion[i], expected[1], atol=1e-6)
        deletion, insertion = (np.trapezoid(curve, dx=1 / 8) for curve in expected)
        areas = found.areas()
        assert areas[0][i] == pytest.approx(deletion, abs=1e-6)
        assert areas[1][i] == pytest.approx(insertion, abs=1e-6)


def test_the_ends_are_the_image_and_the_fill():
    model = lambda x: x.sum((1, 2))
    x = jax.random.normal(jax.random.key(0), (3, 5, 7, 4))
    found = jv.removal_curves(model, x, x[..., 0], 2, steps=3, fill=0.25)
    whole, empty = np.asarray(model(x))[:, 2], np.full(3, 0.25 * 35)
    for curve, ends in ((found.deletion, (whole, empty)), (found.insertion, (empty, whole))):
        np.testing.assert_allclose(curve[:, [0, -1]], np.stack(ends, 1), rtol=1e-5)


def test_the_right_map_is_better_than_the_wrong_one():
    model = lambda x: x.sum((1, 2))
    x = jnp.abs(jax.random.normal(jax.random.key(0), (2, 8, 8, 1)))
    right, wrong = (
        jv.removal_curves(model, x, sign * x[..., 0], 0).areas() for sign in (1.0, -1.0)
    )
    assert (right[0] < wrong[0]).all()
    assert (right[1] > wrong[1]).all()
    # In a linear model without bias what goes in one curve comes in the other.
    np.testing.assert_allclose(right[0] + right[1], np.asarray(model(x))[:, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heat": jnp.zeros((1, 4, 5))}, "heat must have one number for each pixel"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"start": jnp.zeros((3, 3, 3))}, "fill must be a number"),
        ({"target": 9}, "unknown class 9"),
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    asked = {"heat": jnp.zeros((1, 4, 4)), "target": 0, **change}
    with pytest.raises(ValueError, match=words):
        jv.removal_curves(lambda x: x.sum((1, 2)), jnp.zeros((1, 4, 4, 3)), **asked)
