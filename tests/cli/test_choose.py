from pathlib import Path

import jax
import numpy as np
import pytest

import ports
from jaxviz.cli import choose
from jaxviz.cli.layers import layers_at
from jaxviz.cli.mistakes import Mistake, one_sentence, unknown


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, "float32")


def test_last_spatial_skips_single_positions_and_vectors():
    layers = {
        "a": shape(1, 9, 9, 3),
        "b": shape(1, 1, 7, 4),
        "c": shape(1, 1, 1, 4),
        "d": shape(1, 4),
    }
    assert choose.last_spatial(layers) == "b"
    assert choose.last_spatial({"a": shape(1, 9, 9, 3), "avgpool": shape(1, 7, 7, 3)}) == "a"
    assert choose.last_spatial({"pool1": shape(1, 7, 7, 3), "fc": shape(1, 3)}) == "pool1"
    with pytest.raises(Mistake, match="the model has none"):
        choose.last_spatial({"d": shape(1, 4)})


@pytest.mark.parametrize(
    ("model", "layer", "positions"),
    [
        ("alexnet", "features.11", 13),
        ("zfnet", "features.13", 13),
        ("vgg16", "features.29", 14),
        ("vgg16_bn", "features.42", 14),
        ("resnet18", "layer4", 7),
        ("resnet50", "layer4", 7),
        ("densenet121", "relu", 7),
        ("googlenet", "inception5b", 7),
        ("shapes-plain", "layer5", 8),
        ("shapes-residual", "layer5", 8),
        ("shapes-dense", "layer5", 8),
    ],
)
def test_last_spatial_of_the_ports(model, layer, positions):
    side = 64 if model.startswith("shapes-") else 224
    layers = layers_at(model, side)
    assert choose.last_spatial(layers) == layer
    assert layers[layer].shape[1:3] == (positions, positions)


@pytest.mark.parametrize("size", [8, 32, 64, 224, 299, 512])
def test_default_window_fits_any_input(size):
    window, stride = choose.default_window(size)
    assert 4 <= window <= size
    assert window % 4 == 0
    assert stride == window // 2


def test_a_name_of_two_classes_is_refused():
    with pytest.raises(Mistake, match="'crane' names classes 0 and 2; give one of the numbers"):
        choose.class_index("crane", categories=["Crane", "cock", "crane"], count=3)
    with pytest.raises(Mistake, match="from 0 to 2, not 3"):
        choose.class_index("3", categories=[], count=3)


def test_strongest_units_against_a_loop():
    values = np.random.default_rng(0).random((12, 3, 4, 5))
    units = choose.strongest_units(values, count=5)
    assert sorted(units.channel) == [0, 1, 2, 3, 4]
    assert len(set(units.image)) == 5, "every unit has an image of its own"
    free = set(range(12))
    for channel, image, value in zip(*units, strict=True):
        best = max(free, key=lambda n: values[n, :, :, channel].max())
        assert image == best
        assert value == values[image, :, :, channel].max()
        free.remove(best)


def test_strongest_units_reuse_images_where_there_are_too_few():
    units = choose.strongest_units(np.random.default_rng(0).random((2, 3, 3, 5)), count=4)
    assert len(units.image) == 4
    assert set(units.image) == {0, 1}


def test_support_covers_the_signal_with_one_side_inside_the_image():
    rng = np.random.default_rng(0)
    signal = np.zeros((20, 24, 30, 3))
    for image in signal:
        y, x = rng.integers(0, 20), rng.integers(0, 20)
        image[y : y + rng.integers(1, 12), x : x + rng.integers(1, 12)] = 1
    signal[7] = 0
    places = choose.support(signal, least=4)
    sides = {s.stop - s.start for place in places for s in place}
    assert len(sides) == 1
    for image, (rows, columns) in zip(signal, places, strict=True):
        assert 0 <= rows.start < rows.stop <= 24
        assert 0 <= columns.start < columns.stop <= 30
        assert image[rows, columns].sum() == image.sum()


def test_unknown_prefers_near_names_and_keeps_their_case():
    message = str(unknown("class", "golden retriver", ["Golden Retriever", "tench"], lists="all"))
    assert message == "unknown class 'golden retriver'; nearest: Golden Retriever; all"
    assert str(unknown("class", "zzz", ["tench"], lists="all")) == "unknown class 'zzz'; all"
    assert "tiger shark" in str(unknown("class", "shark", ["tiger shark", "hen"], lists="all"))


@pytest.mark.parametrize(
    "line", ["np.ones(2) + np.ones(3)", "int('x')", "list(zip([1], [], strict=True))"]
)
def test_an_error_of_c_under_a_frame_of_ours_is_a_bug(line):
    ours = {"__name__": "jaxviz.cli.pictures", "np": np}
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        exec(line, ours)
    assert one_sentence(raised.value) is None
    with pytest.raises(ValueError, match="too small") as raised:
        exec("raise ValueError(\n  'too small'\n)", ours)
    assert one_sentence(raised.value) == "too small"
    with pytest.raises(ValueError, match="too small") as raised:
        exec("raise ValueError('too small')", ours | {"__name__": "numpy"})
    assert one_sentence(raised.value) is None


def test_errors_of_the_library_and_of_files_are_sentences():
    with pytest.raises(ValueError, match="nearest: vgg1") as raised:
        ports.card("vgg61")
    assert one_sentence(raised.value) == str(raised.value)
    with pytest.raises(FileNotFoundError) as missing:
        Path("/no/such/file").read_text()
    assert one_sentence(missing.value) == "/no/such/file: No such file or directory"
    with pytest.raises(KeyError) as bug:
        {}["x"]
    assert one_sentence(bug.value) is None
