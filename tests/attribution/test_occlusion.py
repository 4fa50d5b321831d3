"""Occlusion against a loop over positions, and its conservation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv


def by_hand(model, x, k, window, stride, fill):
    """A loop over images and positions, one forward pass each."""
    n, h, w, _ = x.shape
    rows = [i * stride[0] for i in range(-(-(h - window[0]) // stride[0]) + 1)]
    columns = [i * stride[1] for i in range(-(-(w - window[1]) // stride[1]) + 1)]
    score, label = np.zeros((2, n, len(rows), len(columns)))
    for i in range(n):
        for a, r in enumerate(rows):
            for b, c in enumerate(columns):
                covered = np.array(x[i])
                patch = np.broadcast_to(fill, x.shape)[i]
                here = np.s_[r : r + window[0], c : c + window[1]]
                covered[here] = patch[here]
                output = np.asarray(model(covered[None])[0])
                score[i, a, b], label[i, a, b] = output[k[i]], output.argmax()
    return score, label


@pytest.mark.parametrize("memory", [None, 100_000])
@pytest.mark.parametrize(
    ("window", "stride", "fill"),
    [
        ((4, 4), (4, 4), 0.0),
        ((5, 3), (3, 4), 0.5),
        ((16, 2), (1, 7), np.array([1.0, -1.0, 0.0], np.float32)),
        ((1, 1), (9, 9), np.ones((16, 16, 3), np.float32)),
        ((3, 3), (6, 6), np.linspace(-1, 1, 2304, dtype=np.float32).reshape(3, 16, 16, 3)),
    ],
)
def test_every_position_is_a_forward_pass(window, stride, fill, memory, small, images):
    model, x, target = small(), images(3), [0, 3, 1]
    maps = jv.occlusion(
        model, x, jnp.array(target), window=window, stride=stride, fill=fill, memory=memory
    )
    score, label = by_hand(model, x, target, window, stride, fill)
    whole = model(x)[jnp.arange(3), jnp.array(target)]
    # Batches of another size are summed in another order.
    assert np.allclose(maps.score, score, atol=1e-6)
    assert np.allclose(maps.drop, whole[:, None, None] - score, atol=1e-6)
    assert np.array_equal(maps.label, label)


def test_occlusions_that_tile_the_image_add_up_for_a_linear_model():
    weights = jax.random.normal(jax.random.key(0), (12 * 12 * 3, 4))
    model = lambda x: x.reshape(len(x), -1) @ weights
    x = jax.random.normal(jax.random.key(1), (2, 12, 12, 3))
    maps = jv.occlusion(model, x, 1, window=(4, 3), stride=(4, 3))
    assert jnp.allclose(maps.drop.sum((1, 2)), model(x)[:, 1], rtol=1e-5)
    by_pixel = maps.to_pixels().reshape(2, 3, 4, 4, 3)
    assert jnp.array_equal(by_pixel[:, 1, 0, 2, 0], maps.drop[:, 1, 2])


def test_to_pixels_is_the_mean_over_the_windows(small, images):
    maps = jv.occlusion(small(), images(1), 1, window=(5, 6), stride=(4, 9))
    total, count = np.zeros((2, 16, 16))
    for a, b in np.ndindex(maps.drop.shape[1:]):
        here = np.s_[4 * a : 4 * a + 5, 9 * b : 9 * b + 6]
        total[here] += maps.drop[0, a, b]
        count[here] += 1
    assert np.allclose(maps.to_pixels()[0], total / np.maximum(count, 1), atol=1e-6)
    # Columns 6 to 8 lie between the windows.
    assert (maps.to_pixels()[:, :, 6:9] == 0).all()


def test_an_objective_on_a_layer(small, images):
    model, x = small(), images(2)
    maps = jv.occlusion(
        model, x, jv.objectives.strongest("relu2", [1, 4]), window=(16, 16), stride=(1, 1)
    )
    black = jv.capture(model, jnp.zeros_like(x), ["relu2"])[1]["relu2"].max((1, 2))
    assert maps.score.shape == (2, 1, 1)
    assert jnp.allclose(maps.score[:, 0, 0], jnp.array([black[0, 1], black[1, 4]]), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (17, 4)}, r"window \(17, 4\) must fit into the image, which has 16 x 16"),
        ({"window": (0, 4)}, r"window must be two positive ints \(rows, columns\), got \(0, 4\)"),
        ({"stride": (4, 0)}, r"stride must be two positive ints"),
        ({"stride": (4, 4, 4)}, "stride must be two positive ints"),
        ({"stride": 4}, "stride must be two positive ints"),
        ({"fill": jnp.zeros((3, 16, 3))}, r"fill must be .* \(16, 16, 3\); got \(3, 16, 3\)"),
        ({"engine": "warp"}, "unknown engine 'warp'; choose one of: auto, dense"),
        ({"memory": 1000}, r"memory must hold the activations of one image, .* bytes; got 1,000"),
    ],
)
def test_options_that_do_not_fit(options, message, small, images):
    with pytest.raises(ValueError, match=message):
        jv.occlusion(small(), images(), 0, **{"window": (4, 4), "stride": (4, 4), **options})
