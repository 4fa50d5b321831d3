"""PlotNeuralNet: the network as its boxes and balls, for LaTeX."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from jaxviz.diagram.graph import Graph, Node
from jaxviz.diagram.labels import operation
from jaxviz.diagram.tikz import escaped

__all__ = ["plotneuralnet"]

_HEAD = r"""% Needs the folder "layers" of https://github.com/HarisIqbal88/PlotNeuralNet beside it.
\documentclass[border=8pt, multi, tikz]{standalone}
\usepackage{import}
\subimport{layers/}{init}
\usetikzlibrary{positioning}
\def\ConvColor{rgb:yellow,5;red,2.5;white,5}
\def\ReluColor{rgb:yellow,5;red,5;white,5}
\def\PoolColor{rgb:red,1;black,0.3}
\def\FcColor{rgb:blue,5;red,2.5;white,5}
\def\SoftmaxColor{rgb:magenta,5;black,7}
\def\SumColor{rgb:blue,5;green,15}
\def\OtherColor{rgb:white,5;black,1}
\begin{document}
\begin{tikzpicture}
\tikzstyle{connection}=[ultra thick,every node/.style={sloped,allow upside down},
  draw=\edgecolor,opacity=0.7]
"""

_TAIL = r"""\end{tikzpicture}
\end{document}
"""


class _Piece(NamedTuple):
    """What is drawn as one solid.

    Attributes:
      nodes: one node, or convolutions of one size with what follows each: normalisation, ReLU.
    """

    nodes: tuple[Node, ...]

    @property
    def main(self) -> list[Node]:
        """The nodes that a solid has a slab for."""
        slabs = [node for node in self.nodes if node.kind in _SLABS]
        return slabs or [self.nodes[0]]

    @property
    def banded(self) -> bool:
        """Whether a ReLU follows, which is drawn as a band."""
        return len(self.nodes) > 1 and any(node.kind == "ReLU" for node in self.nodes)


_SLABS = ("conv", "transposed conv", "dense")
_FOLLOWING = ("batch norm", "norm", "scale", "ReLU")
_BALLS = {"add": "+", "multiply": r"\times", "concat": r"\|", "subtract": "-", "maximum": r"\vee"}
_FILLS = {
    "conv": r"\ConvColor",
    "transposed conv": r"\ConvColor",
    "block": r"\ConvColor",
    "dense": r"\FcColor",
    "softmax": r"\SoftmaxColor",
    "max pool": r"\PoolColor",
    "average pool": r"\PoolColor",
    "global average pool": r"\PoolColor",
    "global max pool": r"\PoolColor",
}
_OTHER = r"\OtherColor"


def plotneuralnet(graph: Graph, *, title: str) -> str:
    r"""The graph over the macros of PlotNeuralNet: `\pic{Box=...}`, `\pic{RightBandedBox=...}`.

    Convolutions of one size that follow each other share a solid, a slab for each; a ReLU is its
    band, additions and concatenations are balls. Solids stand in the order of evaluation, and a
    connection that skips some goes over them. Height and depth grow with the logarithm of the map,
    width with that of the channels; layers that only pass values on are left out.

    Args:
      graph: of layers or of blocks.
      title: the model's name.

    Returns:
      LaTeX, to be compiled beside the folder `layers` of PlotNeuralNet.
    """
    pieces = _pieces(graph)
    home: dict[str, int] = {}
    for place, piece in enumerate(pieces):
        home.update({node.name: place for node in piece.nodes})
    largest = max((max(_sides(piece.nodes[0])) for piece in pieces), default=1)
    written = [f"% {escaped(title)}"]
    for place, piece in enumerate(pieces):
        at = f"(p{place - 1}-east)" if place else "(0,0,0)"
        written += _solid(f"p{place}", at, piece, largest)
    passed = {node.name: node for node in graph.nodes}

    def start(name: str) -> int:
        while name not in home:
            name = passed[name].inputs[0]
        return home[name]

    edges = dict.fromkeys(
        (start(source), place)
        for place, piece in enumerate(pieces)
        for node in piece.nodes
        for source in node.inputs
    )
    for source, target in edges:
        if target == source + 1:
            written.append(
                rf"\draw[connection] (p{source}-east) -- node {{\midarrow}} (p{target}-west);"
            )
        elif target > source:
            written += _skip(pieces, source, target, largest)
    return _HEAD + "\n".join(written) + "\n" + _TAIL


def _pieces(graph: Graph) -> list[_Piece]:
    readers = Counter(source for source, _ in graph.edges())
    readers.update(graph.outputs)
    pieces: list[_Piece] = []
    for node in graph.nodes:
        if node.kind in ("identity", "flatten", "reshape"):
            continue
        if pieces and _continues(pieces[-1], node) and readers[pieces[-1].nodes[-1].name] == 1:
            pieces[-1] = _Piece((*pieces[-1].nodes, node))
        else:
            pieces.append(_Piece((node,)))
    return pieces


def _continues(piece: _Piece, node: Node) -> bool:
    """Whether a node is drawn with the nodes before it."""
    first, last = piece.nodes[0], piece.nodes[-1]
    if node.inputs != (last.name,) or first.kind not in _SLABS:
        return False
    if node.kind in _FOLLOWING:
        return True
    alike = node.kind == first.kind != "dense" and node.shape == last.shape
    return alike and len(piece.main) < 8


def _sides(node: Node) -> tuple[int, int]:
    sizes = node.shape[1:-1]
    return (sizes[0], sizes[-1]) if sizes else (1, 1)


def _scaled(size: int, largest: int) -> float:
    """The length of a side: 40 for the largest map, a logarithm's share of it for others."""
    return 4 + 36 * math.log2(size) / max(1.0, math.log2(largest))


def _solid(name: str, at: str, piece: _Piece, largest: int) -> list[str]:
    node = piece.nodes[0]
    shift = "(0,0,0)" if at == "(0,0,0)" else "(2,0,0)"
    if node.kind in _BALLS:
        logo = _BALLS[node.kind]
        return [
            rf"\pic[shift={{{shift}}}] at {at}",
            rf"  {{Ball={{name={name},fill=\SumColor,opacity=0.6,radius=2.5,logo=${logo}$}}}};",
        ]
    height, depth = (_scaled(side, largest) for side in _sides(node))
    channels = [str(slab.shape[-1]) for slab in piece.main if len(node.shape) > 2]
    widths = [f"{1.5 + math.log2(max(1, int(count))) / 4:.2f}" for count in channels]
    if not channels:
        # A row of numbers: as deep as it is long.
        height, depth = 3.0, 4 + 2.5 * math.log2(max((2, *node.shape[1:])))
        widths = ["1.5"]
    kind = "RightBandedBox" if piece.banded else "Box"
    # The side of a map, or how many numbers.
    label = next(iter(node.shape[1:]), 1)
    keys = [
        f"name={name}",
        f"caption={{{_caption(piece)}}}",
        "xlabel={{" + "".join(f'"{count}",' for count in channels or [""]) + '"dummy"}}',
        f"zlabel={label}",
        f"fill={_FILLS.get(node.kind, _OTHER)}",
        f"height={height:.1f}",
        "width={" + ",".join(widths) + "}",
        f"depth={depth:.1f}",
    ]
    if piece.banded:
        keys.insert(5, r"bandfill=\ReluColor")
    return [
        rf"\pic[shift={{{shift}}}] at {at}",
        f"  {{{kind}={{{','.join(keys)}}}}};",
    ]


def _caption(piece: _Piece) -> str:
    """Two lines, centred below the solid; its own width is too small for words."""
    nodes: Sequence[Node] = piece.main
    above = _short(nodes[0].name)
    if len(nodes) > 1:
        above += f"–{nodes[-1].path[-1]}"
    if nodes[0].repeats > 1:
        above += f" ×{nodes[0].repeats}"
    stacked = escaped(above)
    if nodes[0].kind not in ("input", "block"):
        words = operation(nodes[0]).partition(",")[0].replace("average", "avg")
        stacked += rf"\\{escaped(words)}"
    return rf"\makebox[0pt]{{\scriptsize\shortstack{{{stacked}}}}}"


def _short(name: str) -> str:
    """The last part of a name, and the one before where the last is a mere number."""
    before, _, last = name.rpartition(".")
    return f"{before.rpartition('.')[2]}.{last}" if before and last[:1].isdigit() else last


def _skip(pieces: Sequence[_Piece], source: int, target: int, largest: int) -> list[str]:
    """Up from one solid, over those between, down to another."""
    tallest = max(
        _scaled(max(_sides(piece.nodes[0])), largest) for piece in pieces[source : target + 1]
    )
    # Twice as deep as tall in the picture: a solid's back edge rises above its front.
    over = tallest * 0.2 * 0.75 + 0.6 + 0.15 * (target - source)
    start, end = f"p{source}", f"p{target}"
    return [
        rf"\coordinate ({start}-{end}-a) at ([yshift={over:.2f}cm]{start}-anchor);",
        rf"\coordinate ({start}-{end}-b) at ([yshift={over:.2f}cm]{end}-anchor);",
        rf"\draw[connection] ({start}-north) -- ({start}-{end}-a) -- node {{\midarrow}} "
        rf"({start}-{end}-b) -- ({end}-north);",
    ]
