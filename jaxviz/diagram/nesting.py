"""Nodes by the blocks that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxviz.diagram.graph import Node

__all__ = ["Nest", "nested"]


class Nest(NamedTuple):
    """A block drawn as a frame around its nodes.

    Attributes:
      name: of the block; empty for the whole graph.
      inside: nodes and frames, in the order of evaluation.
    """

    name: str
    inside: tuple[Node | Nest, ...]


def nested(nodes: Sequence[Node], *, depth: int = 0) -> Nest:
    """Nodes in frames by the parts of their names.

    Args:
      nodes: whose names share their first `depth` parts.
      depth: how many parts the frame around them has.

    Returns:
      A `Nest`; frames that would hold one node are left out.

    Example:
      >>> nodes = [Node(name, "conv", (), ()) for name in ("stem", "a.conv1", "a.conv2", "b.conv")]
      >>> [inner.name for inner in nested(nodes).inside]
      ['stem', 'a', 'b.conv']
    """
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        deep = len(node.path) > depth + 1
        # A layer of a block's own name stands outside of it.
        key = f"{node.path[depth]}." if deep else node.name
        groups.setdefault(key, []).append(node)
    inside: list[Node | Nest] = []
    for members in groups.values():
        if len(members) == 1:
            inside.append(members[0])
        else:
            inside.append(nested(members, depth=depth + 1))
    return Nest(".".join(nodes[0].path[:depth]) if nodes else "", tuple(inside))
