"""What an ascent does with its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxviz as jv

GRADIENT = jax.random.normal(jax.random.key(0), (2, 17, 24, 3)) * jnp.array([1.0, 1e-4]).reshape(
    2, 1, 1, 1
)


def updated(transformation, gradient, params=None):
    return transformation.update(gradient, transformation.init(params), params)[0]


def test_std_divides_by_the_deviation_and_leaves_the_mean():
    gradient = {"a": 3 + GRADIENT[:, 0, :, 0], "b": 3 - GRADIENT[:, 0, :5, 1]}
    unit = updated(jv.normalize_gradient("std"), gradient)
    together = np.concatenate([unit["a"], unit["b"]], 1)
    before = np.concatenate([gradient["a"], gradient["b"]], 1)
    assert np.allclose(together.std(1), 1, rtol=1e-3)
    assert np.allclose(together, before / before.std(1, keepdims=True), rtol=1e-3)
    # Equal entries have no deviation to divide by.
    flat = updated(jv.normalize_gradient("std"), jnp.full((1, 1000), 0.3))
    assert jnp.allclose(flat, 1)


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_unit_gains_are_the_identity(levels):
    same = updated(jv.pyramid_scale([1.0] * levels, normalize=False), GRADIENT)
    assert jnp.abs(same - GRADIENT).max() < 1e-6


def test_gains_scale_levels():
    levels = jv.images.laplacian_levels(GRADIENT, 3)
    parts = [updated(jv.pyramid_scale(gains, normalize=False), GRADIENT) for gains in np.eye(3)]
    # Alone, a level is what is left of the gradient without the others.
    assert jnp.allclose(sum(parts), GRADIENT, atol=1e-6)
    assert jnp.allclose(parts[0], levels[0], atol=1e-6)
    mixed = updated(jv.pyramid_scale([2.0, 0.5, 7.0], normalize=False), GRADIENT)
    assert jnp.allclose(mixed, 2 * parts[0] + 0.5 * parts[1] + 7 * parts[2], atol=1e-5)


def test_normalised_levels_are_as_strong_as_their_gains():
    gains = (0.5, 2.0, 1.0)
    levels = jv.images.laplacian_levels(GRADIENT, 3)
    unit = [level / jnp.sqrt((level**2).mean((1, 2, 3), keepdims=True)) for level in levels]
    expected = jv.images.from_laplacian_levels([g * u for g, u in zip(gains, unit, strict=True)])
    assert jnp.allclose(updated(jv.pyramid_scale(gains), GRADIENT), expected, atol=1e-3)
    # A level that holds rounding alone stays so, and no gradient is no gradient.
    flat = updated(jv.pyramid_scale([1.0, 1.0]), jnp.full((1, 9, 9, 3), 0.1))
    assert jnp.allclose(flat, 1, atol=0.05)
    assert (updated(jv.pyramid_scale([1.0, 1.0]), jnp.zeros((1, 8, 8, 3))) == 0).all()


def test_pyramid_scale_chains_over_the_levels_of_a_pyramid():
    image = jv.images.laplacian_pyramid((16, 24), levels=3)
    found = jv.maximize(
        lambda x: x.mean((1, 2)),
        jv.objectives.logit([0, 2]),
        key=jax.random.key(0),
        image=image,
        optimizer=optax.chain(jv.pyramid_scale([1.0, 1.0, 2.0]), optax.adam(0.1)),
        steps=20,
    )
    assert (found.trace.score[:, -1] > found.trace.score[:, 0] + 0.2).all()


def test_blur_every_kth_step():
    params = jax.random.normal(jax.random.key(1), (2, 9, 12, 3))
    optimizer = optax.chain(optax.sgd(0.1), jv.blur_every(3, 1.5))

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(GRADIENT[:, :9, :12], state, params)
        return optax.apply_updates(params, updates), state

    state, expected = optimizer.init(params), params
    for turn in range(1, 7):
        params, state = step(params, state)
        expected = expected - 0.1 * GRADIENT[:, :9, :12]
        if turn % 3 == 0:
            expected = jv.gaussian_blur(expected, 1.5)
        assert jnp.allclose(params, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: jv.pyramid_scale([]), "at least one gain"),
        (lambda: updated(jv.pyramid_scale([1.0]), jnp.ones((2, 3))), "got .2, 3."),
        (lambda: updated(jv.pyramid_scale([1.0] * 9), GRADIENT), "1 to 5 .* 17 x 24"),
        (lambda: jv.blur_every(0, 1.0), "k must be at least 1 and sigma not negative, got 0"),
        (lambda: updated(jv.blur_every(1, 1.0), GRADIENT), "blur_every needs the parameters"),
        (
            lambda: updated(jv.blur_every(1, 1.0), jnp.ones((2, 3)), jnp.ones((2, 3))),
            r"blur_every needs parameters of shape \(n, h, w, c\)",
        ),
    ],
)
def test_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
