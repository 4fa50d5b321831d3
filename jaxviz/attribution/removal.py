"""What a map is worth: how fast the target goes, or comes, with the pixels it names first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jaxviz.attribution.covering import fitting
from jaxviz.attribution.question import Target, asked
from jaxviz.transform import capture

__all__ = ["RemovalCurves", "removal_curves"]


class RemovalCurves(NamedTuple):
    """The target while pixels go, and while they come, those with the largest values first.

    Attributes:
      deletion: entry `j` is the target with the share `j / steps` of the pixels taken away.
      insertion: with the same share of them put back into an image that has none.
    """

    deletion: Float[Array, "n steps+1"]
    insertion: Float[Array, "n steps+1"]

    def areas(self) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """The areas under both curves, over shares from 0 to 1, by trapezoids.

        A map that names the right pixels has a small area of deletion and a large one of insertion.
        """
        deletion, insertion = (
            jnp.trapezoid(curve, dx=1 / (curve.shape[1] - 1), axis=1) for curve in self
        )
        return deletion, insertion


def removal_curves(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    heat: Float[ArrayLike, "n h w"],
    target: Target,
    *,
    steps: int = 32,
    fill: float | Float[ArrayLike, "*image"] = 0.0,
    start: float | Float[ArrayLike, "*image"] | None = None,
) -> RemovalCurves:
    """How fast the target falls without a map's foremost pixels, and how fast it rises with them.

    Args:
      model: a callable pytree.
      x: the model's input.
      heat: for each pixel how much it matters; of pixels that are equal the upper left goes first.
      target: a class (its logit is followed), a class for each image, or an objective, as
        `jv.objectives.probability(k)`, which the paper takes.
      steps: how many times pixels are taken away, or put back, all in all.
      fill: what is left where a pixel was taken, as in `jv.occlusion`.
      start: the image that pixels are put into, as `fill`; the paper takes a blurred one. By
        default it is `fill`.

    Returns:
      Both curves, with `steps + 1` points each: the first with no pixel gone or there, the last
      with all of them.

    Raises:
      ValueError: `steps` is below 1; `heat`, `fill` or `start` does not fit the images; `x` or
        `target` does not fit the model.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: x.sum((1, 2))
      >>> x = jnp.array([1.0, 3.0]).reshape(1, 1, 2, 1)
      >>> found = jv.removal_curves(model, x, x[..., 0], 0, steps=2)
      >>> found.deletion.tolist(), found.insertion.tolist()
      ([[4.0, 1.0, 0.0]], [[0.0, 3.0, 4.0]])
      >>> [area.item() for area in found.areas()]
      [1.5, 2.5]

    References:
      Petsiuk, Das, Saenko, RISE: randomized input sampling for explanation of black-box models,
      2018, section 4.1.
    """
    model, x, objective = asked(model, x, target)
    heat = jnp.asarray(heat)
    if heat.shape != x.shape[:3]:
        raise ValueError(
            f"heat must have one number for each pixel, {x.shape[:3]}, got {heat.shape}; "
            "`jaxviz.report.enlarge` or `OcclusionMaps.to_pixels` brings a map to the image's size."
        )
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    taken = fitting(fill, x)
    empty = taken if start is None else fitting(start, x)
    return _curves(model, x, heat, objective, taken, empty, steps=steps)


@functools.partial(jax.jit, static_argnames="steps")
def _curves(model, x, heat, objective, taken, empty, *, steps):
    pixels = heat[0].size
    order = jnp.argsort(-heat.reshape(len(x), pixels), axis=1, stable=True)
    # Of each pixel its place in that order.
    place = jnp.argsort(order, axis=1).reshape(*heat.shape, 1)
    gone = np.round(np.arange(steps + 1) * pixels / steps).astype(int)

    def answers(count):
        first = place < count
        versions = jnp.where(first, taken, x), jnp.where(first, x, empty)
        return [objective(*capture(model, version, objective.layers)) for version in versions]

    deletion, insertion = jax.lax.map(answers, jnp.asarray(gone))
    return RemovalCurves(deletion.T, insertion.T)
