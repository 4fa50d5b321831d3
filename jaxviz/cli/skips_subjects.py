"""What `jaxviz study skips` looks at: networks, their training runs, and labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

import jaxviz as jv
from jaxviz.cli import choose, inputs
from jaxviz.cli.mistakes import Mistake

__all__ = [
    "Labelled",
    "checked_networks",
    "class_of_each",
    "labelled",
    "shown_to",
    "skips",
    "weights_of",
]

PACKAGED = ("shapes", "shapes-1", "shapes-2")
"""The packaged training runs of each shapes net."""

_SKIPS = {
    "resnet": 1,
    "resnext": 1,
    "wide_resnet": 1,
    "shapes-residual": 1,
    "densenet": 2,
    "shapes-dense": 2,
}


def skips(name: str) -> int:
    """A port's skip connections: 0 none, 1 a block's input is added, 2 all maps are passed on.

    Example:
      >>> skips("vgg19"), skips("resnet50"), skips("densenet201")
      (0, 1, 2)
    """
    return next((kind for start, kind in _SKIPS.items() if name.startswith(start)), 0)


def checked_networks(models: Sequence[str]) -> list[str]:
    """The networks to compare, each once; a mistake where there is nothing to compare."""
    names = list(dict.fromkeys(models))
    for name in names:
        inputs.checked_card(name)
    for group, there in (
        ("without skip connections", any(skips(name) == 0 for name in names)),
        ("with skip connections", any(skips(name) > 0 for name in names)),
    ):
        if not there:
            given = ", ".join(names) or "none"
            raise Mistake(f"--models must name a network {group} too, not only {given}")
    return names


def weights_of(name: str, folder: str | None) -> list[str]:
    """The weights of a network's training runs, for `inputs.load_port`.

    Args:
      name: of the port.
      folder: holds NAME.safetensors, and NAME-1.safetensors and so on of further runs; None takes
        the three packaged runs of a shapes net, and the ImageNet weights of any other.

    Returns:
      One entry for each run.

    Raises:
      Mistake: the folder has none of this network.

    Example:
      >>> weights_of("shapes-plain", None)
      ['shapes', 'shapes-1', 'shapes-2']
    """
    if folder is None:
        return list(PACKAGED) if name.startswith("shapes-") else ["imagenet"]
    if not Path(folder).is_dir():
        raise Mistake(f"--weights must be a folder of .safetensors files, and {folder} is none")
    further = {
        int(number): file
        for file in Path(folder).glob(f"{name}-*.safetensors")
        if (number := file.stem.removeprefix(f"{name}-")).isdecimal()
    }
    first = Path(folder) / f"{name}.safetensors"
    found = [first] * first.exists() + [further[number] for number in sorted(further)]
    if not found:
        raise Mistake(f"--weights {folder} holds no {name}.safetensors")
    return [str(file) for file in found]


class Labelled(NamedTuple):
    """Images with their classes.

    Attributes:
      images: in [0, 1]: an array, or a folder that reads each when it is asked for.
      label: of each image the index of its category.
      categories: the classes' names.
      words: what the images are, for a page.
    """

    images: Float[np.ndarray, "n h w 3"] | jv.data.ImageFolder
    label: Int[np.ndarray, " n"]
    categories: tuple[str, ...]
    words: str


def labelled(data: str | None, *, count: int, seed: int) -> Labelled:
    """The images of the study: fresh ones of shapes, or those of a folder.

    Args:
      data: a folder with a folder of images for each class, or None.
      count: how many images; of a folder about so many, equally many of each class.
      seed: which images of shapes.

    Returns:
      `Labelled`.

    Raises:
      ValueError, OSError: a folder that cannot be used.

    Example:
      >>> labelled(None, count=3, seed=0).images.shape
      (3, 64, 64, 3)
    """
    if data is None:
        drawn = jv.data.shapes(jax.random.key(3000 + seed), count)
        words = f"{count:,} fresh images of shapes"
        return Labelled(
            np.asarray(drawn.image), np.asarray(drawn.label), jv.data.SHAPE_NAMES, words
        )
    classes = max(sum(inside.is_dir() for inside in Path(data).glob("[!.]*")), 1)
    folder = jv.data.image_folder(data, per_class=-(-count // classes))
    skipped = f", {len(folder.skipped)} more cannot be read" if folder.skipped else ""
    words = f"{len(folder):,} images in {len(folder.categories)} classes{skipped}"
    return Labelled(folder, folder.labels, folder.categories, words)


def shown_to(images: Any, card: Any) -> Float[np.ndarray, "n s s 3"]:
    """The part of each image that a network sees, at its input's size, in [0, 1]."""
    if isinstance(images, np.ndarray) and images.shape[1:3] == (card.input_size, card.input_size):
        return images
    if isinstance(images, np.ndarray):
        return card.to_display(images)
    return np.concatenate([card.to_display(images[i][0]) for i in range(len(images))])


def class_of_each(categories: Sequence[str], card: Any) -> Int[np.ndarray, " k"]:
    """Which of a network's classes each category is.

    A category is a class's name, where `_` may stand for a blank, or its number. Where some are
    neither, and there are as many as the network has classes, they are taken in order, as
    torchvision takes the folders of ImageNet.

    Args:
      categories: names of folders, sorted.
      card: the network's.

    Returns:
      An index for each category.

    Raises:
      Mistake: a category is no class of the network.

    Example:
      >>> import ports
      >>> class_of_each(["golden_retriever", "7"], ports.card("vgg19")).tolist()
      [207, 7]
    """
    # ZFNet has no public weights, and so no names; its classes are ImageNet's too.
    count = len(card.categories) or 1000
    options = {"categories": card.categories, "count": count, "option": "a folder's name"}
    try:
        return np.array(
            [choose.class_index(name.replace("_", " "), **options) for name in categories]
        )
    except Mistake as mistake:
        if len(categories) == count:
            return np.arange(count)
        raise Mistake(f"--data has a folder that is no class of {card.name}: {mistake}") from None
