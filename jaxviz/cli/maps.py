"""The maps of a batch of inputs, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

import jaxviz as jv
from jaxviz.cli import choose
from jaxviz.cli.mistakes import Mistake, unknown

__all__ = [
    "METHODS",
    "Maps",
    "Occluder",
    "checked_methods",
    "checked_occluder",
    "logits_of",
    "maps_of",
    "softmax",
]

METHODS = ("saliency", "guided", "deconvnet", "grad-cam", "occlusion")
"""What `--methods` may name, in the order of the page."""


def checked_methods(methods: Sequence[str]) -> tuple[str, ...]:
    """`methods` in the order of the page, each once; an unknown one is a mistake."""
    for method in methods:
        if method not in METHODS:
            raise unknown("method", method, METHODS, lists=f"--methods takes {', '.join(METHODS)}")
    return tuple(method for method in METHODS if method in methods)


class Occluder(NamedTuple):
    """The square that hides a part of the image.

    Attributes:
      window: its height and width, in pixels.
      stride: the step between places, in pixels.
      fill: its value, in the model's input units; or "mean", the mean colour of each image.
      coarse: every so many rows and columns of places are computed first, of the others a tenth;
        the rest is interpolated. 1 is exact.
    """

    window: int
    stride: int
    fill: float | Literal["mean"] = 0.0
    coarse: int = 1

    def words(self) -> str:
        """It in words, for a page's list of facts."""
        colour = "the image's mean colour" if self.fill == "mean" else f"filled with {self.fill:g}"
        rough = f", one place in {self.coarse} each way, then a tenth of the others"
        told = f"{self.window} px, stride {self.stride}, {colour}"
        return told + rough if self.coarse > 1 else told


def checked_occluder(side: int, window: int | None, stride: int | None, fill: str) -> Occluder:
    """The occluder that a user's options describe.

    Args:
      side: of the model's input, in pixels.
      window: its side; None takes a seventh of the input's.
      stride: the step between places; None takes half the window.
      fill: a number in words, or "mean".

    Returns:
      `Occluder`.

    Raises:
      Mistake: one of them does not fit.

    Example:
      >>> checked_occluder(224, None, None, "0")
      Occluder(window=32, stride=16, fill=0.0, coarse=1)
    """
    default_window, _ = choose.default_window(side)
    window = default_window if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= window <= side:
        raise Mistake(
            f"--window must be from 1 to {side}, the input's side in pixels, not {window}"
        )
    if not 1 <= stride <= side:
        raise Mistake(
            f"--stride must be from 1 to {side}, the input's side in pixels, not {stride}"
        )
    if fill == "mean":
        return Occluder(window, stride, "mean")
    try:
        value = float(fill)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise Mistake(f'--fill must be a finite number or "mean", not {fill}')
    return Occluder(window, stride, value)


class Maps(NamedTuple):
    """All maps of a batch for one target each; those that were not asked for are None.

    Attributes:
      saliency: gradient of the logit.
      guided: guided backpropagation of the logit.
      deconvnet: deconvnet projection of the logit.
      grad_cam: of the layer's size.
      drop: by how much hiding each place lowers the target's probability.
      label: the most probable class with each place hidden.
      drop_error: the largest error of `drop` on a sample of places, where it is not exact.
    """

    saliency: Float[np.ndarray, "n h w 3"] | None = None
    guided: Float[np.ndarray, "n h w 3"] | None = None
    deconvnet: Float[np.ndarray, "n h w 3"] | None = None
    grad_cam: Float[np.ndarray, "n a b"] | None = None
    drop: Float[np.ndarray, "n r c"] | None = None
    label: Int[np.ndarray, "n r c"] | None = None
    drop_error: Float[np.ndarray, " n"] | None = None

    def of(self, index: int) -> Maps:
        """The maps of one input, each without the batch's axis."""
        return Maps(*(None if map is None else map[index] for map in self))


@jax.jit
def _output(model: Any, x: Float[ArrayLike, "n h w c"]) -> Float[Array, "n k"]:
    return model(x)


def logits_of(model: Any, x: Float[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n k"]:
    """The model's output; another batch of the same shape compiles nothing."""
    return np.asarray(_output(model, x))


def softmax(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """The class probabilities that logits stand for.

    Example:
      >>> softmax(np.log([[1.0, 3.0]])).round(3).tolist()
      [[0.25, 0.75]]
    """
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def maps_of(
    model: Any,
    x: Float[np.ndarray, "n h w c"],
    target: Int[np.ndarray, " n"],
    *,
    methods: Sequence[str],
    layer: str,
    occluder: Occluder,
    memory: int | None = None,
) -> Maps:
    """Computes maps of a batch; another batch of the same shape compiles nothing.

    Args:
      model: a callable pytree.
      x: its input.
      target: the class to explain in each image.
      methods: some of `METHODS`.
      layer: where Grad-CAM looks.
      occluder: what occlusion hides the image with.
      memory: bytes for the places that are computed together, as in `jv.occlusion`.

    Returns:
      `Maps` as NumPy arrays.
    """
    classes = jnp.asarray(target)
    compute = {
        "saliency": lambda: jv.saliency(model, x, classes),
        "guided": lambda: jv.guided_backprop(model, x, classes),
        "deconvnet": lambda: jv.deconvnet(model, x, classes),
        "grad-cam": lambda: jv.grad_cam(model, x, classes, layer=layer),
    }
    found = {name.replace("-", "_"): map() for name, map in compute.items() if name in methods}
    if "occlusion" in methods:
        probability = jv.objectives.probability(classes)
        options: dict[str, Any] = {
            "window": (occluder.window, occluder.window),
            "stride": (occluder.stride, occluder.stride),
            "fill": x.mean((1, 2), keepdims=True) if occluder.fill == "mean" else occluder.fill,
            "memory": memory,
        }
        if occluder.coarse == 1:
            occluded = jv.occlusion(model, x, probability, **options)
        else:
            key, coarse = jax.random.key(0), occluder.coarse
            occluded, error = jv.approximate_occlusion(
                model, x, probability, key=key, coarse=coarse, **options
            )
            found["drop_error"] = error.largest
        found |= {"drop": occluded.drop, "label": occluded.label}
    return Maps(**{name: np.asarray(map) for name, map in found.items()})
