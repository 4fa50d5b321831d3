"""Zeiler & Fergus' occlusion figure for several images, and whether its panels agree."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from jaxviz.attribution import OcclusionPanels, deconvnet, occlusion_panels
from jaxviz.studies.batches import in_batches
from jaxviz.studies.inputs import checked
from jaxviz.synthesis.objectives import feature_map
from jaxviz.transform import as_argument, capture

__all__ = ["OccludedFigure", "occluded_figure", "window_means"]


class OccludedFigure(NamedTuple):
    """The figure's panels, and what they say of each other.

    Attributes:
      panels: (b) to (e), of the shown images.
      total: the sum of the followed feature map in the whole image.
      others: for each shown image the other images in which its feature map is strongest.
      projections: the projections of the feature map from those.
      agreement: for each shown image the correlation, over the occluder's positions, between what
        the feature map loses and the energy of its projection under the occluder; 0 where one of
        them is the same everywhere.
    """

    panels: OcclusionPanels
    total: Float[np.ndarray, " shown"]
    others: Int[np.ndarray, "shown others"]
    projections: Float[np.ndarray, "shown others h w c"]
    agreement: Float[np.ndarray, " shown"]


def occluded_figure(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    label: Int[ArrayLike, " n"],
    *,
    shown: Sequence[int] | Int[np.ndarray, " shown"],
    layer: str,
    others: int = 3,
    window: tuple[int, int] = (32, 32),
    stride: tuple[int, int] = (8, 8),
    fill: float = 0.0,
    memory: int | None = None,
) -> OccludedFigure:
    """What an occluder does to some images, and what their feature maps see in others.

    Args:
      model: a callable pytree; its output are logits.
      x: its input: the images to show, and those to look for others in.
      label: the class of each image.
      shown: which of the images are occluded.
      layer: whose strongest feature map is followed, behind a ReLU.
      others: in how many other images.
      window: as in `jv.occlusion`.
      stride: as in `jv.occlusion`.
      fill: as in `jv.occlusion`.
      memory: as in `jv.occlusion`, for the sweep and for each batch of projections.

    Returns:
      `OccludedFigure`.

    Raises:
      ValueError: too few images, or as in `jv.occlusion_panels`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(jax.nn.relu(x), "relu").mean((1, 2))
      >>> x = jax.random.normal(jax.random.key(0), (5, 8, 8, 2))
      >>> options = {"layer": "relu", "window": (4, 4), "stride": (4, 4)}
      >>> figure = occluded_figure(model, x, [0, 1, 0, 1, 0], shown=[0, 3], **options)
      >>> figure.panels.probability.shape, figure.projections.shape
      ((2, 2, 2), (2, 3, 8, 8, 2))

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 4.2 and
      figure 6. The correlation is our choice.
    """
    images, classes = checked(x, label)
    if not 1 <= others < len(images):
        raise ValueError(
            f"others must be from 1 to {len(images) - 1} with {len(images)} images, got {others}."
        )
    chosen = np.asarray(shown)
    model = as_argument(model)
    panels = occlusion_panels(
        model,
        images[chosen],
        classes[chosen],
        layer=layer,
        window=window,
        stride=stride,
        fill=fill,
        memory=memory,
    )
    channel = np.asarray(panels.channel)
    totals = in_batches(functools.partial(_totals, layer=layer), model, images, memory=memory)
    strength = totals[:, channel].T.copy()
    strength[np.arange(len(chosen)), chosen] = -np.inf
    strongest = np.argsort(-strength, axis=1, kind="stable")[:, :others]
    projections = in_batches(
        functools.partial(_projected, layer=layer),
        model,
        (images[strongest.ravel()], np.repeat(channel, others)),
        memory=memory,
    )
    total = totals[chosen, channel]
    energy = window_means(
        (np.asarray(panels.projection, float) ** 2).sum(-1), window=window, stride=stride
    )
    loss = total[:, None, None] - np.asarray(panels.activation, float)
    return OccludedFigure(
        panels,
        total,
        strongest,
        projections.reshape(*strongest.shape, *images.shape[1:]),
        _correlation(loss, energy),
    )


@functools.partial(jax.jit, static_argnames="layer")
def _totals(model: Any, x: Array, *, layer: str) -> Float[Array, "n channels"]:
    return capture(model, x, [layer])[1][layer].sum((1, 2))


@functools.partial(jax.jit, static_argnames="layer")
def _projected(model: Any, asked: tuple[Array, Array], *, layer: str) -> Float[Array, "n h w c"]:
    x, channel = asked
    return deconvnet(model, x, feature_map(layer, channel))


def window_means(
    maps: Float[ArrayLike, "n h w"], *, window: tuple[int, int], stride: tuple[int, int]
) -> Float[np.ndarray, "n r c"]:
    """The mean of a map under each position of an occluder, as `jv.occlusion` places it.

    Args:
      maps: numbers, or truths, of which the share is found.
      window: rows and columns of the occluder.
      stride: rows and columns from one position to the next.

    Returns:
      One number for each position; windows that are cut at the border have fewer pixels.

    Example:
      >>> window_means(np.arange(16.0).reshape(1, 4, 4), window=(2, 2), stride=(2, 2)).tolist()
      [[[2.5, 4.5], [10.5, 12.5]]]
    """
    given = np.asarray(maps, float)
    # Sums over all pixels above and to the left, from which any window's sum is four numbers.
    sums = np.pad(given.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    ends = []
    for size, length, step in zip(given.shape[1:], window, stride, strict=True):
        count = min(-(-(size - length) // step) + 1, -(-size // step))
        first = step * np.arange(count)
        ends.append((first, np.minimum(first + length, size)))
    (top, bottom), (left, right) = ends
    total = sums[:, bottom][..., right] - sums[:, top][..., right]
    total += sums[:, top][..., left] - sums[:, bottom][..., left]
    return total / ((bottom - top)[:, None] * (right - left))


def _correlation(
    a: Float[np.ndarray, "n r c"], b: Float[np.ndarray, "n r c"]
) -> Float[np.ndarray, " n"]:
    a, b = (v - v.mean((1, 2), keepdims=True) for v in (a, b))
    size = np.sqrt((a**2).sum((1, 2)) * (b**2).sum((1, 2)))
    return (a * b).sum((1, 2)) / np.where(size > 0, size, 1)
