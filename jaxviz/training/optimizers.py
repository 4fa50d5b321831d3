"""The optimizers of training runs, and the settings that have a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

__all__ = ["SETTINGS", "Settings", "adamw", "clip_filter_rms", "zeiler_fergus"]


def adamw(
    steps: int, *, peak: float = 4e-3, weight_decay: float = 1e-2
) -> optax.GradientTransformationExtraArgs:
    """AdamW whose learning rate rises for a twentieth of the run, then falls to 0 as a cosine.

    Args:
      steps: how many optimizer steps the run has.
      peak: the largest learning rate.
      weight_decay: per unit of learning rate; of kernels only, not of biases and scales.

    Returns:
      An optax optimizer.

    Example:
      >>> import jax.numpy as jnp
      >>> optimizer = adamw(100)
      >>> weights = {"kernel": jnp.ones((2, 2))}
      >>> change, _ = optimizer.update(weights, optimizer.init(weights), weights)
      >>> float(change["kernel"].sum())  # the first step of the warm-up
      0.0

    References:
      I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019; "SGDR", 2017.
    """
    rate = optax.warmup_cosine_decay_schedule(0.0, peak, max(1, steps // 20), max(2, steps))
    return optax.adamw(
        rate,
        weight_decay=weight_decay,
        mask=lambda weights: jax.tree.map(lambda weight: weight.ndim > 1, weights),
    )


def clip_filter_rms(limit: float = 0.1) -> optax.GradientTransformation:
    """Scales each convolution filter down to a root mean square of `limit` where it exceeds it.

    To be the last of an `optax.chain`, since it looks at what the weights become. A filter is
    `kernel[:, :, :, i]` of a kernel (height, width, inputs, outputs); arrays with another number of
    axes change as the chain has it.

    Args:
      limit: above 0.

    Returns:
      An optax transformation; its `update` needs the weights.

    Raises:
      ValueError: `limit` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> clip = clip_filter_rms(0.1)
      >>> kernel = jnp.stack([jnp.ones((3, 3, 2)), jnp.zeros((3, 3, 2))], -1)
      >>> change, _ = clip.update(jnp.zeros_like(kernel), clip.init(kernel), kernel)
      >>> (kernel + change)[0, 0, 0].round(3).tolist()
      [0.10000000149011612, 0.0]

    References:
      M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2014,
      section 3.1.
    """
    if not limit > 0:
        raise ValueError(f"clip_filter_rms needs a limit above 0, not {limit}.")

    def clipped(change: Array, weight: Array) -> Array:
        if weight.ndim != 4:
            return change
        moved = weight + change
        rms = jnp.sqrt(jnp.mean(moved**2, (0, 1, 2), keepdims=True))
        return jnp.where(rms > limit, moved * (limit / jnp.maximum(rms, limit)) - weight, change)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("clip_filter_rms needs the weights: update(change, state, weights).")
        return jax.tree.map(clipped, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def zeiler_fergus(
    rate: float = 0.01, *, momentum: float = 0.9, rms: float = 0.1
) -> optax.GradientTransformation:
    """Zeiler and Fergus's descent: SGD with momentum, and filters kept from growing.

    The authors lowered the rate by hand whenever the validation error stood still; here it stays.
    Their dropout in the dense layers is a matter of the model, and the ports have none.

    Args:
      rate: the learning rate.
      momentum: how much of the last change is kept.
      rms: see `clip_filter_rms`.

    Returns:
      An optax optimizer.

    Example:
      >>> import jax.numpy as jnp
      >>> optimizer, weight = zeiler_fergus(), jnp.ones(2)
      >>> change, _ = optimizer.update(weight, optimizer.init(weight), weight)
      >>> [round(float(one), 3) for one in change]
      [-0.01, -0.01]

    References:
      M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2014,
      section 3.1.
    """
    return optax.chain(optax.sgd(rate, momentum=momentum), clip_filter_rms(rms))


class Settings(NamedTuple):
    """How a run descends.

    Attributes:
      batch: images a step.
      optimizer: makes the optimizer of a run of so many steps.
    """

    batch: int
    optimizer: Callable[[int], optax.GradientTransformation]


SETTINGS = {
    "adamw": Settings(64, adamw),
    "zeiler-fergus": Settings(128, lambda steps: zeiler_fergus()),
}
"""Settings by name: of the packaged weights, and of Zeiler and Fergus's section 3.1."""
