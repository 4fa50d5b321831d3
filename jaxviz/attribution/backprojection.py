"""From a score back to pixels: saliency, the deconvnet, guided backpropagation."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike, Float, Int

from jaxviz.attribution.question import asked
from jaxviz.synthesis.objectives import Objective
from jaxviz.transform import backward, capture, fast_pullbacks

__all__ = ["deconvnet", "guided_backprop", "saliency"]


def saliency(
    model: Callable, x: Float[ArrayLike, "n h w c"], target: Objective | int | Int[ArrayLike, " n"]
) -> Float[jax.Array, "n h w c"]:
    """How the target changes with each input value: the plain gradient.

    Args:
      model: a callable pytree.
      x: the model's input.
      target: a class, a class for each image, or an objective.

    Returns:
      d target / d x, signed. The channel-wise maximum of its absolute value is the map that
      Simonyan et al. show.

    Raises:
      ValueError: `x` or `target` does not fit the model.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jnp.stack([x.sum((1, 2, 3)), -2 * x.mean((1, 2, 3))], -1)
      >>> jv.saliency(model, jnp.zeros((1, 1, 2, 1)), target=1).ravel().tolist()
      [-1.0, -1.0]

    References:
      Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks, 2014, section 3.
    """
    return _projected(*asked(model, x, target), rule="gradient")


def deconvnet(
    model: Callable, x: Float[ArrayLike, "n h w c"], target: Objective | int | Int[ArrayLike, " n"]
) -> Float[jax.Array, "n h w c"]:
    """What in the image the target responds to: its projection through a deconvnet.

    From the target back to pixels, max pooling is undone at the recorded places, the signal is
    rectified at every ReLU, and filters are transposed (see `jaxviz.transform.backward`). The seed
    is the target's derivative: 1 for a logit or an activation. Zeiler & Fergus keep the
    activation's own value: take `0.5 * jv.objectives.strongest(layer, c) ** 2` for one activation,
    or `jv.objectives.feature_map(layer, c)` for a whole map.

    Args:
      model: a callable pytree; a ReLU network.
      x: the model's input.
      target: a class, a class for each image, or an objective.

    Returns:
      The projection, of the input's shape; signed.

    Raises:
      ValueError: `x` or `target` does not fit the model.
      NotImplementedError: the model has nonlinearities that the deconvnet is not defined for.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2)) * jnp.array([1.0, -1.0])
      >>> x = jnp.array([[-1.0, 2.0]]).reshape(1, 1, 1, 2)
      >>> jv.deconvnet(model, x, target=0).ravel().tolist()
      [1.0, 0.0]

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 2.1.
    """
    return _projected(*asked(model, x, target), rule="deconvnet")


def guided_backprop(
    model: Callable, x: Float[ArrayLike, "n h w c"], target: Objective | int | Int[ArrayLike, " n"]
) -> Float[jax.Array, "n h w c"]:
    """As `deconvnet`, but a ReLU that is off in the forward pass also stops the signal.

    Args:
      model: a callable pytree; a ReLU network.
      x: the model's input.
      target: a class, a class for each image, or an objective.

    Returns:
      The projection, of the input's shape; signed.

    Raises:
      ValueError: `x` or `target` does not fit the model.
      NotImplementedError: the model has nonlinearities that the rule is not defined for.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2))
      >>> x = jnp.array([[-1.0, 2.0]]).reshape(1, 1, 1, 2)
      >>> jv.guided_backprop(model, x, target=[0]).ravel().tolist()
      [0.0, 0.0]
      >>> jv.guided_backprop(model, x, target=[1]).ravel().tolist()
      [0.0, 1.0]

    References:
      Springenberg et al., Striving for simplicity: the all convolutional net, 2015, section 3.4.
    """
    return _projected(*asked(model, x, target), rule="guided")


@functools.partial(jax.jit, static_argnames="rule")
def _projected(model: Callable, x: jax.Array, objective: Objective, *, rule: str) -> jax.Array:
    # The rule holds within the model; what the objective does with its values is differentiated.
    seen = fast_pullbacks(backward(lambda x: capture(model, x, objective.layers), rule))
    return jax.grad(lambda x: jnp.sum(objective(*seen(x))))(x)
