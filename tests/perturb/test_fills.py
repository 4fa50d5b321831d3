"""Fills of an occluder."""

import jax
import jax.numpy as jnp
import pytest

import jaxviz as jv


def test_noise_has_each_channels_mean_and_deviation():
    scale = jnp.arange(1.0, 7.0).reshape(2, 1, 1, 3)
    x = 10 * scale + scale * jax.random.uniform(jax.random.key(0), (2, 128, 128, 3))
    fill = jv.noise(jax.random.key(1), x)
    # Standard errors of 128 x 128 draws are 1/128 and 1/181 of the deviation.
    deviation = x.std((1, 2))
    assert (jnp.abs(fill.mean((1, 2)) - x.mean((1, 2))) < 5 / 128 * deviation).all()
    assert (jnp.abs(fill.std((1, 2)) - deviation) < 5 / 181 * deviation).all()
    # None of the content: by chance alone a correlation is 1/128.
    for i in range(2):
        assert abs(jnp.corrcoef(x[i, ..., 0].ravel(), fill[i, ..., 0].ravel())[0, 1]) < 5 / 128
    assert jnp.array_equal(jv.noise(jax.random.key(1), x), fill)


def test_noise_of_a_plain_image_is_the_image():
    x = jnp.full((1, 5, 7, 3), 0.25)
    assert jnp.array_equal(jv.noise(jax.random.key(0), x), x)


@pytest.mark.parametrize("fill", [lambda x: jv.gaussian_blur(x, 3.0), jv.noise])
def test_occluding_all_of_an_image_shows_the_fill(fill):
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    shown = fill(jax.random.key(1), x) if fill is jv.noise else fill(x)
    maps = jv.occlusion(lambda x: x[:, 2, 3], x, target=1, window=(8, 8), fill=shown)
    assert jnp.allclose(maps.score.ravel(), shown[:, 2, 3, 1], atol=1e-6)


@pytest.mark.parametrize("fill", [lambda x: jv.gaussian_blur(x, 1.0), jv.noise])
@pytest.mark.parametrize(
    ("x", "given"),
    [
        (jnp.ones((8, 8, 3)), r"float32 of \(8, 8, 3\)"),
        (jnp.ones((1, 4, 4, 3), jnp.uint8), "uint8"),
    ],
)
def test_they_need_a_batch_of_floats(fill, x, given):
    with pytest.raises(ValueError, match=f"images of shape .n, h, w, c., got {given}"):
        fill(jax.random.key(1), x) if fill is jv.noise else fill(x)
