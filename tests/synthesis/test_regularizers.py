"""Penalties, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv

IMAGES = np.random.default_rng(0).uniform(size=(2, 5, 6, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("regularizer", "expected"),
    [
        (jv.regularizers.l2(3.0), 3 * ((IMAGES - 0.5) ** 2).mean((1, 2, 3))),
        (jv.regularizers.alpha_norm(3.0), 3 * (np.abs(2 * IMAGES - 1) ** 6).mean((1, 2, 3))),
        (jv.regularizers.alpha_norm(1.0, 2.0), 4 * ((IMAGES - 0.5) ** 2).mean((1, 2, 3))),
        (
            jv.regularizers.total_variation(3.0),
            3 * np.abs(IMAGES[:, 1:] - IMAGES[:, :-1]).mean((1, 2, 3))
            + 3 * np.abs(IMAGES[:, :, 1:] - IMAGES[:, :, :-1]).mean((1, 2, 3)),
        ),
    ],
)
def test_values(regularizer, expected):
    assert np.allclose(regularizer(jnp.asarray(IMAGES)), expected, rtol=1e-5)
    gradient = jax.grad(lambda images: regularizer(images).sum())(jnp.full((1, 4, 4, 3), 0.5))
    assert jnp.isfinite(gradient).all()


def test_alpha_is_above_1():
    with pytest.raises(ValueError, match="alpha must be above 1, got 1"):
        jv.regularizers.alpha_norm(1.0, 1)
