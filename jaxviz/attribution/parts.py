"""What the target loses when given parts of an image are covered: boxes, or masks of any shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from jaxviz.attribution.covering import Answers, cover, fitting
from jaxviz.attribution.question import Targets, asked_several

__all__ = ["Occluded", "occlude_boxes", "occlude_masks"]


class Occluded(NamedTuple):
    """What became of the target with each part covered.

    Attributes:
      score: the target with the part covered; for several targets, a dict of such arrays.
      drop: the target of the whole image minus `score`: what was lost; or a dict as well.
      label: the model's most probable class with the part covered, or -1, as in `OcclusionMaps`.
    """

    score: Float[Array, "n parts"] | dict[str, Float[Array, "n parts"]]
    drop: Float[Array, "n parts"] | dict[str, Float[Array, "n parts"]]
    label: Int[Array, "n parts"]


def occlude_boxes(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    target: Targets,
    boxes: Int[ArrayLike, "*n parts 4"],
    *,
    fill: float | Float[ArrayLike, "*image"] = 0.0,
    engine: str = "auto",
    memory: int | None = None,
) -> Occluded:
    """How the target changes while each of some boxes is covered, one at a time.

    Boxes are data: other boxes, as many and with the same largest height and width, need no
    recompilation.

    Args:
      model: a callable pytree.
      x: the model's input.
      target: a class, a class for each image, or an objective; or a dict of these.
      boxes: top, left, bottom and right in pixels, the last two exclusive; for all images, or for
        each image its own.
      fill: what covers, as in `jv.occlusion`.
      engine: as in `jv.occlusion`; `incremental` is for boxes that are small against the image.
      memory: as in `jv.occlusion`.

    Returns:
      One number for each image and box.

    Raises:
      ValueError: a box is empty or leaves the image, or is not known while tracing; an option or
        the target does not fit.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: x.sum((1, 2))
      >>> boxes = [[0, 0, 2, 2], [1, 0, 4, 3]]
      >>> jv.occlude_boxes(model, jnp.ones((1, 4, 4, 1)), 0, boxes).drop.tolist()
      [[4.0, 9.0]]
    """
    model, x, objectives = asked_several(model, x, target)
    if isinstance(boxes, Tracer):
        raise ValueError("boxes must be known while tracing, for their largest size; got a tracer.")
    boxes = np.asarray(boxes)
    n, h, w, _ = x.shape
    boxes = boxes[None] if boxes.ndim == 2 else boxes
    fits = boxes.ndim == 3 and boxes.shape[2] == 4 and len(boxes) in (1, n) and boxes.size
    if not (fits and np.issubdtype(boxes.dtype, np.integer)):
        raise ValueError(
            f"boxes must be ints of shape (parts, 4), or ({n}, parts, 4) for {n} images; got "
            f"{boxes.dtype} {boxes.shape}."
        )
    top, left, bottom, right = np.moveaxis(boxes, -1, 0)
    wrong = (top < 0) | (left < 0) | (bottom > h) | (right > w) | (top >= bottom) | (left >= right)
    if wrong.any():
        raise ValueError(
            f"box {boxes[wrong][0].tolist()} (top, left, bottom, right) must lie in the image of "
            f"{h} x {w} pixels and hold at least one."
        )
    return _occluded(
        *cover(
            model,
            x,
            objectives,
            fitting(fill, x),
            boxes,
            size=(int((bottom - top).max()), int((right - left).max())),
            engine=engine,
            memory=memory,
        )
    )


def occlude_masks(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    target: Targets,
    masks: Bool[ArrayLike, "*n parts h w"],
    *,
    fill: float | Float[ArrayLike, "*image"] = 0.0,
    memory: int | None = None,
) -> Occluded:
    """How the target changes while each of some masks is covered: superpixels, or object parts.

    Every mask is a whole pass of the model.

    Args:
      model: a callable pytree.
      x: the model's input.
      target: a class, a class for each image, or an objective; or a dict of these.
      masks: true where the image is covered; for all images, or for each image its own. Superpixels
        as numbers `s` give masks by `s == jnp.arange(count)[:, None, None]`.
      fill: what covers, as in `jv.occlusion`.
      memory: as in `jv.occlusion`.

    Returns:
      One number for each image and mask.

    Raises:
      ValueError: the masks have another shape or are not boolean; an option or the target does not
        fit.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: x.sum((1, 2))
      >>> quarters = jnp.arange(16).reshape(4, 4) // 4
      >>> masks = quarters == jnp.arange(4)[:, None, None]
      >>> jv.occlude_masks(model, jnp.ones((1, 4, 4, 1)), 0, masks).drop.tolist()
      [[4.0, 4.0, 4.0, 4.0]]
    """
    model, x, objectives = asked_several(model, x, target)
    masks = jnp.asarray(masks)
    n, h, w, _ = x.shape
    masks = masks[None] if masks.ndim == 3 else masks
    fits = masks.shape[2:] == (h, w) and len(masks) in (1, n) and masks.size
    if masks.dtype != bool or not fits:
        raise ValueError(
            f"masks must be boolean of shape (parts, {h}, {w}), or ({n}, parts, {h}, {w}); got "
            f"{masks.dtype} {masks.shape}."
        )
    return _occluded(
        *cover(model, x, objectives, fitting(fill, x), masks, engine="dense", memory=memory)
    )


def _occluded(whole: Answers, covered: Answers) -> Occluded:
    drop: Any = jax.tree.map(lambda whole, own: whole[:, None] - own, whole.score, covered.score)
    return Occluded(covered.score, drop, covered.label)
