"""The study of skip connections on networks of photographs, as torchvision and timm save them."""

import csv
import json

import jax
import numpy as np
import pytest
from PIL import Image

import jaxviz as jv
import ports
from jaxviz.cli import main

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
save_file = pytest.importorskip("safetensors.torch").save_file

CLASSES = {"7": 7, "golden_retriever": 207, "tench": 0}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two made photographs of each of three classes, and a file that is none."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photographs")
    for name in CLASSES:
        (folder / name).mkdir()
        for i in range(2):
            blobs = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
            blobs.resize((300, 260), Image.Resampling.BICUBIC).save(folder / name / f"{i}.png")
    # Between the two others: looked at, as a file after them would not be.
    (folder / "tench" / "00.png").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def studied(photographs, tmp_path_factory, alive_torch_model):
    folder = tmp_path_factory.mktemp("weights")
    theirs = {
        "alexnet": alive_torch_model("alexnet"),
        "resnet18": timm.create_model("resnet18", pretrained=False).eval(),
    }
    for name, model in theirs.items():
        save_file(model.state_dict(), folder / f"{name}.safetensors")
    command = ["study", "skips", "--models", *theirs, "--weights", folder, "--data", photographs]
    options = ["--images", 6, "--cells", 4, 32, "--steps", 2, "--out", folder / "out"]
    assert main([str(word) for word in [*command, *options]]) == 0
    return theirs, folder / "out"


@pytest.mark.parametrize("cell", [0, 4, 32])
@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_probabilities_are_those_of_the_other_library(name, cell, studied, photographs):
    theirs, out = studied
    paths = [photographs / folder / f"{i}.png" for folder in CLASSES for i in range(2)]
    labels = np.repeat(list(CLASSES.values()), 2)
    x = ports.card(name).preprocess([jv.data.load_image(path) for path in paths])
    if cell:
        key = jax.random.key(0)
        keys = [jax.random.fold_in(key, i) for i in range(len(x))]
        shuffles = [
            jv.grid_shuffle_blur(k, image[None], cell=cell)
            for k, image in zip(keys, x, strict=True)
        ]
        x = np.concatenate(shuffles)
    with torch.no_grad():
        logits = theirs[name](torch.tensor(np.array(x)).permute(0, 3, 1, 2)).double()
    probability = torch.softmax(logits, -1).numpy()[np.arange(6), labels].mean()
    with (out / "answers.csv").open() as file:
        (row,) = [
            row
            for row in csv.DictReader(file)
            if row["network"] == name
            and row["shuffled"] == ("cells" if cell else "whole")
            and int(row["pixels"]) == cell
        ]
    # Float32 against float32 of another library: 1e-4 of a logit's size of some tens.
    assert float(row["probability"]) == pytest.approx(probability, rel=1e-2, abs=2e-6)


def test_the_run_says_what_it_rests_on(studied):
    _, out = studied
    record = json.loads((out / "numbers.json").read_text())
    assert record["images"] == "6 images in 3 classes, 1 more cannot be read"
    assert {name: one["skips"] for name, one in record["networks"].items()} == {
        "alexnet": 0,
        "resnet18": 1,
    }
    assert len(record["claims_by_threshold"]["0.2"]) == 3
    page = (out / "index.html").read_text()
    assert "there is one run: its ± is the standard error over the images" in page
    stages = record["networks"]["resnet18"]["stages"]
    assert len(stages) == 5
