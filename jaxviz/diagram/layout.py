"""Places for the nodes of a graph: rows from top to bottom, lanes from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxviz.diagram.graph import Graph

__all__ = ["Layout", "layout"]


class Layout(NamedTuple):
    """Rows and lanes; no two nodes, and no node and edge, share a place.

    Attributes:
      place: the row and the lane of each node, by name.
      ways: the places between the ends of each edge, one in each row that it passes.
      rows: how many rows.
      lanes: how many lanes.
    """

    place: dict[str, tuple[int, int]]
    ways: dict[tuple[str, str], list[tuple[int, int]]]
    rows: int
    lanes: int


def layout(graph: Graph) -> Layout:
    """Every node one row below the lowest that it reads, branches side by side.

    An edge that passes other rows keeps to one lane there, which is its own: so a skip connection
    runs beside the layers that it skips.

    Args:
      graph: of layers or of blocks.

    Returns:
      A `Layout`.

    Example:
      >>> from jaxviz.diagram.graph import Node
      >>> def node(name, *inputs):
      ...     return Node(name, "conv", inputs, ())
      >>> graph = Graph((node("a"), node("b", "a"), node("c", "b", "a")), ("c",))
      >>> found = layout(graph)
      >>> found.place, found.ways[("a", "c")]
      ({'a': (0, 0), 'b': (1, 0), 'c': (2, 0)}, [(1, 1)])
    """
    row: dict[str, int] = {}
    for node in graph.nodes:
        row[node.name] = 1 + max((row[source] for source in node.inputs), default=-1)
    taken: set[tuple[int, int]] = set()

    def lane(wanted: Sequence[int], rows: range) -> int:
        lanes = [*wanted, *range(len(taken) + 1)]
        return next(lane for lane in lanes if taken.isdisjoint((row, lane) for row in rows))

    place: dict[str, tuple[int, int]] = {}
    for node in sorted(graph.nodes, key=lambda node: row[node.name]):
        own = row[node.name]
        above = sorted(place[source][1] for source in node.inputs)
        place[node.name] = own, lane(above[:1], range(own, own + 1))
        taken.add(place[node.name])
    ways: dict[tuple[str, str], list[tuple[int, int]]] = {}
    # Short ones first, so that they lie next to what they pass.
    for edge in sorted(graph.edges(), key=lambda edge: row[edge[1]] - row[edge[0]]):
        between = range(row[edge[0]] + 1, row[edge[1]])
        beside = lane([place[name][1] for name in edge], between)
        ways[edge] = [(passed, beside) for passed in between]
        taken.update(ways[edge])
    lanes = 1 + max((lane for _, lane in taken), default=0)
    return Layout(place, ways, 1 + max(row.values(), default=-1), lanes)
