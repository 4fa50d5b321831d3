"""The occlusion figure's parts by brute force; its panels are tested with the attributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv
from jaxviz import studies

RNG = np.random.default_rng(0)
KERNEL = jnp.asarray(RNG.normal(size=(3, 3, 3, 4)), jnp.float32)
IMAGES = RNG.normal(size=(6, 10, 8, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 0, 1])
SQUARE = {"window": (4, 3), "stride": (3, 2)}


def net(kernel, x):
    x = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jv.tap(jax.nn.relu(x), "relu").mean((1, 2))


MODEL = jax.tree_util.Partial(net, KERNEL)


def maps(x):
    return np.asarray(jv.capture(MODEL, x, ["relu"])[1]["relu"], float)


@pytest.mark.parametrize("memory", [None, 40_000])
def test_the_figure_by_hand(memory):
    shown = [4, 1, 2]
    options = {"shown": shown, "layer": "relu", "memory": memory, **SQUARE}
    figure = studies.occluded_figure(MODEL, IMAGES, LABELS, others=2, **options)
    totals = maps(IMAGES).sum((1, 2))
    for n, i in enumerate(shown):
        channel = totals[i].argmax()
        assert figure.panels.channel[n] == channel
        assert figure.total[n] == pytest.approx(totals[i, channel], rel=1e-5)
        others = sorted(set(range(6)) - {i}, key=lambda j: -totals[j, channel])[:2]
        assert figure.others[n].tolist() == others
        target = jv.objectives.feature_map("relu", int(channel))
        for projection, j in zip(figure.projections[n], others, strict=True):
            expected = jv.deconvnet(MODEL, IMAGES[j][None], target)[0]
            np.testing.assert_allclose(projection, expected, rtol=1e-4, atol=1e-5)
        # Each position covered by itself, and the energy under the square summed by itself.
        loss, energy = [], []
        projected = np.asarray(jv.deconvnet(MODEL, IMAGES[i][None], target)[0], float)
        for top in (0, 3, 6):
            for left in (0, 2, 4, 6):
                covered = IMAGES[i].copy()
                covered[top : top + 4, left : left + 3] = 0
                loss.append(totals[i, channel] - maps(covered[None])[0, ..., channel].sum())
                under = projected[top : top + 4, left : left + 3]
                energy.append((under**2).sum() / (under.shape[0] * under.shape[1]))
        assert figure.agreement[n] == pytest.approx(np.corrcoef(loss, energy)[0, 1], abs=1e-4)


@pytest.mark.parametrize("size", [(10, 8), (9, 9), (4, 7)])
def test_means_under_the_square_are_where_occlusion_puts_it(size):
    given = RNG.uniform(size=(2, *size))
    found = studies.window_means(given, **SQUARE)
    # A model that sums: what covering with 0 takes away is the sum under the square.
    drop = jv.occlusion(lambda x: x.sum((1, 2)), given[..., None], 0, **SQUARE).drop
    count = jv.occlusion(lambda x: x.sum((1, 2)), np.ones((1, *size, 1)), 0, **SQUARE).drop
    assert found.shape == drop.shape
    np.testing.assert_allclose(found, drop / count, rtol=1e-4)


def test_a_map_that_is_flat_agrees_with_nothing():
    x = np.ones((3, 8, 8, 1), np.float32)
    model = lambda x: jv.tap(jax.nn.relu(0 * x), "relu").mean((1, 2))
    options = {"window": (4, 4), "stride": (2, 2)}
    figure = studies.occluded_figure(
        model, x, [0] * 3, shown=[0], layer="relu", **(options | {"others": 2})
    )
    assert figure.agreement.tolist() == [0]


def test_there_must_be_others():
    with pytest.raises(ValueError, match="others must be from 1 to 5 with 6 images, got 6"):
        studies.occluded_figure(MODEL, IMAGES, LABELS, shown=[0], layer="relu", others=6, **SQUARE)
