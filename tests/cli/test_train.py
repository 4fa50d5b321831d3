"""`jaxviz train` on sets of images; its runs on the endless set are among test_commands.py's."""

import csv
import json
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

import ports
from jaxviz.cli import main, training_runs, usable_images
from jaxviz.cli.mistakes import Mistake


def run(*args):
    return main(["train", "--model", "shapes-plain", *map(str, args)])


def refusal(capsys, *args):
    assert run(*args) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    return said.err


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Bright cats and dark dogs, seven of each, and a file that is no picture."""
    root, dice = tmp_path_factory.mktemp("the zoo"), np.random.default_rng(0)
    for kind, least in (("cat", 150), ("dog", 0)):
        (root / kind).mkdir()
        for i in range(7):
            pixels = dice.integers(least, least + 100, (70, 66, 3), np.uint8)
            Image.fromarray(pixels).save(root / kind / f"{i}.png")
    (root / "dog" / "zz.png").write_text("not a picture")
    return root


SHORT = ["--epochs", 2, "--batch", 4]


@pytest.fixture(scope="module")
def trained(zoo, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "out"
    assert run("--data", zoo, *SHORT, "--out", out) == 0
    return out


def test_a_folder_with_a_broken_file(trained, zoo, capsys):
    record = json.loads((trained / "shapes-plain.json").read_text())
    assert record["categories"] == ["cat", "dog"]
    # Of seven images of each class one is held out; three batches of four are in the other twelve.
    assert (record["images"], record["test_images"]["count"]) == (12, 2)
    assert record["steps"] == 2 * 3
    assert record["skipped"] == 1
    (skipped,) = csv.DictReader((trained / "skipped.csv").read_text().splitlines())
    assert skipped["image"].endswith("dog/zz.png")
    assert "not an image" in skipped["reason"]
    assert len((trained / "learning.csv").read_text().splitlines()) == 3
    model = ports.load("shapes-plain", trained / "shapes-plain.safetensors", num_classes=2)
    assert model(np.zeros((1, 64, 64, 3), np.float32)).shape == (1, 2)
    fewer = ports.card("shapes-plain").parameters - 8 * (80 + 1)
    assert record["parameters"] == fewer

    # The command of the record reads the finished run, and says the same.
    words = shlex.split(record["command"])
    assert words[:4] == ["jaxviz", "train", "--model", "shapes-plain"]
    assert main([*words[1:], "--out", str(trained)]) == 0
    assert (trained / "skipped.csv").exists()
    said = capsys.readouterr()
    assert said.err == ""
    assert "skipped 1 image that cannot be used" in said.out
    assert f"{100 * record['test_images']['accuracy']:.1f}% of 2 test images are right" in said.out


def test_strict_fails_and_writes_nothing(zoo, tmp_path, capsys):
    told = refusal(capsys, "--data", zoo, *SHORT, "--strict", "--out", tmp_path / "out")
    assert "zz.png is not an image" in told
    assert list(tmp_path.iterdir()) == []


def test_resumed_with_images_at_another_place_or_with_other_pixels(trained, zoo, tmp_path, capsys):
    out, moved = tmp_path / "out", tmp_path / "zoo"
    shutil.copytree(trained, out)
    shutil.copytree(zoo, moved)
    # The same images without the file that is none: the old list goes.
    (moved / "dog" / "zz.png").unlink()
    assert run("--data", moved, *SHORT, "--out", out) == 0
    assert not (out / "skipped.csv").exists()
    assert "skipped" not in capsys.readouterr().out
    assert json.loads((out / "shapes-plain.json").read_text())["skipped"] == 0
    assert (out / "shapes-plain.safetensors").read_bytes() == (
        trained / "shapes-plain.safetensors"
    ).read_bytes()
    # As many bytes and the same names do not make the same images.
    file = moved / "cat" / "0.png"
    Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    assert "another --data;" in refusal(capsys, "--data", moved, *SHORT, "--out", out)
    # Nor do the rest of them.
    file.write_bytes(file.read_bytes()[:200])
    assert "another --data;" in refusal(capsys, "--data", moved, *SHORT, "--out", out)


def test_images_that_cannot_be_prepared_are_left_out_before_the_run(zoo):
    def prepare(image):
        if image.mean() > 0.9:
            raise ValueError("it is too bright")
        return image

    Image.new("RGB", (70, 70), "white").save(zoo / "cat" / "white.png")
    try:
        sets = training_runs.opened(str(zoo), None, prepare=prepare, seed=0, strict=False)
        with pytest.raises(Mistake, match=r"white\.png: it is too bright"):
            usable_images.usable(sets.images.whole.whole, prepare, strict=True)
    finally:
        (zoo / "cat" / "white.png").unlink()
    assert [name.rpartition("/")[2] for name, _ in sets.skipped] == ["white.png", "zz.png"]
    assert (len(sets.images), len(sets.test)) == (12, 2)
    assert not {"cat/white.png", "dog/zz.png"} & {*sets.images.names, *sets.test.names}


def test_a_run_with_other_options_is_refused(trained, zoo, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}
    common = [*SHORT, "--out", trained]
    for options, words in [
        (["--data", "shapes:14"], "another --data;"),
        (["--data", zoo, "--settings", "zeiler-fergus"], "another --settings;"),
        (["--data", zoo, "--epochs", "3"], "another --epochs 2;"),
        (["--data", zoo, "--seed", "3"], "another --seed;"),
    ]:
        assert words in refusal(capsys, *common, *options)
    assert before == {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "digit"], "There is no folder of images digit; a set is"),
        (["--data", "shapes:9", "--steps", "3"], "--steps is for the endless set"),
        (["--data", "shapes:9", "--test-count", "3"], "--test-count is for the endless set"),
        (["--test-data", "digits"], "--test-data is for other sets"),
        (["--data", "shapes:9", "--batch", "10"], "--batch must be at most "),
        (["--data", "shapes:9", "--test-data", "digits"], "must have the classes of --data"),
        (["--data", "digits", "--test-data", "digits:test"], "digits:test shares some"),
        (["--batch", "0"], "--batch must be at least 1, not 0"),
        (["--settings", "sgd"], "settings"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(options, words, tmp_path, capsys):
    assert words in refusal(capsys, *options, "--out", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_the_test_images(zoo, tmp_path, capsys):
    out = ["--out", tmp_path / "out"]
    told = refusal(capsys, "--data", zoo, "--test-data", zoo / "cat" / "..", *out)
    assert "shares some" in told
    for kind in ("cat", "emu"):
        (tmp_path / "other" / kind).mkdir(parents=True)
        shutil.copy(zoo / "cat" / "0.png", tmp_path / "other" / kind)
    told = refusal(capsys, "--data", zoo, "--test-data", tmp_path / "other", *out)
    assert "must have the classes of --data, and dog, emu are in one of them only" in told
    # Another folder may have files of the same names.
    (tmp_path / "other" / "emu").rename(tmp_path / "other" / "dog")
    opened = training_runs.opened(
        str(zoo), str(tmp_path / "other"), prepare=np.asarray, seed=0, strict=False
    )
    assert [len(opened.images), len(opened.test)] == [14, 2]
    # The same file under another name is not another image.
    (tmp_path / "other" / "dog" / "link.png").symlink_to(zoo / "dog" / "1.png")
    told = refusal(capsys, "--data", zoo, "--test-data", tmp_path / "other", *out)
    assert "shares some" in told
