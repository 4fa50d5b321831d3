"""What the user names, checked before anything is computed: port, weights, images, layer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import jaxviz as jv
from jaxviz.cli import choose
from jaxviz.cli.mistakes import Mistake, unknown

__all__ = [
    "Photograph",
    "Port",
    "checked_card",
    "checked_layer",
    "checked_seed",
    "layer_with_places",
    "load_port",
    "loaded",
    "photographs",
]


class Port(NamedTuple):
    """A pretrained model ready to be looked into.

    Attributes:
      name: its name among the ports.
      weights: where the weights are from, in words.
      model: the callable pytree.
      card: its input, its preprocessing, its categories.
      layers: its layers by name, for a batch of one.
      classes: how many logits it has.
    """

    name: str
    weights: str
    model: Any
    card: Any
    layers: Mapping[str, jax.ShapeDtypeStruct]
    classes: int

    def category(self, index: int) -> str:
        """The name of a class, or its number where it has none."""
        names = self.card.categories
        return names[index] if names and index < len(names) else f"class {index}"


def checked_card(name: str) -> Any:
    """The card of the port `name`; if there is none, a mistake that names the nearest ports."""
    import ports

    try:
        return ports.card(name)
    except ValueError as error:
        raise Mistake(str(error).replace("`ports.names()`", "`jaxviz layers`")) from error


def loaded(name: str, weights: str) -> Any:
    """The port `name` with these weights; of many that do not fit, the mistake names the first."""
    import ports

    try:
        return ports.load(name, weights=weights)
    except ValueError as error:
        count, *faults = str(error).splitlines()
        if not faults:
            raise
        count = count.replace("does not fit the model", f"does not fit {name}").rstrip(".")
        raise Mistake(
            f"{count}, of which the first is: {faults[0].strip()} Is it another model's file?"
        ) from error


def checked_seed(seed: int) -> int:
    """`seed`, if a random key can be made of it on every machine."""
    if not 0 <= seed < 2**31:
        raise Mistake(f"--seed must be from 0 to {2**31 - 1}, not {seed}")
    return seed


def load_port(name: str, weights: str | None) -> Port:
    """A port with its weights.

    Args:
      name: of the port.
      weights: a file or an Orbax directory, "imagenet", "shapes" (also "shapes-1", "shapes-2"),
        "random", or None for the default: "shapes" for the shapes nets, "imagenet" for the others.

    Returns:
      `Port`.

    Raises:
      Mistake: an unknown name.
      ValueError, OSError: weights that are not there, are no weights, or do not fit.

    Example:
      >>> port = load_port("shapes-plain", "random")
      >>> port.classes, port.category(3)
      (10, 'star')
    """
    import ports

    card = checked_card(name)
    weights = weights or ("shapes" if name.startswith("shapes-") else "imagenet")
    random = weights == "random"
    model = ports.load(name, key=jax.random.key(0)) if random else loaded(name, weights)
    x = jax.ShapeDtypeStruct((1, card.input_size, card.input_size, 3), jnp.float32)
    output = jax.eval_shape(lambda model, x: model(x), model, x)
    words = Path(weights).name if os.sep in weights or Path(weights).exists() else weights
    return Port(name, words, model, card, jv.layers(model, x), output.shape[-1])


def checked_layer(port: Port, layer: str) -> str:
    """`layer`, if the port has it; otherwise a mistake that names the nearest."""
    if layer not in port.layers:
        raise unknown(
            "layer", layer, list(port.layers), lists=f"`jaxviz layers {port.name}` lists all"
        )
    return layer


def layer_with_places(port: Port, layer: str | None) -> str:
    """The layer that class activation maps are to look at; by default the last with positions.

    Raises:
      Mistake: there is no such layer, or it has no positions.
    """
    if layer is None:
        return choose.last_spatial(port.layers)
    shape = port.layers[checked_layer(port, layer)].shape
    if len(shape) != 4:
        raise Mistake(f"--layer must have positions, (n, h, w, c); '{layer}' has the shape {shape}")
    return layer


class Photograph(NamedTuple):
    """An image of the user's, as the network gets it and as people see it.

    Attributes:
      path: the file.
      x: the model's input, a batch of one.
      shown: the same pixels in [0, 1].
    """

    path: Path
    x: Float[np.ndarray, "1 h w 3"]
    shown: Float[np.ndarray, "h w 3"]


def photographs(paths: Sequence[str], card: Any) -> list[Photograph]:
    """Reads and preprocesses every image; one that cannot be used stops it all, by its name.

    Args:
      paths: image files, and folders of them.
      card: the port's, whose preprocessing is used.

    Returns:
      One `Photograph` for each image.

    Raises:
      Mistake: no image at all.
      ValueError, OSError: a file that is not there or is no image that can be used.

    Example:
      >>> photographs([], card=None)
      Traceback (most recent call last):
      jaxviz.cli.mistakes.Mistake: at least one image file or folder of images is needed
    """
    if not paths:
        raise Mistake("at least one image file or folder of images is needed")
    files = [Path(file) for file in jv.data.list_images(paths)]
    found = []
    for file in files:
        image = jv.data.load_image(file)
        try:
            shown = card.to_display(image)
        except ValueError as error:
            raise Mistake(f"{file}: {error}") from error
        found.append(Photograph(file, np.asarray(card.normalize(shown)), shown[0]))
    return found
