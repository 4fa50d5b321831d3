"""Every public function: documented, with an example; options by keyword, keys first."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jaxviz
import ports

ROOT = Path(jaxviz.__file__).parents[1]
MODULES = [
    module.name
    for package in (jaxviz, ports)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


def public():
    """The functions that the packages' `__init__` files offer, by name."""
    found = {}
    for name in [
        "jaxviz",
        "ports",
        "jaxviz.data",
        "jaxviz.diagram",
        "jaxviz.perturb",
        "jaxviz.report",
        "jaxviz.studies",
        "jaxviz.sweep",
        "jaxviz.synthesis",
        "jaxviz.synthesis.images",
        "jaxviz.synthesis.objectives",
        "jaxviz.synthesis.regularizers",
        "jaxviz.synthesis.transforms",
        "jaxviz.training",
        "jaxviz.transform",
    ]:
        module = importlib.import_module(name)
        for attribute in getattr(module, "__all__", vars(module)):
            value = getattr(module, attribute)
            function = inspect.unwrap(value) if callable(value) else value
            if inspect.isfunction(function) and not attribute.startswith("_"):
                found[f"{function.__module__}.{function.__qualname__}"] = function
    return found


FUNCTIONS = public()


def test_there_is_something_to_walk():
    assert len(FUNCTIONS) > 40
    assert "jaxviz.attribution.occlusion.occlusion" in FUNCTIONS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring(name):
    text = inspect.getdoc(FUNCTIONS[name])
    assert text, "has no docstring"
    assert re.match(r"[^\n]+[.:]\n|[^\n]+\.$|[^\n]+\n[^\n]+\.\n", text), "begins with one sentence"
    assert ">>>" in text, "has no example"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments(name):
    parameters = list(inspect.signature(FUNCTIONS[name]).parameters.values())
    for parameter in parameters:
        assert parameter.annotation is not parameter.empty, f"{parameter.name} has no type"
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    options = [p.name for p in positional if p.default is not p.empty]
    # One option may follow by position where it is what the function is about.
    assert len(options) <= 1, f"options {options} should be keyword-only"
    names = [p.name for p in positional]
    assert "key" not in names or names[0] == "key", "the key comes first"


@pytest.mark.parametrize("module", MODULES)
def test_only_public_jax_is_used(module):
    source = inspect.getsource(importlib.import_module(module))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            assert not any("_src" in name for name in names)


ALLOWED = {
    "transform": set(),
    "attribution": {"transform", "synthesis"},
    "synthesis": {"transform", "perturb"},
    "perturb": set(),
    "report": set(),
    "studies": {"attribution", "transform", "synthesis", "perturb", "data", "training"},
    "data": set(),
    "diagram": {"transform"},
    "sweep": {"attribution", "transform", "synthesis", "perturb", "data"},
}


@pytest.mark.parametrize("package", ALLOWED)
def test_who_imports_whom(package):
    for path in (ROOT / "jaxviz" / package).rglob("*.py"):
        text = path.read_text()
        imported = set(re.findall(r"^\s*(?:from|import) jaxviz\.(\w+)", text, re.M))
        imported |= set(re.findall(r"^\s*from jaxviz import (\w+)", text, re.M))
        assert imported <= ALLOWED[package] | {package}, path.name
        assert not re.search(r"^\s*(?:from|import) ports", path.read_text(), re.M), path.name


def test_ports_uses_tap_alone():
    for path in (ROOT / "ports").rglob("*.py"):
        lines = re.findall(r"^[ \t]*(?:from|import) jaxviz.*$", path.read_text(), re.M)
        assert set(lines) <= {"from jaxviz import tap"}, path.name


def test_import_leaves_pictures_and_weights_alone():
    late = ["matplotlib", "ports", "torch", "tyro", "orbax.checkpoint", "huggingface_hub"]
    late += ["sklearn", "tensorflow_datasets", "tensorflow", "yaml", "tensorstore"]
    late += ["graphviz", "daft", "onnx", "jax2onnx"]
    code = f"import sys, jaxviz; print([m for m in {late} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert printed.strip() == "[]"
