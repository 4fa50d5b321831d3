"""The study of evolution as a command, on a run of a few steps."""

import csv
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import jaxviz as jv
import ports
from jaxviz import studies, training
from jaxviz.cli import evolution_page, evolution_run, inputs, main
from jaxviz.cli.mistakes import Mistake
from jaxviz.training.checkpoints import Checkpoints

LAYERS = ["layer1", "layer3"]
OPTIONS = ["--data", "shapes:20", "--layers", *LAYERS, "--channels", 0, 9]


def run(*args):
    return main(["study", "evolution", *map(str, args)])


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*") if path.is_file())


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """Three short epochs, which the command trains itself."""
    out = tmp_path_factory.mktemp("evolution") / "out"
    with pytest.MonkeyPatch.context() as patch:
        short = {"epochs": 3, "steps_per_epoch": 2, "batch": 4, "test_count": 4}
        patch.setattr(evolution_run, "RUN", short)
        assert run(*OPTIONS, "--out", out) == 0
    return out


def test_page_pictures_and_table(studied):
    pictures = {"similarity.png", "layer-layer1.png", "layer-layer3.png"}
    assert set(files(studied)) == pictures | {"index.html", "numbers.json", "similarity.csv"}
    page = (studied / "index.html").read_text()
    assert page.count("<img") == len(pictures) == page.count('alt="')
    assert not re.search("https?:", page)
    assert "The lower layer settles earlier than the upper one in" in page
    for name in pictures:
        assert np.asarray(Image.open(studied / name)).std() > 10, f"{name} is flat"


def test_numbers_are_those_of_each_checkpoint(studied):
    record = json.loads((studied / "numbers.json").read_text())
    assert record["epochs"] == [0, 1, 2, 3]
    port, run = inputs.load_port("shapes-plain", "random"), studied / "training"
    like = evolution_run.untrained(port, run)
    images = jv.data.shapes_images(20)
    x = port.card.preprocess([images[i][0] for i in range(20)])
    capture = jax.jit(lambda model, x: jv.capture(model, x, LAYERS)[1])
    values = [
        capture(evolution_run.restored(like, run, epoch, name=port.name), x)
        for epoch in record["epochs"]
    ]
    for layer in LAYERS:
        told = record["layers"][layer]
        maps = [np.asarray(one[layer]).reshape(-1, one[layer].shape[-1]) for one in values]
        similarity = [studies.linear_cka(studies.comoments(map, maps[-1])) for map in maps]
        # Of batches of another size, whose rounding may differ.
        np.testing.assert_allclose(told["similarity"], similarity, rtol=1e-4)
        assert told["similarity"][-1] == pytest.approx(1, rel=1e-12)
        way = [max(one - told["similarity"][0], 0) for one in told["similarity"]]
        assert told["settled_on_the_way"] == studies.settled(record["epochs"], way)
        assert told["settled"] == studies.settled(record["epochs"], told["similarity"])
        peaks = np.stack([np.asarray(one[layer]).max((1, 2)) for one in values])
        np.testing.assert_allclose(
            told["channels"]["9"]["activation"], peaks[:, :, 9].max(1), rtol=1e-4, atol=1e-5
        )
        assert told["channels"]["9"]["image"] == peaks[:, :, 9].argmax(1).tolist()
        jumps = (np.diff(peaks.argmax(1), axis=0) != 0).mean(1)
        np.testing.assert_allclose(told["jumps"], jumps, atol=1e-12)
    settled = [record["layers"][layer]["settled"] for layer in LAYERS]
    pairs = record["pairs_of_layers"]["of_the_end"]
    assert pairs["lower_earlier"] == (settled[0] < settled[1])
    assert pairs["lower_later"] == (settled[0] > settled[1])


def test_the_table_has_every_layer_and_epoch(studied):
    record = json.loads((studied / "numbers.json").read_text())
    with (studied / "similarity.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], int(row["epoch"])) for row in rows] == [
        (layer, epoch) for layer in LAYERS for epoch in range(4)
    ]
    told = [value for layer in LAYERS for value in record["layers"][layer]["similarity"]]
    assert [float(row["similarity"]) for row in rows] == told


def test_it_goes_on_and_reads_what_train_wrote(studied, tmp_path, monkeypatch, capsys):
    """From the checkpoints of that run: stopped in the middle, and started again."""
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "checkpoints").symlink_to(studied / "training")
    study, calls = studies.evolution, []

    def stopped(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return study(*args)

    monkeypatch.setattr(studies, "evolution", stopped)
    options = [*OPTIONS, "--checkpoints", tmp_path / "trained", "--out", tmp_path / "out"]
    assert run(*options) == 130
    assert files(tmp_path / "out") == []
    assert run(*options) == 0
    assert len(calls) == 3 + 2
    for name in files(studied):
        if name != "index.html":  # its last line tells the time
            assert (tmp_path / "out" / name).read_bytes() == (studied / name).read_bytes(), name
    capsys.readouterr()
    assert run(*options, "--seed", 1) == 2
    assert re.search("holds a run with --data .*; give the options", capsys.readouterr().err)


def test_an_image_that_cannot_be_used_is_left_out_and_told(studied, tmp_path, monkeypatch):
    read = jv.data.ShapesImages.__getitem__

    def breaking(self, index):
        if index == 3:
            raise ValueError("it is gone.")
        return read(self, index)

    monkeypatch.setattr(jv.data.ShapesImages, "__getitem__", breaking)
    out = tmp_path / "out"
    options = [*OPTIONS, "--checkpoints", studied / "training", "--out", out]
    # From what is kept, too.
    for _ in range(2):
        assert run(*options) == 0
        record = json.loads((out / "numbers.json").read_text())
        assert record["images"] == "19 images of shapes, 1 more cannot be read"


def test_layers_without_an_epoch_are_left_out():
    """The second layer is dead at the end, and the third is where it ends from the first."""
    layers = [
        evolution_page.Layer(name, [], similarity, [], [], None)
        for name, similarity in zip(
            "abcd",
            ([0.1, 0.5, 1.0], [0.1, 0.0, 0.0], [1.0, 1.0, 1.0], [0.1, 1.0, 1.0]),
            strict=True,
        )
    ]
    study = evolution_page.Study(None, layers, [0, 1, 2], "")
    # a at 1.9, c at 0, d at 0.94.
    assert evolution_page.in_order(study.settled()) == (1, 2)
    assert "in 1 of 3 pairs of layers, and later in 2; 1 dead at the end left out." in (
        evolution_page.finding(study)
    )
    assert np.isnan(study.on_the_way()).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        (range(7), [0, 1, 2, 3, 4, 5, 6]),
        (range(9), [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (range(65), [0, 1, 2, 5, 10, 20, 30, 40, 64]),
        (range(1, 91), [1, 2, 5, 10, 20, 30, 40, 64, 90]),
        (range(0, 101, 10), [0, 10, 20, 30, 40, 100]),
    ],
)
def test_the_epochs_are_the_papers_or_those_there_are(there, wanted, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "epochs_saved", lambda run: list(there))
    assert evolution_run.epochs_of(tmp_path) == wanted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "vgg16"], "study evolution of vgg16 needs --checkpoints DIR and --data SET"),
        (["--checkpoints", "nowhere"], "There are no checkpoints of a training run in nowhere"),
        (["--model", "shapes-plan"], "unknown model 'shapes-plan'; nearest: shapes-plain"),
        (["--layers", "conv"], "unknown layer 'conv'"),
        (["--channels", "99"], "--channels of layer1 must be from 0 to 15, not 99"),
        (["--seed", "-1"], "--seed must be from 0"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(options, words, tmp_path, capsys):
    assert run(*options, "--out", tmp_path / "out") == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert re.search(words, said.err)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_net_is_refused(studied):
    other = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    with pytest.raises(Mistake, match="holds a run of another --model than shapes-dense"):
        evolution_run.restored(other, studied / "training", 1, name="shapes-dense")


def test_a_run_may_tell_other_classes_apart(tmp_path):
    model = ports.new("shapes-plain", rngs=nnx.Rngs(7), num_classes=3)
    with Checkpoints(tmp_path) as store:
        for record in ([], [[1, 1, 0.0, 0.0, 0.0, 0.0]]):
            store.save(model, {"step": jnp.zeros(1)}, {}, record)
    port = inputs.load_port("shapes-plain", "random")
    like = evolution_run.untrained(port, tmp_path)
    assert like.fc.bias.shape == (3,)
    restored = evolution_run.restored(like, tmp_path, 1, name="shapes-plain")
    np.testing.assert_array_equal(restored.fc.kernel[...], model.fc.kernel[...])
    shutil.rmtree(tmp_path / "1")
    with pytest.raises(Mistake, match="must hold checkpoints of several epochs, and holds one"):
        evolution_run.epochs_of(tmp_path)
