"""The low-pass filter, against NumPy's transforms and waves of known frequency."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv


@pytest.mark.parametrize("size", [(8, 8), (7, 12), (9, 1), (16, 5)])
@pytest.mark.parametrize("cutoff", [0.0, 0.11, 0.25, 0.5])
def test_it_is_numpys_full_transform_with_a_disc_kept(size, cutoff):
    x = np.random.default_rng(0).uniform(-1, 1, (2, *size, 3))
    along, across = np.meshgrid(*map(np.fft.fftfreq, size), indexing="ij")
    kept = np.hypot(along, across) <= cutoff + 1e-9
    expected = np.fft.ifft2(np.fft.fft2(x, axes=(1, 2)) * kept[..., None], axes=(1, 2))
    assert np.abs(expected.imag).max() < 1e-12
    # Float32 against float64.
    assert np.abs(jv.low_pass(x.astype(np.float32), cutoff=cutoff) - expected.real).max() < 2e-6


@pytest.mark.parametrize("direction", [(1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("cycles", [1, 3, 6])
def test_a_wave_stays_or_goes_by_its_cycles_per_pixel(direction, cycles):
    row, column = np.mgrid[:16, :16]
    phase = 2 * np.pi * cycles * (direction[0] * row + direction[1] * column) / 16
    wave = np.cos(phase + 0.3).astype(np.float32)[None, ..., None]
    frequency = cycles / 16 * np.hypot(*direction)
    assert np.abs(jv.low_pass(wave, cutoff=frequency) - wave).max() < 1e-6
    assert np.abs(jv.low_pass(wave, cutoff=0.99 * frequency)).max() < 1e-6


def test_the_ends_of_the_scale():
    x = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
    assert jnp.allclose(jv.low_pass(x, cutoff=0.0), x.mean((1, 2), keepdims=True), atol=1e-6)
    assert jnp.allclose(jv.low_pass(x, cutoff=0.71), x, atol=1e-6)
    assert not jv.low_pass(x, cutoff=-0.1).any()


def test_another_cutoff_compiles_nothing_and_vmap_is_a_loop():
    x = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
    cutoffs = jnp.array([0.1, 0.3])
    together = jax.vmap(lambda cutoff: jv.low_pass(x, cutoff=cutoff))(cutoffs)
    jv.low_pass(x, cutoff=0.2)
    events = []
    listen = lambda event, *_, **__: events.append(event) if "backend_compile" in event else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        one_by_one = [jv.low_pass(x, cutoff=float(cutoff)) for cutoff in (0.1, 0.3)]
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert events == []
    np.testing.assert_allclose(together, jnp.stack(one_by_one), atol=1e-6)


def test_it_needs_a_batch_of_floats():
    with pytest.raises(ValueError, match=r"images of shape .n, h, w, c., got uint8 of \(1, 4, 4\)"):
        jv.low_pass(jnp.ones((1, 4, 4), jnp.uint8), cutoff=0.1)
