"""The store as others open it, and that it holds what the methods give."""

import jax
import numpy as np
import pytest
import xarray
import zarr

import jaxviz as jv
import ports
from jaxviz.sweep import store, strings

NET = "shapes-plain"


@pytest.fixture(scope="module")
def net():
    return ports.load(NET, weights="shapes"), ports.card(NET)


@pytest.fixture(scope="module")
def images():
    return jv.data.shapes_images(7, seed=5)


@pytest.fixture(scope="module")
def stores(net, images, tmp_path_factory):
    """A store of each kind of method, with all that can be asked for."""
    model, card = net
    folder = tmp_path_factory.mktemp("stores")
    asked = {
        "occlusion": {"window": 16, "stride": 16, "fill": "mean", "target": "label"},
        "guided": {"curves": 8, "randomized": jv.randomized(jax.random.key(0), model)},
        "grad-cam": {"layer": "layer5", "target": 4},
    }
    return {
        method: jv.sweep(
            images,
            model,
            method,
            out=folder / f"{method}.zarr",
            prepare=card.preprocess,
            masks=images.masks,
            batch=3,
            **options,
        )
        for method, options in asked.items()
    }


@pytest.fixture(scope="module")
def x(net, images):
    return np.concatenate([net[1].preprocess(images[i][0]) for i in range(len(images))])


def test_occlusion_is_that_of_the_method(stores, net, images, x):
    kept = xarray.open_zarr(stores["occlusion"].place)
    assert kept.image.values.tolist() == list(images.names)
    assert kept.label.values.tolist() == kept.target.values.tolist() == images.labels.tolist()
    expected = jv.occlusion(
        net[0],
        x,
        jv.objectives.probability(images.labels),
        window=(16, 16),
        stride=(16, 16),
        fill=x.mean((1, 2), keepdims=True),
    )
    # The sweep takes positions and images in other batches, which may round differently.
    np.testing.assert_allclose(kept["drop"], expected.drop, atol=2e-5)
    np.testing.assert_allclose(kept.score, expected.score, atol=2e-5)
    assert (kept.likeliest.values == np.asarray(expected.label)).mean() > 0.98
    np.testing.assert_allclose(kept.mean_map, expected.to_pixels().mean(0), atol=2e-5)
    logits = np.asarray(net[0](x))
    assert kept.prediction.values.tolist() == logits.argmax(-1).tolist()
    np.testing.assert_allclose(kept.probabilities, jax.nn.softmax(logits), atol=1e-5)


def test_guided_backprop_with_all_scores(stores, net, images, x):
    kept = xarray.open_zarr(stores["guided"].place)
    model, top = net[0], np.asarray(net[0](x)).argmax(-1)
    maps = np.asarray(jv.guided_backprop(model, x, top))
    scale = np.abs(maps).max()
    np.testing.assert_allclose(kept["map"], maps, atol=1e-4 * scale)
    # What is made of a map is compared for the map that was stored.
    heat = np.abs(kept["map"].values).max(-1)
    np.testing.assert_allclose(kept.mean_map, heat.astype(float).mean(0), rtol=1e-5)
    peak = heat.reshape(7, -1).argmax(-1)
    assert kept.peak.values.tolist() == np.stack(np.unravel_index(peak, (64, 64)), -1).tolist()
    hits = images.masks(range(7)).reshape(7, -1)[np.arange(7), peak]
    assert kept.in_object.values.tolist() == hits.astype(int).tolist()
    curves = jv.removal_curves(
        model,
        x,
        heat,
        jv.objectives.probability(top),
        steps=8,
        start=jv.gaussian_blur(x, 5 / 224 * 64),
    )
    np.testing.assert_allclose(kept.deletion, curves.deletion, atol=1e-4)
    np.testing.assert_allclose(kept.insertion, curves.insertion, atol=1e-4)
    np.testing.assert_allclose(kept.deletion_area, curves.areas()[0], atol=1e-4)
    assert kept.share.values.tolist() == [i / 8 for i in range(9)]
    shuffled = jv.guided_backprop(jv.randomized(jax.random.key(0), model), x, top)
    alike = jv.rank_correlation(heat, np.abs(shuffled).max(-1))
    np.testing.assert_allclose(kept.likeness_randomized, alike, atol=1e-3)


def test_grad_cam_of_a_class(stores, net, x):
    kept = xarray.open_zarr(stores["grad-cam"].place)
    expected = np.asarray(jv.grad_cam(net[0], x, 4, layer="layer5"))
    np.testing.assert_allclose(kept["map"], expected, atol=1e-4 * expected.max())
    assert (kept.target.values == 4).all()


def test_zarr_reads_a_map_alone(stores):
    group = zarr.open_group(stores["guided"].place, mode="r")
    assert group["map"].shards == (3, 64, 64, 3)
    assert group["map"].chunks == (1, 64, 64, 3)
    assert group["map"].metadata.dimension_names == ("image", "y", "x", "channel")
    parameters = group.attrs["jaxviz_sweep"]["parameters"]
    assert parameters["method"] == "guided"
    assert len(parameters["weights_hash"]) == 16
    assert group.attrs["jaxviz_sweep"]["versions"]["jax"] == jax.__version__
    assert group["status"][:].tolist() == [store.DONE] * 7
    assert group["status"].attrs["flag_meanings"].split()[store.DONE] == "done"


def test_status_says_what_the_sweep_said(stores):
    for found in stores.values():
        again = jv.sweep_status(found.place)
        assert (
            again.counts
            == found.counts
            == {
                "pending": 0,
                "done": 7,
                "unreadable": 0,
                "not_finite": 0,
            }
        )
        np.testing.assert_array_equal(again.mean_map, found.mean_map)
        assert again.scores.keys() == found.scores.keys()
    assert set(stores["guided"].curves) == {"deletion", "insertion"}


def test_strings_are_what_zarr_writes(tmp_path):
    words = ["a", "", "naïve", "图像 7.png"]
    array = zarr.create_array(tmp_path / "a", shape=(4,), chunks=(4,), dtype=str, compressors=None)
    array[:] = words
    assert (tmp_path / "a" / "c" / "0").read_bytes() == strings.encoded(words)
    assert strings.decoded(strings.encoded(words)) == words


def test_a_name_that_is_no_text():
    assert strings.decoded(strings.encoded(["a\udcff.png"])) == ["a\\udcff.png"]


def test_a_store_that_was_cut_off_while_it_was_made(tmp_path):
    images = jv.data.shapes_images(3, size=8)
    options = {"out": tmp_path / "maps", "prepare": np.asarray}
    model = jax.tree_util.Partial(lambda w, x: x.mean((1, 2)) @ w, np.eye(3, dtype=np.float32))
    jv.sweep(images, model, "saliency", **options)
    group = tmp_path / "maps" / "zarr.json"
    group.write_text(group.read_text().replace('"state": "made"', '"state": "being made"'))
    with pytest.raises(FileNotFoundError, match="no store of a sweep"):
        jv.sweep_status(tmp_path / "maps")
    assert jv.sweep(images, model, "saliency", **options).counts["done"] == 3


def test_file_addresses_are_paths(tmp_path):
    images = jv.data.shapes_images(3, size=8)
    model = lambda x: x.mean((1, 2))
    jv.sweep(images, model, "saliency", out=f"file://{tmp_path}/maps", prepare=np.asarray)
    assert jv.sweep_status(tmp_path / "maps").counts["done"] == 3
