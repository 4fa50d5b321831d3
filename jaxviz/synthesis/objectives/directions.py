"""Where a layer's activations point: along a direction, or where those of an image do."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Float

from jaxviz.synthesis.objectives.objective import Objective
from jaxviz.synthesis.objectives.picking import positions

__all__ = ["caricature", "cosine", "direction", "match"]


def direction(layer: str, v: Float[ArrayLike, "*n c"], *, cosine_power: float = 0.0) -> Objective:
    """How far a layer's activations point along a direction, averaged over positions.

    The dot product alone is also raised by activations that are merely large; a power of the
    cosine asks for the direction itself.

    Args:
      layer: a layer's name.
      v: a direction in the space of its channels, or one for each image.
      cosine_power: each position's dot product is multiplied by this power of the cosine between
        its activations and `v`; a cosine below 0.1 counts as 0.1, so that there is a way up from
        everywhere.

    Returns:
      An objective: the dot product with `v`, which is not normalised, times that power.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> taps = {"conv": jnp.ones((1, 2, 2, 3))}
      >>> jv.objectives.direction("conv", [1.0, 2.0, -1.0])(None, taps).tolist()
      [2.0]

    References:
      Olah, Satyanarayan, Johnson, et al., The building blocks of interpretability, 2018.
      Carter, Armstrong, Schubert, Johnson, Olah, Activation atlas, 2019: the power of the cosine.
    """
    return Objective(Partial(_Along(layer, float(cosine_power)), _directions(v)), (layer,))


def cosine(layer: str, v: Float[ArrayLike, "*n c"]) -> Objective:
    """The cosine between a layer's activations and a direction, averaged over positions.

    Args:
      layer: a layer's name.
      v: a direction in the space of its channels, or one for each image; its length does not
        matter.

    Returns:
      An objective, in [-1, 1]; where nothing is active, the cosine is 0.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> along = jv.objectives.cosine("conv", [2.0, 0.0])
      >>> round(along(None, {"conv": jnp.array([[3.0, 4.0]])}).item(), 3)
      0.6
    """
    return Objective(Partial(_Cosine(layer), _directions(v)), (layer,))


def _directions(v: Float[ArrayLike, "*n c"]) -> Float[Array, "n c"]:
    return jnp.atleast_2d(jnp.asarray(v, float))


@dataclass(frozen=True)
class _Along:
    layer: str
    cosine_power: float

    def __call__(self, v, output, taps):
        values = taps[self.layer]
        v = _everywhere(v, values, self.layer)
        if not self.cosine_power:
            return jnp.sum(values.mean(positions(values), keepdims=True) * v, range(1, v.ndim))
        dot = jnp.sum(values * v, -1)
        return jnp.mean(
            dot * _power(_cosines(values, v, -1), self.cosine_power), range(1, dot.ndim)
        )


@dataclass(frozen=True)
class _Cosine:
    layer: str

    def __call__(self, v, output, taps):
        values = taps[self.layer]
        return _cosines(values, _everywhere(v, values, self.layer), -1).mean(positions(values))


def _everywhere(v: Float[Array, "m c"], values: Float[Array, "n ... c"], layer: str) -> Array:
    """The directions with axes of length 1 for the positions."""
    if v.shape[-1] != values.shape[-1]:
        raise ValueError(
            f"direction must have one entry for each of the {values.shape[-1]} channels of "
            f"'{layer}', got {v.shape[-1]}."
        )
    return v.reshape(len(v), *(1,) * len(positions(values)), v.shape[-1])


def match(layer: str, values: Float[ArrayLike, "n ..."]) -> Objective:
    """How near a layer's activations come to given ones: feature inversion.

    Args:
      layer: a layer's name.
      values: activations to reach, with an axis of images in front: of length 1, or with an entry
        for each image. `jv.capture` gives those of an image.

    Returns:
      An objective: minus the mean squared difference, at most 0.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> taps = {"conv": jnp.ones((1, 2, 2, 3))}
      >>> jv.objectives.match("conv", jnp.full((1, 2, 2, 3), 3.0))(None, taps).tolist()
      [-4.0]

    References:
      Mahendran & Vedaldi, Understanding deep image representations by inverting them, 2015.
    """
    return Objective(Partial(_Match(layer), jnp.asarray(values, float)), (layer,))


def caricature(
    layer: str, values: Float[ArrayLike, "n ..."], *, cosine_power: float = 1.0
) -> Objective:
    """How strongly a layer sees what it saw in another image: what was there, and more of it.

    Args:
      layer: a layer's name.
      values: the other image's activations, with an axis of images in front: of length 1, or with
        an entry for each image. `jv.capture` gives them.
      cosine_power: the dot product is multiplied by this power of the cosine between both, over
        all positions and channels; a cosine below 0.1 counts as 0.1. 0 leaves the dot product,
        which a few large activations can raise alone.

    Returns:
      An objective: the mean product of both activations, times that power.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> taps = {"conv": jnp.full((1, 2, 2, 3), 5.0)}
      >>> more = jv.objectives.caricature("conv", jnp.full((1, 2, 2, 3), 2.0))
      >>> [round(value, 3) for value in more(None, taps).tolist()]
      [10.0]

    References:
      lucid, notebooks/misc/feature_inversion_caricatures.ipynb, 2018.
    """
    measure = _Caricature(layer, float(cosine_power))
    return Objective(Partial(measure, jnp.asarray(values, float)), (layer,))


@dataclass(frozen=True)
class _Match:
    layer: str

    def __call__(self, given, output, taps):
        values = _alike(taps[self.layer], given, self.layer)
        return -jnp.mean((values - given) ** 2, range(1, values.ndim))


@dataclass(frozen=True)
class _Caricature:
    layer: str
    cosine_power: float

    def __call__(self, given, output, taps):
        values = _alike(taps[self.layer], given, self.layer)
        inner = tuple(range(1, values.ndim))
        dot = jnp.mean(values * given, inner)
        return dot * _power(_cosines(values, given, inner), self.cosine_power)


def _alike(values: Array, given: Array, layer: str) -> Array:
    if given.shape[1:] != values.shape[1:] or len(given) not in (1, len(values)):
        raise ValueError(
            f"values must have the shape of '{layer}', {values.shape}, or 1 in place of its first "
            f"axis; got {given.shape}."
        )
    return values


def _cosines(a: Array, b: Array, axis: int | tuple[int, ...]) -> Array:
    return jnp.sum(a * b, axis) / (_length(a, axis) * _length(b, axis))


def _length(a: Array, axis: int | tuple[int, ...]) -> Array:
    # 1 instead of 0: nothing divided by it is 0, and the root's infinite gradient is not met.
    square = jnp.sum(a**2, axis)
    return jnp.sqrt(jnp.where(square > 0, square, 1))


def _power(cosines: Array, power: float) -> Array:
    return jnp.maximum(cosines, 0.1) ** power
