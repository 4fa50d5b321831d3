"""The blur, against scipy's, and what must hold of any blur."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import jaxviz as jv


@pytest.mark.parametrize("size", [(17, 24), (5, 1), (32, 9)])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.7, 10.0, 100.0])
def test_it_is_scipys_gaussian_filter(size, sigma):
    x = np.random.default_rng(0).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    expected = ndimage.gaussian_filter(
        x.astype(np.float64), (0, sigma, sigma, 0), mode="reflect", truncate=4.0
    )
    assert np.abs(jv.gaussian_blur(x, sigma) - expected).max() < 1e-5


def test_sigma_0_changes_nothing_and_a_large_one_leaves_the_mean():
    x = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
    assert jnp.array_equal(jv.gaussian_blur(x, 0.0), x)
    assert jnp.allclose(jv.gaussian_blur(x, 1e4), x.mean((1, 2), keepdims=True), atol=2e-5)
    assert jnp.isnan(jv.gaussian_blur(x, -1.0)).all()


def test_another_sigma_compiles_nothing():
    x = jnp.ones((1, 8, 8, 3))
    jv.gaussian_blur(x, 1.0)
    events = []
    listen = lambda event, *_, **__: events.append(event) if "backend_compile" in event else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jv.gaussian_blur(x, 7.5)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert events == []


def test_sigmas_by_vmap_and_their_gradient():
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 3))
    sigmas = jnp.array([0.0, 1.0, 3.0])
    several = jax.vmap(jv.gaussian_blur, (None, 0))(x, sigmas)
    for blurred, sigma in zip(several, sigmas, strict=True):
        assert jnp.allclose(blurred, jv.gaussian_blur(x, sigma), atol=1e-6)
    energy = lambda sigma: (jv.gaussian_blur(x, sigma) ** 2).sum()
    # Away from where the radius jumps.
    slope = (energy(1.02) - energy(0.98)) / 0.04
    assert np.isclose(jax.grad(energy)(1.0), slope, rtol=1e-2)
    assert jnp.isfinite(jax.vmap(jax.grad(energy))(sigmas)).all()
