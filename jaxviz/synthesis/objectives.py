"""What to explain or to maximize: a score for each image, from a model's output and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from jaxviz.transform import as_argument, capture

__all__ = [
    "Objective",
    "channel",
    "direction",
    "diversity",
    "each",
    "feature_map",
    "layer",
    "logit",
    "neuron",
    "probability",
    "score",
    "strongest",
]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Objective:
    """A score for each image, from a model's output and the values of some layers.

    Objectives add, subtract, multiply and take powers, with each other and with numbers. The
    class, channel or position that one speaks of is data, not a part of the program, so that
    another one needs no recompilation; one that the model does not have scores NaN.

    Attributes:
      measure: `measure(output, taps)` gives one number for each image. The arrays that it holds
        have an axis in front: of length 1, for all images alike, or with an entry for each image.
      layers: the layers whose values `measure` reads from `taps`.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> rather = jv.objectives.logit(0) - 0.5 * jv.objectives.logit(1)
      >>> rather(jnp.array([[3.0, 2.0], [0.0, 4.0]]), {}).tolist()
      [2.0, -2.0]
    """

    measure: Partial
    layers: tuple[str, ...] = field(default=(), metadata={"static": True})

    def __call__(self, output: Any, taps: Mapping[str, Array]) -> Float[Array, " n"]:
        """The scores of a batch."""
        return self.measure(output, taps)

    @property
    def images(self) -> int:
        """For how many images it has parameters of its own; 1 speaks of any number."""
        return max((len(leaf) for leaf in jax.tree.leaves(self.measure)), default=1)

    def of(self, image: Int[Array, ""] | int) -> Objective:
        """The objective of one image of the batch, for a batch of this image alone."""
        return jax.tree.map(lambda leaf: leaf[image][None] if len(leaf) > 1 else leaf, self)

    def __add__(self, other: Objective | ArrayLike) -> Objective:
        return _combined(_sum, self, other)

    def __mul__(self, other: Objective | ArrayLike) -> Objective:
        return _combined(_product, self, other)

    def __pow__(self, power: ArrayLike) -> Objective:
        return _combined(_power, self, power)

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Objective | ArrayLike) -> Objective:
        return self + (-1.0 * other)

    def __rsub__(self, other: ArrayLike) -> Objective:
        return -self + other

    __radd__ = __add__
    __rmul__ = __mul__


def _combined(rule: Callable, a: Objective, b: Objective | ArrayLike) -> Objective:
    if not isinstance(b, Objective):
        return Objective(Partial(rule, a, jnp.atleast_1d(jnp.asarray(b, float))), a.layers)
    return Objective(Partial(rule, a, b), tuple(dict.fromkeys(a.layers + b.layers)))


def _value(part: Objective | Array, output: Any, taps: Mapping[str, Array]) -> Array:
    return part(output, taps) if isinstance(part, Objective) else part


def _sum(a, b, output, taps):
    return _value(a, output, taps) + _value(b, output, taps)


def _product(a, b, output, taps):
    return _value(a, output, taps) * _value(b, output, taps)


def _power(a, b, output, taps):
    return _value(a, output, taps) ** b


def _indices(name: str, index: Any) -> Int[Array, " n"]:
    index = jnp.asarray(index)
    if not jnp.issubdtype(index.dtype, jnp.integer) or index.ndim > 1:
        raise ValueError(
            f"{name} must be an int or a list of ints, one for each image; got "
            f"{index.dtype} of shape {index.shape}."
        )
    return jnp.atleast_1d(index)


def _pick(values: Float[Array, "n k"], index: Int[Array, " m"], name: str) -> Float[Array, " n"]:
    if values.ndim != 2:
        raise ValueError(
            f"{name} needs values of shape (n, {name}), got {values.shape}; choose another "
            "objective, or a layer with one number for each."
        )
    if len(index) not in (1, len(values)):
        raise ValueError(
            f"{name} has {len(index)} entries for {len(values)} images; give one, or one for each."
        )
    index = jnp.broadcast_to(index, len(values))
    picked = jnp.take_along_axis(values, index[:, None], axis=1, mode="clip")[:, 0]
    return picked * _nan_unless(_within(index, values.shape[1]))


def _within(index: Int[Array, " n"], size: int) -> Bool[Array, " n"]:
    return (index >= 0) & (index < size)


def _nan_unless(valid: Bool[Array, " n"]) -> Float[Array, " n"]:
    # A compiled program cannot refuse an index out of range; then the score and its gradient are
    # NaN, and not those of a neighbour, or zero.
    return jnp.where(valid, 1.0, jnp.nan)


def logit(k: int | Int[ArrayLike, " n"]) -> Objective:
    """The model's output number `k`: a class's logit.

    Args:
      k: a class, or one for each image.

    Returns:
      An objective.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> jv.objectives.logit([0, 1])(jnp.array([[3.0, 2.0], [0.0, 4.0]]), {}).tolist()
      [3.0, 4.0]
    """
    return Objective(Partial(_logit, _indices("class", k)))


def _logit(k, output, taps):
    return _pick(output, k, "class")


def probability(k: int | Int[ArrayLike, " n"]) -> Objective:
    """The softmax probability of class `k`, in [0, 1].

    Args:
      k: a class, or one for each image.

    Returns:
      An objective.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> jv.objectives.probability(1)(jnp.zeros((1, 4)), {}).tolist()
      [0.25]
    """
    return Objective(Partial(_probability, _indices("class", k)))


def _probability(k, output, taps):
    return _pick(jax.nn.softmax(output), k, "class")


def channel(layer: str, c: int | Int[ArrayLike, " n"]) -> Objective:
    """The mean activation of a layer's channel `c` over all positions.

    Args:
      layer: a layer's name.
      c: a channel (the last axis), or one for each image.

    Returns:
      An objective.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> taps = {"conv": jnp.arange(8.0).reshape(1, 2, 2, 2)}
      >>> jv.objectives.channel("conv", 1)(None, taps).tolist()
      [4.0]
    """
    return Objective(Partial(_Over(layer, jnp.mean), _indices("channel", c)), (layer,))


def strongest(layer: str, c: int | Int[ArrayLike, " n"]) -> Objective:
    """The strongest activation of a layer's channel `c` in the image.

    Zeiler & Fergus project it back with its own value kept as the seed: that is the deconvnet of
    `0.5 * strongest(layer, c) ** 2`, whose derivative is the activation itself.

    Args:
      layer: a layer's name.
      c: a channel (the last axis), or one for each image.

    Returns:
      An objective.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> taps = {"conv": jnp.arange(8.0).reshape(1, 2, 2, 2)}
      >>> jv.objectives.strongest("conv", 0)(None, taps).tolist()
      [6.0]
    """
    return Objective(Partial(_Over(layer, jnp.max), _indices("channel", c)), (layer,))


def feature_map(layer: str, c: int | Int[ArrayLike, " n"]) -> Objective:
    """Half the sum of squares of a layer's channel `c`: its derivative is the map itself.

    So its deconvnet projects a whole feature map back, every activation with its own value.

    Args:
      layer: a layer's name.
      c: a channel (the last axis), or one for each image.

    Returns:
      An objective.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> energy = jv.objectives.feature_map("conv", 0)
      >>> values = jnp.array([1.0, 2.0]).reshape(1, 2, 1)
      >>> jax.grad(lambda a: energy(None, {"conv": a}).sum())(values)[0, :, 0].tolist()
      [1.0, 2.0]
    """
    return Objective(Partial(_Over(layer, _half_sum_of_squares), _indices("channel", c)), (layer,))


def _half_sum_of_squares(values, axis):
    return 0.5 * jnp.sum(values**2, axis)


@dataclass(frozen=True)
class _Over:
    """Reduces a channel over all positions."""

    layer: str
    reduce: Callable

    def __call__(self, c, output, taps):
        values = taps[self.layer]
        return _pick(self.reduce(values, _positions(values)), c, "channel")


def _positions(values: Array) -> tuple[int, ...]:
    """The axes between images and channels; reduced as they are, they stay known as the image's."""
    return tuple(range(1, values.ndim - 1))


def neuron(
    layer: str,
    c: int | Int[ArrayLike, " n"],
    row: int | Int[ArrayLike, " n"],
    col: int | Int[ArrayLike, " n"],
) -> Objective:
    """One activation: a layer's channel `c` at a position.

    Args:
      layer: a layer's name, with values of shape (n, h, w, c).
      c: a channel, or one for each image.
      row: the position's row, from 0 at the top; or one for each image.
      col: the position's column, from 0 at the left; or one for each image.

    Returns:
      An objective.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> taps = {"conv": jnp.arange(8.0).reshape(1, 2, 2, 2)}
      >>> jv.objectives.neuron("conv", 1, 0, 1)(None, taps).tolist()
      [3.0]
    """
    parameters = _indices("channel", c), _indices("row", row), _indices("col", col)
    return Objective(Partial(_At(layer), *parameters), (layer,))


@dataclass(frozen=True)
class _At:
    layer: str

    def __call__(self, c, row, col, output, taps):
        values = taps[self.layer]
        if values.ndim != 4:
            raise ValueError(
                f"neuron needs a layer of shape (n, h, w, c); '{self.layer}' has {values.shape}."
            )
        picked = values.at[jnp.arange(len(values)), row, col, c].get(mode="clip")
        valid = [_within(i, size) for i, size in zip((row, col, c), values.shape[1:], strict=True)]
        return picked * _nan_unless(valid[0] & valid[1] & valid[2])


def layer(layer: str) -> Objective:
    """The mean square of all activations of a layer: what deep dream raises.

    Args:
      layer: a layer's name.

    Returns:
      An objective.

    References:
      Mordvintsev, Olah, Tyka, Inceptionism, 2015.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> jv.objectives.layer("conv")(None, {"conv": jnp.full((1, 2, 2, 3), 2.0)}).tolist()
      [4.0]
    """
    return Objective(Partial(_MeanSquare(layer)), (layer,))


@dataclass(frozen=True)
class _MeanSquare:
    layer: str

    def __call__(self, output, taps):
        values = taps[self.layer]
        return jnp.mean(values**2, range(1, values.ndim))


def direction(layer: str, v: Float[ArrayLike, "*n c"]) -> Objective:
    """How far a layer's activations point along a direction, averaged over positions.

    Args:
      layer: a layer's name.
      v: a direction in the space of its channels, or one for each image.

    Returns:
      An objective: the dot product with `v`, which is not normalised.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> taps = {"conv": jnp.ones((1, 2, 2, 3))}
      >>> jv.objectives.direction("conv", [1.0, 2.0, -1.0])(None, taps).tolist()
      [2.0]
    """
    return Objective(Partial(_Along(layer), jnp.atleast_2d(jnp.asarray(v, float))), (layer,))


@dataclass(frozen=True)
class _Along:
    layer: str

    def __call__(self, v, output, taps):
        values = taps[self.layer]
        if v.shape[-1] != values.shape[-1]:
            raise ValueError(
                f"direction must have one entry for each of the {values.shape[-1]} channels of "
                f"'{self.layer}', got {v.shape[-1]}."
            )
        return jnp.sum(values.mean(_positions(values)) * v, -1)


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
    return Objective(Partial(_Diversity(layer)), (layer,))


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
    return Objective(Partial(_each, own, jnp.arange(len(own))), tuple(layers))


def _each(own, which, output, taps):
    scores = jnp.stack([objective(output, taps) for objective in own])
    return scores[which, jnp.arange(scores.shape[1])]


def score(
    model: Callable, x: Float[Array, "n ..."], objective: Objective
) -> tuple[Any, Float[Array, " n"]]:
    """As `model(x)`, with the objective's scores beside the output.

    Args:
      model: a callable pytree.
      x: its input.
      objective: what to score; only the layers that it reads are kept.

    Returns:
      `(output, scores)`.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> output, scores = jv.objectives.score(jnp.tanh, jnp.zeros((2, 3)), jv.objectives.logit(1))
      >>> scores.tolist()
      [0.0, 0.0]
    """
    output, taps = capture(as_argument(model), x, objective.layers)
    return output, objective(output, taps)
