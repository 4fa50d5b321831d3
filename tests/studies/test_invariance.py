"""How features follow moved images, against images moved by scipy and fed one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import jaxviz as jv
from jaxviz import studies
from jaxviz.studies.invariance import _all_moved, _compared

RNG = np.random.default_rng(0)
KERNEL = jnp.asarray(RNG.normal(size=(3, 3, 3, 4)), jnp.float32)
HEAD = jnp.asarray(RNG.normal(size=(6 * 6 * 4, 5)), jnp.float32)
IMAGES = ndimage.gaussian_filter(RNG.uniform(size=(4, 12, 12, 3)), (0, 1, 1, 0)).astype(np.float32)
LABELS = np.array([3, 0, 4, 0])


def net(weights, x):
    kernel, head = weights
    x = jax.lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jv.tap(jax.nn.relu(x), "relu")
    return jv.tap(x.reshape(len(x), -1), "flat") @ head


MODEL = jax.tree_util.Partial(net, (KERNEL, HEAD))


def seen(image):
    logits, values = jv.capture(MODEL, jnp.asarray(image, jnp.float32)[None], ["relu", "flat"])
    powers = np.exp(np.asarray(logits[0], float))
    return {k: np.asarray(v[0], float) for k, v in values.items()}, powers / powers.sum()


def moved_by_scipy(name, image, amount):
    if name == "translation":
        return ndimage.shift(image, (amount, 0, 0), order=1, mode="nearest")
    if name == "rotation":
        return ndimage.rotate(image, amount, (1, 0), reshape=False, order=1, mode="nearest")
    middle = 5.5 * (1 - 1 / amount)
    return ndimage.affine_transform(
        image, [1 / amount, 1 / amount, 1], [middle, middle, 0], order=1, mode="nearest"
    )


@pytest.mark.parametrize("memory", [None, 1])
def test_features_are_those_of_images_moved_by_hand(memory):
    moves = studies.standard_moves(12, steps=4, fill="edge")
    options = {"layers": ["relu", "flat"], "moves": moves, "memory": memory}
    found = studies.invariance(MODEL, IMAGES, LABELS, **options)
    assert list(found) == ["translation", "scale", "rotation"]
    for name, one in found.items():
        for i, image in enumerate(IMAGES.astype(float)):
            whole, told = seen(image)
            assert one.whole[i] == pytest.approx(told[LABELS[i]], rel=1e-4)
            other, _ = seen(IMAGES[(i + 1) % 4])
            for layer in ("relu", "flat"):
                apart = np.linalg.norm(other[layer] - whole[layer])
                assert one.apart[layer][i] == pytest.approx(apart, rel=1e-4)
            for j, amount in enumerate(moves[name].amounts):
                values, told = seen(moved_by_scipy(name, image, amount))
                assert one.probability[i, j] == pytest.approx(told[LABELS[i]], rel=1e-3)
                for layer in ("relu", "flat"):
                    distance = np.linalg.norm(values[layer] - whole[layer])
                    # Where nothing moves, what is left is the rounding of float32.
                    assert one.distance[layer][i, j] == pytest.approx(distance, rel=1e-3, abs=1e-4)


def test_the_ranges_are_the_papers():
    moves = studies.standard_moves(224)
    low_and_high = {name: (m.amounts.min(), m.amounts.max()) for name, m in moves.items()}
    assert low_and_high == {"translation": (-60, 60), "scale": (1, 1.8), "rotation": (0, 350)}
    assert studies.standard_moves(56)["translation"].amounts.max() == 15
    assert np.allclose(np.diff(moves["rotation"].amounts), 10)


def test_the_model_is_compiled_once_for_all_moves_and_images():
    moves = studies.standard_moves(12, steps=4)
    studies.invariance(MODEL, IMAGES, LABELS, layers=["flat"], moves=moves)
    before, moving = _compared._cache_size(), _all_moved._cache_size()
    again = studies.standard_moves(12, steps=4)
    studies.invariance(MODEL, IMAGES, LABELS, layers=["flat"], moves=again)
    assert _all_moved._cache_size() == moving
    other = studies.standard_moves(12, steps=4, fill="edge")
    studies.invariance(MODEL, IMAGES[::-1].copy(), LABELS, layers=["flat"], moves=other)
    assert _compared._cache_size() == before


def test_measures_by_hand():
    move = studies.Move(None, np.array([0.0, 1.0, 2.0]), 0.0, "pixels")
    found = studies.Invariance(
        {"a": np.array([[0.0, 2.0, 4.0], [0.0, 1.0, 1.0]])},
        {"a": np.array([4.0, 8.0])},
        np.array([[0.9, 0.5, 0.3], [0.8, 0.8, 0.6]]),
        np.array([0.9, 0.8]),
    )
    assert studies.relative_distance(found, move, "a").tolist() == [3 / 6, 1 / 6]
    assert np.allclose(studies.lost_probability(found, move), [0.5, 0.1])


def test_claims_take_the_same_images_as_pairs_and_the_ratio_as_one():
    """The error is that of the ratio, found by drawing many samples of a known kind."""
    move, rng = studies.Move(None, np.array([0.0, 1.0]), 0.0, "pixels"), np.random.default_rng(0)

    def drawn(n=60):
        place, size = rng.normal(size=n), rng.uniform(1, 2, n)
        first = np.stack([np.zeros(n), size], 1)
        apart = {"a": 3 + np.abs(place - np.roll(place, -1)), "b": np.ones(n)}
        told = studies.Invariance({"a": first, "b": 0.1 * first}, apart, first, size)
        claims = studies.invariance_claims({"shift": told}, {"shift": move}, first="a", top="b")
        return claims[0].comparisons[0]

    found = [drawn() for _ in range(400)]
    assert all(one.smaller == studies.Estimate(0, 0, 0) for one in found)
    errors = [one.larger.error for one in found]
    # The two neighbours of an image are counted as its own, which is more than there is.
    spread = np.std([one.larger.mean for one in found])
    assert spread < np.mean(errors) < 1.6 * spread


def test_the_mean_over_places_is_more_invariant_than_the_places():
    """A network for which the claim holds, and one for which it is the other way round."""

    def pooled(x):
        return jv.tap(jv.tap(x, "places").mean((1, 2)), "mean")

    x, label = jv.gaussian_blur(jax.random.uniform(jax.random.key(0), (8, 16, 16, 3)), 1.0), [0] * 8
    x = x + jnp.linspace(0, 1, 8).reshape(8, 1, 1, 1)  # images that differ in their mean
    moves = studies.standard_moves(16, steps=4)
    found = studies.invariance(pooled, x, label, layers=["places", "mean"], moves=moves)
    claims = studies.invariance_claims(found, moves, first="places", top="mean")
    assert claims[0].verdict == "supported"
    claims = studies.invariance_claims(found, moves, first="mean", top="places")
    assert claims[0].verdict == "not supported"
    assert len(claims) == 2


def test_errors():
    with pytest.raises(ValueError, match="steps must be at least 2"):
        studies.standard_moves(12, steps=1)
    moves = studies.standard_moves(12, steps=2)
    with pytest.raises(ValueError, match="at least two images"):
        studies.invariance(MODEL, IMAGES[:1], LABELS[:1], layers=["flat"], moves=moves)
    with pytest.raises(ValueError, match="unknown layer 'flatt'; nearest: flat"):
        studies.invariance(MODEL, IMAGES, LABELS, layers=["flatt"], moves=moves)
    with pytest.raises(ValueError, match="one class for each"):
        studies.invariance(MODEL, IMAGES, LABELS[:2], layers=["flat"], moves=moves)
