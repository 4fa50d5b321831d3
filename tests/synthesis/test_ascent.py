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
    """Everything at once, for two images, each with its own randomness, by plain gradients."""
    model, key = tiny(), jax.random.key(3)
    image = jv.images.laplacian_pyramid(8, levels=2)
    shift = jv.transforms.jitter(2)
    smooth = jv.regularizers.total_variation(0.3)
    preprocess = lambda images: 2 * images - 1
    left = jv.Region(lambda model, x, objective: (x[..., 0] > 0).astype(float), every=2)
    found = jv.maximize(
        model,
        jv.objectives.logit([1, 4]),
        key=key,
        image=image,
        preprocess=preprocess,
        optimizer=optax.sgd(0.1),
        transforms=[shift, jv.transforms.pad(0)],
        regularizers=[smooth],
        region=left,
        views=2,
        redirect=0,
        steps=3,
    )
    for i, k in enumerate([1, 4]):
        start, own = jax.random.split(jax.random.fold_in(key, i))
        parameters, scores, norms = image.init(start, 1), [], []
        for turn in range(3):
            if turn % 2 == 0:
                mask = (preprocess(image.decode(parameters))[..., :1] > 0).astype(float)
            views = jax.random.split(jax.random.fold_in(own, turn), 2)

            def value(parameters, k=k, views=views, mask=mask):
                shown = image.decode(parameters)
                penalty = smooth(shown)[0]
                shown = mask * shown + (1 - mask) * jax.lax.stop_gradient(shown)
                moved = [shift(jax.random.fold_in(view, 0), shown) for view in views]
                score = sum(model(preprocess(one))[0, k] for one in moved) / 2
                return score - penalty, score

            gradient, score = jax.grad(value, has_aux=True)(parameters)
            scores.append(score)
            norms.append(optax.tree.norm(gradient))
            parameters = [p + 0.1 * g for p, g in zip(parameters, gradient, strict=True)]
        assert np.allclose(found.image[i], image.decode(parameters)[0], atol=1e-5)
        assert np.allclose(found.trace.score[i], jnp.stack(scores), atol=1e-4)
        assert np.allclose(found.trace.gradient_norm[i], jnp.stack(norms), rtol=1e-4)


OPTIONS = {"key": jax.random.key(0), "image": jv.images.pixel(8), "steps": 6}


def test_an_image_does_not_depend_on_those_around_it_nor_on_the_memory():
    model = tiny()
    together = jv.maximize(model, jv.objectives.logit([0, 3, 1]), **OPTIONS)
    alone = jv.maximize(model, jv.objectives.logit(0), **OPTIONS)
    assert np.allclose(together.image[0], alone.image[0], atol=1e-6)
    assert jnp.abs(together.image[0] - together.image[1]).max() > 0.01
    keys = jax.vmap(lambda i: jax.random.fold_in(OPTIONS["key"], i))(jnp.array([2, 1]))
    chosen = jv.maximize(model, jv.objectives.logit([1, 3]), **(OPTIONS | {"key": keys}))
    assert np.allclose(chosen.image, together.image[np.array([2, 1])], atol=1e-6)
    with pytest.raises(ValueError, match="key must be one, or one for each objective, 3; got 2"):
        jv.maximize(model, jv.objectives.logit([1, 3, 0]), **(OPTIONS | {"key": keys}))
    for memory in (30_000, 60_000):
        turns = jv.maximize(model, jv.objectives.logit([0, 3, 1]), memory=memory, **OPTIONS)
        for a, b in zip(jax.tree.leaves(turns), jax.tree.leaves(together), strict=True):
            assert np.allclose(a, b, atol=1e-6)
    with pytest.raises(
        ValueError, match=r"memory must hold a step of 1 image, [\d,]+ bytes; got 9"
    ):
        jv.maximize(model, jv.objectives.logit(0), memory=9, **OPTIONS)


def test_objectives_that_compare_images_keep_them_together():
    model = tiny()
    apart = jv.objectives.channel("hidden", [1, 1, 1]) + jv.objectives.diversity("hidden")
    found = jv.maximize(model, apart, **OPTIONS)
    assert np.allclose(found.image, jv.maximize(model, apart, memory=10**6, **OPTIONS).image)
    with pytest.raises(ValueError, match="memory must hold a step of 3 images"):
        jv.maximize(model, apart, memory=30_000, **OPTIONS)
    assert not (jv.objectives.channel("hidden", 1) * 2).joint
    assert jv.objectives.each([jv.objectives.logit(0), apart]).joint


def test_frames_are_the_images_of_shorter_ascents():
    options = OPTIONS | {"transforms": [jv.transforms.jitter(2)], "redirect": 3}
    ask = lambda steps, **more: jv.maximize(
        tiny(), jv.objectives.logit([2, 0]), **(options | {"steps": steps}), **more
    )
    found = ask(7, keep_every=2)
    assert found.frames.shape == (2, 3, 8, 8, 3)
    for i, steps in enumerate((2, 4, 6)):
        assert np.allclose(found.frames[:, i], ask(steps).image, atol=1e-6)
    assert ask(7).frames.shape == (2, 0, 8, 8, 3)


def test_starts():
    photograph = jax.random.uniform(jax.random.key(1), (8, 8, 3), minval=0.1, maxval=0.9)
    still = OPTIONS | {"optimizer": optax.sgd(0.0), "steps": 1}
    ask = lambda start, k=(0, 1): (
        jv.maximize(tiny(), jv.objectives.logit(jnp.array(k)), start=start, **still).image
    )
    assert np.allclose(ask(0.5), 0.5, atol=1e-6)
    assert np.allclose(ask([0.2, 0.4, 0.6]), jnp.array([0.2, 0.4, 0.6]), atol=1e-6)
    assert np.allclose(ask(photograph), jnp.stack([photograph] * 2), atol=1e-5)
    two = jnp.stack([photograph, photograph[::-1]])
    assert np.allclose(ask(two), two, atol=1e-5)
    assert np.allclose(ask(two, [3]), two, atol=1e-5)
    with pytest.raises(ValueError, match=r"start must be a number, a colour .* got \(2,\)"):
        ask([0.1, 0.2])
    with pytest.raises(ValueError, match="one image or as many as objectives, 3; got 2"):
        ask(two, [0, 1, 2])
    with pytest.raises(ValueError, match="cannot start from a given image"):
        jv.maximize(
            tiny(),
            jv.objectives.logit(0),
            key=jax.random.key(0),
            image=jv.images.cppn(8),
            start=0.5,
        )


def switched_off(weights, x):
    """Unit 0 answers, unit 1 is off at first, unit 2 always, unit 3 sees nothing."""
    hidden = jv.tap(x.reshape(len(x), -1) @ weights - jnp.array([0.0, 9.0, 1e6, 0.0]), "before")
    return jv.tap(jax.nn.relu(hidden), "after")


def test_a_unit_that_is_off_is_found_by_the_redirected_gradient():
    weights = jax.random.normal(jax.random.key(0), (192, 4)).at[:, 3].set(0)
    model = Partial(switched_off, weights)
    options = OPTIONS | {"transforms": (), "steps": 40}
    units = jnp.arange(4)
    plain = jv.maximize(model, jv.objectives.logit(units), redirect=0, **options)
    assert (plain.dead == jnp.array([False, True, True, True])).all()
    assert (plain.trace.gradient_norm[1:] == 0).all()
    found = jv.maximize(model, jv.objectives.logit(units), redirect=30, **options)
    assert (found.dead == jnp.array([False, False, True, True])).all()
    assert found.trace.score[1, -1] > 1
    assert jnp.isfinite(found.image).all()
    # The tap before the ReLU needs no redirection.
    before = jv.maximize(model, jv.objectives.channel("before", units), redirect=0, **options)
    assert (before.dead == jnp.array([False, False, False, True])).all()


def test_a_region_confines_the_change():
    half = jnp.zeros((1, 2, 2)).at[:, :, 0].set(1)
    # Half the pixels each way, coarse: the border between them is blended.
    region = jv.Region(lambda model, x, objective: jnp.tile(half, (len(x), 1, 1)))
    options = OPTIONS | {"optimizer": optax.sgd(0.1), "start": 0.5}
    found = jv.maximize(tiny(), jv.objectives.logit([0, 1]), region=region, **options)
    assert jnp.abs(found.image[:, :, -2:] - 0.5).max() == 0
    assert jnp.abs(found.image[:, :, :2] - 0.5).min(1).max() > 1e-3


def sum_of_places(x):
    return jv.tap(jax.nn.relu(x - 0.5), "places").sum((1, 2))


def test_a_cam_region_is_a_soft_threshold_of_grad_cam():
    x = jax.random.uniform(jax.random.key(0), (2, 4, 4, 3))
    goal = jv.objectives.logit([0, 2])
    mask = jv.cam_region("places", threshold=0.3, softness=0.2).mask(sum_of_places, x, goal)
    for i, k in enumerate([0, 2]):
        heat = np.maximum(np.array(x[i, ..., k], float) - 0.5, 0)  # d sum / d place is 1
        assert np.allclose(mask[i], 1 / (1 + np.exp(-(heat / heat.max() - 0.3) / 0.2)), atol=1e-5)
    assert (jv.cam_region("places").mask(sum_of_places, 0 * x, goal) == 1).all()
    with pytest.raises(ValueError, match="softness above 0"):
        jv.cam_region("places", softness=0)


def stack_of_convolutions(kernels, x):
    for i, kernel in enumerate(kernels):
        x = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jv.tap(jax.nn.relu(x), f"conv{i}")
    return x.mean((1, 2))


def test_nothing_above_the_objectives_layer_is_computed():
    kernels = [0.1 * jax.random.normal(jax.random.key(i), (3, 3, 3, 3)) for i in range(4)]

    def operations(depth, layer):
        run = jax.jit(
            lambda model: jv.maximize(
                model, jv.objectives.channel(layer, 0), key=jax.random.key(0),
                image=jv.images.pixel(32), transforms=(), redirect=0, steps=1,
            ).image
        )  # fmt: skip
        model = Partial(stack_of_convolutions, kernels[:depth])
        return run.lower(model).compile().cost_analysis()["flops"]

    assert operations(4, "conv0") == operations(1, "conv0")
    # Three layers more cost their convolutions forwards and backwards.
    convolution = 2 * 32 * 32 * 3 * 27
    assert operations(4, "conv3") > operations(4, "conv0") + 3 * 1.9 * convolution


def test_deep_dream_grows_what_a_layer_sees():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 3, 4))
    model = Partial(stack_of_convolutions, [kernel])
    photograph = jax.random.uniform(jax.random.key(1), (2, 20, 30, 3))
    goal = jv.objectives.layer("conv0")
    ask = lambda **options: jv.deep_dream(
        model, goal, photograph, key=jax.random.key(2), transforms=[jv.transforms.jitter(2)],
        **options,
    )  # fmt: skip
    dream = ask(octaves=2)
    assert dream.shape == photograph.shape
    before, after = (jv.objectives.score(model, x, goal)[1] for x in (photograph, dream))
    assert (after > 1.5 * before).all()
    # No steps of any length leave the photograph.
    assert np.allclose(ask(octaves=2, optimizer=optax.sgd(0.0)), photograph, atol=1 / 256)
    with pytest.raises(ValueError, match="octaves must leave at least one pixel"):
        ask(octaves=40)
    with pytest.raises(ValueError, match="ratio above 1"):
        ask(ratio=1.0)


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
    first = ask(model, 0, keys[0])
    assert (ask(model, 0, keys[0]) == first).all()  # bit for bit
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


@pytest.mark.parametrize("name", ["steps", "views", "keep_every"])
def test_counts_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, got 0"):
        jv.maximize(tiny(), jv.objectives.logit(0), **(OPTIONS | {name: 0}))


def test_what_cannot_be_ascended_is_refused():
    ask = lambda objective, **more: jv.maximize(tiny(), objective, **(OPTIONS | more))
    with pytest.raises(ValueError, match="at least one image; its parameters are empty"):
        ask(jv.objectives.logit(jnp.arange(0)))
    with pytest.raises(ValueError, match="one image or of equally many, got 2 and 3"):
        ask(jv.objectives.logit([0, 1]) + jv.objectives.logit([2, 2, 2]))
    with pytest.raises(ValueError, match=r"start must be in \[0, 1\], got 100 to 100"):
        ask(jv.objectives.logit(0), start=np.full((8, 8, 3), 100, np.uint8))
    region = jv.Region(lambda model, x, objective: x[..., 0], every=0)
    with pytest.raises(ValueError, match=r"region.every must be 1 or more, got 0"):
        ask(jv.objectives.logit(0), region=region)


def test_one_step_finds_nobody_dead():
    assert not jv.maximize(tiny(), jv.objectives.logit(0), **(OPTIONS | {"steps": 1})).dead.any()


def test_a_mask_may_be_of_lower_precision():
    region = jv.Region(lambda model, x, objective: x[..., 0].astype(jnp.bfloat16))
    found = jv.maximize(tiny(), jv.objectives.logit(0), region=region, **OPTIONS)
    assert found.image.dtype == jnp.float32


def test_dreams_of_several_objectives_do_not_mix():
    model = lambda x: jv.tap(x, "colours").mean((1, 2))
    ask = lambda k, photograph: jv.deep_dream(
        model, jv.objectives.logit(k), photograph, key=jax.random.key(0), octaves=2, transforms=()
    )
    grey = jnp.full((1, 8, 8, 3), 0.5)
    dream = ask([0, 2], grey)
    assert np.allclose(dream, jnp.concatenate([ask(0, grey), ask(2, grey)]), atol=1e-5)
    with pytest.raises(ValueError, match=r"shape \(n, h, w, 3\), got \(1, 8, 8, 4\)"):
        ask(0, jnp.zeros((1, 8, 8, 4)))
    with pytest.raises(ValueError, match="as many as objectives, 2; got 3"):
        ask([0, 2], jnp.zeros((3, 8, 8, 3)))
