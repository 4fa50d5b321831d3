"""Graphviz: the graph in its language, and drawn by its program."""

from __future__ import annotations

from typing import Any

from jaxviz.diagram.graph import Graph
from jaxviz.diagram.labels import colour, lines
from jaxviz.diagram.needed import package, program
from jaxviz.diagram.nesting import Nest, nested

__all__ = ["png", "source", "svg"]


def source(graph: Graph, *, title: str) -> str:
    """The graph in Graphviz's language, blocks as frames, repeated blocks with a double border.

    Args:
      graph: of layers or of blocks.
      title: the model's name.

    Returns:
      Text, as `dot` reads it.

    Raises:
      ImportError: the package graphviz is not installed.
    """
    return _drawing(graph, title).source


def svg(graph: Graph, *, title: str) -> bytes:
    """As `source`, drawn as SVG.

    Raises:
      ImportError: the package graphviz or the program `dot` is not installed.
    """
    return _rendered(graph, title, "svg")


def png(graph: Graph, *, title: str) -> bytes:
    """As `source`, drawn as PNG.

    Raises:
      ImportError: the package graphviz or the program `dot` is not installed.
    """
    return _rendered(graph, title, "png")


def _rendered(graph: Graph, title: str, kind: str) -> bytes:
    drawing = _drawing(graph, title)
    program("dot", "graphviz", f"the format {kind}")
    return drawing.pipe(format=kind)


def _drawing(graph: Graph, title: str) -> Any:
    graphviz = package("graphviz", "graphviz", "Graphviz's language")
    font = {"fontname": "Helvetica", "fontsize": "10"}
    drawing = graphviz.Digraph(
        title,
        graph_attr={
            "label": graphviz.escape(title),
            "labelloc": "t",
            "nodesep": "0.3",
            "ranksep": "0.3",
            "fontname": "Helvetica",
            "fontsize": "14",
        },
        node_attr={"shape": "box", "style": "rounded,filled", "margin": "0.15,0.06", **font},
        edge_attr={"arrowsize": "0.6", "color": "#555555"},
    )
    # Numbers for the nodes: a colon in a name would be read as a port.
    number = {node.name: f"n{i}" for i, node in enumerate(graph.nodes)}
    _fill(drawing, nested(graph.nodes), number)
    for source, target in graph.edges():
        drawing.edge(number[source], number[target])
    return drawing


def _fill(drawing: Any, nest: Nest, number: dict[str, str]) -> None:
    escape = package("graphviz", "graphviz", "Graphviz's language").escape
    for item in nest.inside:
        if isinstance(item, Nest):
            with drawing.subgraph(name=f"cluster_{item.name}") as frame:
                frame.attr(
                    label=escape(item.name.rpartition(".")[2]),
                    labeljust="l",
                    color="#bbbbbb",
                    style="rounded",
                    fontsize="9",
                )
                _fill(frame, item, number)
        else:
            label = "\\n".join(escape(line) for line in lines(item))
            double = {"peripheries": "2"} if item.repeats > 1 else {}
            drawing.node(number[item.name], label, fillcolor=colour(item), **double)
