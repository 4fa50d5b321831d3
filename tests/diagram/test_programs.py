"""Each format read by the program it is for; what is not installed is skipped, by name."""

import collections
import io
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import ports
from jaxviz.diagram import dot, plates, plotneuralnet, tikz
from jaxviz.diagram.architecture import architecture
from jaxviz.diagram.blocks import collapsed
from jaxviz.diagram.onnx_file import onnx
from jaxviz.transform import as_argument

NETWORKS = [*ports.names(), "linen", "equinox"]


def installed(program, package):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing: apt-get install {package}")


@pytest.fixture
def drawn(request, port_graph):
    def graph(name):
        if name in ("linen", "equinox"):
            return architecture(*request.getfixturevalue(f"{name}_model"))
        return collapsed(port_graph(name))

    return graph


# Graphviz


@pytest.mark.parametrize("name", NETWORKS)
def test_graphviz_reads_every_network(name, drawn):
    pytest.importorskip("graphviz", reason="the package graphviz is missing")
    installed("dot", "graphviz")
    graph = drawn(name)
    text = dot.source(graph, title=name)
    # -Tplain lays out the graph and tells what it understood.
    plain = subprocess.run(
        ["dot", "-Tplain"], input=text, capture_output=True, text=True, check=True
    )
    assert plain.stderr == ""
    lines = [line.split()[0] for line in plain.stdout.splitlines()]
    assert lines.count("node") == len(graph.nodes)
    assert lines.count("edge") == len(list(graph.edges()))


@pytest.mark.parametrize("name", ["resnet50", "shapes-residual"])
def test_graphviz_draws(name, drawn):
    pytest.importorskip("graphviz", reason="the package graphviz is missing")
    installed("dot", "graphviz")
    svg = dot.svg(drawn(name), title=name).decode()
    assert all(f">{node.name}" in svg for node in drawn(name).nodes)
    picture = Image.open(io.BytesIO(dot.png(drawn(name), title=name)))
    assert picture.height > picture.width > 200


# TeX


@pytest.mark.parametrize("name", NETWORKS)
def test_pdflatex_compiles_the_drawing(name, drawn):
    installed("pdflatex", "texlive-latex-base texlive-pictures")
    pdf = tikz.pdf(drawn(name), title=name)
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type/Page") <= 1


# What PlotNeuralNet's macros take, no more: another key is an error.
_MACROS = r"""\usetikzlibrary{arrows.meta}
\def\edgecolor{black}
\newcommand{\midarrow}{\tikz\draw[-Stealth] (-0.3,0) -- ++(0.3,0);}
\pgfkeys{/solid/.cd,name/.store in=\solidname,caption/.store in=\solidcaption,
  xlabel/.store in=\solidx,zlabel/.store in=\solidz,fill/.store in=\solidfill,
  bandfill/.store in=\solidband,height/.store in=\solidheight,width/.store in=\solidwidth,
  depth/.store in=\soliddepth,opacity/.store in=\solidopacity,radius/.store in=\solidradius,
  logo/.store in=\solidlogo,caption={},logo={},zlabel={}}
\newcommand{\solid}{\node[draw] (\solidname-anchor) {\solidcaption\ \solidz\ \solidlogo};
  \foreach \side in {east,west,north}
    {\coordinate (\solidname-\side) at (\solidname-anchor.\side);}}
\tikzset{Box/.pic={\pgfkeys{/solid/.cd,#1}\fill[fill=\solidfill] (0,0) circle (1pt);\solid},
  RightBandedBox/.pic={\pgfkeys{/solid/.cd,#1}\fill[fill=\solidband] (0,0) circle (1pt);\solid},
  Ball/.pic={\pgfkeys{/solid/.cd,#1}\solid}}
"""


@pytest.mark.parametrize("name", NETWORKS)
def test_pdflatex_compiles_plotneuralnet(name, drawn, tmp_path):
    installed("pdflatex", "texlive-latex-base texlive-pictures")
    own = os.environ.get("PLOTNEURALNET")
    if own:
        shutil.copytree(Path(own) / "layers", tmp_path / "layers")
    else:
        (tmp_path / "layers").mkdir()
        (tmp_path / "layers" / "init.tex").write_text(_MACROS)
    # These two are in texlive-latex-extra, which is large.
    (tmp_path / "standalone.cls").write_text(
        "\\LoadClass{article}\\RequirePackage{tikz}"
        "\\usepackage[paperwidth=200cm,paperheight=60cm]{geometry}"
    )
    (tmp_path / "import.sty").write_text("\\newcommand{\\subimport}[2]{\\input{#1#2}}")
    (tmp_path / "net.tex").write_text(plotneuralnet.plotneuralnet(drawn(name), title=name))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "net.tex"],
        cwd=tmp_path,
        env={**os.environ, "TEXINPUTS": ".:layers:"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-1500:]


# DAFT


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_daft_draws(name, drawn):
    pytest.importorskip("daft", reason="the package daft-pgm is missing")
    picture = np.asarray(Image.open(io.BytesIO(plates.png(drawn(name), title=name))).convert("RGB"))
    assert plates.pdf(drawn(name), title=name).startswith(b"%PDF")
    # Nothing touches the border, so nothing is clipped.
    border = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
    assert all((edge == 255).all() for edge in border)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


# ONNX and Netron


def as_onnx(model, x, name):
    pytest.importorskip("jax2onnx", reason="the package jax2onnx is missing")
    return onnx(model, x, title=name)


@pytest.fixture(scope="module")
def shapes_file():
    model = ports.load("shapes-residual", weights="shapes")
    return as_onnx(model, jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32), "shapes-residual")


class Exported(NamedTuple):
    name: str
    model: Any
    x: jax.Array
    file: bytes


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request):
    """Every network with random weights, for images of 64 pixels where it is a port."""
    if request.param in ("linen", "equinox"):
        model, x = request.getfixturevalue(f"{request.param}_model")
    else:
        model, x = ports.load(request.param, key=jax.random.key(0)), jnp.zeros((1, 64, 64, 3))
    x = jax.random.normal(jax.random.key(1), x.shape)
    return Exported(request.param, model, x, as_onnx(model, x, request.param))


def computed(file, x):
    runtime = pytest.importorskip("onnxruntime", reason="the package onnxruntime is missing")
    session = runtime.InferenceSession(file)
    (given,) = session.get_inputs()
    return session.run(None, {given.name: np.asarray(x)})[0]


def compared(model, x, name, file=None):
    """ONNX Runtime's logits beside JAX's: the same sums in another order, in float32."""
    file = as_onnx(model, x, name) if file is None else file
    expected = np.asarray(jax.jit(lambda model, x: model(x))(as_argument(model), x))
    error = np.abs(computed(file, x) - expected).max()
    assert error <= 1e-4 * max(1, np.abs(expected).max())


def test_onnx_computes_the_same(exported):
    compared(exported.model, exported.x, exported.name, exported.file)


def test_onnx_of_trained_weights(shapes_file):
    model = ports.load("shapes-residual", weights="shapes")
    x = jax.random.normal(jax.random.key(1), (1, 64, 64, 3))
    compared(model, x, "shapes-residual", shapes_file)


def test_onnx_of_pooling_of_other_kinds():
    def model(x):
        x = nnx.avg_pool(x, (2, 2), (2, 2))
        x = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 1, 1, 3), (1, 1, 1, 1), "SAME")
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 2, 1), (1, 2, 1, 1), "SAME")

    compared(model, jax.random.normal(jax.random.key(1), (2, 12, 12, 5)), "pooling")


def test_onnx_needs_weights():
    pytest.importorskip("jax2onnx", reason="the package jax2onnx is missing")
    net = nnx.eval_shape(lambda: ports.new("shapes-plain", rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="holds the weights, and the model has only their shapes"):
        onnx(net, jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32), title="shapes-plain")


def test_onnx_has_a_node_for_each_layer(shapes_file):
    onnx_package = pytest.importorskip("onnx", reason="the package onnx is missing")
    onnx_package.checker.check_model(onnx_package.load_from_string(shapes_file))
    counts = operators(shapes_file)
    assert (counts["Conv"], counts["Relu"], counts["MaxPool"], counts["Gemm"]) == (13, 9, 3, 1)


def operators(file):
    import onnx as onnx_package

    return collections.Counter(
        node.op_type for node in onnx_package.load_from_string(file).graph.node
    )


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the package playwright is missing"
    )
    installed("chromium", "chromium")
    with playwright.sync_playwright() as programs:
        chromium = programs.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield chromium
        chromium.close()


def test_netron_shows_every_operator(exported, browser, tmp_path, capfd):
    netron = pytest.importorskip("netron", reason="the package netron is missing")
    (tmp_path / "net.onnx").write_bytes(exported.file)
    host, port = netron.start(str(tmp_path / "net.onnx"), address=("127.0.0.1", 0), browse=False)
    context = browser.new_context(viewport={"width": 600, "height": 900})
    try:
        # Netron asks before it sends statistics; the browser can reach nobody else anyway.
        address = f"http://{host}:{port}/"
        context.add_cookies([{"name": "consent", "value": "1", "url": address}])
        # It also takes `eval` away, by which the browser is asked what it shows.
        context.add_init_script(
            "const own = eval; Object.defineProperty(window, 'eval', {get: () => own, set() {}})"
        )
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("body.default", timeout=400_000)
        named = page.locator("text").all_text_contents()
        picture = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    finally:
        context.close()
        netron.stop((host, port))
    expected = operators(exported.file)
    assert collections.Counter(name for name in named if name in expected) == expected
    # Netron's boxes are red, blue and green on white.
    assert (np.ptp(picture, axis=-1) > 40).sum() > 500
