"""A model's architecture as a graph of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["Graph", "Node", "numbered", "shared"]


class Node(NamedTuple):
    """A layer, or a block of them.

    Attributes:
      name: its name in the graph: the layer's, or that of its operation, numbered as `relu_1`.
      kind: what it does, for example "conv", "batch norm", "max pool", "add", "block".
      inputs: the names of the nodes that it reads, in order.
      shape: of what it puts out: batch, image axes, channels.
      parameters: trainable numbers that it is the first to read.
      multiplications: of its convolutions and products, for the whole batch.
      settings: what else is known of the operation. A convolution has `kernel`, `stride`, `padding`
        (pairs, before and behind), `dilation`, `groups`, `channels` (read) and `bias`; pooling has
        `kernel`, `stride` and `padding`; a concatenation has `axis`.
      members: the nodes inside of a block.
      repeats: how many blocks of the same build this one stands for, one after the other.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: int = 0
    multiplications: int = 0
    settings: Mapping[str, Any] = MappingProxyType({})
    members: tuple[Node, ...] = ()
    repeats: int = 1

    @property
    def path(self) -> tuple[str, ...]:
        """The parts of the name."""
        return tuple(self.name.split("."))


class Graph(NamedTuple):
    """Nodes in the order of evaluation; the first is the input.

    Attributes:
      nodes: each reads only nodes before it.
      outputs: the names of the nodes whose values the model returns.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """The trainable numbers of all nodes."""
        return sum(node.parameters for node in self.nodes)

    @property
    def multiplications(self) -> int:
        """The multiplications of all convolutions and products."""
        return sum(node.multiplications for node in self.nodes)

    def edges(self) -> Iterator[tuple[str, str]]:
        """Pairs of a node's name and that of a node that reads it."""
        for node in self.nodes:
            for source in dict.fromkeys(node.inputs):
                yield source, node.name

    def leaves(self) -> Iterator[Node]:
        """The layers, those inside of blocks too."""
        waiting = list(reversed(self.nodes))
        while waiting:
            node = waiting.pop()
            if node.members:
                waiting += reversed(node.members)
            else:
                yield node


def numbered(name: str, taken: Mapping[str, Any] | set[str]) -> str:
    """The name itself, or with the first number that makes it one of its own: `relu_1`."""
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate


def shared(first: Sequence[str], second: Sequence[str]) -> Sequence[str]:
    """What two names, or two paths, begin with alike."""
    alike = 0
    while alike < min(len(first), len(second)) and first[alike] == second[alike]:
        alike += 1
    return first[:alike]
