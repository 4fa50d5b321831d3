"""The strongest activations against a sort of all of them, and their projections."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv
import ports
from jaxviz.studies import Strongest, at_once, none_seen, seen, strongest, unit_projections
from jaxviz.transform import receptive_fields


class Batch(NamedTuple):
    index: np.ndarray
    input: jnp.ndarray


def two_layers(x):
    fine = jv.tap(x, "fine")
    coarse = jv.tap(fine[:, ::2, ::2].sum(-1, keepdims=True), "coarse")
    return coarse.mean((1, 2))


def batched(x, size, index=None):
    """Batches of one size, the last one filled up with zeros, as `jaxviz.data.batches` does."""
    index = np.arange(len(x)) if index is None else np.asarray(index)
    for start in range(0, len(index), size):
        which = index[start : start + size]
        places = np.full(size, -1)
        places[: len(which)] = which
        values = np.zeros((size, *x.shape[1:]), np.float32)
        values[: len(which)] = x[which]
        yield Batch(places, jnp.asarray(values))


def sorted_by_hand(values, count, index):
    """All activations sorted: the strongest of each image first, of equals the lower image."""
    _, h, w, c = values.shape
    parts = np.full((3, c, count), -1)
    best = np.full((c, count), -np.inf)
    for channel in range(c):
        peaks = []
        for image in index:
            flat = values[image, :, :, channel].ravel()
            place = min(range(h * w), key=lambda i, flat=flat: (-flat[i], i))
            peaks.append((-flat[place], image, place))
        for k, (value, image, place) in enumerate(sorted(peaks)[:count]):
            best[channel, k] = -value
            parts[:, channel, k] = image, place // w, place % w
    return Strongest(best, *parts)


def layers_by_hand(x):
    return {"fine": x, "coarse": x[:, ::2, ::2].sum(-1, keepdims=True)}


def assert_same(found, expected):
    for name, best in expected.items():
        for part, values in best._asdict().items():
            np.testing.assert_array_equal(getattr(found[name], part), values, f"{name} {part}")


@pytest.mark.parametrize("size", [1, 4, 7, 40])
@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_it_is_a_sort_of_all(size, levels):
    """Few levels make many ties, within images and between them; negative ones come too."""
    x = np.random.default_rng(levels).integers(-3, levels, (23, 5, 4, 6)).astype(np.float32)
    found = strongest(two_layers, batched(x, size), ["fine", "coarse"])
    expected = {
        name: sorted_by_hand(values, 9, range(23)) for name, values in layers_by_hand(x).items()
    }
    assert_same(found, expected)


def test_images_may_be_fewer_than_places_and_some_may_be_left_out():
    x = np.random.default_rng(0).normal(size=(9, 4, 4, 2)).astype(np.float32)
    index = [1, 2, 5, 8]
    found = strongest(two_layers, batched(x, 3, index), ["fine"], count=6)
    assert_same(found, {"fine": sorted_by_hand(x, 6, index)})
    assert (found["fine"].image[:, 4:] == -1).all()
    assert np.isneginf(found["fine"].value[:, 4:]).all()


def test_the_steps_may_be_taken_up_again():
    x = np.random.default_rng(0).integers(0, 3, (20, 4, 4, 2)).astype(np.float32)
    model = jax.tree_util.Partial(two_layers)
    batches = list(batched(x, 3))
    state = none_seen(model, batches[0].input, ["fine"], count=4)
    for batch in batches[:3]:
        state = seen(state, model, batch.input, batch.index)
    state = {name: Strongest(*map(np.asarray, best)) for name, best in state.items()}
    for batch in batches[3:]:
        state = seen(state, model, batch.input, batch.index)
    assert_same(state, strongest(two_layers, batches, ["fine"], count=4))


def test_one_program_for_all_batches_and_models(compilations):
    nets = [ports.load("shapes-plain", key=jax.random.key(seed)) for seed in (0, 1)]
    x = jax.random.normal(jax.random.key(2), (4, 64, 64, 3))
    state = none_seen(nets[0], x, ["layer2", "layer5"])
    shapes = jax.tree.map(jnp.shape, state)
    state = seen(state, nets[0], x, np.arange(4))
    with compilations() as compiled:
        for first in (4, 8):
            state = seen(state, nets[1], x, np.arange(first, first + 4))
        assert jax.tree.map(jnp.shape, state) == shapes
        jax.block_until_ready(state)
    assert not compiled


def test_a_value_that_is_no_number_is_not_lost():
    x = np.zeros((3, 2, 2, 1), np.float32)
    x[1, 0, 0, 0] = np.nan
    found = strongest(two_layers, batched(x, 3), ["fine"], count=2)["fine"]
    assert np.isposinf(found.value[0, 0])
    assert found.image[0, 0] == 1


@pytest.mark.parametrize(
    ("layers", "options", "words"),
    [
        (["fien"], {}, "unknown layer 'fien'; nearest: fine"),
        (["mean"], {}, r"need layers of shape \(n, h, w, c\); 'mean' has \(2, 1\)"),
        (["fine"], {"count": 0}, "a count of at least 1, got 0"),
    ],
)
def test_what_cannot_be_asked_is_said(layers, options, words):
    model = lambda x: jv.tap(two_layers(x), "mean")
    with pytest.raises(ValueError, match=words):
        strongest(model, batched(np.zeros((2, 4, 4, 2)), 2), layers, **options)
    with pytest.raises(ValueError, match="at least one batch"):
        strongest(model, [], ["fine"])


@pytest.fixture(scope="module")
def trained():
    """A trained net, some images as it takes them, and their strongest activations."""
    model, card = ports.load("shapes-plain", weights="shapes"), ports.card("shapes-plain")
    x = np.asarray(card.normalize(jv.data.shapes(jax.random.key(5), 24).image))
    layers = [f"layer{number}" for number in range(1, 6)]
    return model, x, strongest(model, batched(x, 8), layers, count=3)


def test_a_projection_lies_inside_the_receptive_field(trained):
    """Exactly: not a pixel outside is anything but zero, and the border of the box is reached."""
    model, x, found = trained
    fields = receptive_fields(model, x, list(found))
    for layer, best in found.items():
        # Two activations of some channels, and the units in the corners of a map.
        channel = np.repeat(np.flatnonzero(best.value[:, 0] > 0)[:6], 2)
        rank = np.tile([0, 2], len(channel) // 2)
        image, row, col = (part[channel, rank] for part in best[1:])
        projections = np.asarray(
            unit_projections(model, x[image], layer, channel=channel, row=row, col=col)
        )
        for i, projection in enumerate(projections):
            top, bottom, left, right = fields[layer].of(row[i], col[i])
            assert projection[top:bottom, left:right].any()
            outside = projection.copy()
            outside[top:bottom, left:right] = 0
            assert not outside.any(), (layer, channel[i])


def test_a_projection_is_the_deconvnet_of_the_activation_with_its_value(trained):
    model, x, found = trained
    best = found["layer3"]
    channel = np.flatnonzero(best.value[:, 0] > 0)[:4]
    image, row, col = (part[channel, 0] for part in best[1:])
    projections = unit_projections(model, x[image], "layer3", channel=channel, row=row, col=col)
    activation = best.value[channel, 0]
    unit = jv.deconvnet(model, x[image], jv.objectives.strongest("layer3", channel))
    # The deconvnet is linear in its seed: rounding in float32.
    np.testing.assert_allclose(
        projections, activation[:, None, None, None] * np.asarray(unit), rtol=1e-4, atol=1e-6
    )


def test_all_units_of_a_layer_share_a_program(trained, compilations):
    model, x, _ = trained
    ask = {"row": np.array([0, 3]), "col": np.array([7, 1])}
    unit_projections(model, x[:2], "layer4", channel=np.array([0, 9]), **ask)
    with compilations() as compiled:
        jax.block_until_ready(
            unit_projections(model, x[2:4], "layer4", channel=np.array([5, 63]), **ask)
        )
    assert not compiled


def test_a_batch_holds_what_the_memory_does():
    f = lambda model, x: model(x)
    example = jax.ShapeDtypeStruct((1, 1000), jnp.float32)
    assert at_once(f, jnp.sin, example, memory=1) == 1
    assert at_once(f, jnp.sin, example, memory=16_000) == 2
