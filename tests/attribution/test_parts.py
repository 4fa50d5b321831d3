"""Covering boxes and masks against a loop of forward passes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv

BOXES = np.array([[0, 0, 5, 4], [3, 2, 4, 3], [11, 9, 16, 16], [0, 7, 16, 9], [6, 6, 11, 12]])


def by_hand(model, x, masks, fill, k):
    covered = np.where(masks[..., None], fill, np.asarray(x)[:, None])
    outputs = np.stack([np.asarray(model(jnp.asarray(one))) for one in covered])
    return outputs[..., k], outputs.argmax(-1)


def masks_of(boxes):
    row, column = np.mgrid[:16, :16]
    top, left, bottom, right = (side[..., None, None] for side in np.moveaxis(boxes, -1, 0))
    return (row >= top) & (row < bottom) & (column >= left) & (column < right)


@pytest.mark.parametrize("engine", ["dense", "incremental", "auto"])
def test_boxes_are_forward_passes(engine, small, images):
    model, x = small(), images(2)
    fill = np.array([0.5, -1.0, 2.0], np.float32)
    found = jv.occlude_boxes(model, x, 2, BOXES, fill=fill, engine=engine)
    score, label = by_hand(model, x, masks_of(BOXES)[None], fill, 2)
    assert np.allclose(found.score, score, atol=1e-6)
    assert np.allclose(found.drop, model(x)[:, 2, None] - score, atol=1e-6)
    assert np.array_equal(found.label, label)


def test_each_image_has_boxes_of_its_own(small, images):
    model, x = small(), images(3)
    boxes = np.stack([BOXES[:2], BOXES[2:4], BOXES[3:]])
    found = jv.occlude_boxes(model, x, {"a": 0, "b": jnp.array([1, 2, 3])}, boxes)
    for i in range(3):
        for name, k in [("a", 0), ("b", i + 1)]:
            alone = jv.occlude_boxes(model, x[i : i + 1], k, boxes[i])
            assert jnp.allclose(found.drop[name][i], alone.drop[0], atol=1e-6)


def test_other_boxes_run_the_same_program(small, images):
    traced = []
    network, x = small(), images(1)

    def model(x):
        traced.append(x.shape)
        return network(x)

    jv.occlude_boxes(model, x, 0, BOXES)
    before = len(traced)
    jv.occlude_boxes(model, x, 0, np.roll(BOXES, 2, 0))
    assert len(traced) == before > 0


def test_masks_are_forward_passes(small, images):
    model, x = small(), images(2)
    masks = jax.random.bernoulli(jax.random.key(3), 0.3, (4, 16, 16))
    fill = images(4)[2:]
    found = jv.occlude_masks(model, x, 1, masks, fill=fill)
    score, label = by_hand(model, x, np.asarray(masks)[None], np.asarray(fill)[:, None], 1)
    assert np.allclose(found.score, score, atol=1e-6)
    assert np.array_equal(found.label, label)
    own = jv.occlude_masks(model, x, 1, jnp.stack([masks, ~masks]), fill=fill)
    assert jnp.allclose(own.score[0], found.score[0], atol=1e-6)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 4, 17]], r"box \[0, 0, 4, 17\] .* must lie in the image of 16 x 16 pixels"),
        ([[0, 0, 4, 4], [3, 5, 3, 8]], r"box \[3, 5, 3, 8\] .* hold at least one"),
        ([[-1, 0, 4, 4]], r"box \[-1, 0, 4, 4\]"),
        ([0, 0, 4, 4], r"boxes must be ints of shape \(parts, 4\), or \(2, parts, 4\)"),
        (np.zeros((0, 4), int), "boxes must be ints of shape"),
        (np.array([[0.0, 0.0, 4.0, 4.0]]), r"got float64 \(1, 1, 4\)"),
        (np.ones((3, 1, 4), int), r"got int64 \(3, 1, 4\)"),
    ],
)
def test_boxes_that_do_not_fit(boxes, message, small, images):
    with pytest.raises(ValueError, match=message):
        jv.occlude_boxes(small(), images(2), 0, boxes)


def test_boxes_must_be_known(small, images):
    model, x = small(), images(1)
    with pytest.raises(ValueError, match="boxes must be known while tracing"):
        jax.jit(lambda boxes: jv.occlude_boxes(model, x, 0, boxes).drop)(BOXES)


@pytest.mark.parametrize(
    "masks", [jnp.ones((2, 16, 16)), jnp.ones((2, 15, 16), bool), jnp.ones((0, 16, 16), bool)]
)
def test_masks_that_do_not_fit(masks, small, images):
    with pytest.raises(ValueError, match=r"masks must be boolean of shape \(parts, 16, 16\)"):
        jv.occlude_masks(small(), images(1), 0, masks)
