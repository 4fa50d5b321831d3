"""From a model to the graph of its layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

from jaxviz.diagram.graph import Graph, Node, numbered, shared
from jaxviz.diagram.layer import Layer
from jaxviz.diagram.program import read_program
from jaxviz.diagram.recognize import recognize

__all__ = ["architecture"]


def architecture(model: Callable, x: Any) -> Graph:
    """The layers of a model and who reads whom, from its program; nothing is computed.

    Layers have the names that `jaxviz.layers` lists; an operation without a name is called by what
    it does, inside the block where it stands. Parameters are the trainable numbers that the program
    reads: `nnx.Param` of a Flax NNX module, the collection `params` of Flax Linen, all arrays of
    real numbers of other models, and never running statistics, counts or random state. What two
    layers share counts for the first.

    Args:
      model: a callable pytree; `jax.ShapeDtypeStruct` may stand for its arrays.
      x: its input, or a `jax.ShapeDtypeStruct` of it.

    Returns:
      A `Graph` of layers; `jaxviz.diagram` draws it.

    Raises:
      TypeError: the model cannot be called, or its input is no single array.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxviz.diagram.architecture import architecture
      >>> graph = architecture(lambda x: jax.nn.relu(x).sum(), jnp.ones((1, 3)))
      >>> [node.kind for node in graph.nodes]
      ['input', 'ReLU', 'sum']
    """
    program = read_program(model, x)
    layers, outputs = recognize(program)
    names = _names(layers)
    claimed: set[int] = set()
    nodes = []
    for layer in layers:
        own = layer.leaves - claimed
        claimed |= own
        nodes.append(
            Node(
                names[layer],
                layer.kind,
                tuple(names[source] for source in layer.sources),
                layer.shape,
                sum(program.sizes[leaf] for leaf in own),
                layer.multiplications,
                MappingProxyType(layer.settings),
            )
        )
    return Graph(tuple(nodes), tuple(names[layer] for layer in outputs))


def _names(layers: Sequence[Layer]) -> dict[Layer, str]:
    """A name for each layer; one without is called by its kind, in the block around it."""
    taken = {layer.name for layer in layers if layer.name is not None}
    before: tuple[str, ...] = ()
    names = {}
    for place, layer in enumerate(layers):
        if layer.name is not None:
            names[layer] = layer.name
        else:
            if layer.blocks:
                inside = tuple(layer.blocks[0].split("."))
            else:
                later = (_around(other) for other in layers[place + 1 :])
                after = next((around for around in later if around is not None), ())
                inside = shared(before, after)
            word = layer.kind.lower().replace(" ", "_")
            names[layer] = numbered(".".join([*inside, word]), taken)
            taken.add(names[layer])
        if layer.blocks:
            before = tuple(layer.blocks[-1].split("."))[:-1]
        elif layer.name is not None:
            before = tuple(layer.name.split("."))[:-1]
    return names


def _around(layer: Layer) -> tuple[str, ...] | None:
    """The block that a layer stands in, if a name tells."""
    if layer.name is not None:
        return tuple(layer.name.split("."))[:-1]
    return tuple(layer.blocks[0].split(".")) if layer.blocks else None
