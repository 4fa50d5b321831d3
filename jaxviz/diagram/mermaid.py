"""Mermaid: a flowchart that GitHub and others draw from the text of a README."""

from __future__ import annotations

from collections.abc import Iterator

from jaxviz.diagram.graph import Graph, Node
from jaxviz.diagram.labels import colour, lines
from jaxviz.diagram.nesting import Nest, nested

__all__ = ["flowchart"]


def flowchart(graph: Graph, *, title: str) -> str:
    """The graph in Mermaid's language; put it into a code block named `mermaid`.

    Args:
      graph: of layers or of blocks.
      title: the model's name.

    Returns:
      Text of several lines.

    Example:
      >>> nodes = Node("input", "input", (), (1, 2)), Node("fc", "dense", ("input",), (1, 3), 9)
      >>> print(flowchart(Graph(nodes, ("fc",)), title="tiny"))
      ---
      title: "tiny"
      ---
      flowchart TB
        n0["input<br/>2"]
        n1["fc<br/>dense, 3<br/>3<br/>9 parameters"]
        n0 --> n1
        classDef input fill:#e8e8e8,stroke:#555,color:#000
        classDef dense fill:#c9c3f0,stroke:#555,color:#000
        class n0 input
        class n1 dense
    """
    number = {node.name: f"n{i}" for i, node in enumerate(graph.nodes)}
    written = ["---", f'title: "{_quoted(title)}"', "---", "flowchart TB"]
    written += _boxes(nested(graph.nodes), number, "  ")
    written += [f"  {number[source]} --> {number[target]}" for source, target in graph.edges()]
    classes: dict[str, list[Node]] = {}
    for node in graph.nodes:
        classes.setdefault(_class(node), []).append(node)
    for name, members in classes.items():
        written.append(f"  classDef {name} fill:{colour(members[0])},stroke:#555,color:#000")
    for name, members in classes.items():
        written.append(f"  class {','.join(number[node.name] for node in members)} {name}")
    return "\n".join(written) + "\n"


def _boxes(nest: Nest, number: dict[str, str], indent: str) -> Iterator[str]:
    for item in nest.inside:
        if isinstance(item, Nest):
            frame = f"b{number[next(_nodes(item)).name]}_{item.name.count('.')}"
            yield f'{indent}subgraph {frame}["{_quoted(item.name)}"]'
            yield from _boxes(item, number, indent + "  ")
            yield f"{indent}end"
        else:
            label = "<br/>".join(_quoted(line) for line in lines(item))
            # Two bars at the sides, as of a subroutine, for what stands for several.
            left, right = ("[[", "]]") if item.repeats > 1 else ("[", "]")
            yield f'{indent}{number[item.name]}{left}"{label}"{right}'


def _nodes(nest: Nest) -> Iterator[Node]:
    for item in nest.inside:
        if isinstance(item, Nest):
            yield from _nodes(item)
        else:
            yield item


def _class(node: Node) -> str:
    return "".join(letter for letter in node.kind if letter.isalnum())


def _quoted(text: str) -> str:
    """Text inside double quotes: Mermaid writes other characters by their numbers."""
    for letter in '#"<>':
        text = text.replace(letter, f"#{ord(letter)};" if letter != "#" else "\0")
    return text.replace("\0", "#35;")
