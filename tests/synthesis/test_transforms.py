"""Transforms: against scipy on fixed parameters, and what their draws do."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.ndimage import map_coordinates
from scipy import ndimage

import jaxviz as jv

t = jv.transforms
KEY = jax.random.key(0)


def noise(size, count=2):
    return jax.random.uniform(jax.random.key(1), (count, *size, 3))


def test_jitter_moves_each_image_by_itself():
    images = jnp.tile(jnp.arange(49.0).reshape(1, 7, 7, 1), (64, 1, 1, 1))
    moved = jv.transforms.jitter(2)(jax.random.key(0), images)
    # Where pixel 24, the middle, has gone.
    row, column = jnp.divmod(jnp.argmax(moved.reshape(64, -1) == 24, 1), 7)
    assert set((row - 3).tolist()) == set((column - 3).tolist()) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("size", [(15, 20), (8, 8), (1, 6)])
@pytest.mark.parametrize("degrees", [0.0, 7.0, -33.0, 90.0, 170.0])
def test_rotation_is_scipys(size, degrees):
    images = noise(size)
    expected = ndimage.rotate(
        np.asarray(images, float),
        degrees,
        axes=(2, 1),
        reshape=False,
        order=1,
        mode="grid-constant",
        cval=0.3,
    )
    assert np.allclose(t.rotate(images, degrees, fill=0.3), expected, atol=1e-4)


def test_rotations_gradient_is_that_of_the_interpolation():
    """Against the derivative of JAX's own sampling at the same coordinates."""
    size, angle = (9, 14), jnp.deg2rad(25.0)
    images, cotangent = noise(size, 1), noise(size, 2)[1:]
    row, column = np.mgrid[:9, :14] - np.array([4, 6.5]).reshape(2, 1, 1)
    places = [
        jnp.cos(angle) * row + jnp.sin(angle) * column + 4,
        jnp.cos(angle) * column - jnp.sin(angle) * row + 6.5,
    ]
    sampled = lambda image: map_coordinates(image, places, 1, mode="constant")
    theirs = lambda images: jnp.stack([sampled(images[0, ..., c]) for c in range(3)], -1)[None]
    for a, b in zip(
        jax.vjp(lambda x: t.rotate(x, 25.0, fill=0.0), images)[1](cotangent),
        jax.vjp(theirs, images)[1](cotangent),
        strict=True,
    ):
        assert jnp.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("size", [(15, 20), (8, 8)])
@pytest.mark.parametrize("factor", [1.0, 1.1, 2.7])
def test_enlarging_is_scipys(size, factor):
    images = noise(size)
    middle = (np.array(size) - 1) / 2
    expected = ndimage.affine_transform(
        np.asarray(images, float),
        [1, 1 / factor, 1 / factor, 1],
        [0, *(middle - middle / factor), 0],
        order=1,
        mode="nearest",
    )
    assert np.allclose(t.scale(images, factor), expected, atol=1e-5)


def test_shrinking_averages_and_fills():
    images = noise((12, 8))
    small = t.scale(images, 0.5, fill=0.25)
    assert (small[:, :3] == 0.25).all() & (small[:, :, :2] == 0.25).all()
    # Triangles of twice the width: 1, 3, 3, 1 in eighths.
    weights = np.array([1, 3, 3, 1]) / 8
    middle = np.einsum("r,c,nrck->nk", weights, weights, images[:, 1:5, 1:5])
    assert np.allclose(small[:, 4, 3], middle, atol=1e-5)


def test_padding_is_numpys():
    images = noise((5, 7))
    expected = np.pad(images, ((0, 0), (3, 3), (3, 3), (0, 0)), constant_values=0.25)
    assert np.array_equal(t.pad(3, 0.25)(KEY, images), expected)


def test_a_crop_is_a_window_anywhere():
    images = jnp.tile(jnp.arange(42.0).reshape(1, 6, 7, 1), (200, 1, 1, 1))
    crops = t.random_crop((4, 5))(KEY, images)
    row, column = jnp.divmod(crops[:, 0, 0, 0], 7)
    assert set(row.tolist()) == set(column.tolist()) == {0, 1, 2}
    for i in range(3):
        r, c = int(row[i]), int(column[i])
        assert jnp.array_equal(crops[i], images[i, r : r + 4, c : c + 5])
    assert jnp.array_equal(t.random_crop((6, 7))(KEY, images), images)


def test_colours_change_one_thing_each():
    images = noise((6, 5))
    grey = images @ jnp.array([0.299, 0.587, 0.114])
    assert jnp.allclose(t.adjust_colours(images), images, atol=1e-6)
    assert jnp.allclose(t.adjust_colours(images, brightness=0.5), images / 2, atol=1e-6)
    flat = t.adjust_colours(images, contrast=0.0)
    assert jnp.allclose(flat, grey.mean((1, 2)).reshape(2, 1, 1, 1), atol=1e-6)
    plain = t.adjust_colours(images, saturation=jnp.array([0.0, 1.0]))
    assert jnp.allclose(plain[0], grey[0, ..., None], atol=1e-6)
    assert jnp.allclose(plain[1], images[1], atol=1e-6)


@pytest.mark.parametrize(
    ("random", "fixed", "low", "high"),
    [
        (t.random_rotate(20.0), partial(t.rotate, fill=0.5), -20.0, 20.0),
        (t.random_scale(0.8, 1.3), partial(t.scale, fill=0.5), 0.8, 1.3),
        (
            t.colour_jitter(contrast=0.3),
            lambda images, factor: t.adjust_colours(images, contrast=factor),
            0.7,
            1.3,
        ),
    ],
)
def test_draws_are_uniform_between_their_bounds(random, fixed, low, high):
    """The parameter of each image is found again by its brightest answer among a fine grid."""
    images = jnp.tile(jv.gaussian_blur(noise((16, 16), 1), 1.0), (64, 1, 1, 1))
    grid = jnp.linspace(low, high, 41)
    known = fixed(jnp.repeat(images[:1], 41, 0), grid)
    shown = random(KEY, images)
    distance = ((shown[:, None] - known[None]) ** 2).mean((2, 3, 4))
    drawn = grid[distance.argmin(1)]
    assert distance.min(1).max() < 1e-4
    # The mean of 64 uniform draws is within 4 standard errors, and they reach both ends.
    assert abs(drawn.mean() - (low + high) / 2) < 4 * (high - low) / 12**0.5 / 8
    assert drawn.max() - drawn.min() > 0.8 * (high - low)


@pytest.mark.parametrize(
    "transform",
    [
        t.pad(2),
        t.random_scale(0.9, 1.1),
        t.random_rotate(5.0),
        t.random_crop(6),
        t.colour_jitter(brightness=0.1, contrast=0.1, saturation=0.1),
    ],
)
def test_transforms_are_pure_compiled_and_have_gradients(transform):
    images = noise((9, 8))
    shown = jax.jit(transform)(KEY, images)
    assert jnp.allclose(shown, transform(KEY, images), atol=1e-6)
    gradient = jax.grad(lambda images: (transform(KEY, images) ** 2).sum())(images)
    assert jnp.isfinite(gradient).all()
    assert jnp.abs(gradient).max() > 0


def test_asking_again_gives_the_same_static_argument():
    assert t.random_rotate(5.0) is t.random_rotate(5.0)
    assert t.colour_jitter(contrast=0.2) is t.colour_jitter(contrast=0.2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: t.pad(-1), "pixels must not be negative, got -1"),
        (lambda: t.random_rotate(-5.0), "degrees must not be negative, got -5.0"),
        (lambda: t.random_scale(1.2, 0.8), "positive and in order, got 1.2 and 0.8"),
        (lambda: t.random_crop(0), "size must be positive, got 0"),
        (lambda: t.random_crop(9)(KEY, noise((8, 20))), r"size \(9, 9\) must fit .* 8 x 20"),
        (lambda: t.colour_jitter(contrast=1.5), r"must be in \[0, 1\], got \(0.0, 1.5, 0.0\)"),
    ],
)
def test_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
