"""Linear probes against a long float64 descent, and what is pooled and split for them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

import jaxviz as jv
from jaxviz import studies
from jaxviz.studies.probes import _descend

RNG = np.random.default_rng(0)
LABEL = np.arange(60) % 3
CENTRES = RNG.normal(size=(3, 7))
FEATURES = {
    "wide": np.concatenate([CENTRES[LABEL], RNG.normal(size=(60, 60))], 1)
    + RNG.normal(size=(60, 67)),
    "narrow": 5 + 100 * (CENTRES[LABEL, :2] + RNG.normal(size=(60, 2))),
    "constant": np.full((60, 3), 7.0),
}
TRAIN = np.arange(0, 40)


def standardised(values):
    mean, deviation = values[TRAIN].mean(0), values[TRAIN].std(0)
    return (values - mean) / np.where(deviation > 0, deviation, 1)


def optimum(x, label, penalty):
    """The minimum in float64, of the objective as it is written down."""
    n, d = x.shape

    def objective(flat):
        weights, bias = flat[: d * 3].reshape(d, 3), flat[d * 3 :]
        logits = x @ weights + bias
        value = (
            -log_softmax(logits, 1)[np.arange(n), label].mean() + penalty / 2 * (weights**2).sum()
        )
        error = (softmax(logits, 1) - np.eye(3)[label]) / n
        gradient = np.concatenate([(x.T @ error + penalty * weights).ravel(), error.sum(0)])
        return value, gradient

    found = minimize(
        objective,
        np.zeros(d * 3 + 3),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-10},
    )
    return found.x[: d * 3].reshape(d, 3), found.x[d * 3 :]


def test_the_optimum_is_that_of_a_long_descent_in_float64():
    penalties = [1e-2, 1e-1, 1.0]
    probes = studies.fit_probes(FEATURES, LABEL, train=TRAIN, classes=3, penalties=penalties)
    assert list(probes.logits) == list(FEATURES)
    for layer, values in FEATURES.items():
        x = standardised(values)
        assert probes.gradient[layer].max() <= 1.01e-4
        for penalty, logits in zip(penalties, probes.logits[layer], strict=True):
            weights, bias = optimum(x[TRAIN], LABEL[TRAIN], penalty)
            # Biases may have any common value.
            expected = x @ weights + bias
            shown = logits - logits.mean(1, keepdims=True)
            # The gradient is at most 1e-4 in every direction, the curvature at least the penalty.
            np.testing.assert_allclose(
                shown, expected - expected.mean(1, keepdims=True), atol=6e-4 / penalty
            )
            assert (logits.argmax(1) == expected.argmax(1)).mean() >= 0.98


def test_another_draw_of_the_training_images_needs_no_compilation():
    studies.fit_probes(FEATURES, LABEL, train=TRAIN, classes=3, penalties=[0.1])
    before = _descend._cache_size()
    studies.fit_probes(FEATURES, LABEL, train=TRAIN + 20, classes=3, penalties=[0.3])
    assert _descend._cache_size() == before


def test_features_are_means_over_cells():
    def model(x):
        x = jv.tap(x[:, :, :3] ** 2, "maps")
        return jv.tap(x.mean((1, 2)), "means")

    x = RNG.normal(size=(3, 7, 6, 2)).astype(np.float32)
    for memory in (None, 1):
        found = studies.pooled_features(model, x, ["maps", "means"], grid=4, memory=memory)
        assert list(found) == ["pixels", "maps", "means"]
        # torch's adaptive pooling: cell i of 4 goes from floor(7 i / 4) to ceil(7 (i + 1) / 4).
        rows = [(0, 2), (1, 4), (3, 6), (5, 7)]
        columns = {"pixels": [(0, 2), (1, 3), (3, 5), (4, 6)], "maps": [(0, 1), (1, 2), (2, 3)]}
        for layer, values in (("pixels", x), ("maps", x[:, :, :3] ** 2)):
            cells = [[values[:, a:b, c:d].mean((1, 2)) for c, d in columns[layer]] for a, b in rows]
            expected = np.moveaxis(np.array(cells), 2, 0).reshape(3, -1)
            np.testing.assert_allclose(found[layer], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["means"], (x[:, :, :3] ** 2).mean((1, 2)), rtol=1e-5)


def test_a_split_has_each_image_once_and_all_classes_everywhere():
    label = RNG.permutation(np.repeat(np.arange(3), [10, 13, 21]))
    split = studies.split_by_class(jax.random.key(0), label)
    assert split.train.shape == (3, 5)
    assert (label[split.train] == np.arange(3)[:, None]).all()
    everything = np.concatenate([split.train.ravel(), split.validation, split.test])
    assert len(set(everything.tolist())) == len(everything)
    # All but what the larger classes could train on beyond the smallest one.
    assert len(everything) == 44 - (6 - 5) - (10 - 5)
    for part in (split.validation, split.test):
        assert set(label[part]) == {0, 1, 2}


def test_generalisation_takes_the_penalty_that_validates_best():
    key = jax.random.key(3)
    label = np.arange(160) % 2
    noise = RNG.normal(size=(160, 30))
    features = {"noise": noise, "some": noise + label[:, None] * (np.arange(30) < 4)}
    found = studies.generalisation(key, features, label, counts=[2, 10, 100], draws=2)
    # 40 images of each class are for training, so 100 become 40.
    assert found.counts == (2, 10, 40)
    assert found.right.shape == (2, 3, 2, 40)
    split_key, draw_key = jax.random.split(key)
    split = studies.split_by_class(split_key, label)
    for draw in range(2):
        order = np.asarray(jax.random.permutation(jax.random.fold_in(draw_key, draw), 40))[:10]
        probes = studies.fit_probes(features, label, train=split.train[:, order].ravel(), classes=2)
        for i, layer in enumerate(features):
            right = probes.logits[layer].argmax(-1) == label
            scores = right[:, split.validation].mean(1)
            chosen = probes.penalties.index(found.penalty[i, 1, draw])
            assert scores[chosen] == scores.max()
            np.testing.assert_array_equal(found.right[i, 1, draw], right[chosen, split.test])
    # All images can be drawn in one way only: another draw would be no second measurement.
    assert np.isnan(found.right[:, 2, 1]).all()
    assert not np.isnan(found.right[:, :2]).any()
    np.testing.assert_array_equal(found.mean[:, 2], found.accuracy[:, 2, 0])
    assert np.isnan(found.spread[:, 2]).all()
    np.testing.assert_allclose(found.spread[:, :2], found.accuracy[:, :2].std(2, ddof=1))
    claim = studies.higher_layers_claim(found)
    difference = found.right[1, 2, 0] - found.right[0, 2, 0]
    assert claim.comparisons[0].larger == studies.estimate([difference])
    assert found.accuracy[1, 2, 0] > 0.7 > found.accuracy[0, 2, 0]


def test_the_depth_claim_is_about_neighbours():
    right = np.zeros((3, 2, 2, 100))
    right[0, 1, :, :50] = right[1, 1, :, :90] = right[2, 1, :, :60] = 1
    found = studies.Generalisation(("a", "b", "c"), (1, 5), right, np.ones((3, 2, 2)), 0.0)
    claim = studies.higher_layers_claim(found)
    assert claim.verdict == "mixed"
    assert [one.outcome for one in claim.comparisons] == ["holds", "reversed"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: studies.fit_probes({"a": np.ones((5, 2))}, LABEL, train=TRAIN, classes=3),
            r"features of 'a' must be \(60, features\)",
        ),
        (
            lambda: studies.fit_probes({}, LABEL, train=TRAIN, classes=3),
            "needs features of a layer",
        ),
        (
            lambda: studies.split_by_class(jax.random.key(0), np.array([0, 0, 0, 0, 1])),
            "there are 2, and one has 1",
        ),
        (
            lambda: studies.generalisation(jax.random.key(0), FEATURES, LABEL, counts=[5, 2]),
            "counts must be positive and rise",
        ),
        (lambda: studies.pooled_features(jnp.sin, np.ones((1, 2, 2, 1)), [], grid=0), "at least 1"),
    ],
)
def test_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
