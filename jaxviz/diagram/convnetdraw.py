"""ConvNetDraw: a line of text for each layer of a sequential network."""

from __future__ import annotations

from collections import Counter

from jaxviz.diagram.graph import Graph, Node

__all__ = ["script"]

_WORDS = {
    "input": "input",
    "conv": "conv",
    "ReLU": "relu",
    "max pool": "pool",
    "average pool": "pool",
    "global average pool": "pool",
    "global max pool": "pool",
    "dense": "fullyconn",
    "softmax": "softmax",
}


def script(graph: Graph, *, title: str) -> str:
    """The network in the language of ConvNetDraw: `conv(height, width, channels)`.

    Layers that it has no word for get a word of their own, which it draws as a plain box. Lines
    that begin with `#` are comments.

    Args:
      graph: of layers.
      title: the model's name.

    Returns:
      Text to paste into https://cbovar.github.io/ConvNetDraw/.

    Raises:
      NotImplementedError: two layers read the same value, or one reads two; the first is named.

    Example:
      >>> nodes = Node("input", "input", (), (1, 8, 8, 3)), Node("fc", "dense", ("input",), (1, 10))
      >>> print(script(Graph(nodes, ("fc",)), title="tiny"))
      # tiny
      # input
      input(8, 8, 3)
      # fc
      fullyconn(1, 1, 10)
    """
    readers = Counter(source for source, _ in graph.edges())
    readers.update(graph.outputs)
    for node in graph.nodes:
        if readers[node.name] > 1 or len(set(node.inputs)) > 1:
            what = "is read more than once" if readers[node.name] > 1 else "reads several layers"
            raise NotImplementedError(
                f"ConvNetDraw draws one layer after the other, and '{node.name}' {what}; "
                "dot, svg, tikz and mermaid draw branches."
            )
    written = [f"# {title}"]
    for node in graph.nodes:
        if node.kind != "identity":
            written += [f"# {node.name}", f"{_word(node)}({', '.join(map(str, _cube(node)))})"]
    return "\n".join(written) + "\n"


def _word(node: Node) -> str:
    own = "".join(letter for letter in node.kind.lower() if letter.isalpha())
    return _WORDS.get(node.kind, own)


def _cube(node: Node) -> tuple[int, ...]:
    sizes = node.shape[1:]
    return (*(1,) * (3 - len(sizes)), *sizes)
