"""The studies that need a network and images, as commands: their files, numbers and refusals."""

import json
import re

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import jaxviz as jv
import ports
from jaxviz import studies
from jaxviz.cli import inputs, main, study_architecture, study_subject


def run(*args):
    return main(["study", *map(str, args)])


def numbers(folder):
    return json.loads((folder / "numbers.json").read_text())


def sound(folder):
    """A page that stands alone, whose pictures all show something, and one line on the claims."""
    page = (folder / "index.html").read_text()
    assert not re.search("https?:", page)
    assert page.count("<img") == page.count('alt="')
    pictures = list(folder.glob("*.png"))
    assert len(pictures) >= page.count("<img") > 0
    for path in pictures:
        assert np.asarray(Image.open(path)).std() > 1, f"{path.name} is flat"
    for claim in numbers(folder)["claims"]:
        held = [one["outcome"] for one in claim["comparisons"]].count("holds")
        assert f"{claim['claim']} {claim['verdict'].capitalize()}: {held} of" in page
    return page


def seen_by(name, folder, count):
    """The images that a study took, by their names in the set."""
    images = jv.data.shapes_images(1000)
    index = np.random.default_rng(0).permutation(1000)[:count]
    shown = np.stack([images[i][0] for i in index])
    # As a file has them: 8 bits for each colour.
    card = ports.card(name)
    return card.preprocess(shown), images.labels[index], [images.names[i] for i in index]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


def test_invariance(out, capsys):
    assert run("invariance", "--images", 6, "--out", out / "invariance") == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("\n") == 1
    assert re.search(r"wrote \d+ files .*; claims: [a-z, ]+; open", said.out)
    sound(out / "invariance")
    told = numbers(out / "invariance")
    assert told["layers"] == ["layer1.relu", "avgpool"]
    x, label, names = seen_by("shapes-plain", out, 6)
    assert set(told["shown"]) <= set(names)
    model = ports.load("shapes-plain", weights="shapes")
    turn = studies.standard_moves(64)["rotation"]
    i, amount = names.index(told["shown"][0]), turn.amounts[9]
    logits, acts = jv.capture(
        model, np.stack([x[i], jv.rotate(x[i][None], amount)[0]]), ["avgpool"]
    )
    rotation = told["moves"]["rotation"]
    assert rotation["amounts"][9] == amount == 90
    distance = np.linalg.norm(acts["avgpool"][0] - acts["avgpool"][1])
    assert rotation["layers"]["avgpool"]["distance"][0][9] == pytest.approx(distance, rel=1e-3)
    probability = float(jax.nn.softmax(logits[1])[label[i]])
    assert rotation["probability"][0][9] == pytest.approx(probability, rel=1e-3)


def test_correspondence_of_drawn_parts(out):
    assert run("correspondence", "--out", out / "correspondence") == 0
    page = sound(out / "correspondence")
    told = numbers(out / "correspondence")
    assert [one["name"] for one in told["groups"]] == list(jv.data.SHAPE_NAMES)
    assert list(told["layers"]) == ["layer5", "avgpool"]
    for layer, parts in told["layers"].items():
        assert set(parts) == {
            *("middle", "tip", "notch"),
            *(
                f"random place{of}, as large as the {name}"
                for of in ("", " of the object")
                for name in ("middle", "tip", "notch")
            ),
        }
        for part, value in parts.items():
            each = [one["layers"][layer][part]["mean"] for one in told["groups"]]
            assert value["mean"] == pytest.approx(np.mean(each))
            assert value["std"] == pytest.approx(np.std(each, ddof=1))
            assert f"{value['mean']:.3f} ± {value['std']:.3f}" in page
            assert 0 < value["changed"] <= 1
    # Each part is held against places as large as it.
    (claim,) = told["claims"]
    differences = [
        parts[f"{place}, as large as the {part}"]["mean"] - parts[part]["mean"]
        for parts in told["layers"].values()
        for part in ("middle", "tip", "notch")
        for place in ("random place", "random place of the object")
    ]
    means = [one["larger"]["mean"] for one in claim["comparisons"]]
    # The shares are float32, whose means are taken in another order.
    np.testing.assert_allclose(means, differences, atol=3e-7)


def test_correspondence_of_boxes_from_a_file(tmp_path):
    """Images twice as large as the network's input, so that boxes are halved."""
    drawn = jv.data.shapes(jax.random.key(7), 4, size=128)
    boxes, parts = {}, {}
    for i, image in enumerate(np.asarray(drawn.image)):
        Image.fromarray(np.uint8(255 * image)).save(tmp_path / f"{i}.png")
        parts[i] = {"left": [20 + 2 * i, 10, 40, 30], "right": [60, 70, 90, 100]}
        boxes[f"{i}.png"] = parts[i]
    (tmp_path / "parts.json").write_text(json.dumps(boxes))
    options = ["--boxes", tmp_path / "parts.json", "--layers", "avgpool"]
    assert run("correspondence", *options, "--out", tmp_path / "out") == 0
    page = sound(tmp_path / "out")
    told = numbers(tmp_path / "out")
    # Pairs of the same images are no sample.
    assert told["claims"] == []
    assert "no verdict is drawn" in page
    assert set(told["layers"]["avgpool"]) == {
        *("left", "right"),
        *(f"random place, as large as the {part}" for part in ("left", "right")),
    }
    halves = {part: [np.array(parts[i][part]) // 2 for i in range(4)] for part in parts[0]}
    (group,) = told["groups"]
    assert {part: np.array(own).tolist() for part, own in group["boxes"].items()} == {
        part: np.array(own).tolist() for part, own in halves.items()
    }
    card, model = ports.card("shapes-plain"), ports.load("shapes-plain", weights="shapes")
    x = card.preprocess([jv.data.load_image(tmp_path / name) for name in boxes])
    asked = np.stack([halves["left"], halves["right"]], 1)
    found = studies.correspondence(model, x, asked, layers=["avgpool"])["avgpool"]
    for part, mean in zip(halves, found.mean, strict=True):
        assert told["layers"]["avgpool"][part]["mean"] == pytest.approx(mean, abs=1e-6)


def test_occlusion(out):
    options = ["--images", 30, "--shown", 2, "--window", 16, "--stride", 16]
    assert run("occlusion", *options, "--out", out / "occlusion") == 0
    page = sound(out / "occlusion")
    told = numbers(out / "occlusion")
    assert len(told["shown"]) == 2
    x, label, names = seen_by("shapes-plain", out, 30)
    model = ports.load("shapes-plain", weights="shapes")
    for one in told["shown"]:
        i = names.index(one["image"])
        assert one["category"] == jv.data.SHAPE_NAMES[label[i]]
        covered = x[i].copy()
        covered[16:32, 32:48] = 0
        logits = model(covered[None])[0]
        expected = float(jax.nn.softmax(logits)[label[i]])
        assert one["probability"][1][2] == pytest.approx(expected, rel=1e-3, abs=1e-6)
        assert one["label"][1][2] == logits.argmax()
    # The legend names each answer that occurs.
    for k in {k for one in told["shown"] for row in one["label"] for k in row}:
        assert jv.data.SHAPE_NAMES[k] in page


def test_generalisation(out):
    # Named from the top down, and told in the order of evaluation.
    layers = ["layer5", "layer2"]
    options = ["--images", 120, "--layers", *layers, "--counts", 1, 50, "--seed", 0]
    assert run("generalisation", *options, "--out", out / "generalisation") == 0
    sound(out / "generalisation")
    told = numbers(out / "generalisation")
    assert told["layers"] == ["pixels", "layer2", "layer5"]
    one, most = told["counts"]
    assert one == 1 < most < 50
    # All images of the smallest class can be drawn in one way only.
    assert [spread[1] for spread in told["trained"]["std"]] == [None] * 3
    assert all(spread[0] >= 0 for spread in told["trained"]["std"])
    # What was trained on shapes tells shapes apart; pixels and random weights do not.
    assert told["trained"]["accuracy"][2][1] > 0.7
    assert max(told["trained"]["accuracy"][0][1], told["random_weights"]["accuracy"][2][1]) < 0.5


def test_architecture(out):
    """Of nets that are there; the narrow ones that it trains are the next test's."""
    nets = ["shapes-plain", "shapes-dense"]
    for name in nets:
        ports.save(ports.load(name, weights="shapes"), out / "weights" / f"{name}.safetensors")
    options = ["--models", *nets, "--weights", out / "weights", "--images", 8]
    assert run("architecture", *options, "--out", out / "architecture") == 0
    sound(out / "architecture")
    assert numbers(out / "architecture")["claims"] == []  # one run of each
    told = numbers(out / "architecture")["networks"]
    assert list(told) == nets
    x, _, _ = seen_by("shapes-plain", out, 8)
    for name, one in told.items():
        found = studies.first_layer(ports.load(name, weights="shapes"), x)
        assert one["kernel"] == [5, 5, 3, 16]
        assert one["dead"] == found.dead.mean()
        np.testing.assert_allclose(one["peaks"], found.peak, rtol=1e-5)
        # Every place is read: nothing is folded.
        assert one["folded"] == 0


def test_classes_are_known_by_name_or_by_the_user(tmp_path):
    """A folder may name classes by number; what weights of one's own tell apart, one knows."""
    for name in ("star", "3"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (64, 64), "red").save(tmp_path / "set" / name / "0.png")
    packaged = inputs.load_port("shapes-plain", "shapes")
    seen = study_subject.subject(packaged, str(tmp_path / "set"), images=2, seed=0)
    assert study_subject.class_labels(seen).tolist() == [3, 3]
    own = packaged._replace(weights="digits.safetensors")
    seen = study_subject.subject(own, "digits", images=9, seed=0)
    np.testing.assert_array_equal(study_subject.class_labels(seen), seen.label)


def test_one_occluded_image_is_no_sample(tmp_path):
    options = ["--images", 5, "--shown", 1, "--window", 32, "--stride", 32]
    assert run("occlusion", *options, "--out", tmp_path / "out") == 0
    assert numbers(tmp_path / "out")["claims"] == []


def test_a_narrow_net_is_trained_for_it():
    port = study_architecture._trained("alexnet", 2, 0, lambda words: None)
    assert port.classes == 10
    kernel, stride = studies.first_convolution(port.model, np.zeros((1, 64, 64, 3), np.float32))
    assert (kernel.shape, stride) == ((11, 11, 3, 16), (4, 4))
    untrained = getattr(
        ports.new("alexnet", rngs=nnx.Rngs(0), num_classes=10, width=0.25).features, "0"
    )
    small = untrained.kernel[...] * (0.01 / untrained.kernel[...].std())
    # Two steps of AdamW, of at most the rate each.
    assert 0 < np.abs(kernel - small).max() < 4e-3


def test_any_number_of_steps_makes_few_epochs(monkeypatch):
    """Each epoch ends with a test: 601 steps, a prime number, are no 601 epochs."""

    def told(*args, **options):
        raise KeyboardInterrupt(options["epochs"], options["steps_per_epoch"])

    monkeypatch.setattr(study_architecture.training, "train", told)
    for steps, expected in ((601, (7, 86)), (600, (6, 100))):
        with pytest.raises(KeyboardInterrupt) as stopped:
            study_architecture._trained("alexnet", steps, 0, lambda words: None)
        assert stopped.value.args == expected


BOXES = {f"{i}.png": {"eye": [0, 0, 8, 8]} for i in range(3)}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["invariance", "--images", "1"], "--images must be at least 2, not 1"),
        (
            ["invariance", "--layers", "layer1", "avgpol"],
            "unknown layer 'avgpol'; nearest: avgpool",
        ),
        (["invariance", "--layers", "avgpool", "avgpool"], "two layers, not avgpool twice"),
        (["invariance", "--data", "shapess"], "no folder of images shapess"),
        (["invariance", "--seed", "-1"], "--seed must be from 0"),
        (["correspondence", "--model", "vgg16"], "study correspondence of vgg16 needs --boxes"),
        (["correspondence", "--boxes", "{boxes}"], "No such file|0.png"),
        (["correspondence", "--boxes", "{broken}"], "is no JSON"),
        (["correspondence", "--boxes", "{few}"], "must name at least three images"),
        (["correspondence", "--boxes", "{other}"], "1.png must have the parts of 0.png"),
        (["correspondence", "--boxes", "{words}"], "must be .top, left, bottom, right. in whole"),
        (
            ["invariance", "--data", "digits", "--images", "4"],
            "--data must have the classes of shapes-plain, which knows no '0'; or give --weights",
        ),
        (["occlusion", "--data", "digits", "--images", "4"], "knows no '0'"),
        (["occlusion", "--layer", "avgpool"], "--layer must have positions"),
        (["occlusion", "--window", "80"], "--window must be from 1 to 64 pixels, not 80"),
        (["occlusion", "--shown", "0"], "--shown must be at least 1"),
        (["generalisation", "--counts", "5", "2"], "--counts must be numbers of images that rise"),
        (["generalisation", "--images", "20"], "at least two classes of four images"),
        (["architecture", "--models", "vgg16", "zfnet"], "--weights is needed for vgg16"),
        (["architecture", "--models", "zfnet", "zfnet"], "must be two networks, not zfnet twice"),
        (["architecture", "--weights", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(args, words, tmp_path, capsys):
    files = {
        "boxes": BOXES,
        "few": {"0.png": BOXES["0.png"]},
        "other": BOXES | {"1.png": {"ear": [0, 0, 8, 8]}},
        "words": BOXES | {"2.png": {"eye": [0, 0, "8", 8]}},
    }
    for name, told in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    (tmp_path / "broken.json").write_text("{")
    args = [re.sub(r"{(\w+)}", rf"{tmp_path}/\1.json", arg) for arg in args]
    assert run(*args, "--out", tmp_path / "out") == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert re.search(words, said.err)
    assert not (tmp_path / "out").exists()
