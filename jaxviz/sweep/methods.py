"""What is computed of every image of a sweep: a table of methods, and the scores of their maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxviz import attribution
from jaxviz.perturb import gaussian_blur
from jaxviz.synthesis.objectives import probability

__all__ = ["AXES", "METHODS", "Asked", "Method", "answers"]

POSITIONS = "positions"
"""The axis of the mesh whose devices share the positions of an occluder."""

_BLUR = 5 / 224
"""Standard deviation of the blur that insertion starts from, in sides of the image, as RISE's."""


class Asked(NamedTuple):
    """What is asked of every image; all of it is known to the compiler.

    Attributes:
      method: a name in `METHODS`.
      target: the class to explain: a number; "top", the most probable; or "label", the image's own.
      layer: where class activation maps look.
      window: side of the occluding square, in pixels.
      stride: step of the occluding square.
      fill: its value in the model's input, or "mean", the mean colour of each image.
      curves: steps of the deletion and insertion curves; 0 for none.
    """

    method: str
    target: int | Literal["top", "label"] = "top"
    layer: str | None = None
    window: int = 32
    stride: int = 8
    fill: float | Literal["mean"] = 0.0
    curves: int = 0


class Maps(NamedTuple):
    """A method's result for a batch.

    Attributes:
      arrays: by name, as they are stored.
      heat: for each pixel of the input how much it matters.
    """

    arrays: dict[str, Array]
    heat: Float[Array, "n h w"]


class Method(NamedTuple):
    """How a method makes maps.

    Attributes:
      maps: `maps(model, x, classes, asked, memory)`.
      axes: of each array that it stores the names of its axes behind the first one.
      options: the fields of `Asked` that it reads.
      batch: how many images a device gets at one time, by default.
    """

    maps: Callable[..., Maps]
    axes: dict[str, tuple[str, ...]]
    options: tuple[str, ...]
    batch: int


def _projected(project: Callable) -> Method:
    def maps(model, x, classes, asked, memory):
        map = project(model, x, classes)
        return Maps({"map": map}, jnp.abs(map).max(-1))

    return Method(maps, {"map": ("y", "x", "channel")}, (), 8)


def _activation_map(heat_of: Callable) -> Method:
    def maps(model, x, classes, asked, memory):
        map = heat_of(model, x, classes, layer=asked.layer)
        return Maps({"map": map}, jax.image.resize(map, x.shape[:3], "linear"))

    return Method(maps, {"map": ("row", "column")}, ("layer",), 8)


def _occluded(model, x, classes, asked, memory):
    found = attribution.occlusion(
        model,
        x,
        probability(classes),
        window=(asked.window, asked.window),
        stride=(asked.stride, asked.stride),
        fill=x.mean((1, 2), keepdims=True) if asked.fill == "mean" else asked.fill,
        memory=memory,
        over=POSITIONS,
    )
    arrays: Any = {"score": found.score, "drop": found.drop, "likeliest": found.label}
    heat: Any = found.to_pixels()
    return Maps(arrays, heat)


METHODS = {
    "occlusion": Method(
        _occluded,
        dict.fromkeys(("score", "drop", "likeliest"), ("row", "column")),
        ("window", "stride", "fill"),
        4,
    ),
    "saliency": _projected(attribution.saliency),
    "guided": _projected(attribution.guided_backprop),
    "deconvnet": _projected(attribution.deconvnet),
    "grad-cam": _activation_map(attribution.grad_cam),
    "cam": _activation_map(attribution.cam),
}
"""The methods by name, as `jaxviz explain` names them."""

AXES = {
    "prediction": (),
    "target": (),
    "probability": (),
    "probabilities": ("class",),
    "peak": ("place",),
    "deletion": ("share",),
    "insertion": ("share",),
    "deletion_area": (),
    "insertion_area": (),
    "likeness_randomized": (),
}
"""Of each array that does not belong to one method the names of its axes behind the first one."""


def answers(
    model: Callable,
    randomized: Callable | None,
    x: Float[Array, "n h w c"],
    label: Int[Array, " n"],
    *,
    asked: Asked,
    memory: int | None,
) -> tuple[dict[str, Array], Float[Array, "n h w"]]:
    """All that a sweep stores of a batch of images, and the maps as heat, for their mean.

    Args:
      model: a callable pytree of arrays.
      randomized: the same with other weights, for the sanity check, or None.
      x: the model's input.
      label: the images' classes, or -1.
      asked: what to compute.
      memory: bytes that occlusion may take at one time.

    Returns:
      Arrays by name, with the images in front; and the heat.
    """
    logits = _wide(model(x))
    top, finite = jnp.argmax(logits, -1), jnp.isfinite(logits).all(-1, keepdims=True)
    # In a fused program XLA has been seen to make numbers of NaN, on a CPU.
    probabilities = jnp.where(finite, jax.nn.softmax(logits), jnp.nan)
    if isinstance(asked.target, str):
        classes = {"top": top, "label": jnp.maximum(label, 0)}[asked.target]
    else:
        classes = jnp.full_like(top, asked.target)
    method = METHODS[asked.method]
    maps, heat = method.maps(model, x, classes, asked, memory)
    place = jnp.unravel_index(jnp.argmax(heat.reshape(len(x), -1), 1), heat.shape[1:])
    found = {
        **maps,
        "prediction": top,
        "target": classes,
        "probability": jnp.take_along_axis(probabilities, classes[:, None], 1)[:, 0],
        "probabilities": probabilities,
        "peak": jnp.stack(place, -1),
    }
    if asked.curves:
        curves = attribution.removal_curves(
            model,
            x,
            heat,
            probability(classes),
            steps=asked.curves,
            start=gaussian_blur(x, _BLUR * x.shape[1]),
        )
        found |= dict(zip(("deletion", "insertion"), curves, strict=True))
        found |= dict(zip(("deletion_area", "insertion_area"), curves.areas(), strict=True))
    if randomized is not None:
        other = method.maps(randomized, x, classes, asked, memory)
        found["likeness_randomized"] = attribution.rank_correlation(heat, other.heat)
    return jax.tree.map(_wide, (found, heat))


def _wide(values: Array) -> Array:
    """Half-precision numbers, which few readers of a store know, as float32."""
    if not jnp.issubdtype(values.dtype, jnp.floating):
        return values
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))
