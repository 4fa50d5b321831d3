import io
import json
import re
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxviz as jv
import ports
from jaxviz import report
from jaxviz.cli import drawing, inputs, main, real_images

# Four units fit into a mebibyte, so that five units are drawn in two goes.
TINY = ["--layer", "layer2", "--steps", 5, "--size", 24, "--memory", 1, "--gif"]
FIVE = ["--channels", 3, 9, 0, 30, 7]


def run(*args):
    return main([str(arg) for arg in args])


def features(out, *options, weights="random"):
    return run("features", "shapes-plain", "--weights", weights, "--out", out, *options)


def refusal(capsys, *args, **options):
    capsys.readouterr()
    assert features(*args, **options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch("jaxviz: .*\n", said.err)
    return said.err


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def units_of(folder):
    return json.loads((folder / "numbers.json").read_text())["units"]


def stored(folder, unit):
    with np.load(folder / "units" / f"channel-{unit}.npz") as arrays:
        return dict(arrays)


def write_photos(folder):
    """Four images in a folder and in folders in it, of different sizes."""
    for i, name in enumerate(("a/one.png", "a/two.jpg", "b/three.png", "four.png")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(i).integers(0, 256, (6, 5 + i, 3)).astype(np.uint8)
        Image.fromarray(values).resize((70 + i, 90), Image.Resampling.BICUBIC).save(path)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, photos):
    """A run that nothing has disturbed."""
    out = tmp_path_factory.mktemp("features") / "out"
    assert features(out, *TINY, *FIVE, "--images", photos) == 0
    return out


def test_every_unit_has_a_picture_and_a_film(whole):
    stems = [f"channel-{unit}" for unit in (0, 3, 30, 7, 9)]
    pictures = [f"{stem}{end}" for stem in [*stems, "sheet"] for end in (".gif", ".png")]
    assert names(whole) == sorted([*pictures, "index.html", "numbers.json", "units"])
    files = [*(f"{stem}.npz" for stem in stems), "options.json", "real-images.npz"]
    assert names(whole / "units") == sorted(files)
    page = (whole / "index.html").read_text()
    assert page.count("<img") == 5
    assert not re.search("https?:", page)
    assert [unit["index"] for unit in units_of(whole)] == [3, 9, 0, 30, 7]


def test_the_numbers_are_what_the_images_and_the_photographs_reach(whole, photos):
    card, model = ports.card("shapes-plain"), ports.load("shapes-plain", key=jax.random.key(0))
    mean = lambda x: np.asarray(jv.capture(model, x, ["layer2"])[1]["layer2"], float).mean((1, 2))
    files = [photos / name for name in ("four.png", "a/one.png", "a/two.jpg", "b/three.png")]
    real = mean(jnp.concatenate([card.preprocess(jv.data.load_image(file)) for file in files]))
    page = (whole / "index.html").read_text()
    for unit in units_of(whole):
        channel = unit["index"]
        made = mean(card.normalize(stored(whole, channel)["image"])[None])[0, channel]
        assert unit["score"] == pytest.approx(made, rel=1e-4)  # float32, summed in another order
        assert unit["percentile"] == 100 * (real[:, channel] < made).mean()
        assert unit["real_maximum"] == pytest.approx(real[:, channel].max(), rel=1e-4)
        assert unit["name"] == f"layer2, channel {channel}"
        assert not unit["dead"]
        share = "all" if unit["percentile"] == 100 else f"{unit['percentile']:g} %"
        caption = f"mean activation {unit['score']:.3g}, above {share} of 4 images"
        assert f"<strong>{unit['name']}</strong><span>{caption}</span>" in page


def frames_of(path):
    film = Image.open(io.BytesIO(path.read_bytes()))
    for i in range(film.n_frames):
        film.seek(i)
        yield np.asarray(film.convert("RGB"), float)


def test_the_film_ends_with_the_picture(whole):
    last = np.asarray(Image.open(io.BytesIO((whole / "channel-9.png").read_bytes())), float)
    film = list(frames_of(whole / "channel-9.gif"))
    assert len(film) == 5, "one for each step"
    apart = [np.abs(frame - last).mean() for frame in film]
    assert apart[-1] == min(apart)
    assert apart[-1] < 16  # 256 colours, diffused
    assert len(list(frames_of(whole / "sheet.gif"))) == 5
    assert (np.diff(stored(whole, 9)["frames"].astype(float), axis=0) != 0).any((1, 2, 3)).all()


# going on


def test_a_killed_run_goes_on_to_the_same_files(whole, photos, tmp_path):
    # Killed at the worst moment: the third unit is written and has not got its name yet.
    program = """
import os, signal, sys
from jaxviz.cli import main
rename, seen = os.replace, []
def killing(old, new):
    if "channel-" in str(new):
        seen.append(new)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    rename(old, new)
os.replace = killing
main(sys.argv[1:])
"""
    out = tmp_path / "out"
    words = ["features", "shapes-plain", "--weights", "random", "--out", out, *TINY, *FIVE]
    words = [*map(str, words), "--images", str(photos)]
    killed = subprocess.run([sys.executable, "-c", program, *words], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sum(name.endswith(".partial") for name in names(out / "units")) == 1
    assert sum(name.startswith("channel-") for name in names(out / "units")) == 2
    before = (out / "units" / "channel-3.npz").stat().st_mtime_ns
    assert main(words) == 0
    assert (out / "units" / "channel-3.npz").stat().st_mtime_ns == before, "not drawn again"
    assert contents(out) == contents(whole)


def test_an_interrupted_run_says_how_to_go_on(whole, photos, tmp_path, monkeypatch, capsys):
    out, draw, goes = tmp_path / "out", drawing.draw, []

    def interrupted(*args):
        goes.append(args)
        if len(goes) == 2:
            raise KeyboardInterrupt
        return draw(*args)

    command = [out, *TINY, *FIVE, "--images", photos]
    monkeypatch.setattr(drawing, "draw", interrupted)
    assert features(*command) == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(
        r"jaxviz: stopped with 4 of 5 units done; the same command goes on with the others\n",
        said.err,
    )
    assert names(out) == ["units"]
    assert features(*command) == 0
    assert contents(out) == contents(whole)
    assert len(goes) == 3, "the first four units were not drawn again"
    assert features(*command) == 0
    assert len(goes) == 3, "all are there"
    assert contents(out) == contents(whole)


def test_a_unit_looks_alone_as_it_does_with_others(whole, tmp_path):
    assert features(tmp_path / "out", *TINY, "--channels", 7) == 0
    alone, together = stored(tmp_path / "out", 7), stored(whole, 7)
    for name in ("image", "score", "trace"):
        # Batches of another size round in another order, over five steps.
        np.testing.assert_allclose(alone[name], together[name], rtol=1e-4, atol=1e-4)
    assert not np.allclose(alone["image"], stored(whole, 9)["image"], atol=0.1)


def test_units_can_be_added(whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "out")
    assert features(out, *TINY, *FIVE, 12) == 0
    before, now = contents(whole), contents(out)
    assert now.keys() - before.keys() == {f"channel-12.{e}" for e in ("gif", "png")} | {
        "units/channel-12.npz"
    }
    old = [name for name in before if name.startswith(("channel", "units"))]
    assert all(now[name] == before[name] for name in old)
    assert [unit["index"] for unit in units_of(out)] == [3, 9, 0, 30, 7, 12]


def test_a_folder_of_other_options_is_refused(whole, capsys):
    before = contents(whole)
    for options, words in [
        (["--steps", 6, "--seed", 1], ["--steps 5 (now 6)", "--seed 0 (now 1)"]),
        (["--layer", "layer1"], ["--layer layer2 (now layer1)"]),
        (["--views", 2], ["--views 1 (now 2)"]),
        (
            ["--image", "pixel", "--start", "grey"],
            ["--image laplacian_pyramid (now pixel)"],
        ),
    ]:
        said = refusal(capsys, whole, *TINY, "--channels", 1, *options)
        for word in [*words, "give the options of that run to go on with it, or another --out"]:
            assert word in said
    said = refusal(capsys, whole, *TINY, "--channels", 1, weights="shapes")
    assert re.search(r"--weights random \(\w{12}\) \(now shapes \(\w{12}\)\);", said)
    assert contents(whole) == before


def test_a_damaged_unit_is_named(whole, tmp_path, capsys):
    out = shutil.copytree(whole, tmp_path / "out")
    file = out / "units" / "channel-7.npz"
    file.write_bytes(file.read_bytes()[:100])
    assert "channel-7.npz is damaged; remove it" in refusal(capsys, out, *TINY, *FIVE)


# units of all kinds


def test_dead_units_are_told_and_infinite_ones_refused(photos, tmp_path, capsys):
    model = ports.load("shapes-plain", key=jax.random.key(0))
    second = model.layer2
    second.conv2.kernel[...] = second.conv2.kernel[...].at[..., 3].set(0)
    second.bn2.bias[...] = second.bn2.bias[...].at[3].set(-1)
    ports.save(model, tmp_path / "dead.safetensors")
    out = tmp_path / "out"
    options = [*TINY, *FIVE, "--images", photos]
    assert features(out, *options, weights=tmp_path / "dead.safetensors") == 0
    dead, alive, *_ = units_of(out)
    assert dead["dead"]
    assert (dead["score"], dead["percentile"]) == (0, 0)
    assert not alive["dead"]
    page = (out / "index.html").read_text()
    assert "dead: mean activation 0 at every step; the picture shows its start" in page
    assert re.search(r"Nothing reached layer2, channel 3: the score was the same number", page)
    assert "1 of 5" in page

    second.bn2.bias[...] = second.bn2.bias[...].at[9].set(3e38)
    ports.save(model, tmp_path / "infinite.safetensors")
    said = refusal(
        capsys, tmp_path / "infinite", *options, weights=tmp_path / "infinite.safetensors"
    )
    assert "layer2, channel 9 of shapes-plain comes to inf" in said


def test_classes_are_confined_to_where_they_are_seen(tmp_path, monkeypatch):
    # An ascent of the whole net takes long to compile; here it counts what is asked of it.
    asked = []

    def draw(port, units, how):
        asked.append((units, how.region))
        image = np.full((len(units), 16, 16, 3), 0.5)
        zeros = np.zeros(len(units))
        return drawing.Drawn(image, zeros + units, zeros > 0, zeros[:, None], image[:, None] > 0)

    monkeypatch.setattr(drawing, "draw", draw)
    out = tmp_path / "out"
    assert features(out, "--classes", "Star", 0, 3, "--steps", 2, "--size", 16) == 0
    assert asked == [([3, 0], "layer5")]
    record = json.loads((out / "numbers.json").read_text())
    assert [(one["name"], one["score"]) for one in record["units"]] == [("star", 3), ("circle", 0)]
    assert record["region"] == "layer5"
    assert names(out)[:2] == ["class-0-circle.png", "class-3-star.png"]
    assert "<strong>star</strong><span>logit 3</span>" in (out / "index.html").read_text()


def test_regions():
    from jaxviz.cli.features import _region

    port = inputs.load_port("shapes-plain", "random")
    assert _region(port, None, "auto") == "layer5"
    assert _region(port, None, "none") is None
    assert _region(port, None, "layer4") == "layer4"
    assert _region(port, "layer3", "auto") is None
    assert _region(port, "layer3", "layer3.conv1") == "layer3.conv1"


def test_all_channels_and_the_first_nine():
    from jaxviz.cli.features import _channels

    port = inputs.load_port("shapes-plain", "random")
    assert _channels(port, "layer1", ("all",)) == list(range(16))
    assert _channels(port, "layer1", ()) == list(range(9))
    assert _channels(port, "layer1", ("5", "2", "5")) == [5, 2]


def test_an_image_of_phases_climbs_with_an_optimizer_of_its_own():
    port = inputs.load_port("shapes-plain", "shapes")
    how = drawing.Drawing("layer1", size=16, steps=16, image="maco")
    found = drawing.draw(port, [2, 5], how)
    assert np.isfinite(found.image).all()
    # The trace is of jittered images; the climb is many times as large as what that changes.
    assert (found.trace[:, -1] > found.trace[:, 0]).all()


def test_an_ascent_starts_from_a_photograph(photos, tmp_path):
    start = drawing.start_of(str(photos / "four.png"), ports.card("shapes-plain"), 24)
    port = inputs.load_port("shapes-plain", "shapes")
    how = drawing.Drawing("layer1", size=24, steps=1, start=start)
    found = drawing.draw(port, [2], how)
    # One step moves the parameters by 0.01 in the root mean square, and the sigmoid by a quarter.
    assert np.abs(found.image[0] - start).max() < 0.05
    # 73 x 90 pixels: the shorter side becomes 24, the longer one 29, and two or three go.
    whole = jv.data.load_image(photos / "four.png")
    rows = report.enlarge(whole, (29, 24))[2:26]
    expected = np.asarray(rows)
    assert np.abs(start - expected).max() < 1.5 / 255


def test_the_frames_that_are_kept_end_with_the_last_step():
    for steps in (1, 5, 24, 25, 50, 256):
        kept = drawing.Drawing(None, size=8, steps=steps).kept
        assert kept[-1] == steps
        assert kept == sorted(set(kept))
        assert min(steps, 12) <= len(kept) <= 25


# real images


def test_the_images_of_shapes_do_not_depend_on_the_batch():
    source = real_images.source_of("shapes", inputs.load_port("shapes-plain", "random"))
    assert (source.count, source.words) == (2000, "2,000 images of the shapes set")
    first, second = source.read(0, 3), source.read(1, 3)
    assert first.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(first[1:], second[:2])
    assert len(np.unique(first.reshape(3, -1), axis=0)) == 3


def test_a_percentile_is_never_rounded_up_to_all():
    real = real_images.Real(np.arange(3000.0), "3,000 images")
    assert real.compared(2999) == "above 99.9 % of 3,000 images"
    assert real.compared(3000) == "above all of 3,000 images"
    assert real.compared(-1) == "above 0 % of 3,000 images"
    assert real.summary(1500) == {"percentile": 50, "real_median": 1499.5, "real_maximum": 2999}


# what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "either --layer .* or --classes"),
        (["--classes", "star", "--channels", "1"], "--channels needs --layer"),
        (["--layer", "layer9"], "unknown layer 'layer9'; nearest: layer"),
        (["--layer", "layer1", "--channels", "16"], "--channels of layer1 .* from 0 to 15, not 16"),
        (["--layer", "layer1", "--channels", "x"], "from 0 to 15, not x"),
        (["--classes", "sun"], "unknown class 'sun'"),
        (["--classes", "11"], "--classes must be a class from 0 to 9, not 11"),
        (["--classes", "1", "--steps", "0"], "--steps must be at least 1, not 0"),
        (["--classes", "1", "--views", "0"], "--views must be at least 1, not 0"),
        (["--classes", "1", "--memory", "0"], "--memory must be at least 1, not 0"),
        (["--classes", "1", "--size", "2"], "--size must be from 8"),
        (["--classes", "1", "--image", "pixels"], "unknown kind of image 'pixels'; nearest: pixel"),
        (["--classes", "1", "--image", "cppn", "--start", "grey"], "another --image than cppn"),
        (["--classes", "1", "--start", "no.png"], "no image file no.png"),
        (["--classes", "1", "--images", "nowhere"], "no image file or folder nowhere"),
        (["--classes", "1", "--images", __file__], '--images must be a folder or "shapes"'),
        (["--classes", "1", "--region", "layer6"], "unknown layer 'layer6'"),
        (["--classes", "1", "--region", "fc"], "--region must be a layer with positions; 'fc'"),
        (["--layer", "layer1", "--region", "layer2"], "--region must not come after --layer"),
        (["--classes", "1", "--size", "512", "--memory", "1"], "memory must hold a step of 1 im"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(
    options, words, tmp_path, capsys
):
    assert re.search(words, refusal(capsys, tmp_path / "out", *options))
    assert names(tmp_path) == []


def test_a_photograph_that_is_damaged_is_named(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos")
    (photos / "a" / "two.jpg").write_bytes(b"no image")
    command = [tmp_path / "out", *TINY, *FIVE, "--images", photos]
    assert re.search(r"two\.jpg is not an image", refusal(capsys, *command))
    assert names(tmp_path) == ["photos"]
