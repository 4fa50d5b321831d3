"""What an architecture can be written as."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxviz.diagram import (
    convnetdraw,
    dot,
    mermaid,
    onnx_file,
    plates,
    plotneuralnet,
    prototxt,
    text,
    tikz,
)
from jaxviz.diagram.architecture import architecture
from jaxviz.diagram.blocks import collapsed
from jaxviz.diagram.graph import Graph

__all__ = ["FORMATS", "Format", "checked_format", "diagram", "written"]


class Format(NamedTuple):
    """A kind of file.

    Attributes:
      suffix: how the file's name ends.
      words: what it is for.
      write: makes it of a graph and a title; None for ONNX, which is made of the model itself.
      collapses: whether it shows blocks; the others describe every layer.
    """

    suffix: str
    words: str
    write: Callable[..., str | bytes] | None
    collapses: bool = True


FORMATS: dict[str, Format] = {
    "text": Format(".txt", "a table", text.table),
    "dot": Format(".dot", "Graphviz", dot.source),
    "svg": Format(".svg", "Graphviz, drawn by dot", dot.svg),
    "png": Format(".png", "Graphviz, drawn by dot", dot.png),
    "mermaid": Format(".mmd", "Mermaid, for a README", mermaid.flowchart),
    "tikz": Format(".tex", "LaTeX with TikZ alone", tikz.tikz),
    "pdf": Format(".pdf", "the same, compiled by pdflatex", tikz.pdf),
    "plotneuralnet": Format(
        ".plotneuralnet.tex", "LaTeX over PlotNeuralNet's macros", plotneuralnet.plotneuralnet
    ),
    "daft": Format(".daft.png", "a graphical model, by daft-pgm", plates.png),
    "daft-pdf": Format(".daft.pdf", "the same as PDF", plates.pdf),
    "prototxt": Format(".prototxt", "Caffe's, for Netscope", prototxt.prototxt, collapses=False),
    "convnetdraw": Format(
        ".convnetdraw.txt",
        "for ConvNetDraw, sequential networks",
        convnetdraw.script,
        collapses=False,
    ),
    "onnx": Format(".onnx", "for Netron, with the weights", None, collapses=False),
}
"""The formats by name."""


def checked_format(name: str) -> Format:
    """The format `name`; ValueError lists the nearest names if there is none."""
    if name in FORMATS:
        return FORMATS[name]
    near = difflib.get_close_matches(str(name), FORMATS, n=3, cutoff=0.4)
    nearest = f"nearest: {', '.join(near)}; " if near else ""
    raise ValueError(f"unknown format '{name}'; {nearest}there are {', '.join(FORMATS)}.")


def diagram(
    model: Callable,
    x: Any,
    format: str = "text",
    *,
    depth: int | None = None,
    title: str = "model",
) -> str | bytes:
    """A model's architecture for a tool that draws it, or for people.

    The graph is read from the model's program, so any model will do: Flax NNX, Flax Linen, Equinox,
    a bare function. Taps and the paths of Flax modules name the layers. A bias belongs to its
    convolution, batch normalisation is one layer, a product at every place of an image is a 1x1
    convolution. Nothing is computed, and only "onnx" needs real weights.

    Args:
      model: a callable pytree; `jax.ShapeDtypeStruct` may stand for its arrays.
      x: its input, or a `jax.ShapeDtypeStruct` of it; multiplications are counted for all of it.
      format: what to write.
        "text": a table of layers, shapes, parameters and multiplications.
        "dot", "svg", "png": Graphviz; the latter two need the program `dot`.
        "mermaid": a flowchart that GitHub draws from the text of a README.
        "tikz", "pdf": LaTeX that needs TikZ alone; "pdf" needs `pdflatex`.
        "plotneuralnet": LaTeX over the macros of PlotNeuralNet.
        "daft", "daft-pdf": a graphical model as PNG and PDF, repeated blocks on plates.
        "prototxt": Caffe's description, which Netscope draws.
        "convnetdraw": for ConvNetDraw; sequential networks only.
        "onnx": the model with its weights, which Netron shows and ONNX Runtime computes.
      depth: how many parts of a layer's name are told apart: at depth 1 of `layer1.0.conv1` only
        `layer1`. By default as many as give at most 48 boxes. Repeated blocks are drawn once, with
        their number. "prototxt", "convnetdraw" and "onnx" have every layer at any depth.
      title: the model's name.

    Returns:
      Text, or the bytes of a file ("svg", "png", "pdf", "daft", "daft-pdf", "onnx").

    Raises:
      ValueError: an unknown format, or a depth below 1.
      ImportError: a package or a program that the format needs is not installed; the message says
        what to install.
      NotImplementedError: the format has no way to say what a layer does; the layer is named.
      TypeError: the model cannot be called, or its input is no single array.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> weights = jax.tree_util.Partial(lambda w, x: jv.tap(x @ w, "fc"), jnp.ones((2, 3)))
      >>> print(jv.diagram(weights, jnp.ones((1, 2)), title="tiny"))
      tiny, input (1, 2)
      layer   operation   output   parameters   multiplications   reads
      input   input       2
      fc      dense, 3    3                 6                 6   input
      6 parameters, 6 multiplications

    References:
      Netron, https://netron.app. Netscope, https://ethereon.github.io/netscope.
      ConvNetDraw, https://cbovar.github.io/ConvNetDraw.
      Iqbal, PlotNeuralNet, 2018, doi:10.5281/zenodo.2526396.
      Foreman-Mackey et al., DAFT, https://docs.daft-pgm.org.
    """
    return written(model, x, architecture(model, x), format, depth=depth, title=title)


def written(
    model: Callable, x: Any, graph: Graph, format: str, *, depth: int | None, title: str
) -> str | bytes:
    """As `diagram`, of a model whose graph is known."""
    chosen = checked_format(format)
    if depth is not None and depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}.")
    if chosen.write is None:
        return onnx_file.onnx(model, x, title=title)
    return chosen.write(collapsed(graph, depth) if chosen.collapses else graph, title=title)
