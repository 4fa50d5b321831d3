"""What an ascent does with its gradient, as optax transformations."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

__all__ = ["normalize_gradient"]


@functools.cache
def normalize_gradient(norm: str = "rms") -> optax.GradientTransformation:
    """Divides each image's gradient by its own norm, so that a step is as long for every image.

    The images of a batch, the first axis of every array, are normalised apart from each other; an
    image's parameters in several arrays together.

    Args:
      norm: `"rms"`, the root of the mean square over an image's parameters, or `"l2"`, the root of
        their sum.

    Returns:
      An optax transformation, to be chained before any optimizer.

    Raises:
      ValueError: the norm is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxviz.synthesis import normalize_gradient
      >>> unit = normalize_gradient("l2")
      >>> gradient = jnp.array([[0.0, 2.0], [0.0, 1e-3]])
      >>> unit.update(gradient, unit.init(gradient))[0].tolist()
      [[0.0, 1.0], [0.0, 1.0]]

    References:
      Tao, Fu, Zhu, Wang, Deep visualization based on the spatial pyramid decomposition, 2017.
    """
    if norm not in ("rms", "l2"):
        raise ValueError(f"unknown norm '{norm}'; choose one of: rms, l2.")

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        # Divided by the largest entry first, whose square does not underflow. An image whose
        # gradient is zero stays where it is.
        largest = [jnp.abs(leaf).max(range(1, leaf.ndim)) for leaf in jax.tree.leaves(updates)]
        scaled = _divided(updates, functools.reduce(jnp.maximum, largest))
        return _divided(scaled, gradient_norm(scaled, norm)), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _divided(updates: Any, lengths: jax.Array) -> Any:
    """Each image's arrays over its length; zero where that is zero."""
    safe = jnp.where(lengths > 0, lengths, 1)
    return jax.tree.map(lambda leaf: leaf / safe.reshape(-1, *(1,) * (leaf.ndim - 1)), updates)


def gradient_norm(gradient: Any, norm: str = "l2") -> jax.Array:
    """Each image's norm, over all arrays of a tree."""
    leaves = jax.tree.leaves(gradient)
    total = sum(jnp.sum(leaf**2, range(1, leaf.ndim)) for leaf in leaves)
    if norm == "rms":
        total = total / sum(leaf[0].size for leaf in leaves)
    return jnp.sqrt(total)
