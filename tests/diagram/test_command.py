"""`jv.diagram` and `jaxviz diagram`: what is written, and what is refused."""

import re
import shutil

import jax
import jax.numpy as jnp
import pytest

import jaxviz as jv
from jaxviz.cli import main
from jaxviz.diagram.formats import FORMATS

# What needs no package beside jaxviz's own, and no program.
ALONE = ["text", "mermaid", "tikz", "plotneuralnet", "prototxt"]


def run(*words):
    return main([str(word) for word in words])


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def refusal(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("jaxviz: ")
    return lines[0]


def test_every_format_of_text(linen_model):
    model, x = linen_model
    for name in ALONE:
        written = jv.diagram(model, x, name, title="linen")
        assert isinstance(written, str)
        assert "linen" in written
        assert written.endswith("\n")


def test_depth(linen_model):
    model, x = linen_model
    text = jv.diagram(model, x, depth=1)
    assert re.search(r"^block1–2 ×2 +conv 3×3, 3×3, add +8×8×8 ", text, re.MULTILINE)
    assert "block1.Conv_0" in jv.diagram(model, x)


def test_a_model_under_jit_draws_too(linen_model):
    _, x = linen_model
    text = jv.diagram(jax.jit(lambda x: jv.tap(jax.nn.relu(x), "relu")), x)
    assert re.search(r"^relu +ReLU ", text, re.MULTILINE)


def test_refusals():
    x = jnp.ones((1, 2))
    with pytest.raises(ValueError, match=r"unknown format 'prototext'; nearest: prototxt"):
        jv.diagram(jnp.sin, x, "prototext")
    with pytest.raises(ValueError, match="depth must be at least 1, not 0"):
        jv.diagram(jnp.sin, x, "onnx", depth=0)
    with pytest.raises(NotImplementedError, match="no layer for 'sin', which 'sin' is"):
        jv.diagram(jnp.sin, x, "prototxt")


def test_command_writes_each_format(tmp_path, capsys):
    out = tmp_path / "out"
    assert run("diagram", "shapes-plain", "--format", *ALONE, "convnetdraw", "--out", out) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "219,514 parameters, 38,683,424 multiplications" in said
    assert names(out) == sorted(
        f"shapes-plain{FORMATS[name].suffix}" for name in [*ALONE, "convnetdraw"]
    )


def test_what_fails_does_not_keep_the_rest_from_being_written(tmp_path, capsys):
    formats = ["text", "convnetdraw", "svgg", "prototxt"]
    assert run("diagram", "shapes-dense", "--format", *formats, "--out", tmp_path) == 2
    sentence = refusal(capsys)
    assert "convnetdraw: ConvNetDraw draws one layer after the other, and 'pool1'" in sentence
    assert "unknown format 'svgg'; nearest: svg" in sentence
    assert names(tmp_path) == ["shapes-dense.prototxt", "shapes-dense.txt"]


def test_missing_programs_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert run("diagram", "shapes-plain", "--format", "pdf", "text", "--out", tmp_path) == 2
    assert refusal(capsys) == (
        "jaxviz: pdf: the format pdf needs the program pdflatex; on Debian, "
        "apt-get install texlive-latex-base texlive-pictures brings it"
    )
    assert names(tmp_path) == ["shapes-plain.txt"]


def test_missing_packages_are_named(tmp_path, capsys, monkeypatch):
    for name in ("graphviz", "daft", "jax2onnx"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    formats = ["dot", "daft", "onnx"]
    assert run("diagram", "shapes-plain", "--format", *formats, "--out", tmp_path / "out") == 2
    sentence = refusal(capsys)
    for package in ("graphviz", "daft-pgm", "jax2onnx"):
        assert f"needs the package {package}; pip install 'jaxviz[diagram]' brings it" in sentence
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["vgg61"], "unknown model 'vgg61'; nearest: vgg1"),
        (["vgg16", "--size", "0"], "--size must be from 1 to 4096 pixels, not 0"),
        (["vgg16", "--size", "3"], "--size 3 does not suit vgg16"),
        (["vgg16", "--depth", "0"], "--depth must be at least 1, not 0"),
        (["vgg16", "--format"], "--format"),
    ],
)
def test_options_that_cannot_be_used(options, words, tmp_path, capsys):
    assert run("diagram", *options, "--out", tmp_path / "out") == 2
    assert words in refusal(capsys)
    assert names(tmp_path) == []
