"""`jaxviz sweep`, end to end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxviz as jv
from jaxviz.cli import main, sweep
from jaxviz.sweep import Progress

NET = ["--model", "shapes-plain"]


def run(*args):
    return main([str(arg) for arg in args])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    options = ["--method", "grad_cam", "--curves", 4, "--batch", 2]
    assert run("sweep", "shapes:9", *NET, *options, "--out", folder / "maps.zarr") == 0
    return folder


def test_page_journal_and_store_lie_side_by_side(done):
    assert sorted(os.listdir(done)) == ["maps-page", "maps.jsonl", "maps.zarr"]
    page = (done / "maps-page" / "index.html").read_text()
    assert not re.search("https?:", page)
    assert page.count('alt="') == page.count("<img") > 9
    numbers = json.loads((done / "maps-page" / "numbers.json").read_text())
    assert numbers["counts"]["done"] == 9
    assert numbers["parameters"]["method"] == "grad-cam"
    assert numbers["parameters"]["layer"] == "layer5"
    assert set(numbers["means"]) == {
        "probability",
        "deletion_area",
        "insertion_area",
        "in_object",
    }
    found = jv.sweep_status(done / "maps.zarr")
    assert numbers["means"]["in_object"] == pytest.approx(found.scores["in_object"].mean())
    events = [json.loads(line) for line in (done / "maps.jsonl").read_text().splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["begin", "end"]
    assert events[-2]["done"] == events[-2]["total"] == 9


def test_status_is_told(done, capsys):
    assert run("sweep", "--status", done / "maps.zarr") == 0
    said = capsys.readouterr().out
    assert re.search(r"method +grad-cam\n", said)
    assert re.search(r"done +9\n", said)
    assert said.endswith("all images are done; wrote nothing\n")


def test_the_same_again_has_nothing_to_do(done, capsys):
    before = (done / "maps.zarr" / "status" / "c" / "0").stat().st_mtime_ns
    options = ["--method", "grad-cam", "--curves", 4, "--batch", 2]
    assert run("sweep", "shapes:9", *NET, *options, "--out", done / "maps.zarr") == 0
    assert capsys.readouterr().out.startswith("9 images, in ")
    assert (done / "maps.zarr" / "status" / "c" / "0").stat().st_mtime_ns == before


def test_a_folder_with_broken_files(tmp_path, capsys):
    for i in range(3):
        (tmp_path / "images" / "cats").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (70 + i, 80), (90 * i, 30, 200)).save(
            tmp_path / "images" / "cats" / f"{i}.png"
        )
    (tmp_path / "images" / "cats" / "x.png").write_text("no image")
    options = ["--method", "occlusion", "--window", 32, "--stride", 32, "--fill", "mean"]
    out = tmp_path / "maps.zarr"
    assert run("sweep", tmp_path / "images", *NET, *options, "--out", out) == 0
    assert "3 images and 1 failure, in " in capsys.readouterr().out
    assert "cats/x.png" in (tmp_path / "maps-page" / "index.html").read_text()
    assert run("sweep", "--status", out) == 0
    assert re.search(r"unreadable +cats/x.png: .*is not an image", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "sweep needs DATA and --model and --out, or --status STORE"),
        (["shapes:4", *NET], "sweep needs --out"),
        (["shapes:4", "--model", "shape", "--out", "m"], "unknown model 'shape'"),
        (["shapes:4", *NET, "--out", "m", "--method", "gradcam"], "nearest: grad-cam"),
        (["nowhere", *NET, "--out", "m"], "no folder of images nowhere"),
        (["shapes:4", *NET, "--out", "m", "--batch", "0"], "--batch must be at least 1"),
        (["shapes:4", *NET, "--out", "m", "--window", "65"], "--window must be from 1 to 64"),
        (["shapes:4", *NET, "--out", "m", "--target", "rign"], "nearest: ring"),
        (["digits", *NET, "--out", "m", "--seed", "-1"], "--seed must be from 0"),
        (["shapes:4", *NET, "--out", "m", "--processes", "2"], "must be given together"),
        (
            [*("shapes:4", *NET, "--out", "m"), *("--processes", "2", "--process", "0")]
            + ["--coordinator", "first-machine"],
            "--coordinator must be HOST:PORT",
        ),
        (["--status", "nowhere"], "no store of a sweep at nowhere"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("sweep", *options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(rf"jaxviz: .*{words}.*\n", said.err)
    assert os.listdir(tmp_path) == []


def test_other_options_are_refused_by_name(done, tmp_path, capsys):
    store, page = done / "maps.zarr", ["--page", tmp_path / "page", "--log", tmp_path / "log"]
    assert run("sweep", "shapes:9", *NET, "--method", "saliency", "--out", store, *page) == 2
    said = capsys.readouterr().err
    for words in ("method grad-cam (now saliency)", "layer layer5 (now not given)"):
        assert words in said
    assert said.count("\n") == 1


def test_processes_that_do_not_find_each_other(capsys, monkeypatch, tmp_path):
    def alone(*arguments):
        raise ValueError("coordinator_address should be defined.\nMore of it.")

    monkeypatch.setattr(sweep.jax.distributed, "initialize", alone)
    assert run("sweep", "shapes:4", *NET, "--out", tmp_path / "m", "--distributed") == 2
    said = capsys.readouterr().err
    assert said == (
        "jaxviz: the processes do not find each other: coordinator_address should be defined.\n"
    )


def test_every_process_has_a_journal_of_its_own(monkeypatch):
    assert sweep._beside("a/m.zarr", None, None) == ("a/m-page", "a/m.jsonl")
    monkeypatch.setattr(sweep.jax, "process_count", lambda: 2)
    monkeypatch.setattr(sweep.jax, "process_index", lambda: 1)
    assert sweep._beside("a/m.zarr", None, None) == ("a/m-page", "a/m-1.jsonl")
    assert sweep._beside("gs://b/m.zarr", "p", "x/log.txt") == ("p", "x/log-1.txt")


def test_a_full_device_is_said_once(capsys):
    shown = []
    watch = sweep._watch(shown.append)
    for done, turns in enumerate([1, 2, 2, 4]):
        watch(Progress(4, done, 0, 1.0, 0.0, None, turns))
    assert len(shown) == 4
    said = capsys.readouterr().err.splitlines()
    assert ["in 2 turns" in said[0], "in 4 turns" in said[1], len(said)] == [True, True, 2]


def test_the_input_is_the_cards():
    import ports

    card, image = ports.card("resnet18"), np.random.default_rng(0).random((90, 70, 3), np.float32)
    # A division by the device and one by the processor may differ in the last bit.
    np.testing.assert_allclose(sweep._prepare(card)(image), card.preprocess(image)[0], rtol=1e-6)


def test_ctrl_c_says_how_to_go_on(tmp_path):
    words = ["sweep", "shapes:400", *NET, "--method", "saliency", "--batch", "2"]
    code = "import sys; from jaxviz.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words, "--out", str(tmp_path / "maps.zarr")],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(jv.__file__).parents[1],
    )
    deadline = time.monotonic() + 120
    while not [*tmp_path.glob("maps.zarr/status/c/*")] and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    found = re.search(r"jaxviz: stopped with (\d+) of 400 images done; the same command", said)
    assert found, said
    counts = jv.sweep_status(tmp_path / "maps.zarr").counts
    assert 0 < counts["done"] == int(found[1]) < 400
