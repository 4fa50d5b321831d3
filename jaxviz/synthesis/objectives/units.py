"""One unit, or all of a layer: logits, channels, neurons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import ArrayLike, Int

from jaxviz.synthesis.objectives.objective import Objective
from jaxviz.synthesis.objectives.picking import indices, nan_unless, pick, positions, within

__all__ = [
    "channel",
    "feature_map",
    "layer",
    "log_probability",
    "logit",
    "neuron",
    "probability",
    "strongest",
]


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
    return Objective(Partial(_logit, indices("class", k)))


def _logit(k, output, taps):
    return pick(output, k, "class")


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
    return Objective(Partial(_probability, indices("class", k)))


def _probability(k, output, taps):
    return pick(jax.nn.softmax(output), k, "class")


def log_probability(k: int | Int[ArrayLike, " n"]) -> Objective:
    """The logarithm of the softmax probability of class `k`, which still tells 0.99 from 0.999.

    An ascent of `logit(k) + log_probability(k)` looks for what speaks for the class and for no
    other one.

    Args:
      k: a class, or one for each image.

    Returns:
      An objective.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> jv.objectives.log_probability(1)(jnp.array([[-50.0, 50.0]]), {}).tolist()
      [0.0]
    """
    return Objective(Partial(_log_probability, indices("class", k)))


def _log_probability(k, output, taps):
    return pick(jax.nn.log_softmax(output), k, "class")


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
    return Objective(Partial(_Over(layer, jnp.mean), indices("channel", c)), (layer,))


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
    return Objective(Partial(_Over(layer, jnp.max), indices("channel", c)), (layer,))


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
    return Objective(Partial(_Over(layer, _half_sum_of_squares), indices("channel", c)), (layer,))


def _half_sum_of_squares(values, axis):
    return 0.5 * jnp.sum(values**2, axis)


@dataclass(frozen=True)
class _Over:
    """Reduces a channel over all positions."""

    layer: str
    reduce: Callable

    def __call__(self, c, output, taps):
        values = taps[self.layer]
        return pick(self.reduce(values, positions(values)), c, "channel")


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
    parameters = indices("channel", c), indices("row", row), indices("col", col)
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
        valid = [within(i, size) for i, size in zip((row, col, c), values.shape[1:], strict=True)]
        return picked * nan_unless(valid[0] & valid[1] & valid[2])


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
