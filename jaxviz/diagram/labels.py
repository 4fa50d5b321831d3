"""The words and colours of a node, the same in every picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jaxviz.diagram.graph import Node

__all__ = ["amount", "colour", "extent", "lines", "operation", "pair"]


def pair(sizes: Sequence[int]) -> str:
    """Sizes along the image's axes: `3×3`.

    Example:
      >>> pair((3, 3))
      '3×3'
    """
    return "×".join(map(str, sizes))


def extent(shape: Sequence[int]) -> str:
    """A shape without its batch: `56×56×64`.

    Example:
      >>> extent((1, 56, 56, 64)), extent((1, 1000)), extent(())
      ('56×56×64', '1000', 'one number')
    """
    return pair(shape[1:]) or "one number"


def amount(number: int) -> str:
    """A count in three digits: `25.6 M`.

    Example:
      >>> amount(25_557_032), amount(9_408), amount(64)
      ('25.6 M', '9.41 k', '64')
    """
    for factor, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= factor:
            return f"{number / factor:.3g} {unit}" if number < 999.5 * factor else "1000 " + unit
    return str(number)


def operation(node: Node) -> str:
    """What a node does, with what sets it apart: `conv 3×3, 64, stride 2`.

    Args:
      node: a layer or a block.

    Returns:
      A few words.

    Example:
      >>> operation(Node("pool", "max pool", ("relu",), (1, 7, 7, 64), settings={
      ...     "kernel": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0))}))
      'max pool 2×2, stride 2'
    """
    if node.members:
        return _contents(node)
    settings = node.settings
    words = node.kind
    if node.kind in ("conv", "transposed conv"):
        words += f" {pair(settings['kernel'])}, {node.shape[-1]}"
    elif node.kind == "dense":
        words += f", {node.shape[-1]}"
    elif "kernel" in settings:
        words += f" {pair(settings['kernel'])}"
    if any(step != 1 for step in settings.get("stride", ())) and "kernel" in settings:
        steps = settings["stride"]
        words += f", stride {steps[0] if len(set(steps)) == 1 else pair(steps)}"
    if settings.get("groups", 1) > 1:
        words += f", {settings['groups']} groups"
    if any(step != 1 for step in settings.get("dilation", ())):
        words += f", dilation {settings['dilation'][0]}"
    return words


def _contents(block: Node) -> str:
    """The layers that matter in a block, in a few words; of a repeated one, of one of them."""
    count = len(block.members) // block.repeats
    members = block.members[:count]
    convolutions = [node for node in members if node.kind == "conv"]
    words = []
    if 0 < len(convolutions) <= 4:
        kernels = ", ".join(pair(node.settings["kernel"]) for node in convolutions)
        words.append(f"conv {kernels}")
    elif convolutions:
        words.append(f"{len(convolutions)} convs")
    others = Counter(node.kind for node in members if node.kind in _TOLD)
    words += [kind if times == 1 else f"{times} × {kind}" for kind, times in others.items()]
    return ", ".join(words) or f"{count} layers"


_TOLD = ("dense", "max pool", "average pool", "global average pool", "add", "concat", "multiply")


def lines(node: Node, *, numbers: bool = True) -> list[str]:
    """The lines of a node's box: name, operation, output, parameters.

    Args:
      node: a layer or a block.
      numbers: whether the number of parameters is told.

    Returns:
      Two to four lines.

    Example:
      >>> lines(Node("fc", "dense", ("flatten",), (1, 10), 810))
      ['fc', 'dense, 10', '10', '810 parameters']
    """
    if node.kind == "input":
        return ["input", extent(node.shape)]
    name = node.name if node.repeats == 1 else f"{node.name}   ×{node.repeats}"
    found = [name, operation(node)]
    if node.settings.get("dense"):
        found.append("each reads all before it")
    found.append(extent(node.shape))
    if numbers and node.parameters:
        found.append(f"{amount(node.parameters)} parameters")
    return found


_COLOURS = {
    "input": "#e8e8e8",
    "conv": "#fbd9a5",
    "transposed conv": "#f7c99b",
    "dense": "#c9c3f0",
    "batch norm": "#d9ecd0",
    "scale": "#d9ecd0",
    "norm": "#d9ecd0",
    "local response norm": "#d9ecd0",
    "max pool": "#f4b8ae",
    "average pool": "#f4b8ae",
    "global average pool": "#f4b8ae",
    "global max pool": "#f4b8ae",
    "add": "#b9e2ea",
    "concat": "#b9e2ea",
    "multiply": "#b9e2ea",
    "block": "#fff3c4",
    "identity": "#ffffff",
}


def colour(node: Node) -> str:
    """The colour that a node's kind has in every picture, as `#rrggbb`; light, for black words.

    Example:
      >>> colour(Node("conv1", "conv", ("input",), (1, 112, 112, 64)))
      '#fbd9a5'
    """
    return _COLOURS.get(node.kind, "#f7f1df")
