"""Approximate sweeps: what is computed is exact, and the rest lies between; the error is true."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv

OPTIONS = {"window": (4, 4), "stride": (2, 2), "key": jax.random.key(0)}


def exact_and(model, x, target, **options):
    exact = jv.occlusion(model, x, target, window=(4, 4), stride=(2, 2))
    return exact, jv.approximate_occlusion(model, x, target, **OPTIONS, **options)


def test_with_everything_off_it_is_exact(small, images):
    exact, found = exact_and(small(), images(2), 1, coarse=1)
    assert jnp.allclose(found.maps.drop, exact.drop, atol=1e-6)
    assert jnp.array_equal(found.maps.label, exact.label)
    assert found.error.largest.max() < 1e-6


def test_every_second_position_is_exact_and_the_others_lie_between(small, images):
    exact, found = exact_and(small(), images(2), jnp.array([1, 3]), coarse=2, fraction=0.0)
    truth, drop = np.asarray(exact.drop), np.asarray(found.maps.drop)
    assert drop.shape == (2, 7, 7)
    assert np.allclose(drop[:, ::2, ::2], truth[:, ::2, ::2], atol=1e-6)
    assert np.allclose(
        drop[:, 1::2, ::2], (truth[:, :-1:2, ::2] + truth[:, 2::2, ::2]) / 2, atol=1e-6
    )
    corners = [truth[:, a, b] for a in (0, 2) for b in (4, 6)]
    assert np.allclose(drop[:, 1, 5], sum(corners) / 4, atol=1e-6)


def test_a_fraction_of_the_others_is_exact_where_the_map_varies(small, images):
    model, x = small(), images(1)
    exact, found = exact_and(model, x, 1, coarse=2, fraction=0.5)
    _, rough = exact_and(model, x, 1, coarse=2, fraction=0.0)
    right = np.isclose(found.maps.drop, exact.drop, atol=1e-6)[0]
    before = np.isclose(rough.maps.drop, exact.drop, atol=1e-6)[0]
    assert right.sum() == 16 + np.ceil(33 / 2) > before.sum()
    _, all_of_them = exact_and(model, x, 1, coarse=3, fraction=1.0)
    assert jnp.allclose(all_of_them.maps.drop, exact.drop, atol=1e-6)


@pytest.mark.parametrize("options", [{"fraction": 0.2}, {"reach": 0.5, "coarse": 1}])
def test_the_error_is_that_of_the_sample(options, small, images):
    exact, found = exact_and(small(), images(3), 1, sample=49, **options)
    off = jnp.abs(found.maps.drop - exact.drop).reshape(3, -1)
    # A sample of all positions leaves nothing to chance.
    assert jnp.allclose(found.error.largest, off.max(1), atol=1e-6)
    assert jnp.allclose(found.error.mean, off.mean(1), atol=1e-6)
    assert jnp.allclose(
        found.error.relative, off.max(1) / jnp.ptp(exact.drop, axis=(1, 2)), atol=1e-5
    )
    assert found.error.largest.min() > 1e-5


def test_bfloat16_is_near_and_comes_back_as_float32(small, images):
    exact, found = exact_and(small(), images(2), 1, coarse=1, dtype=jnp.bfloat16)
    assert found.maps.drop.dtype == jnp.float32
    # Eight bits of mantissa, in the score and in the whole image's.
    assert 1e-5 < found.error.largest.max() < 0.02 * jnp.abs(exact.score).max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coarse": 0}, "coarse must be at least 1 and sample at least 2, got 0 and 32"),
        ({"sample": 1}, "sample at least 2, got 2 and 1"),
        ({"dtype": jnp.int8}, "dtype must be a floating-point type, got int8"),
        ({"fraction": 1.5}, r"fraction must be in \[0, 1\], got 1.5"),
        ({"reach": 0.0}, r"reach must be in \(0, 1\], got 0.0"),
        ({"reach": 2.0}, r"reach must be in \(0, 1\], got 2.0"),
    ],
)
def test_options_that_do_not_fit(options, message, small, images):
    with pytest.raises(ValueError, match=message):
        jv.approximate_occlusion(small(), images(1), 0, **OPTIONS, **options)


def test_one_target_at_a_time(small, images):
    with pytest.raises(ValueError, match="target must be one target, got a dict"):
        jv.approximate_occlusion(small(), images(1), {"a": 0}, **OPTIONS)


def test_a_sample_without_range_that_is_missed_is_infinitely_wrong():
    """The interpolated map is wrong exactly where no sample could tell the range."""
    bump = jnp.zeros((9, 9)).at[4, 4].set(1.0)
    model = lambda x: (x[..., 0] * bump).sum((1, 2))[:, None]
    x = jnp.ones((1, 9, 9, 1))
    options = {"window": (1, 1), "stride": (1, 1), "fraction": 0.0, "sample": 2}
    errors = []
    for seed in range(4):
        found = jv.approximate_occlusion(
            model, x, 0, coarse=4, key=jax.random.key(seed), **options
        ).error
        errors.append((found.largest.item(), found.relative.item()))
    assert all(relative > 0 or largest == 0 for largest, relative in errors)
    assert any(np.isinf(relative) for _, relative in errors)
