"""The study's numbers against NumPy and against the network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv
import ports
from jaxviz.studies import octave_shares, reconstruction


@pytest.mark.parametrize(("h", "w"), [(64, 64), (24, 40), (7, 5)])
def test_octaves_by_hand(h, w):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, h, w, 3)) + 0.3
    octaves = int(np.floor(np.log2(max(h, w) / 2))) + 1
    expected = np.zeros((2, octaves + 1))
    for n in range(2):
        for c in range(3):
            power = np.abs(np.fft.fft2(images[n, :, :, c])) ** 2
            for i, j in np.ndindex(h, w):
                # Cycles over the image, the negative frequencies folded back.
                cycles = np.hypot(min(i, h - i) / h, min(j, w - j) / w)
                octave = octaves
                for k in reversed(range(octaves)):
                    if cycles > 0.25 / 2**k:
                        octave = k
                expected[n, octave] += power[i, j]
    expected /= expected.sum(-1, keepdims=True)
    found = octave_shares(images)
    assert np.allclose(found.shares, expected[:, :-1], atol=1e-6)
    assert np.allclose(found.constant, expected[:, -1], atol=1e-6)
    assert np.allclose(found.shares.sum(-1) + found.constant, 1, atol=1e-6)


def test_a_wave_lies_in_the_octave_of_its_period():
    x = np.arange(64)
    for octave, period in [(0, 2), (0, 3.2), (1, 4), (1, 64 / 9), (2, 8), (5, 64)]:
        wave = np.broadcast_to(np.cos(2 * np.pi * x / period), (64, 64))[..., None]
        shares = octave_shares(wave).shares
        assert int(shares.argmax()) == octave
        assert float(shares[octave]) > 1 - 1e-5
    assert octave_shares(jnp.zeros((8, 8, 1))).shares.tolist() == [0.0, 0.0, 0.0]


def test_the_studys_numbers_are_the_networks():
    model = ports.load("shapes-residual", weights="shapes")
    x = ports.card("shapes-residual").normalize(jv.data.shapes(jax.random.key(1), 3).image)
    found = reconstruction(jax.random.key(0), model, x, [4, 0])
    logits = model(x)[:, jnp.array([4, 0])]
    assert jnp.allclose(found.network, logits, rtol=1e-5)
    assert found.error <= 1e-5
    assert jnp.allclose(found.rebuilt, found.affine(x))
    # The second direction is the fastest way from one class to the other.
    slope = (found.affine.difference(4, 0) * found.toward).sum((1, 2, 3))
    steepest = jnp.linalg.norm(found.affine.difference(4, 0).reshape(3, -1), axis=-1)
    assert jnp.allclose(slope, steepest, rtol=1e-5)
    for direction, margin in (
        (found.across, found.margin_across),
        (found.toward, found.margin_toward),
    ):
        assert jnp.allclose(jnp.linalg.norm(direction.reshape(3, -1), axis=-1), 1, atol=1e-5)
        again = jv.region_margin(model, x, direction).margin
        assert jnp.allclose(margin.margin, again, rtol=1e-4)
    assert found.margin_across.gates == found.margin_toward.gates
    # Nine ReLUs and three poolings, all marked.
    assert len(found.margin_across.layers) == 12
    assert sum(found.margin_across.gates) == (
        16 * 64**2 + 2 * 32 * 32**2 + 2 * 48 * 16**2 + 2 * (64 + 80) * 8**2
        + 16 * 32**2 + 32 * 16**2 + 48 * 8**2
    )  # fmt: skip


def test_one_class_moves_along_its_own_weights():
    model = ports.load("shapes-plain", weights="shapes")
    x = jv.data.shapes(jax.random.key(1), 1).image - 0.5
    found = reconstruction(jax.random.key(0), model, x, [3])
    own = found.affine.weights[:, 0]
    assert jnp.allclose(found.toward * jnp.linalg.norm(own), own, atol=1e-5)
