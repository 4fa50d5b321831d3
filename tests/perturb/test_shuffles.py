"""Shuffled cells, pixels and patches, against what must hold of each of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import jaxviz as jv

SHUFFLES = {
    "cells": lambda key, x: jv.grid_shuffle_blur(key, x, cell=3),
    "pixels": jv.shuffle_pixels,
    "patches": lambda key, x: jv.shuffle_patches(key, x, patch=3),
}


@pytest.fixture(params=SHUFFLES)
def shuffle(request):
    return SHUFFLES[request.param]


def numbered(n, h, w, c=1):
    """Images in which every pixel is a number of its own, the same in all channels and images."""
    return jnp.broadcast_to(jnp.arange(h * w, dtype=float).reshape(1, h, w, 1), (n, h, w, c))


def cut(image, side):
    """The cells of an image, by the plainest loop."""
    h, w = image.shape[:2]
    return [image[i : i + side, j : j + side] for i in range(0, h, side) for j in range(0, w, side)]


# Sizes that divide and that do not, and cells that are larger than the image.
CASES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))


@given(CASES)
@settings(deadline=None, max_examples=8)
def test_every_cell_keeps_its_pixels(case):
    h, w, side, seed = case
    x = numbered(2, h, w)
    shuffled = jv.grid_shuffle_blur(jax.random.key(seed), x, cell=side)
    for before, after in zip(np.asarray(x), np.asarray(shuffled), strict=True):
        for old, new in zip(cut(before, side), cut(after, side), strict=True):
            assert sorted(old.ravel()) == sorted(new.ravel())


@given(CASES)
@settings(deadline=None, max_examples=8)
def test_patches_change_places_as_wholes(case):
    h, w, side, seed = case
    x = numbered(1, h, w)
    shuffled = jv.shuffle_patches(jax.random.key(seed), x, patch=side)
    wholes = lambda image: sorted(tuple(patch.ravel()) for patch in cut(np.asarray(image), side))
    assert wholes(shuffled[0]) == wholes(x[0])
    # The ragged ones stay at their border.
    for old, new in zip(cut(x[0], side), cut(shuffled[0], side), strict=True):
        assert old.shape == new.shape
        bottom, right = h - h % side, w - w % side
        row, column = int(new[0, 0, 0]) // w, int(new[0, 0, 0]) % w
        was_row, was_column = int(old[0, 0, 0]) // w, int(old[0, 0, 0]) % w
        assert (row >= bottom, column >= right) == (was_row >= bottom, was_column >= right)


def test_channels_move_together(shuffle):
    x = jnp.concatenate([numbered(2, 7, 8), 100 + numbered(2, 7, 8), -numbered(2, 7, 8)], -1)
    red, green, blue = jnp.moveaxis(shuffle(jax.random.key(3), x), -1, 0)
    assert jnp.array_equal(green, 100 + red)
    assert jnp.array_equal(blue, -red)


def test_what_changes_nothing():
    x = jax.random.normal(jax.random.key(0), (2, 7, 5, 3))
    key = jax.random.key(1)
    assert jnp.array_equal(jv.grid_shuffle_blur(key, x, cell=1), x)
    for patch in (7, 100):
        assert jnp.array_equal(jv.shuffle_patches(key, x, patch=patch), x)


def test_a_cell_as_large_as_the_image_shuffles_all_of_it():
    x = jax.random.normal(jax.random.key(0), (2, 7, 5, 3))
    key = jax.random.key(1)
    everywhere = jv.shuffle_pixels(key, x)
    for cell in (7, 8, 1000):
        assert jnp.array_equal(jv.grid_shuffle_blur(key, x, cell=cell), everywhere)
    assert not jnp.array_equal(everywhere, x)


def test_single_pixels_are_patches():
    # Both are then one draw for the whole image.
    x = numbered(2, 5, 6)
    key = jax.random.key(1)
    assert jnp.array_equal(jv.shuffle_patches(key, x, patch=1), jv.shuffle_pixels(key, x))


def test_cells_and_images_have_permutations_of_their_own():
    x = numbered(3, 32, 32)
    shuffled = np.asarray(jv.grid_shuffle_blur(jax.random.key(0), x, cell=8)) - np.asarray(x)
    cells = [tuple(cell.ravel()) for image in shuffled for cell in cut(image, 8)]
    # 48 draws of 64! permutations.
    assert len(set(cells)) == len(cells)


def test_the_same_key_gives_the_same_image_and_another_one_another(shuffle):
    x = jax.random.normal(jax.random.key(0), (2, 8, 9, 3))
    one = shuffle(jax.random.key(1), x)
    assert jnp.array_equal(shuffle(jax.random.key(1), x), one)
    assert not jnp.array_equal(shuffle(jax.random.key(2), x), one)


def test_an_image_does_not_depend_on_how_many_follow(shuffle):
    x = jax.random.normal(jax.random.key(0), (3, 8, 9, 3))
    assert jnp.array_equal(shuffle(jax.random.key(1), x)[:1], shuffle(jax.random.key(1), x[:1]))


def test_vmap_is_a_loop(shuffle):
    x = jax.random.normal(jax.random.key(0), (3, 2, 8, 9, 3))
    keys = jax.random.split(jax.random.key(1), 3)
    together = jax.vmap(shuffle)(keys, x)
    for i in range(3):
        assert jnp.array_equal(together[i], shuffle(keys[i], x[i]))


def test_jit_is_the_same_and_another_key_compiles_nothing(shuffle):
    x = jax.random.normal(jax.random.key(0), (2, 8, 9, 3))
    traced = []

    @jax.jit
    def compiled(key, x):
        traced.append(1)
        return shuffle(key, x)

    for seed in range(3):
        key = jax.random.key(seed)
        assert jnp.array_equal(compiled(key, x), shuffle(key, x))
    assert len(traced) == 1


def test_gradients_go_back_to_where_the_pixels_were(shuffle):
    x = jax.random.normal(jax.random.key(0), (1, 6, 7, 2))
    weights = numbered(1, 6, 7, 2)
    gradient = jax.grad(lambda x: (weights * shuffle(jax.random.key(1), x)).sum())(x)
    # A permutation is orthogonal: what it makes of the gradient is what the gradient came from.
    assert jnp.array_equal(shuffle(jax.random.key(1), gradient), weights)


@pytest.mark.parametrize(
    ("draw", "size", "places"),
    [
        (lambda key, x: jv.grid_shuffle_blur(key, x, cell=4), (4, 4), 16),
        (lambda key, x: jv.grid_shuffle_blur(key, x, cell=4)[:, 4:], (7, 3), 9),
        (lambda key, x: jv.shuffle_patches(key, x, patch=2)[:, ::2, ::2], (6, 6), 9),
    ],
    ids=["a cell", "a ragged cell", "patches"],
)
def test_each_thing_comes_to_each_place_equally_often(draw, size, places):
    times = 4000
    values = np.asarray(draw(jax.random.key(5), numbered(times, *size))).reshape(times, -1)
    assert values.shape[1] == places
    _, thing = np.unique(values, return_inverse=True)
    counts = np.zeros((places, places))
    np.add.at(counts, (thing.reshape(values.shape), np.arange(places)), 1)
    expected = times / places
    # Rows and columns add up to the same number: (places - 1)^2 degrees of freedom.
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert 1e-3 < stats.chi2.sf(chi2, (places - 1) ** 2) < 1 - 1e-3


def test_smoothing_follows():
    x = jax.random.normal(jax.random.key(0), (2, 9, 8, 3))
    key = jax.random.key(1)
    shuffled = jv.grid_shuffle_blur(key, x, cell=4)
    smoothed = jv.grid_shuffle_blur(key, x, cell=4, sigma=1.5)
    assert jnp.array_equal(smoothed, jv.gaussian_blur(shuffled, 1.5))
    sigmas = jnp.array([0.0, 1.5])
    both = jax.vmap(lambda sigma: jv.grid_shuffle_blur(key, x, cell=4, sigma=sigma))(sigmas)
    np.testing.assert_allclose(both, jnp.stack([shuffled, smoothed]), atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_types_are_kept(dtype):
    x = jax.random.normal(jax.random.key(0), (1, 6, 6, 3)).astype(dtype)
    for shuffle in SHUFFLES.values():
        assert shuffle(jax.random.key(1), x).dtype == dtype
    assert jv.low_pass(x, cutoff=0.2).dtype == dtype


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        (lambda key, x: jv.grid_shuffle_blur(key, x, cell=0), "cell must be a positive .* got 0"),
        (lambda key, x: jv.grid_shuffle_blur(key, x, cell=2.5), "cell must be a positive .* 2.5"),
        (lambda key, x: jv.grid_shuffle_blur(key, x, sigma=-1), "sigma must not be negative"),
        (lambda key, x: jv.grid_shuffle_blur(key, x[0]), r"got float32 of \(4, 4, 1\)"),
        (lambda key, x: jv.shuffle_pixels(key, x[0]), r"got float32 of \(4, 4, 1\)"),
        (lambda key, x: jv.shuffle_patches(key, x, patch=-1), "patch must be a positive .* got -1"),
        (
            lambda key, x: jax.jit(lambda cell: jv.grid_shuffle_blur(key, x, cell=cell))(2),
            "cell must be known while tracing.*static_argnames",
        ),
    ],
)
def test_what_makes_no_shuffle_is_refused(refused, sentence):
    with pytest.raises(ValueError, match=sentence):
        refused(jax.random.key(0), numbered(1, 4, 4))
