"""The maps of Zeiler & Fergus' occlusion figure, from one sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from jaxviz.attribution.backprojection import deconvnet
from jaxviz.attribution.occlusion import occlusion
from jaxviz.synthesis.objectives import channel, feature_map, probability
from jaxviz.transform import as_argument, capture

__all__ = ["OcclusionPanels", "occlusion_panels"]


class OcclusionPanels(NamedTuple):
    """What the figure shows of each image, by the letters of its columns.

    Attributes:
      channel: the feature map that is strongest in the whole image, all activations summed.
      activation: (b) the sum of its activations, for each position of the occluder.
      projection: (c) the deconvnet projection of this map from the whole image.
      probability: (d) that of the image's class, for each position.
      label: (e) the most probable class, for each position.
    """

    channel: Int[Array, " n"]
    activation: Float[Array, "n r c"]
    projection: Float[Array, "n h w channels"]
    probability: Float[Array, "n r c"]
    label: Int[Array, "n r c"]


def occlusion_panels(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    label: int | Int[ArrayLike, " n"],
    *,
    layer: str,
    window: tuple[int, int] = (32, 32),
    stride: tuple[int, int] = (8, 8),
    fill: float | Float[ArrayLike, "*image"] = 0.0,
    engine: str = "auto",
    memory: int | None = None,
) -> OcclusionPanels:
    """What an occluder does to a layer's strongest feature map, to a class, and to the answer.

    If the feature map answers to what its projection shows, hiding that part lowers both the map
    and, where the object is, the class. The figure's other projections, of the same feature map
    from other images, are `jv.deconvnet(model, others, jv.objectives.feature_map(layer, channel))`.

    Args:
      model: a callable pytree.
      x: the model's input.
      label: the class of all images, or one for each.
      layer: whose strongest feature map is followed; values of shape (n, h, w, c), behind a ReLU.
      window: as in `jv.occlusion`.
      stride: as in `jv.occlusion`.
      fill: as in `jv.occlusion`.
      engine: as in `jv.occlusion`.
      memory: as in `jv.occlusion`.

    Returns:
      The panels, from one sweep and one projection.

    Raises:
      ValueError: the layer is unknown or has no feature maps; or as in `jv.occlusion`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> def model(x):
      ...     x = jv.tap(jax.nn.relu(x), "relu")
      ...     return x.mean((1, 2))
      >>> x = jnp.ones((1, 8, 8, 2)) * jnp.array([1.0, 2.0])
      >>> panels = jv.occlusion_panels(model, x, 0, layer="relu", window=(4, 4), stride=(4, 4))
      >>> panels.channel.tolist(), panels.activation[0].tolist()
      ([1], [[96.0, 96.0], [96.0, 96.0]])

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 4.2 and
      figure 6.
    """
    model, x = as_argument(model), jnp.asarray(x)
    values = capture(model, x, [layer])[1][layer]
    if values.ndim != 4:
        raise ValueError(
            f"layer '{layer}' must have feature maps (n, h, w, c); it has {values.shape}."
        )
    strongest = jnp.argmax(values.sum((1, 2)), -1)
    positions = values.shape[1] * values.shape[2]
    maps: Any = occlusion(
        model,
        x,
        {"activation": positions * channel(layer, strongest), "probability": probability(label)},
        window=window,
        stride=stride,
        fill=fill,
        engine=engine,
        memory=memory,
    )
    return OcclusionPanels(
        strongest,
        maps.score["activation"],
        deconvnet(model, x, feature_map(layer, strongest)),
        maps.score["probability"],
        maps.label,
    )
