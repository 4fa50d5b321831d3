"""DAFT: the network as a graphical model, repeated blocks on plates."""

from __future__ import annotations

import io
from typing import Any

from jaxviz.diagram.graph import Graph
from jaxviz.diagram.labels import colour, lines
from jaxviz.diagram.layout import layout
from jaxviz.diagram.needed import package

__all__ = ["pdf", "png"]

_WIDE, _TALL = 4.4, 1.5
"""Centimetres of a node."""
_ACROSS, _DOWN = 5.0, 2.1
"""Centimetres from lane to lane, and from row to row."""


def png(graph: Graph, *, title: str) -> bytes:
    """The graph as daft-pgm draws it: round nodes, arrows, a plate around what is repeated.

    Args:
      graph: of layers or of blocks.
      title: the model's name.

    Returns:
      A PNG file.

    Raises:
      ImportError: the package daft-pgm is not installed.
    """
    return _rendered(graph, title, "png")


def pdf(graph: Graph, *, title: str) -> bytes:
    """As `png`, as a PDF file.

    Raises:
      ImportError: the package daft-pgm is not installed.
    """
    return _rendered(graph, title, "pdf")


def _rendered(graph: Graph, title: str, kind: str) -> bytes:
    daft = package("daft", "daft-pgm", "DAFT")
    written = io.BytesIO()
    with _drawing(daft, graph, title) as drawing:
        drawing.render(dpi=100)
        drawing.figure.savefig(written, format=kind, dpi=100)
    return written.getvalue()


def _drawing(daft: Any, graph: Graph, title: str) -> Any:
    found = layout(graph)
    wide, tall = found.lanes * _ACROSS, found.rows * _DOWN + 0.6
    # One unit is a centimetre, the origin at the bottom left.
    drawing = daft.PGM(shape=[wide, tall], origin=[0, 0], grid_unit=1.0, node_unit=_TALL)

    def at(place: tuple[int, int]) -> tuple[float, float]:
        return (place[1] + 0.5) * _ACROSS, (found.rows - place[0] - 0.5) * _DOWN

    drawing.add_text(0.2, tall - 0.6, title, fontsize=12)
    for node in graph.nodes:
        x, y = at(found.place[node.name])
        drawing.add_node(
            node.name,
            # How often it is repeated the plate says.
            "\n".join([node.name, *lines(node, numbers=False)[1:]]),
            x,
            y,
            aspect=_WIDE / _TALL,
            fontsize=7,
            plot_params={"fc": colour(node), "ec": "#555555"},
        )
        if node.repeats > 1:
            left, bottom = x - _WIDE / 2 - 0.15, y - _TALL / 2 - 0.15
            drawing.add_plate(
                [left, bottom, _WIDE + 0.3, _TALL + 0.3], label=f"×{node.repeats}", fontsize=8
            )
    for (source, target), way in found.ways.items():
        start = source
        # daft's edges are straight: where one has to bend it passes a node too small to be seen.
        for place in way[:1] + way[1:][-1:]:
            bend = f"{source} to {target} {place[0]}"
            drawing.add_node(bend, "", *at(place), scale=0.01, plot_params={"lw": 0})
            drawing.add_edge(start, bend, directed=False, plot_params=_LINE)
            start = bend
        drawing.add_edge(start, target, plot_params={"ec": _GREY, "fc": _GREY})
    return drawing


_GREY = "#555555"
_LINE = {"color": _GREY, "solid_capstyle": "round"}
