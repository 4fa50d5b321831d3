import inspect
import json
import re
import subprocess
import sys
from importlib.resources import files

import jax
import numpy as np
import pytest
from PIL import Image

import jaxviz as jv
import ports
from jaxviz.cli import main, maps, train
from jaxviz.training import SETTINGS

SMALL = ["--model", "shapes-plain", "--weights", "random"]


def write_photo(path, mode="RGB", size=(80, 60), **options):
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    rgb = np.stack([x, y, 255 - x], -1).astype(np.uint8)
    Image.fromarray(rgb).convert(mode).save(path, **options)
    return path


@pytest.fixture
def photo(tmp_path):
    return write_photo(tmp_path / "photo.png")


def run(*args):
    return main([str(arg) for arg in args])


def refusal(capsys, *args):
    """The one sentence of a command that refuses; nothing else may have been said or written."""
    assert run(*args) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("jaxviz: ")
    return lines[0]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# explain, end to end


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    inside = folder / "holiday"
    inside.mkdir()
    write_photo(inside / "b.jpg")
    write_photo(inside / "a.png", size=(40, 90))
    single = write_photo(folder / "a.webp", size=(64, 64))
    assert run("explain", single, inside, *SMALL, "--out", folder / "out") == 0
    return folder / "out"


def test_explain_writes_page_pictures_and_numbers(explained):
    ends = ("image", "saliency", "guided", "deconvnet", "grad-cam", "occlusion", "labels")
    pictures = [f"00{i}-{name}-{end}.png" for i, name in enumerate("aab", 1) for end in ends]
    assert names(explained) == sorted([*pictures, "index.html", "numbers.json"])
    page = (explained / "index.html").read_text()
    assert page.count("<img") == len(pictures) == page.count('alt="')
    assert not re.search("https?:", page)
    assert names(explained.parent) == ["a.webp", "holiday", "out"]


def test_explain_numbers_are_the_models(explained):
    record = json.loads((explained / "numbers.json").read_text())
    assert [image["file"].split("/")[-1] for image in record["images"]] == [
        "a.webp",
        "a.png",
        "b.jpg",
    ]
    card, model = ports.card("shapes-plain"), ports.load("shapes-plain", key=jax.random.key(0))
    x = card.preprocess(jv.data.load_image(record["images"][1]["file"]))
    probability = np.asarray(jax.nn.softmax(model(x)[0]))
    top = record["images"][1]["top"]
    assert [entry["class"] for entry in top] == np.argsort(-probability)[:5].tolist()
    np.testing.assert_allclose(
        [entry["probability"] for entry in top], np.sort(probability)[::-1][:5], rtol=1e-4
    )
    assert record["images"][1]["target"]["class"] == top[0]["class"]
    expected = jv.grad_cam(model, x, top[0]["class"], layer=record["grad_cam_layer"])[0]
    np.testing.assert_allclose(
        record["images"][1]["grad_cam"], expected, rtol=1e-3, atol=1e-4 * float(expected.max())
    )
    assert np.shape(record["images"][1]["occlusion_drop"]) == (15, 15)


def test_explain_ends_in_one_line(photo, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    assert run("explain", photo, *SMALL, "--methods", "saliency", "--out", out) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("\n") == 1
    assert str(out) in said.out
    assert names(out) == [
        "001-photo-image.png",
        "001-photo-saliency.png",
        "index.html",
        "numbers.json",
    ]


def test_explain_occludes_with_a_number_or_the_mean_colour(photo, tmp_path):
    card, model = ports.card("shapes-plain"), ports.load("shapes-plain", weights="shapes")
    x = card.preprocess(jv.data.load_image(photo))
    for fill in ("mean", "0.5"):
        options = ["--fill", fill, "--window", 32, "--stride", 32, "--methods", "occlusion"]
        out = tmp_path / fill
        assert run("explain", photo, "--model", "shapes-plain", *options, "--out", out) == 0
        record = json.loads((out / "numbers.json").read_text())
        assert record["occlusion"]["fill"] == ("mean" if fill == "mean" else 0.5)
        target = record["images"][0]["target"]["class"]
        hidden = np.array(x)
        hidden[:, :32, 32:] = np.mean(x, (1, 2)) if fill == "mean" else 0.5
        before, after = (jax.nn.softmax(model(one))[0, target] for one in (x, hidden))
        drop = record["images"][0]["occlusion_drop"][0][1]
        assert drop == pytest.approx(float(before - after), abs=1e-4)


@pytest.mark.parametrize("target", ["3", "Star", "star"])
def test_explain_takes_a_class_by_number_or_name(photo, tmp_path, target):
    options = ["--methods", "saliency", "--target", target, "--out", tmp_path / "out"]
    assert run("explain", photo, *SMALL, *options) == 0
    record = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert record["images"][0]["target"] == {"class": 3, "name": "star"}


def test_explain_reads_every_kind_of_image(tmp_path):
    folder = tmp_path / "kinds"
    folder.mkdir()
    write_photo(folder / "cmyk.jpg", "CMYK")
    write_photo(folder / "alpha.png", "RGBA")
    write_photo(folder / "grey.png", "L")
    write_photo(folder / "palette.gif", "P")
    write_photo(folder / "one.png", size=(1, 1))
    Image.fromarray(np.full((20, 30), 40_000, np.uint16)).save(folder / "deep.png")
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[274] = 6
    write_photo(folder / "turned.jpg", exif=exif)
    assert run("explain", folder, *SMALL, "--methods", "saliency", "--out", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").glob("*-image.png"))) == 8


# what is refused


def bad_files(folder):
    text = folder / "text.jpg"
    text.write_text("not an image")
    cut = write_photo(folder / "cut.jpg", size=(300, 300))
    cut.write_bytes(cut.read_bytes()[:2000])
    huge = folder / "huge.png"
    Image.new("1", (20_000, 20_000)).save(huge)
    thin = write_photo(folder / "thin.png", size=(4000, 2))
    empty = folder / "empty"
    empty.mkdir()
    return {
        "text": (text, "text.jpg is not an image"),
        "cut": (cut, "cut.jpg cannot be decoded"),
        "huge": (huge, "huge.png has 20,000 x 20,000 pixels"),
        "thin": (thin, "thin.png: an image may be at most 100 times"),
        "missing": (folder / "none.jpg", "no image file or folder .*none.jpg"),
        "empty": (empty, "folder .*empty has no image"),
    }


@pytest.mark.parametrize("kind", ["text", "cut", "huge", "thin", "missing", "empty"])
def test_an_image_that_cannot_be_used_stops_it_all(kind, photo, tmp_path, capsys):
    bad, words = bad_files(tmp_path)[kind]
    before = names(tmp_path)
    sentence = refusal(capsys, "explain", photo, bad, *SMALL, "--out", tmp_path / "out")
    assert re.search(words, sentence)
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "vgg"], r"unknown model 'vgg'; nearest: vgg.*`jaxviz layers` lists all"),
        (["--layer", "layer4.relu_7"], r"unknown layer 'layer4.relu_7'; nearest: layer4\.relu.*"),
        (["--layer", "avgpool"], r"--layer must have positions.*'avgpool' has the shape \(1, 80\)"),
        (["--target", "rign"], "unknown class 'rign'; nearest: ring"),
        (["--target", "10"], "--target must be a class from 0 to 9, not 10"),
        (["--target", "²"], "unknown class '²'"),
        (["--target", "-1"], "--target must be a class from 0 to 9, not -1"),
        (["--methods", "gradcam"], "unknown method 'gradcam'; nearest: grad-cam"),
        (["--window", "65"], "--window must be from 1 to 64"),
        (["--stride", "0"], "--stride must be from 1 to 64"),
        (["--fill", "nan"], '--fill must be a finite number or "mean", not nan'),
        (["--fill", "grey"], '--fill must be a finite number or "mean", not grey'),
        (["--weights", "none.safetensors"], "no checkpoint at none.safetensors"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(options, words, photo, tmp_path, capsys):
    sentence = refusal(capsys, "explain", photo, *SMALL, "--out", tmp_path / "out", *options)
    assert re.search(words, sentence)
    assert names(tmp_path) == ["photo.png"]


def test_weights_that_are_none_are_named(photo, tmp_path, capsys):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"no weights at all")
    options = ["--model", "shapes-plain", "--weights", weights, "--out", tmp_path / "out"]
    assert "w.safetensors is not a whole safetensors file" in refusal(
        capsys, "explain", photo, *options
    )
    assert not (tmp_path / "out").exists()


def test_weights_of_another_model_are_one_sentence(photo, tmp_path, capsys):
    weights = tmp_path / "w.safetensors"
    ports.save(ports.load("shapes-dense", weights="shapes"), weights)
    for command in (
        ["explain", photo, "--weights", weights, "--out", tmp_path / "out"],
        ["convert", weights, tmp_path / "out.safetensors"],
    ):
        sentence = refusal(capsys, *command, "--model", "shapes-plain")
        assert re.search(
            r"w.safetensors does not fit shapes-plain: \d+ faults, of which the first is: "
            r"layer\S+ .*\. Is it another model's file\?$",
            sentence,
        )
    assert names(tmp_path) == ["photo.png", "w.safetensors"]


@pytest.mark.parametrize(
    "command",
    [
        ["demo"],
        ["explain", "{photo}", *SMALL],
        ["features", "shapes-plain", "--weights", "random", "--classes", "star"],
        ["train"],
    ],
)
def test_an_output_that_cannot_be_written_is_refused_at_once(command, photo, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    command = [word.format(photo=photo) for word in command]
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "is not a folder; choose another" in refusal(capsys, *command, "--out", out)
    assert names(tmp_path) == ["file", "photo.png"]


def test_explain_needs_an_image(capsys):
    assert "at least one image" in refusal(capsys, "explain", *SMALL)


def test_a_bug_keeps_its_traceback(photo, tmp_path, monkeypatch):
    # NumPy's own ValueError in a line of jaxviz's: `logits.argmax(-1)`.
    monkeypatch.setattr(maps, "logits_of", lambda *_: np.zeros((1, 0)))
    monkeypatch.setattr(maps, "softmax", lambda logits: logits)
    with pytest.raises(ValueError, match="argmax of an empty sequence"):
        run("explain", photo, *SMALL, "--methods", "saliency", "--out", tmp_path / "out")
    assert names(tmp_path) == ["photo.png"]


def test_interruption_is_quiet(photo, monkeypatch, capsys, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(jv, "saliency", interrupt)
    out = tmp_path / "out"
    assert run("explain", photo, *SMALL, "--methods", "saliency", "--out", out) == 130
    assert capsys.readouterr() == ("", "")
    assert not out.exists()


# the other commands


def test_layers_lists_names_shapes_and_types(capsys):
    assert run("layers", "vgg16", "--size", "64") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(
        re.fullmatch(r"features\.29\s+\(1, 4, 4, 512\)\s+float32\s*", line) for line in lines
    )
    assert lines[-1] == "42 layers of vgg16 for an input of 64 x 64 pixels; wrote nothing"
    assert "--size 3 does not suit vgg16" in refusal(capsys, "layers", "vgg16", "--size", "3")
    assert "nearest: resnet50" in refusal(capsys, "layers", "resnt50")


def test_layers_alone_lists_the_models(capsys):
    assert run("layers") == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^{re.escape(name)} ", said, re.MULTILINE) for name in ports.names())


def test_convert_and_back_keeps_every_weight(tmp_path, capsys):
    model = ports.load("shapes-plain", key=jax.random.key(3))
    ports.save(model, tmp_path / "a.safetensors")
    options = ["--model", "shapes-plain"]
    assert run("convert", tmp_path / "a.safetensors", tmp_path / "b", *options) == 0
    assert run("convert", tmp_path / "b", tmp_path / "c.safetensors", *options) == 0
    assert capsys.readouterr().out.count("\n") == 2
    x = np.ones((1, 64, 64, 3), np.float32)
    back = ports.load("shapes-plain", weights=tmp_path / "c.safetensors")
    np.testing.assert_array_equal(model(x), back(x))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes()


def test_convert_refuses(tmp_path, capsys):
    options = ["--model", "shapes-plain"]
    (tmp_path / "file").write_text("")
    (tmp_path / "dir.safetensors").mkdir()
    for source, out, words in [
        ("none.safetensors", "x.safetensors", "no checkpoint at .*none.safetensors"),
        ("file", "x.bin", r"OUT must end in .safetensors"),
        ("file", "file", "is a file"),
        ("file", "dir.safetensors", "is a folder"),
        ("file", "file/x.safetensors", "is not a folder"),
        ("file", "x", "no checkpoint that can be read"),
    ]:
        assert re.search(
            words, refusal(capsys, "convert", tmp_path / source, tmp_path / out, *options)
        )
    assert names(tmp_path) == ["dir.safetensors", "file"]


def test_train_writes_curve_weights_and_checkpoints_and_goes_on(tmp_path, capsys):
    short = ["--steps", 2, "--batch", 4, "--test-count", 8, "--epochs", 2]
    for _ in range(2):
        assert run("train", "--model", "shapes-plain", "--out", tmp_path, *short) == 0
    first, again = capsys.readouterr().out.splitlines()
    assert first == again, "a finished run is read, not repeated"
    assert names(tmp_path) == [
        "checkpoints",
        "learning.csv",
        "learning.png",
        "shapes-plain.json",
        "shapes-plain.safetensors",
    ]
    lines = (tmp_path / "learning.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,step,loss,train_accuracy,test_accuracy")
    assert [line.split(",")[:2] for line in lines[1:]] == [["1", "2"], ["2", "4"]]
    ports.load("shapes-plain", weights=tmp_path / "shapes-plain.safetensors")
    # As the record of the packaged weights, which this command made.
    record = json.loads((tmp_path / "shapes-plain.json").read_text())
    packaged = json.loads((files("ports") / "weights" / "shapes-plain.json").read_text())
    assert list(record) == list(packaged)
    assert [list(line) for line in record["curve"]] == [list(packaged["curve"][0])] * 2
    assert record["parameters"] == packaged["parameters"]
    assert f"{100 * record['fresh_images']['accuracy']:.1f}% of 2,000 fresh" in first

    other = ["train", "--model", "shapes-plain", "--out", tmp_path, *short]
    for options, words in [
        (["--seed", 1], "a run with another --seed; give the options of that run"),
        (["--steps", 3], "a run with another --steps 2;"),
        (["--model", "shapes-dense"], "a run of another --model than shapes-dense"),
    ]:
        assert words in refusal(capsys, *other, *options)


def test_the_defaults_of_train_are_the_packaged_run():
    options = inspect.signature(train.train).parameters
    for name in ("shapes-plain", "shapes-residual", "shapes-dense"):
        record = json.loads((files("ports") / "weights" / f"{name}.json").read_text())
        for option in ("epochs", "seed"):
            assert record[option] == options[option].default
        assert (options["data"].default, options["settings"].default) == ("shapes", "adamw")
        assert record["batch"] == SETTINGS["adamw"].batch
        assert record["steps"] == options["epochs"].default * train.STEPS
        assert record["fresh_images"]["count"] == train.FRESH_COUNT
        assert record["fresh_images"]["key"] == train.FRESH_SEED


def test_train_refuses(tmp_path, capsys):
    assert "unknown model 'vgg61'; nearest: vgg1" in refusal(
        capsys, "train", "--model", "vgg61", "--out", tmp_path / "x"
    )
    assert "--epochs must be at least 1, not 0" in refusal(
        capsys, "train", "--epochs", "0", "--out", tmp_path / "x"
    )
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "explain", "features", "layers", "diagram", "train", "convert"),
        *("study reconstruction", "study skips"),
    ],
)
def test_help_has_one_example(command, capsys):
    assert run(*command.split(), "--help") == 0
    said = capsys.readouterr().out
    assert said.count("Example:") == 1
    assert re.search(rf"Example: jaxviz {command}\b", said)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("explian", "explian.*; `jaxviz --help` tells more"),
        ("", "demo, explain, .*; `jaxviz --help` tells more"),
        ("explain a.jpg", "--model NAME; `jaxviz explain --help` tells more"),
        ("explain a.jpg --model", "--model"),
        ("explain a.jpg --model vgg16 --wieghts x", "--wieghts.* meant: --weights FILE; `jaxviz"),
        ("demo --seed x", "--seed: .*'x'; `jaxviz demo --help` tells more"),
        ("study", "`jaxviz study --help` tells more"),
        ("study rebuild", "rebuild.*; `jaxviz study --help` tells more"),
        ("study reconstruction --sed 1", "--sed.*; `jaxviz study reconstruction --help` tells"),
    ],
)
def test_words_that_make_no_command_are_told_in_a_sentence(words, told, capsys):
    assert re.search(told, refusal(capsys, *words.split()))


@pytest.mark.parametrize(
    "command",
    ["demo", "train", "features shapes-plain --classes star --weights random"],
)
@pytest.mark.parametrize("seed", ["-1", "99999999999999999999"])
def test_a_seed_that_makes_no_key_is_refused(command, seed, tmp_path, capsys):
    words = [*command.split(), "--seed", seed, "--out", tmp_path / "out"]
    assert f"--seed must be from 0 to 2147483647, not {seed}" in refusal(capsys, *words)


# as a process


def test_a_mistake_in_a_process(tmp_path):
    words = ["layers", "vgg61"]
    done = subprocess.run(
        [sys.executable, "-c", "from jaxviz.cli import main; raise SystemExit(main())", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("jaxviz: unknown model 'vgg61'; nearest: vgg1")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_early_is_no_mistake():
    program = "from jaxviz.cli import main; raise SystemExit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", program, "layers", "densenet201"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode in (0, 141)  # 0 where all of it fitted into the pipe


# the demo


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory):
    from jaxviz.cli import demo

    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"TESTED": 60, "SEARCHED": 40, "STEPS": 2}.items():
            patch.setattr(demo, name, value)
        assert run("demo", "--out", folder / "out", "--seed", "3") == 0
    return folder / "out"


def test_demo_shows_every_method_on_one_page(demonstrated):
    page = (demonstrated / "index.html").read_text()
    assert not re.search("https?:", page)
    assert page.count("<img") == page.count('alt="')
    pictures = {path.name for path in demonstrated.glob("*.png")}
    for i in range(1, 7):
        for end in ("image", "saliency", "guided", "deconvnet", "grad-cam", "occlusion", "labels"):
            assert f"image{i}-{end}.png" in pictures
    for layer in range(1, 6):
        channels = [name for name in pictures if name.startswith(f"layer{layer}-channel")]
        assert len(channels) == 20
    assert {f"class-{name}.png" for name in jv.data.SHAPE_NAMES} <= pictures
    assert {"sheet-maps.png", "sheet-layers.png", "sheet-classes.png"} <= pictures


def test_demo_numbers_are_of_trained_nets(demonstrated):
    record = json.loads((demonstrated / "numbers.json").read_text())
    assert set(record["nets"]) == {"shapes-plain", "shapes-residual", "shapes-dense"}
    for net in record["nets"].values():
        assert net["accuracy"] > 0.9
        for image in net["images"]:
            assert np.isclose(sum(image["probability"]), 1, atol=1e-5)
            assert np.shape(image["occlusion_label"]) == (15, 15)


def test_demo_maps_are_not_flat(demonstrated):
    for path in demonstrated.glob("image*.png"):
        picture = np.asarray(Image.open(path))
        assert picture.std() > 1, f"{path.name} is flat"
