"""Images that are shifted, enlarged and turned: against scipy, inside and outside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import jaxviz as jv
from jaxviz.perturb import moves


def noise(size, count=2):
    return jax.random.uniform(jax.random.key(1), (count, *size, 3))


OUTSIDE = [(0.3, {"mode": "grid-constant", "cval": 0.3}), ("edge", {"mode": "nearest"})]


@pytest.mark.parametrize(("fill", "scipys"), OUTSIDE)
@pytest.mark.parametrize("shift", [(3, -2), (0.5, 1.25), (-7.75, 0), (40, 0)])
def test_translation_is_scipys(shift, fill, scipys):
    images = noise((15, 20))
    shown = np.asarray(jv.translate(images, shift, fill=fill))
    expected = ndimage.shift(np.asarray(images, float), (0, *shift, 0), order=1, **scipys)
    if fill == "edge":
        assert np.allclose(shown, expected, atol=1e-5)
        return
    # scipy blends the border with what lies outside; here it ends half a pixel beyond its centre.
    place = [np.arange(n) - by for n, by in zip((15, 20), shift, strict=True)]
    rows, columns = ((at >= 0) & (at <= n - 1) for at, n in zip(place, (15, 20), strict=True))
    inside = rows[:, None] & columns
    assert np.allclose(shown[:, inside], expected[:, inside], atol=1e-5)
    rows, columns = ((at < -0.5) | (at > n - 0.5) for at, n in zip(place, (15, 20), strict=True))
    assert np.allclose(shown[:, rows[:, None] | columns], 0.3, atol=1e-6)


def test_a_shift_by_whole_pixels_moves_pixels():
    images = noise((6, 7))
    moved = jv.translate(images, jnp.array([[2.0, -1.0], [0.0, 3.0]]), fill=0.0)
    assert jnp.array_equal(moved[0, 2:, :-1], images[0, :-2, 1:])
    assert jnp.array_equal(moved[1, :, 3:], images[1, :, :-3])
    assert not moved[0, :2].any()
    assert not moved[1, :, :3].any()


@pytest.mark.parametrize("degrees", [0.0, 7.0, -33.0, 90.0, 170.0])
def test_rotation_with_its_border_continued_is_scipys(degrees):
    images = noise((15, 20))
    expected = ndimage.rotate(
        np.asarray(images, float), degrees, axes=(2, 1), reshape=False, order=1, mode="nearest"
    )
    assert np.allclose(jv.rotate(images, degrees, fill="edge"), expected, atol=1e-4)


def test_shrinking_with_its_border_continued():
    images = noise((12, 8))
    small = jv.scale(images, 0.5, fill="edge")
    assert jnp.allclose(small[:, :3], small[:, 2:3], atol=1e-6)
    assert jnp.allclose(small[:, 4:8, 3:5], jv.scale(images, 0.5, fill=0.0)[:, 4:8, 3:5], atol=1e-6)


@pytest.mark.parametrize(
    "moved",
    [
        lambda x, **fill: jv.translate(x, (20.0, 0.0), **fill),
        lambda x, **fill: jv.scale(x, 0.25, **fill)[:, :4, :4],
        lambda x, **fill: jv.rotate(x, 45.0, **fill)[:, :2, :2],
    ],
)
def test_what_comes_in_is_each_images_mean_colour(moved):
    images = noise((16, 16))
    mean = jnp.broadcast_to(images.mean((1, 2), keepdims=True), moved(images).shape)
    assert jnp.allclose(moved(images), mean, atol=1e-6)
    assert jnp.array_equal(moved(images), moved(images, fill="mean"))


@pytest.mark.parametrize("fill", [0.0, "mean", "edge"])
def test_another_amount_needs_no_compilation(fill):
    images = noise((9, 9), 1)
    for move, amounts in (
        (jv.translate, [(1.0, 2.0), (-3.5, 0.0)]),
        (jv.scale, [1.5, 0.7]),
        (jv.rotate, [10.0, 20.0]),
    ):
        move(images, amounts[0], fill=fill)
        before = moves._moved_into._cache_size()
        move(images, amounts[1], fill=fill)
        assert moves._moved_into._cache_size() == before


def test_a_shift_has_a_gradient():
    images = jv.gaussian_blur(noise((12, 12), 1), 1.5)
    target = jv.translate(images, (1.3, -0.4), fill="edge")
    loss = lambda shift: ((jv.translate(images, shift, fill="edge") - target) ** 2).sum()
    down = jnp.array([1.0, -0.7])
    away = loss(down + 1e-2 * jnp.array([1.0, 0.0])) - loss(down - 1e-2 * jnp.array([1.0, 0.0]))
    assert jax.grad(loss)(down)[0] == pytest.approx(float(away) / 2e-2, rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: jv.translate(x, (1, 1), fill="mirror"), "'mean' or 'edge', got 'mirror'"),
        (lambda x: jv.rotate(x[0], 3.0), r"shape \(n, h, w, c\)"),
        (lambda x: jv.scale((255 * x).astype(int), 2.0), "floating-point"),
    ],
)
def test_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong(noise((4, 4)))
