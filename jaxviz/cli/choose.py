"""What a command picks where the user leaves it open: layers, windows, units, patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from jaxviz.cli.mistakes import Mistake, unknown

__all__ = [
    "Units",
    "class_index",
    "default_window",
    "first_of_each",
    "last_spatial",
    "strongest_units",
    "support",
]


def last_spatial(layers: Mapping[str, jax.ShapeDtypeStruct]) -> str:
    """The last layer that still knows places: (n, h, w, c) with more than one position.

    A pooling at the end only repeats, coarser, what lies below it, and is passed over: where the
    last size comes with no other number of channels than the layer before it has, that layer is
    meant (`features.29` in VGG-16, 14 x 14, and not `features.30` to `avgpool`, 7 x 7).

    Args:
      layers: names and shapes in the order of evaluation, as `jaxviz.layers` gives them.

    Returns:
      Its name.

    Raises:
      Mistake: where no layer has positions.

    Example:
      >>> shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, "float32")
      >>> last_spatial({"a": shape(1, 8, 8, 3), "b": shape(1, 4, 4, 5), "c": shape(1, 1, 1, 5)})
      'b'
    """
    spatial = {
        name: value.shape[1:]
        for name, value in layers.items()
        if len(value.shape) == 4 and value.shape[1] * value.shape[2] > 1
    }
    if not spatial:
        raise Mistake("Grad-CAM needs a layer with positions, (n, h, w, c), and the model has none")
    *earlier, last = spatial
    while earlier and spatial[earlier[-1]] == spatial[last]:
        earlier.pop()
    pooled = earlier and spatial[earlier[-1]][-1] == spatial[last][-1]
    return earlier[-1] if pooled else last


def default_window(size: int) -> tuple[int, int]:
    """An occluding window for an input of `size` pixels, and its stride: a seventh, and half of it.

    Args:
      size: the input's smaller side.

    Returns:
      (window, stride), the window a multiple of four pixels.

    Example:
      >>> default_window(224), default_window(64)
      ((32, 16), (8, 4))
    """
    window = max(4, size // 7 // 4 * 4)
    return window, window // 2


def class_index(
    given: str, *, categories: Sequence[str], count: int, option: str = "--target"
) -> int:
    """The class that a user means by a number or by a category's name, in any case.

    Args:
      given: what the user wrote.
      categories: the names of the classes, or none.
      count: how many classes the model tells apart.
      option: where it was written, for the message.

    Returns:
      An index in [0, count).

    Raises:
      Mistake: where no class has that number or name, or two have that name.

    Example:
      >>> class_index("Ring", categories=["circle", "ring"], count=2)
      1
      >>> class_index("0", categories=["circle", "ring"], count=2)
      0
    """
    try:
        number = int(given)
    except ValueError:
        pass  # a name, then
    else:
        if not 0 <= number < count:
            raise Mistake(f"{option} must be a class from 0 to {count - 1}, not {given}")
        return number
    found = [i for i, name in enumerate(categories) if name.lower() == given.lower()]
    if len(found) > 1:
        numbers = " and ".join(map(str, found))
        raise Mistake(f"{option} '{given}' names classes {numbers}; give one of the numbers")
    if not found:
        lists = f"a number from 0 to {count - 1} will do as well"
        raise unknown("class", given, list(categories), lists=lists)
    return found[0]


def first_of_each(labels: Int[np.ndarray, " n"], *, count: int) -> Int[np.ndarray, " count"]:
    """The first image of each of `count` classes, in the order in which they come.

    Args:
      labels: the images' classes.
      count: how many images.

    Returns:
      Their indices.

    Example:
      >>> first_of_each(np.array([7, 7, 3, 7, 1]), count=2).tolist()
      [0, 2]
    """
    _, first = np.unique(labels, return_index=True)
    return np.sort(first)[:count]


class Units(NamedTuple):
    """Some channels, each with the image of its strongest activation.

    Attributes:
      channel: the channels, the one that stands out most first.
      image: which image of the batch excites each most.
      value: the activation there.
    """

    channel: Int[np.ndarray, " k"]
    image: Int[np.ndarray, " k"]
    value: Float[np.ndarray, " k"]


def strongest_units(activations: Float[np.ndarray, "n h w c"], *, count: int) -> Units:
    """The channels that stand out most in a batch, each with the image that excites it most.

    A channel stands out by its strongest activation, relative to what it usually comes to. An image
    is taken once as long as there are others, so that the units show different pictures.

    Args:
      activations: a layer's values.
      count: how many channels.

    Returns:
      `Units`, at most as many as there are channels.

    Example:
      >>> values = np.array([[1.0, 5.0], [3.0, 4.0]]).reshape(2, 1, 1, 2)
      >>> units = strongest_units(values, count=2)
      >>> units.channel.tolist(), units.image.tolist(), units.value.tolist()
      ([1, 0], [0, 1], [5.0, 3.0])
    """
    peaks = np.asarray(activations).max(axis=(1, 2))  # (n, c)
    # A channel stands out by its peak over what it usually has, not by its scale.
    usual = np.median(peaks, axis=0)
    order = np.argsort(-(peaks.max(0) / (usual + 1e-6 + usual.mean())), kind="stable")[:count]
    free = np.ones(len(peaks), bool)
    images = []
    for channel in order:
        free = free if free.any() else np.ones_like(free)
        images.append(int(np.argmax(np.where(free, peaks[:, channel], -np.inf))))
        free[images[-1]] = False
    image = np.array(images)
    return Units(order, image, peaks[image, order])


def support(signal: Float[np.ndarray, "n h w c"], *, least: int = 8) -> list[tuple[slice, slice]]:
    """For each image the square where a signal is not zero; one side length for the whole batch.

    Of a unit's projection this is the patch of the image that it answers to.

    Args:
      signal: for example the projection of one unit in each image.
      least: the smallest side, in pixels.

    Returns:
      (rows, columns) for each image, inside the image.

    Example:
      >>> signal = np.zeros((1, 32, 32, 1))
      >>> signal[0, 3:5, 20:30] = 1.0
      >>> support(signal)
      [(slice(0, 10, None), slice(20, 30, None))]
    """
    there: Bool[np.ndarray, "n h w"] = (np.asarray(signal) != 0).any(-1)
    height, width = there.shape[1:]
    boxes = []
    for mask in there:
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        boxes.append(
            [
                (r[0], r[-1] + 1) if len(r) else (n // 2, n // 2)
                for r, n in ((rows, height), (columns, width))
            ]
        )
    side = max([least, *(stop - start for box in boxes for start, stop in box)])

    def around(span: tuple[int, int], size: int) -> slice:
        start = int(np.clip((span[0] + span[1] - side) // 2, 0, max(size - side, 0)))
        return slice(start, int(min(start + side, size)))

    return [(around(rows, height), around(columns, width)) for rows, columns in boxes]
