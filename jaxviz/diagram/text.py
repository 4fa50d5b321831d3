"""The architecture as a table to read in a terminal."""

from __future__ import annotations

import io

from jaxviz.diagram.graph import Graph, Node
from jaxviz.diagram.labels import extent, operation

__all__ = ["table"]


def table(graph: Graph, *, title: str) -> str:
    """A row for each layer: what it does, what it puts out, what it costs.

    Args:
      graph: of layers or of blocks.
      title: the model's name.

    Returns:
      Text of several lines.

    Example:
      >>> nodes = Node("input", "input", (), (1, 2)), Node("fc", "dense", ("input",), (1, 3), 9, 6)
      >>> print(table(Graph(nodes, ("fc",)), title="tiny"))
      tiny, input (1, 2)
      layer   operation   output   parameters   multiplications   reads
      input   input       2
      fc      dense, 3    3                 9                 6   input
      9 parameters, 6 multiplications
    """
    from rich.console import Console
    from rich.table import Table

    rows = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="")
    for name in _COLUMNS:
        numbers = name in ("parameters", "multiplications")
        rows.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    for node in graph.nodes:
        rows.add_row(*_row(node))
    width = Console(width=10_000).measure(rows).maximum
    written = io.StringIO()
    Console(file=written, width=width, highlight=False, markup=False, color_system=None).print(rows)
    (given,) = [node.shape for node in graph.nodes[:1]]
    total = f"{graph.parameters:,} parameters, {graph.multiplications:,} multiplications"
    body = "\n".join(line.rstrip() for line in written.getvalue().splitlines())
    return f"{title}, input {given}\n{body}\n{total}\n"


_COLUMNS = ("layer", "operation", "output", "parameters", "multiplications", "reads")


def _row(node: Node) -> tuple[str, ...]:
    name = node.name if node.repeats == 1 else f"{node.name} ×{node.repeats}"
    reads = ", ".join(node.inputs)
    if len(node.inputs) > 2:
        reads = f"{node.inputs[0]} and {len(node.inputs) - 1} more"
    return (
        name,
        operation(node),
        extent(node.shape),
        f"{node.parameters:,}" if node.parameters else "",
        f"{node.multiplications:,}" if node.multiplications else "",
        reads,
    )
