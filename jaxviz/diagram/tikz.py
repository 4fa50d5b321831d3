"""A drawing in TikZ that compiles with a plain TeX Live, and the PDF that it makes."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from jaxviz.diagram.graph import Graph
from jaxviz.diagram.labels import colour, lines
from jaxviz.diagram.layout import layout
from jaxviz.diagram.needed import program

__all__ = ["escaped", "pdf", "tikz"]

_WIDTH = 4.6
"""Centimetres from one lane to the next that holds nodes."""
_GAP = 0.7
"""Centimetres that a lane takes which holds only lines."""
_LINE = 0.42
"""Centimetres for a line of words."""
_SPACE = 0.45
"""Centimetres between rows."""

_HEAD = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{tikz}
\renewcommand{\familydefault}{\sfdefault}
\newsavebox{\drawing}
\begin{document}
\begin{lrbox}{\drawing}%
\begin{tikzpicture}[x=1cm,y=1cm,
  layer/.style={draw=black!55,rounded corners=2pt,align=center,inner sep=3pt,font=\scriptsize,
    minimum width=3.4cm},
  repeated/.style={double,double distance=1.2pt},
  flow/.style={->,>=stealth,draw=black!60,rounded corners=4pt}]
"""

_TAIL = r"""\end{tikzpicture}\end{lrbox}%
% The page is as large as the drawing, with a margin of 4 mm.
\pdfpagewidth=\dimexpr\wd\drawing+8mm\relax
\pdfpageheight=\dimexpr\ht\drawing+\dp\drawing+8mm\relax
\pdfhorigin=4mm \pdfvorigin=4mm \hoffset=0pt \voffset=0pt
\shipout\box\drawing
\end{document}
"""


def tikz(graph: Graph, *, title: str) -> str:
    """The graph as a LaTeX document of its own: boxes from top to bottom, skips beside them.

    Args:
      graph: of layers or of blocks.
      title: the model's name.

    Returns:
      LaTeX for `pdflatex`; it needs TikZ and no other package.
    """
    found = layout(graph)
    height = [0.0] * found.rows
    texts = {node.name: lines(node) for node in graph.nodes}
    for node in graph.nodes:
        row, _ = found.place[node.name]
        height[row] = max(height[row], _LINE * len(texts[node.name]) + 0.1)
    tops = [0.0]
    for tall in height:
        tops.append(tops[-1] - tall - _SPACE)
    wide = {lane for _, lane in found.place.values()}
    lefts = [0.0]
    for lane in range(found.lanes):
        lefts.append(lefts[-1] + (_WIDTH if lane in wide else _GAP))

    def x(lane: int) -> float:
        return (lefts[lane] + lefts[lane + 1]) / 2

    number = {node.name: f"n{i}" for i, node in enumerate(graph.nodes)}
    written = [rf"\node[font=\bfseries] at ({x(0):.2f},0.7) {{{escaped(title)}}};"]
    for name in dict.fromkeys(colour(node) for node in graph.nodes):
        written.append(rf"\definecolor{{c{name[1:]}}}{{HTML}}{{{name[1:].upper()}}}")
    for node in graph.nodes:
        row, lane = found.place[node.name]
        style = f"layer,fill=c{colour(node)[1:]}" + (",repeated" if node.repeats > 1 else "")
        label = r"\\".join(escaped(line) for line in texts[node.name])
        middle = tops[row] - height[row] / 2
        written.append(
            rf"\node[{style}] ({number[node.name]}) at ({x(lane):.2f},{middle:.2f}) {{{label}}};"
        )
    for (source, target), way in found.ways.items():
        start, end = number[source], number[target]
        # In the gap below its start to the lane, down the lane, in the gap above its end.
        leave, arrive = (
            f"{tops[row] + _SPACE / 2:.2f}"
            for row in (found.place[source][0] + 1, found.place[target][0])
        )
        lane = f"{x(way[0][1] if way else found.place[target][1]):.2f}"
        beside = f"({lane},{leave}) -- ({lane},{arrive})"
        written.append(rf"\draw[flow] ({start}.south) |- {beside} -| ({end}.north);")
    return _HEAD + "\n".join(written) + "\n" + _TAIL


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "–": "--",
    "…": r"\dots{}",
    **{letter: f"\\{letter}" for letter in "#$%&_{}"},
}


def escaped(text: str) -> str:
    r"""Text as LaTeX writes it.

    Example:
      >>> print(escaped("relu_1 3×3"))
      relu\_1 3$\times$3
    """
    return "".join(_SPECIAL.get(letter, letter if letter.isascii() else "?") for letter in text)


def pdf(graph: Graph, *, title: str) -> bytes:
    """As `tikz`, compiled.

    Raises:
      ImportError: `pdflatex` is not installed.
      RuntimeError: it does not compile the drawing; the message has its first error.
    """
    pdflatex = program("pdflatex", "texlive-latex-base texlive-pictures", "the format pdf")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "drawing.tex").write_text(tikz(graph, title=title))
        command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "drawing.tex"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if line.startswith("!")]
            raise RuntimeError(f"pdflatex stops: {errors[0] if errors else done.stdout[-200:]}")
        return Path(folder, "drawing.pdf").read_bytes()
