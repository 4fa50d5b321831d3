"""The study of strongest activations as a command: its files, its numbers, and going on."""

import csv
import json
import re
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

import jaxviz as jv
import ports
from jaxviz import studies
from jaxviz.cli import inputs, main, strongest_pass, unit_tiles
from jaxviz.transform import receptive_fields

LAYERS = ["layer1", "layer4"]
OPTIONS = ["--data", "shapes:30", "--layers", *LAYERS, "--channels", 0, 7, 15, "--seed", 3]


def run(*args):
    return main(["study", "strongest", *map(str, args)])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def table(folder):
    with (folder / "strongest.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    out = tmp_path_factory.mktemp("strongest") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strongest_pass, "MOST_AT_ONCE", 8)
        assert run(*OPTIONS, "--out", out) == 0
    return out


@pytest.fixture(scope="module")
def seen():
    """What the net sees of the same images: their layers' values."""
    port = inputs.load_port("shapes-plain", None)
    images = jv.data.shapes_images(30, seed=3)
    x = port.card.preprocess([images[i][0] for i in range(30)])
    return port, images, x, jv.capture(port.model, x, LAYERS)[1]


def test_page_pictures_and_tables(studied):
    pictures = {"layers.png", "layer-layer1.png", "layer-layer4.png"}
    assert contents(studied).keys() == pictures | {"index.html", "numbers.json", "strongest.csv"}
    page = (studied / "index.html").read_text()
    assert page.count("<img") == len(pictures) == page.count('alt="')
    assert not re.search("https?:", page)
    assert "Do the projections lie on the object?" in page
    for name in pictures:
        assert np.asarray(Image.open(studied / name)).std() > 10, f"{name} is flat"


def test_the_table_has_nine_of_every_channel_with_their_fields(studied, seen):
    port, images, x, values = seen
    rows = table(studied)
    assert len(rows) == 9 * (16 + 64)
    fields = receptive_fields(port.model, x, LAYERS)
    numbers = {name: i for i, name in enumerate(images.names)}
    for row in rows:
        layer, channel = np.asarray(values[row["layer"]]), int(row["channel"])
        image, place = numbers[row["image"]], (int(row["row"]), int(row["col"]))
        activation = float(row["activation"])
        # Of batches of another size, whose rounding may differ.
        assert layer[image, *place, channel] == pytest.approx(activation, rel=1e-4, abs=1e-5)
        peaks = np.sort(layer[..., channel].max((1, 2)))[::-1]
        assert activation == pytest.approx(peaks[int(row["rank"]) - 1], rel=1e-4, abs=1e-5)
        edges = tuple(int(row[edge]) for edge in ("top", "bottom", "left", "right"))
        assert edges == fields[row["layer"]].of(*place)


def test_the_energy_on_the_object_is_that_of_the_projections(studied, seen):
    port, images, x, _ = seen
    record = json.loads((studied / "numbers.json").read_text())["layers"]["layer4"]
    assert record["receptive_field"] == [62, 62]
    rows = [row for row in table(studied) if (row["layer"], row["channel"]) == ("layer4", "7")]
    which = [int(row["image"][-6:]) for row in rows]
    at = {part: np.array([int(row[part]) for row in rows]) for part in ("row", "col")}
    found = studies.unit_projections(port.model, x[which], "layer4", channel=7, **at)
    energy = (np.asarray(found, float) ** 2).sum(-1)
    masks = images.masks(which)
    told = record["channels"]["7"]
    inside = (energy * masks).sum((1, 2)) / energy.sum((1, 2))
    np.testing.assert_allclose(told["inside"], inside, rtol=1e-3)
    labels = [images.categories[images.labels[i]] for i in which]
    assert told["categories"] == labels
    own = record["on_object"]
    assert 0 < own["channels"] <= 3
    assert 0 < own["chance"]["mean"] < own["inside"]["mean"] < 1


class Killed(BaseException):
    """What nothing catches, as nothing catches SIGKILL."""


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Killed])
def test_a_stopped_run_goes_on_to_the_same_files(stop, studied, tmp_path, monkeypatch, capsys):
    """Ctrl-C saves what has been seen; before SIGKILL it must have been saved."""
    monkeypatch.setattr(strongest_pass, "MOST_AT_ONCE", 8)
    monkeypatch.setattr(strongest_pass, "SECONDS", -1 if stop is Killed else 1e9)
    step, calls = studies.seen, []

    def stopped(*args):
        calls.append(1)
        if len(calls) == 4:  # the first one is asked how much memory it needs
            raise stop
        return step(*args)

    monkeypatch.setattr(studies, "seen", stopped)
    if stop is Killed:
        with pytest.raises(Killed):
            run(*OPTIONS, "--out", tmp_path)
    else:
        assert run(*OPTIONS, "--out", tmp_path) == 130
        assert "stopped with 16 of 30 images seen" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pass"]
    assert run(*OPTIONS, "--out", tmp_path) == 0
    assert len(calls) == 4 + 3
    ours, theirs = contents(tmp_path), contents(studied)
    for name in theirs.keys() - {"index.html"}:  # its last line tells the time
        assert ours[name] == theirs[name], name


def test_other_channels_need_no_other_pass(studied, tmp_path, monkeypatch, capsys):
    shutil.copytree(studied, tmp_path / "out")
    monkeypatch.setattr(studies, "seen", None)
    options = [*OPTIONS[: OPTIONS.index("--channels")], "--seed", 3, "--out", tmp_path / "out"]
    assert run(*options, "--channels", "5") == 0
    record = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert list(record["layers"]["layer1"]["channels"]) == ["5"]
    capsys.readouterr()
    assert run(*options[:2], "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert re.search("holds a run with --data .*, --layers layer1 layer4 .now layer1 layer2", said)


def photographs(folder):
    """Eleven images in two classes, one of which breaks after the folder has been opened."""
    rng = np.random.default_rng(0)
    for i in range(11):
        file = folder / ("cat" if i < 6 else "dog") / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (70, 90, 3), np.uint8)).save(file)
    return folder


def test_an_image_that_cannot_be_used_is_left_out_and_told(tmp_path, monkeypatch, capsys):
    photographs(tmp_path / "photos")
    (tmp_path / "photos" / "cat" / "broken.png").write_text("no image")
    read = jv.data.ImageFolder.__getitem__

    def breaking(self, index):
        if self.paths[index].stem == "03":
            raise ValueError("it is gone.")
        return read(self, index)

    monkeypatch.setattr(jv.data.ImageFolder, "__getitem__", breaking)
    options = ["--data", tmp_path / "photos", "--layers", "layer2", "--channels", "3"]
    assert run(*options, "--out", tmp_path / "out") == 0
    assert "2 images left out" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert len(record["left_out"]) == 2
    assert re.search("broken.png", record["left_out"][0])
    assert re.search("cat.03.png: it is gone", record["left_out"][1])
    assert "on_object" not in record["layers"]["layer2"]
    assert not any("03.png" in row["image"] for row in table(tmp_path / "out"))
    for extra in ("cat/broken.png", "cat/03.png"):
        # Where a pass has left it out already, too.
        for out in ("strict", "out"):
            assert run(*options, "--strict", "--out", tmp_path / out) == 2
            said = capsys.readouterr().err
            assert extra.rpartition("/")[2] in said
            assert said.count("\n") == 1
        (tmp_path / "photos" / extra).unlink()


def test_a_set_of_which_nothing_can_be_used_is_refused(tmp_path, monkeypatch, capsys):
    def breaking(self, index):
        raise OSError("the disk is gone.")

    photographs(tmp_path / "photos")
    monkeypatch.setattr(jv.data.ImageFolder, "__getitem__", breaking)
    assert run("--data", tmp_path / "photos", "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert re.search("no image can be used; the first is .*00.png: the disk is gone.", said)
    assert not (tmp_path / "out").exists()


def test_a_network_that_is_not_finite_is_named(tmp_path, capsys):
    model = jax.tree.map(lambda leaf: 1e30 * leaf, ports.load("shapes-plain", weights="shapes"))
    ports.save(model, tmp_path / "large.safetensors")
    options = ["--weights", tmp_path / "large.safetensors", "--data", "shapes:3"]
    assert run(*options, "--layers", "layer4", "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert re.search("layer4 of shapes-plain comes to values that are not finite", said)
    assert not (tmp_path / "out").exists()


def test_a_field_at_the_border_is_shown_within_the_image():
    assert unit_tiles._window(0, 5, 64) == slice(0, 5)
    assert unit_tiles._window(61, 5, 64) == slice(59, 64)
    assert unit_tiles._window(7, 64, 64) == slice(0, 64)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "vgg16"], "--data SET is needed for a network of photographs"),
        (["--model", "vgg61"], "unknown model 'vgg61'; nearest: vgg1"),
        (["--layers", "layer9"], "unknown layer 'layer9'; nearest: layer"),
        (["--layers", "fc"], r"--layers must have places; 'fc' has the shape \(1, 10\)"),
        (["--channels", "16"], "--channels of layer1 must be from 0 to 15, not 16"),
        (["--channels", "all", "x"], "--channels of layer1 must be from 0 to 15, not all"),
        (["--data", "nowhere"], "There is no folder of images nowhere"),
        (["--data", "shapes:0"], "needs a number after it"),
        (["--seed", "-1"], "--seed must be from 0"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(options, words, tmp_path, capsys):
    assert run(*options, "--out", tmp_path / "out") == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert re.search(words, said.err)
    assert list(tmp_path.iterdir()) == []


def test_help_has_one_example(capsys):
    for name in ("strongest", "evolution"):
        assert main(["study", name, "--help"]) == 0
        assert capsys.readouterr().out.count(f"Example: jaxviz study {name}") == 1
