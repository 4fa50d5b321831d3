"""Gaussian and Laplacian pyramids: against scipy's filter, and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import jaxviz as jv

KERNEL = [0.05, 0.25, 0.4, 0.25, 0.05]


@pytest.mark.parametrize(
    ("size", "levels"), [((16, 24), 5), ((15, 9), 4), ((7, 2), 2), ((1, 5), 1)]
)
def test_a_laplacian_pyramid_adds_up_to_the_image(size, levels):
    images = jax.random.uniform(jax.random.key(0), (2, *size, 3))
    pyramid = jv.images.laplacian_levels(images, levels)
    assert len(pyramid) == levels
    assert jnp.abs(jv.images.from_laplacian_levels(pyramid) - images).max() < 1e-6


@pytest.mark.parametrize("size", [(16, 24), (15, 9), (5, 2)])
def test_a_gaussian_level_is_filtered_and_halved(size):
    images = np.random.default_rng(0).uniform(size=(2, *size, 3)).astype(np.float32)
    fine, coarse = jv.images.gaussian_levels(images, 2)
    assert (fine == images).all()
    expected = images
    for axis in (1, 2):
        expected = ndimage.correlate1d(expected, KERNEL, axis, mode="reflect")
    assert np.allclose(coarse, expected[:, ::2, ::2], atol=1e-6)


def test_a_laplacian_level_is_what_the_next_coarser_lacks():
    """In one dimension and away from borders: zeros between, then twice the kernel."""
    images = np.random.default_rng(0).uniform(size=(1, 1, 32, 1)).astype(np.float32)
    images = np.tile(images, (1, 32, 1, 1))
    fine, coarse = jv.images.laplacian_levels(images, 2)
    between = np.zeros(32)
    between[::2] = coarse[0, 8, :, 0]
    expected = images[0, 0, :, 0] - ndimage.correlate1d(between, 2 * np.array(KERNEL))
    assert np.allclose(fine[0, 16, 2:-2, 0], expected[2:-2], atol=1e-6)


def test_plain_images_have_no_detail():
    pyramid = jv.images.laplacian_levels(jnp.full((1, 13, 10, 3), 0.7), 4)
    assert all(jnp.abs(detail).max() < 1e-6 for detail in pyramid[:-1])
    assert jnp.allclose(pyramid[-1], 0.7)


def test_levels_must_fit():
    with pytest.raises(ValueError, match="levels must be 1 to 5 for images of 16 x 24: 6"):
        jv.images.gaussian_levels(jnp.ones((1, 16, 24, 3)), 6)
