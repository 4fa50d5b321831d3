"""Which layers and channels a study looks at, where the user leaves it open."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxviz import studies
from jaxviz.cli import inputs
from jaxviz.cli.inputs import Port
from jaxviz.cli.mistakes import Mistake
from jaxviz.transform import relu_layers

__all__ = ["channels_of", "layers_of", "spread"]

STAGES = [f"layer{number}" for number in range(1, 6)]


def layers_of(port: Port, given: Sequence[str]) -> list[str]:
    """The layers that a user names, or five or so from the bottom to the top of a network.

    Those are the five stages of a shapes net; of another network the ReLUs, or, where there are
    more than five of them, the last one at each size of maps.

    Args:
      port: the network.
      given: names of layers with places, or none.

    Returns:
      Names, in the order of evaluation.

    Raises:
      Mistake: a layer is unknown or has no places.

    Example:
      >>> layers_of(inputs.load_port("shapes-plain", "random"), [])
      ['layer1', 'layer2', 'layer3', 'layer4', 'layer5']
    """
    for name in given:
        shape = port.layers[inputs.checked_layer(port, name)].shape
        if len(shape) != 4:
            raise Mistake(f"--layers must have places; '{name}' has the shape {shape}")
    if given:
        return [name for name in port.layers if name in given]
    if all(name in port.layers for name in STAGES):
        return STAGES
    side = port.card.input_size
    x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    found = relu_layers(port.model, x)
    placed = [name for name, shape in found.items() if len(shape.shape) == 4]
    return placed if len(placed) <= 5 else studies.last_of_each_size(found)


def spread(of: int, count: int) -> list[int]:
    """At most `count` of the numbers below `of`, evenly spread.

    Example:
      >>> spread(80, 5), spread(3, 5)
      ([0, 20, 40, 59, 79], [0, 1, 2])
    """
    return np.unique(np.linspace(0, of - 1, min(count, of)).round().astype(int)).tolist()


def channels_of(port: Port, layer: str, given: Sequence[str], *, count: int | None) -> list[int]:
    """The channels of a layer that a user names, or `count` of them, evenly spread.

    Args:
      port: the network.
      layer: one of its layers.
      given: numbers, "all", or none.
      count: how many where none are given; None takes all.

    Returns:
      Numbers of channels, each once.

    Raises:
      Mistake: the layer has no such channel.

    Example:
      >>> port = inputs.load_port("shapes-plain", "random")
      >>> channels_of(port, "layer1", [], count=4), channels_of(port, "layer1", ["3"], count=4)
      ([0, 5, 10, 15], [3])
    """
    width = port.layers[layer].shape[-1]
    if tuple(given) == ("all",) or (not given and count is None):
        return list(range(width))
    if not given:
        assert count is not None
        return spread(width, count)
    for channel in given:
        if not (channel.isascii() and channel.isdigit() and int(channel) < width):
            raise Mistake(f"--channels of {layer} must be from 0 to {width - 1}, not {channel}")
    return list(dict.fromkeys(map(int, given)))
