"""The reconstruction study as a command: its page, its pictures, its numbers."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

import ports
from jaxviz.cli import main, study_reconstruction


def run(*args):
    return main(["study", "reconstruction", *map(str, args)])


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_reconstruction, "DRAWN", 2)
        assert run("--out", folder / "out") == 0
    return folder / "out"


def test_page_pictures_and_tables(studied):
    ends = [
        "image",
        "weights-1-circle",
        "adds-1-circle",
        "weights-2-ring",
        "adds-2-ring",
        "difference",
    ]
    stems = ["01-circle-1", "02-circle-2", "03-ring-1", "04-ring-2"]
    pictures = [f"{stem}-{end}.png" for stem in stems for end in ends]
    assert sorted(path.name for path in studied.iterdir()) == sorted(
        [*pictures, "octaves.png", "sheet.png", "index.html", "numbers.json", "logits.csv"]
        + ["gates.csv"]
    )
    page = (studied / "index.html").read_text()
    assert page.count("<img") == len(pictures) + 1 == page.count('alt="')
    assert not re.search("https?:", page)
    for name in [*pictures, "octaves.png"]:
        assert np.asarray(Image.open(studied / name)).std() > 1, f"{name} is flat"


def test_the_weight_images_share_one_scale_centred_on_zero(studied):
    """Red and blue on near-white; nothing else has the colour of zero."""
    images = [np.asarray(Image.open(path), int) for path in studied.glob("*-weights-*.png")]
    assert len(images) == 8
    reddish = [(image[..., 0] > image[..., 2] + 60).mean() for image in images]
    bluish = [(image[..., 2] > image[..., 0] + 60).mean() for image in images]
    assert min(max(reddish), max(bluish)) > 0.01


def test_numbers_and_tables_are_the_networks(studied):
    record = json.loads((studied / "numbers.json").read_text())
    assert [one["name"] for one in record["classes"]] == ["circle", "ring"]
    assert record["largest_difference"] <= 1e-5
    with (studied / "logits.csv").open() as file:
        head, *rows = csv.reader(file)
    assert head == ["image", "circle, network", "circle, rebuilt", "ring, network", "ring, rebuilt"]
    for one, row in zip(record["images"], rows, strict=True):
        assert row[0] == one["image"]
        assert np.allclose(one["network"], one["rebuilt"], atol=1e-4)
        values = np.array(row[1:], float).reshape(2, 2).T
        assert np.allclose(values, [one["network"], one["rebuilt"]], rtol=1e-6)
        # The trained net knows the drawn shapes.
        assert (one["network"][0] > one["network"][1]) == (one["truth"] == "circle")
        assert 0 < one["across"]["margin"] < one["length"]
        assert one["across"]["layer"] in record["gates"]
        assert abs(sum(one["weight_octaves"][0]) + one["weight_constant"][0] - 1) < 1e-5
    with (studied / "gates.csv").open() as file:
        head, *rows = csv.reader(file)
    assert {row[0]: int(row[1]) for row in rows} == record["gates"]


def test_photographs_and_classes_by_name(tmp_path, capsys):
    x, y = np.meshgrid(np.linspace(0, 255, 80), np.linspace(0, 255, 60))
    Image.fromarray(np.stack([x, y, 255 - x], -1).astype(np.uint8)).save(tmp_path / "a.png")
    assert run(tmp_path / "a.png", "--classes", "Star", "2", "0", "--out", tmp_path / "b") == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("\n") == 1
    assert "about 1 images" not in said.out
    record = json.loads((tmp_path / "b" / "numbers.json").read_text())
    assert [one["class"] for one in record["classes"]] == [3, 2, 0]
    # Without classes the two most probable ones.
    assert run(tmp_path / "a.png", "--out", tmp_path / "c") == 0
    record = json.loads((tmp_path / "c" / "numbers.json").read_text())
    card, model = ports.card("shapes-plain"), ports.load("shapes-plain", weights="shapes")
    shown = np.asarray(Image.open(tmp_path / "a.png"), np.float32) / 255
    logits = np.asarray(model(card.preprocess(shown)))[0]
    assert [one["class"] for one in record["classes"]] == np.argsort(-logits)[:2].tolist()
    assert np.allclose(record["images"][0]["network"], np.sort(logits)[::-1][:2], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "vgg16"], "study reconstruction of vgg16 needs image files"),
        (["--model", "vgg61"], "unknown model 'vgg61'; nearest: vgg1"),
        (["--classes", "rign"], "unknown class 'rign'; nearest: ring"),
        (["--classes", "ring", "4"], "--classes must be different classes, not ring 4"),
        (["--seed", "-1"], "--seed must be from 0"),
        (["none.jpg"], r"no image file or folder .*none.jpg"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(options, words, tmp_path, capsys):
    assert run(*options, "--out", tmp_path / "out") == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert re.search(words, said.err)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_is_not_piecewise_linear(tmp_path, capsys):
    """ZFNet normalises responses: refused by name, and nothing is written."""
    Image.fromarray(np.zeros((224, 224, 3), np.uint8)).save(tmp_path / "a.png")
    options = ["--model", "zfnet", "--weights", "random"]
    assert run(tmp_path / "a.png", *options, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert re.search("piecewise-linear networks only, and this one computes '", said)
    assert not (tmp_path / "out").exists()
