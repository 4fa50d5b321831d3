"""A graph made readable: layers gathered into their blocks, repeated blocks into one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

from jaxviz.diagram.graph import Graph, Node, numbered, shared

__all__ = ["READABLE", "collapsed"]

READABLE = 48
"""How many nodes a picture has at most, where the depth is left open and blocks can help."""


def collapsed(graph: Graph, depth: int | None = None) -> Graph:
    """The graph with what lies deeper than `depth` names gathered into blocks.

    Layers `layer1.0.conv1` and `layer1.0.bn1` lie in the block `layer1.0`, at depth 2, and this one
    in `layer1`, at depth 1. Blocks of the same build and output that follow each other become one
    node that says how many they are, its numbers those of all.

    Args:
      graph: of layers, as `architecture` gives it.
      depth: how many parts of a name are told apart, from 1 on; None takes the greatest depth that
        gives at most `READABLE` nodes, and 1 where none does.

    Returns:
      A graph of layers and blocks.

    Raises:
      ValueError: the depth is less than 1.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> from jaxviz.diagram.architecture import architecture
      >>> def model(x):
      ...     for block in "ab":
      ...         x = jv.tap(jax.nn.relu(x), f"{block}.relu")
      ...         x = jv.tap(2 * x, f"{block}.scale")
      ...     return x
      >>> graph = architecture(model, jnp.ones((1, 3)))
      >>> [(node.name, node.repeats) for node in collapsed(graph, 1).nodes]
      [('input', 1), ('a–b', 2)]
    """
    if depth is None:
        deepest = max((len(node.path) for node in graph.nodes), default=1)
        for candidate in range(deepest, 1, -1):
            found = collapsed(graph, candidate)
            if len(found.nodes) <= READABLE:
                return found
        depth = 1
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}.")
    return _folded(_gathered(graph, depth))


def _gathered(graph: Graph, depth: int) -> Graph:
    """Each run of nodes of one block as one node.

    Nodes that follow each other in the order of evaluation can always be gathered: what one of them
    needs of another lies between them. So a block that is left and entered again becomes two.
    """

    def block(node: Node) -> tuple[str, ...] | None:
        return node.path[:depth] if len(node.path) > depth else None

    taken = {node.name for node in graph.nodes if block(node) is None}
    home: dict[str, str] = {}
    nodes = []
    for path, run in groupby(graph.nodes, block):
        members = tuple(run)
        if path is None or len(members) == 1:
            for node in members:
                home[node.name] = node.name
                nodes.append(node._replace(inputs=_moved(node.inputs, home)))
            continue
        name = numbered(".".join(path), taken)
        taken.add(name)
        home.update({member.name: name for member in members})
        nodes.append(_block(name, members, graph, home))
    return Graph(tuple(nodes), _moved(graph.outputs, home))


def _moved(names: Sequence[str], home: dict[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(home[name] for name in names))


def _block(name: str, members: tuple[Node, ...], graph: Graph, home: dict[str, str]) -> Node:
    own = {member.name for member in members}
    outside = [source for member in members for source in member.inputs if source not in own]
    read = {source for node in graph.nodes if node.name not in own for source in node.inputs}
    leaving = [member for member in members if member.name in read.union(graph.outputs)]
    return Node(
        name,
        "block",
        _moved(outside, home),
        (leaving or members)[-1].shape,
        sum(member.parameters for member in members),
        sum(member.multiplications for member in members),
        members=members,
    )


def _folded(graph: Graph) -> Graph:
    """Blocks of the same build that follow each other, as one."""
    home: dict[str, str] = {}
    nodes = []
    for run in _runs(graph.nodes):
        first, last = run[0], run[-1]
        name = first.name
        if len(run) > 1:
            name = _span(first.path, last.path)
        home.update({node.name: name for node in run})
        if len(run) == 1:
            nodes.append(first._replace(inputs=_moved(first.inputs, home)))
            continue
        own = {node.name for node in run}
        # Beside the block right before it, a later block may read earlier ones, as in DenseNet.
        dense = any(len(set(node.inputs)) > 1 for node in run[1:])
        outside = [source for node in run for source in node.inputs if source not in own]
        nodes.append(
            Node(
                name,
                "block",
                _moved(outside, home),
                last.shape,
                sum(node.parameters for node in run),
                sum(node.multiplications for node in run),
                MappingProxyType({"dense": dense}),
                tuple(member for node in run for member in node.members),
                len(run),
            )
        )
    return Graph(tuple(nodes), _moved(graph.outputs, home))


def _runs(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    run: list[Node] = []
    for node in nodes:
        if run and not _follows(run[-1], node):
            yield run
            run = []
        run.append(node)
    if run:
        yield run


def _follows(before: Node, node: Node) -> bool:
    return (
        node.kind == before.kind == "block"
        and node.path[:-1] == before.path[:-1]
        and before.name in node.inputs
        and node.shape == before.shape
        and _build(node) == _build(before)
    )


def _build(block: Node) -> list[Any]:
    """What two blocks have in common whose layers do the same, be it on other channels."""
    place = {member.name: i for i, member in enumerate(block.members)}
    apart = ("channels_read", "axis")
    return [
        (
            # A concatenation of one map only is the identity, as in DenseNet's first layers.
            "concat" if member.kind == "identity" else member.kind,
            sorted({place.get(source, -1) for source in member.inputs}),
            {key: value for key, value in member.settings.items() if key not in apart},
        )
        for member in block.members
    ]


def _span(first: tuple[str, ...], last: tuple[str, ...]) -> str:
    """`layer1.0–2` for the blocks from `layer1.0` to `layer1.2`."""
    alike = re.sub(r"\d+$", "", "".join(shared(first[-1], last[-1])))
    return ".".join([*first[:-1], f"{first[-1]}–{last[-1][len(alike) :]}"])
