"""`jaxviz study skips`, end to end on small nets; tests/parity has networks of photographs."""

import csv
import json
import re

import jax
import numpy as np
import pytest
from PIL import Image

import jaxviz as jv
import ports
from jaxviz import studies
from jaxviz.cli import inputs, main, skips_subjects
from jaxviz.cli.mistakes import Mistake

NETS = ("shapes-plain", "shapes-dense")


def run(*args):
    return main([str(arg) for arg in args])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    out = tmp_path_factory.mktemp("skips") / "out"
    options = ["--images", 30, "--cells", 2, 8, "--steps", 2, "--seed", 4, "--out", out]
    assert run("study", "skips", "--models", *NETS, *options) == 0
    return out


def rows(file):
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_page_pictures_tables_and_numbers(studied):
    page = (studied / "index.html").read_text()
    assert not re.search("https?:", page)
    assert page.count("<img") == page.count('alt="')
    pictures = [name for name in names(studied) if name.endswith(".png")]
    assert {"sheet-shuffled.png", "sheet-exciting.png", "sheet-projections.png"} <= set(pictures)
    assert [name for name in names(studied) if not name.endswith(".png")] == [
        "answers.csv",
        "index.html",
        "layers.csv",
        "numbers.json",
    ]
    for name in pictures:
        # Two steps of an ascent leave a picture pale, but not flat.
        assert np.asarray(Image.open(studied / name)).std() > 1, f"{name} is flat"


def test_each_claim_has_a_sentence_with_its_verdict(studied):
    page = (studied / "index.html").read_text()
    record = json.loads((studied / "numbers.json").read_text())
    claims = record["claims_by_threshold"]["0.2"]
    assert len(claims) == 3
    for claim in claims:
        sentence = f"{claim['claim']} {claim['verdict'].capitalize()}: "
        assert sentence in page
        held = list(claim["comparisons"].values()).count("holds")
        assert f"{sentence}{held} of {len(claim['comparisons'])} comparisons" in page


def test_answers_are_those_of_each_run(studied):
    table = rows(studied / "answers.csv")
    # Two nets of three runs; whole, and two sizes of cells and of patches.
    assert len(table) == 2 * 3 * 5
    drawn = jv.data.shapes(jax.random.key(3004), 30)
    x = ports.card("shapes-dense").normalize(drawn.image)
    model = ports.load("shapes-dense", weights="shapes-2")
    told = studies.answers_under(jax.random.key(4), model, x, drawn.label, sizes=[8])
    (row,) = [
        row
        for row in table
        if (row["network"], row["run"], row["shuffled"], row["pixels"])
        == ("shapes-dense", "2", "cells", "8")
    ]
    assert float(row["accuracy"]) == pytest.approx(told.right.mean(), abs=1e-6)
    assert float(row["probability"]) == pytest.approx(told.probability.mean(), abs=2e-6)


def test_estimates_are_means_over_the_runs(studied):
    record = json.loads((studied / "numbers.json").read_text())
    told = {
        row["run"]: float(row["accuracy"])
        for row in rows(studied / "answers.csv")
        if (row["network"], row["shuffled"], row["pixels"]) == ("shapes-plain", "cells", "2")
    }
    values = [told[number] for number in "012"]
    point = record["networks"]["shapes-plain"]["right_cells"][1]
    assert point["mean"] == pytest.approx(np.mean(values), abs=1e-6)
    assert point["spread"] == pytest.approx(np.std(values, ddof=1), abs=2e-6)


def test_layers_have_every_relu_at_every_threshold(studied):
    table = rows(studied / "layers.csv")
    plain = [row for row in table if row["network"] == "shapes-plain"]
    assert len({row["layer"] for row in plain}) == 9
    assert len({row["threshold"] for row in plain}) == 5
    assert len(plain) == 3 * 9 * 5
    for row in table:
        assert float(row["fraction"]) == pytest.approx(
            float(row["count"]) / int(row["channels"]), rel=1e-4
        )
    assert {row["layer"] for row in plain if row["stage"] == "1"} == {
        "layer1.relu",
        "layer2.relu_1",
        "layer3.relu_1",
        "layer5.relu_1",
    }


def test_it_ends_in_one_line(tmp_path, capsys):
    # As many images, sizes and steps as above, so that nothing is compiled again.
    drawn = jv.data.shapes(jax.random.key(0), 200)
    for label, name in enumerate(jv.data.SHAPE_NAMES):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for i in np.flatnonzero(drawn.label == label)[:3]:
            pixels = np.asarray(255 * drawn.image[i], np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    (tmp_path / "weights").mkdir()
    for i, name in enumerate(("shapes-plain", "shapes-plain-7", "shapes-dense")):
        model = ports.load(name.removesuffix("-7"), key=jax.random.key(i))
        ports.save(model, tmp_path / "weights" / f"{name}.safetensors")
    options = ["--models", *NETS, "--weights", tmp_path / "weights"]
    options += ["--data", tmp_path / "data", "--images", 30, "--cells", 2, 8, "--steps", 2]
    assert run("study", "skips", *options, "--out", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("\n") == 1
    assert f"3 runs of 2 networks to {tmp_path / 'out'}" in said.out
    record = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert record["networks"]["shapes-plain"]["weights"] == [
        "shapes-plain.safetensors",
        "shapes-plain-7.safetensors",
    ]
    assert "Of shapes-dense there is one run" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--models", "shapes-plain"], "--models must name a network with skip connections too"),
        (["--models", "resnet18"], "--models must name a network without skip connections too"),
        (["--models", "vgg16", "resnet50"], "--data FOLDER is needed for networks of photographs"),
        (["--models", "vgg61", "resnet50"], "unknown model 'vgg61'; nearest: vgg"),
        (["--cells", "4", "2"], "--cells must be sides of 2 pixels or more that rise, not 4 2"),
        (["--cells", "1", "2"], "--cells must be sides of 2 pixels or more"),
        (["--cells", "4", "64"], "--cells must be below 64, the input's side, not 64"),
        (["--threshold", "0"], "--threshold must be above 0 and at most 1, not 0"),
        (["--threshold", "nan"], "--threshold must be above 0 and at most 1, not nan"),
        (["--images", "0"], "--images must be at least 2, not 0"),
        (["--steps", "0"], "--steps must be at least 1, not 0"),
        (["--seed", "-1"], "--seed must be from 0"),
        (["--weights", "nowhere"], "--weights must be a folder .* and nowhere is none"),
        (["--weights", "{empty}"], "--weights .* holds no shapes-plain.safetensors"),
        (["--data", "nowhere"], "The folder of images nowhere does not exist"),
        (["--data", "{empty}"], "must hold a folder of images for each class, and holds none"),
        (
            ["--data", "{birds}"],
            "--data has a folder that is no class of shapes-plain: .*'sparrow'",
        ),
    ],
)
def test_an_option_that_cannot_be_used_is_named(options, words, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "birds" / "sparrow").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "birds" / "sparrow" / "a.png")
    places = {"empty": tmp_path / "empty", "birds": tmp_path / "birds"}
    options = [option.format(**places) for option in options]
    assert run("study", "skips", *options, "--out", tmp_path / "out") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(words, said.err)
    assert said.err.count("\n") == 1
    assert names(tmp_path) == ["birds", "empty"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("study", "skips.*; `jaxviz study --help` tells more"),
        ("study skip", "skip.*; `jaxviz study --help` tells more"),
        ("study skips --cellz 2", "--cells.*; `jaxviz study skips --help` tells more"),
    ],
)
def test_words_that_make_no_study_are_told_in_a_sentence(words, told, capsys):
    assert run(*words.split()) == 2
    said = capsys.readouterr().err
    assert re.search(told, said)
    assert said.count("\n") == 1


def test_help_has_one_example(capsys):
    assert run("study", "skips", "--help") == 0
    said = capsys.readouterr().out
    assert said.count("Example: jaxviz study skips") == 1
    assert run("study", "--help") == 0
    assert "skips" in capsys.readouterr().out


def test_folders_are_classes_by_name_by_number_or_in_order():
    card = ports.card("resnet50")
    named = skips_subjects.class_of_each(["Golden_Retriever", "12", "great white shark"], card)
    assert named.tolist() == [207, 12, 2]
    with pytest.raises(Mistake, match="'n01440764'"):
        skips_subjects.class_of_each(["n01440764"], card)
    wordnet = [f"n{i:08d}" for i in range(1000)]
    assert skips_subjects.class_of_each(wordnet, card).tolist() == list(range(1000))


def test_weights_of_further_runs_are_found_in_order(tmp_path):
    for name in ("vgg11", "vgg11-10", "vgg11-2", "vgg11-old", "vgg11_bn", "resnet18-3"):
        (tmp_path / f"{name}.safetensors").touch()
    found = skips_subjects.weights_of("vgg11", str(tmp_path))
    assert [path.split("/")[-1] for path in found] == [
        "vgg11.safetensors",
        "vgg11-2.safetensors",
        "vgg11-10.safetensors",
    ]
    assert skips_subjects.weights_of("resnet50", None) == ["imagenet"]


def test_every_port_is_put_into_a_group():
    for name in ports.names():
        skipping = any(word in name for word in ("res", "dense"))
        assert (skips_subjects.skips(name) > 0) == skipping, name
    assert inputs.load_port("shapes-dense", "shapes-1").weights == "shapes-1"
