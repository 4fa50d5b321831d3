"""The measure of correspondence against a double loop, on a network of whole numbers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv
import ports
from jaxviz import studies

RNG = np.random.default_rng(0)
KERNEL = RNG.integers(-2, 3, (3, 3, 2, 4)).astype(np.float32)
HEAD = RNG.integers(-2, 3, (8 * 6 * 4, 12)).astype(np.float32)
IMAGES = RNG.integers(-3, 4, (5, 8, 6, 2)).astype(np.float32)
CORNER = RNG.integers(0, [5, 4], (5, 3, 2))
BOXES = np.concatenate([CORNER, CORNER + RNG.integers(1, 4, (5, 3, 2))], -1)


def net(weights, x):
    """Whole numbers stay whole, so that a change of nothing is nothing, and all signs are exact."""
    kernel, head = weights
    x = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jv.tap(jax.nn.relu(x), "relu")
    return jv.tap(x.reshape(len(x), -1) @ head, "dense")


MODEL = jax.tree_util.Partial(net, (jnp.asarray(KERNEL), jnp.asarray(HEAD)))


def by_hand(layer, part, fill):
    """The paper's formula, image by image, pair by pair, unit by unit."""
    signs = []
    for image, boxes in zip(IMAGES, BOXES, strict=True):
        top, left, bottom, right = boxes[part]
        covered = image.copy()
        covered[top:bottom, left:right] = fill
        whole, changed = (
            np.asarray(jv.capture(MODEL, jnp.asarray(x)[None], [layer])[1][layer]).ravel()
            for x in (image, covered)
        )
        signs.append(np.sign(whole - changed))
    hamming = np.zeros((5, 5))
    for i, j in itertools.product(range(5), repeat=2):
        hamming[i, j] = sum(a != b for a, b in zip(signs[i], signs[j], strict=True))
    return hamming / len(signs[0]), np.mean([own != 0 for own in signs])


@pytest.mark.parametrize(("fill", "memory"), [(0.0, None), (2.0, 1)])
def test_the_measure_is_a_double_loop(fill, memory):
    options = {"layers": ["relu", "dense"], "fill": fill, "memory": memory}
    found = studies.correspondence(MODEL, IMAGES, BOXES, **options)
    assert list(found) == ["relu", "dense"]
    for layer, one in found.items():
        for part in range(3):
            expected, changed = by_hand(layer, part, fill)
            assert one.changed[part] == pytest.approx(changed, rel=1e-12)
            np.testing.assert_allclose(one.distance[part], expected, rtol=1e-6)
            others = expected[~np.eye(5, dtype=bool)]
            assert one.mean[part] == pytest.approx(others.sum() / 20)
            assert one.std[part] == pytest.approx(others.std())
    # The measure tells something: the parts differ.
    assert np.ptp(found["dense"].mean) > 0.01


def test_places_that_a_box_does_not_reach_have_no_sign():
    """On a trained network too, where rounding would give a sign to what does not change."""
    model = ports.load("shapes-plain", weights="shapes")
    x = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    boxes = [[[0, 0, 6, 6]], [[58, 58, 64, 64]]]
    found = studies.correspondence(model, x, boxes, layers=["layer2.relu_1"])["layer2.relu_1"]
    # Opposite corners: each change is alone. A 6-pixel box reaches 2 pixels beyond itself in the
    # first layer, 4 of its maps' places halved, and one more in each of two 3x3 convolutions.
    reached = (4 + 2) ** 2 / 32**2
    assert 0 < found.mean[0] <= 2 * reached


def test_the_same_change_everywhere_is_full_correspondence():
    x = np.broadcast_to(IMAGES[:1], IMAGES.shape)
    boxes = np.broadcast_to(BOXES[:1], BOXES.shape)
    found = studies.correspondence(MODEL, x, boxes, layers=["dense"])["dense"]
    assert not found.distance.any()


def test_random_boxes_are_inside_and_everywhere():
    boxes = np.tile([[[0, 0, 3, 2], [1, 1, 2, 5]]], (400, 1, 1))
    found = studies.random_boxes(jax.random.key(0), boxes, size=(8, 6))
    assert ((found[..., 2:] - found[..., :2]) == [[3, 2], [1, 4]]).all()
    for part, (rows, columns) in enumerate([(6, 5), (8, 3)]):
        top, left = found[:, part, 0], found[:, part, 1]
        assert set(top) == set(range(rows))
        assert set(left) == set(range(columns))


def test_random_boxes_of_the_object_are_around_its_pixels():
    masks = np.zeros((300, 12, 12), bool)
    masks[:, 3:6, 7:9] = True
    boxes = np.tile([[[0, 0, 3, 3]]], (300, 1, 1))
    found = studies.random_boxes(jax.random.key(0), boxes, size=(12, 12), masks=masks)
    middle = found[:, 0, :2] + 1
    assert {tuple(at) for at in middle.tolist()} == {(r, c) for r in (3, 4, 5) for c in (7, 8)}


def test_parts_turn_with_the_object():
    """A quarter turn of an arrow turns the places of its parts."""
    mask = np.zeros((20, 20), bool)
    mask[9:11, 3:12] = True  # the shaft
    for column in range(12, 17):  # the head
        mask[10 - (17 - column) : 10 + (17 - column), column] = True
    parts = studies.object_parts(mask[None], side=4)
    turned = studies.object_parts(np.rot90(mask)[None], side=4)
    assert parts["tip"].tolist() == [[8, 2, 12, 6]]  # the far end of the shaft
    for name in ("middle", "tip"):
        (top, left, bottom, right) = parts[name][0]
        expected = np.array([20 - right, top, 20 - left, bottom])
        assert np.abs(turned[name][0] - expected).max() <= 1
    assert mask[tuple(parts["middle"][0][:2] + 1)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: studies.correspondence(MODEL, IMAGES[:1], BOXES[:1], layers=["relu"]),
            "two images",
        ),
        (
            lambda: studies.correspondence(MODEL, IMAGES, BOXES[:4], layers=["relu"]),
            r"\(5, parts, 4\)",
        ),
        (
            lambda: studies.correspondence(MODEL, IMAGES, BOXES + [0, 0, 9, 0], layers=["relu"]),
            "must lie in the image of 8 x 6 pixels",
        ),
        (lambda: studies.object_parts(np.zeros((1, 4, 4), bool), side=2), "number 0 has 0 of 16"),
        (lambda: studies.object_parts(np.eye(4, dtype=bool)[None], side=5), "from 1 to 4 pixels"),
    ],
)
def test_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
