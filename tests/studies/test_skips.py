"""The numbers of the study of skip connections, against NumPy by hand on tiny models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv
from jaxviz.studies import (
    Answers,
    Peaks,
    active_features,
    answers,
    answers_under,
    in_batches,
    last_of_each_size,
    layer_peaks,
    relative_fall,
    stage_features,
)
from jaxviz.studies.skips import patches, pixels

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(5, 5, 3, 4)).astype(np.float32)
IMAGES = RNG.uniform(size=(7, 5, 5, 3)).astype(np.float32)
LABELS = RNG.integers(0, 4, 7)


def template(weights, x):
    """A class for each template: the logit is the inner product, so that places matter."""
    return jnp.einsum("nhwc,hwck->nk", x, weights)


MODEL = jax.tree_util.Partial(template, jnp.asarray(WEIGHTS))


def by_hand(x):
    """Right or not, and the class's probability, in float64."""
    logits = np.tensordot(np.asarray(x, np.float64), WEIGHTS.astype(np.float64), 3)
    powers = np.exp(logits)
    probability = (powers / powers.sum(1, keepdims=True))[np.arange(len(x)), LABELS]
    return logits.argmax(1) == LABELS, probability


def test_answers_by_hand():
    told = answers(MODEL, IMAGES, LABELS)
    right, probability = by_hand(IMAGES)
    assert 0 < right.mean() < 1
    np.testing.assert_array_equal(told.right, right)
    np.testing.assert_allclose(told.probability, probability, rtol=1e-5)


@pytest.mark.parametrize(
    ("perturb", "shuffle"),
    [
        (pixels, lambda key, x, size: jv.grid_shuffle_blur(key, x, cell=size)),
        (patches, lambda key, x, size: jv.shuffle_patches(key, x, patch=size)),
    ],
)
def test_answers_to_shuffled_images_by_hand(perturb, shuffle):
    key = jax.random.key(3)
    told = answers_under(key, MODEL, IMAGES, LABELS, sizes=[1, 2, 3], perturb=perturb)
    assert told.right.shape == told.probability.shape == (3, 7)
    for size, right, probability in zip([1, 2, 3], *told, strict=True):
        shown = [
            shuffle(jax.random.fold_in(key, i), image[None], size)[0]
            for i, image in enumerate(IMAGES)
        ]
        expected, expected_probability = by_hand(np.stack(shown))
        np.testing.assert_array_equal(right, expected)
        np.testing.assert_allclose(probability, expected_probability, rtol=1e-5)
    assert len({tuple(row) for row in told.probability.round(6)}) == 3


def test_a_model_of_means_does_not_mind_a_shuffle():
    model = lambda x: x.mean((1, 2))
    label = np.asarray(IMAGES.mean((1, 2)).argmax(-1))
    whole = answers(model, IMAGES, label)
    shuffled = answers_under(jax.random.key(0), model, IMAGES, label, sizes=[2, 5])
    assert whole.right.all()
    np.testing.assert_allclose(shuffled.probability, np.stack([whole.probability] * 2), rtol=1e-5)
    fall = relative_fall(whole, shuffled)
    np.testing.assert_allclose(fall.probability, 0, atol=1e-6)
    assert not fall.right.any()


def test_batches_do_not_change_the_answers():
    key = jax.random.key(3)
    together = answers_under(key, MODEL, IMAGES, LABELS, sizes=[2])
    one_by_one = answers_under(key, MODEL, IMAGES, LABELS, sizes=[2], memory=1)
    # Products in another order, in float32.
    np.testing.assert_allclose(together.probability, one_by_one.probability, rtol=1e-5)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 7, 100])
def test_batches_are_equal_and_bounded(most):
    seen = []

    def f(model, arrays):
        x, y = arrays
        seen.append((len(x), isinstance(x, jax.core.Tracer)))
        return {"sum": x + y[:, None], "last": y}

    x, y = np.arange(14.0).reshape(7, 2), np.arange(7)
    # Two float32 numbers and a sum of two for each image, and room for as much again.
    each = 2 * 8
    found = in_batches(f, lambda x: x, (x, y), memory=most * each)
    np.testing.assert_array_equal(found["sum"], x + y[:, None])
    np.testing.assert_array_equal(found["last"], y)
    sizes = {size for size, traced in seen if not traced}
    assert len(sizes) == 1
    assert sizes.pop() <= most


def test_the_relative_fall_by_hand():
    whole = Answers(np.array([True, True, False, True]), np.array([0.9, 0.8, 0.4, 0.5]))
    less = Answers(
        np.array([[True, False, False, True], [False, False, False, True]]),
        np.array([[0.5, 0.4, 0.4, 0.5], [0.1, 0.2, 0.4, 0.5]]),
    )
    fall = relative_fall(whole, less)
    # Of 3 right answers of 4, 2 and 1 are left: a mean of 1.5.
    assert fall.right.mean() == pytest.approx(1 - 1.5 / 3)
    np.testing.assert_allclose(fall.probability, np.array([0.6, 0.5, 0, 0]) / 0.65)


def rectified(x):
    """A layer of five channels with a value of its own at each place."""
    mixed = jnp.einsum("nhwc,ck->nhwk", x - 0.5, jnp.asarray(WEIGHTS[0, :, :, 0].T))
    return jv.tap(jax.nn.relu(mixed), "relu").mean((1, 2))


def layer_by_hand(x):
    return np.maximum((x.astype(np.float64) - 0.5) @ WEIGHTS[0, :, :, 0].T.astype(np.float64), 0)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("memory", [None, 1])
def test_active_features_by_hand(threshold, memory):
    peaks = layer_peaks(rectified, IMAGES, ["relu"], memory=memory)["relu"]
    found = active_features(peaks, threshold=threshold)
    layer = layer_by_hand(IMAGES)
    scale = np.sqrt((layer**2).mean())
    for i, values in enumerate(layer):
        channels = [values[..., k].max() for k in range(values.shape[-1])]
        active = [peak for peak in channels if peak >= threshold * max(channels)]
        assert found.count[i] == len(active)
        assert found.fraction[i] == len(active) / 5
        assert found.value[i] == pytest.approx(np.mean(active), rel=1e-5)
        assert found.strength[i] == pytest.approx(np.mean(active) / scale, rel=1e-5)
    if threshold == 1.0:
        assert (found.count == 1).all()


def test_active_features_have_no_scale():
    layer = layer_by_hand(IMAGES)
    peaks = Peaks(layer.max((1, 2)), (layer**2).mean((1, 2, 3)))
    scaled = Peaks(1e3 * peaks.peak, 1e6 * peaks.square)
    one, other = active_features(peaks), active_features(scaled)
    np.testing.assert_array_equal(one.count, other.count)
    np.testing.assert_allclose(one.strength, other.strength, rtol=1e-12)
    np.testing.assert_allclose(1e3 * one.value, other.value, rtol=1e-12)


def test_a_layer_that_is_silent_has_no_active_feature():
    peaks = Peaks(np.array([[0.0, 0.0], [2.0, 0.1]]), np.array([0.0, 1.0]))
    found = active_features(peaks)
    assert found.count.tolist() == [0, 1]
    assert found.strength.tolist() == [0.0, pytest.approx(2 / np.sqrt(0.5))]
    silent = active_features(Peaks(np.zeros((1, 3)), np.zeros(1)))
    assert (silent.count[0], silent.strength[0]) == (0, 0)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_a_threshold_is_a_fraction(threshold):
    with pytest.raises(ValueError, match="threshold must be above 0 and at most 1"):
        active_features(Peaks(np.ones((1, 2)), np.ones(1)), threshold=threshold)


def test_stages_are_meant_alike():
    a = Peaks(np.array([[4.0, 1.0]]), np.array([4.0]))
    b = Peaks(np.array([[1.0, 1.0, 1.0]]), np.array([1.0]))
    active, strength = stage_features({"a": a, "b": b, "c": a}, ["a", "b"], threshold=0.5)
    assert active.tolist() == [0.75]
    assert strength.tolist() == [1.5]


def test_the_last_layer_of_each_size():
    shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, "float32")
    layers = {
        "a": shape(1, 8, 8, 3),
        "b": shape(1, 8, 8, 4),
        "c": shape(1, 4, 8, 4),
        "pooled": shape(1, 1, 1, 4),
        "head": shape(1, 10),
    }
    assert last_of_each_size(layers) == ["b", "c"]


@pytest.mark.parametrize(("x", "label"), [(IMAGES[0], [0]), (IMAGES, [0, 1]), (IMAGES[:0], [])])
def test_images_and_classes_must_fit(x, label):
    with pytest.raises(ValueError, match="one class for each"):
        answers(MODEL, x, np.array(label, int))
