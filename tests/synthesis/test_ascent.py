"""The ascent: against the same loop written out, its parts, and what it finds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

import jaxviz as jv


def apply(weights, x):
    hidden = jv.tap(jnp.sin(x.reshape(len(x), -1)) @ weights, "hidden")
    return jax.nn.relu(hidden) - 0.1 * hidden**2


def tiny(seed=0):
    return Partial(apply, jax.random.normal(jax.random.key(seed), (8 * 8 * 3, 5)))


def test_it_is_the_loop_written_out():
    model, key = tiny(), jax.random.key(3)
    image = jv.images.laplacian_pyramid(8, levels=2)
    shift = jv.transforms.jitter(2)
    smooth = jv.regularizers.total_variation(0.3)
    preprocess = lambda images: 2 * images - 1
    found = jv.maximize(
        model,
        jv.objectives.logit([1, 4]),
        key=key,
        image=image,
        preprocess=preprocess,
        optimizer=optax.sgd(0.1),
        transforms=[shift],
        regularizers=[smooth],
        steps=3,
    )
    key, start = jax.random.split(key)
    parameters = image.init(start, 2)
    scores = []
    for turn in jax.random.split(key, 3):

        def loss(parameters, turn=turn):
            shown = image.decode(parameters)
            output = model(preprocess(shift(jax.random.split(turn, 1)[0], shown)))
            return sum(smooth(shown)) - output[0, 1] - output[1, 4], output

        gradient, output = jax.grad(loss, has_aux=True)(parameters)
        scores.append([output[0, 1], output[1, 4]])
        parameters = [p - 0.1 * g for p, g in zip(parameters, gradient, strict=True)]
    assert np.allclose(found.image, image.decode(parameters), atol=1e-5)
    assert np.allclose(found.trace.score, np.transpose(scores), atol=1e-4)
    assert found.trace.gradient_norm.shape == (2, 3)


def test_images_of_a_batch_do_not_depend_on_each_other():
    """All but the start, which is drawn for the whole batch."""
    model, image = tiny(), jv.images.pixel(8, deviation=0.0)
    options = {"key": jax.random.key(0), "image": image, "transforms": (), "steps": 20}
    together = jv.maximize(model, jv.objectives.logit([0, 3]), **options)
    for i, k in enumerate([0, 3]):
        alone = jv.maximize(model, jv.objectives.logit(k), **options)
        assert np.allclose(together.image[i], alone.image[0], atol=1e-4)


def test_a_list_of_objectives_of_different_layers():
    model, image = tiny(), jv.images.pixel(8, deviation=0.0)
    options = {"key": jax.random.key(0), "image": image, "transforms": (), "steps": 20}
    objectives = [jv.objectives.logit(2), -jv.objectives.channel("hidden", 1)]
    together = jv.maximize(model, objectives, **options)
    for i, objective in enumerate(objectives):
        alone = jv.maximize(model, objective, **options)
        assert np.allclose(together.image[i], alone.image[0], atol=1e-4)


@pytest.mark.parametrize("image", [jv.images.pixel(8), jv.images.laplacian_pyramid((8, 8))])
def test_it_climbs(image):
    found = jv.maximize(
        tiny(), jv.objectives.logit(jnp.arange(5)), key=jax.random.key(0), image=image, steps=60
    )
    assert found.image.shape == (5, 8, 8, 3)
    assert (found.image.min() >= 0) & (found.image.max() <= 1)
    assert (found.trace.score[:, -5:].mean(1) > found.trace.score[:, :5].mean(1)).all()


def test_another_class_or_key_compiles_nothing():
    model, other, keys = tiny(0), tiny(1), jax.random.split(jax.random.key(0))
    ask = lambda model, k, key: (
        jv.maximize(
            model,
            jv.objectives.logit(k),
            key=key,
            image=jv.images.laplacian_pyramid(8),
            transforms=[jv.transforms.jitter(1)],
            regularizers=[jv.regularizers.l2(0.1)],
            steps=3,
        ).image
    )
    ask(model, 0, keys[0])
    events = []
    listen = lambda event, *_, **__: events.append(event) if "backend_compile" in event else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        ask(model, 3, keys[0]), ask(other, 1, keys[0])
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert events == []


def test_normalised_gradients_have_unit_length():
    gradient = [jax.random.normal(jax.random.key(i), (3, 4 + i)) * 10.0**i for i in range(2)]
    for norm, expected in [("l2", 1.0), ("rms", 9**0.5)]:
        unit = jv.normalize_gradient(norm)
        updates, _ = unit.update(gradient, unit.init(gradient))
        lengths = jnp.sqrt(sum((leaf**2).sum(1) for leaf in updates))
        assert jnp.allclose(lengths, expected, rtol=1e-5)
        faint, _ = unit.update([1e-25 * leaf for leaf in gradient], unit.init(gradient))
        for a, b in zip(faint, updates, strict=True):
            assert jnp.allclose(a, b, rtol=1e-4)
    still, _ = unit.update([jnp.zeros((2, 3))], unit.init(None))
    assert (still[0] == 0).all()
    with pytest.raises(ValueError, match="unknown norm 'l1'; choose one of: rms, l2, std"):
        jv.normalize_gradient("l1")


def test_a_pyramid_adds_its_levels_up():
    image = jv.images.laplacian_pyramid((16, 24), levels=3, gain=2.0)
    levels = [jnp.full((1, *size, 3), value) for size, value in
              [((16, 24), 0.1), ((8, 12), 0.2), ((4, 6), 0.4)]]  # fmt: skip
    weights = np.array([1.0, 2.0, 4.0]) / 21**0.5
    expected = jax.nn.sigmoid(weights @ np.array([0.1, 0.2, 0.4]))
    assert jnp.allclose(image.decode(levels), expected, atol=1e-6)
    with pytest.raises(ValueError, match="levels must be 1 to 5 for an image of 16 x 24"):
        jv.images.laplacian_pyramid((16, 24), levels=9)


def test_steps_must_be_positive():
    with pytest.raises(ValueError, match="steps must be positive, got 0"):
        jv.maximize(tiny(), jv.objectives.logit(0), key=jax.random.key(0), steps=0)
