"""Several images of a batch: unlike or like each other, or each with an objective of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import ArrayLike, Float

from jaxviz.synthesis.objectives.objective import Objective

__all__ = ["alignment", "diversity", "each", "interpolate"]


def diversity(layer: str) -> Objective:
    """How different the images of a batch look to a layer: added, it keeps them apart.

    Args:
      layer: a layer's name.

    Returns:
      An objective: for each image minus the mean cosine between the channel correlations (Gram
      matrices) of its activations and those of the other images; in [-1, 0], and 0 for one image.

    References:
      Olah, Mordvintsev, Schubert, Feature visualization, 2017, section "Diversity".

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> taps = {"conv": jnp.ones((2, 2, 2, 3))}
      >>> [round(value, 3) for value in jv.objectives.diversity("conv")(None, taps).tolist()]
      [-1.0, -1.0]
    """
    return Objective(Partial(_Diversity(layer)), (layer,), joint=True)


@dataclass(frozen=True)
class _Diversity:
    layer: str

    def __call__(self, output, taps):
        values = taps[self.layer]
        values = values.reshape(len(values), -1, values.shape[-1])
        gram = jnp.einsum("npc,npd->ncd", values, values).reshape(len(values), -1)
        gram = gram / jnp.sqrt(jnp.sum(gram**2, -1, keepdims=True) + 1e-12)
        cosine = gram @ gram.T
        return -(cosine.sum(-1) - jnp.diagonal(cosine)) / max(len(values) - 1, 1)


def alignment(layer: str) -> Objective:
    """How alike neighbouring images of a batch look to a layer: added, it holds them together.

    A walk from one objective to another then changes gradually; what can stay, stays in place.

    Args:
      layer: a layer's name.

    Returns:
      An objective: for each image minus the mean squared difference between its activations and
      those of the image before it and the one after it; 0 for one image.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> taps = {"conv": jnp.array([[0.0], [1.0], [3.0]])}
      >>> jv.objectives.alignment("conv")(None, taps).tolist()
      [-1.0, -2.5, -4.0]

    References:
      Mordvintsev, Pezzotti, Schubert, Olah, Differentiable image parameterizations, 2018, section
      "Aligned feature visualization interpolation".
    """
    return Objective(Partial(_Alignment(layer)), (layer,), joint=True)


@dataclass(frozen=True)
class _Alignment:
    layer: str

    def __call__(self, output, taps):
        values = taps[self.layer]
        if len(values) == 1:
            return jnp.zeros(1)
        apart = jnp.mean(jnp.diff(values, axis=0) ** 2, range(1, values.ndim))
        neighbours = jnp.full(len(values), 2.0).at[jnp.array([0, -1])].set(1)
        return -(jnp.pad(apart, (0, 1)) + jnp.pad(apart, (1, 0))) / neighbours


def interpolate(a: Objective, b: Objective, weight: Float[ArrayLike, "*n"]) -> Objective:
    """Between two objectives: `(1 - weight) * a + weight * b`.

    Args:
      a: the objective at weight 0.
      b: the objective at weight 1.
      weight: a number for all images, or one for each; between 0 and 1, or beyond.

    Returns:
      An objective.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> logit = jv.objectives.logit
      >>> walk = jv.objectives.interpolate(logit(0), logit(1), jnp.linspace(0, 1, 3))
      >>> walk(jnp.tile(jnp.array([2.0, 4.0]), (3, 1)), {}).tolist()
      [2.0, 3.0, 4.0]

    References:
      Olah, Mordvintsev, Schubert, Feature visualization, 2017, section "Interaction between
      neurons".
    """
    weight = jnp.asarray(weight, float)
    return a * (1 - weight) + b * weight


def each(objectives: Sequence[Objective]) -> Objective:
    """Another objective for each image: image `i` is scored by `objectives[i]`.

    They may be of different kinds and read different layers.

    Args:
      objectives: one for each image of the batch.

    Returns:
      An objective.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> both = jv.objectives.each([jv.objectives.logit(0), -jv.objectives.logit(1)])
      >>> both(jnp.array([[3.0, 2.0], [0.0, 4.0]]), {}).tolist()
      [3.0, -4.0]
    """
    own = tuple(objectives)
    if not own:
        raise ValueError("each needs at least one objective, got an empty list.")
    layers = dict.fromkeys(name for objective in own for name in objective.layers)
    joint = any(objective.joint for objective in own)
    return Objective(Partial(_each, own, jnp.arange(len(own))), tuple(layers), joint)


def _each(own, which, output, taps):
    scores = jnp.stack([objective(output, taps) for objective in own])
    return scores[which, jnp.arange(scores.shape[1])]
