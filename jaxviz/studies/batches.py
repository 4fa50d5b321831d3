"""Many images through a function, in batches that a number of bytes bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxviz.transform.memory import at_once as runs_at_once

__all__ = ["at_once", "in_batches"]


def at_once(f: Callable, model: Any, example: Any, *, memory: int | None = None) -> int:
    """How many images `f(model, arrays)` may have at one time.

    Args:
      f: a function of the model and of arrays with a common first axis.
      model: a callable pytree.
      example: the arrays for one image, or `jax.ShapeDtypeStruct`s of them.
      memory: bytes for a batch's activations; by default half of the device's memory, 256 MiB on a
        CPU.

    Returns:
      A number, at least 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxviz.studies.batches import at_once
      >>> at_once(lambda model, x: model(x), jnp.sin, jnp.zeros((1, 1000)), memory=80_000)
      10
    """
    return runs_at_once(jax.make_jaxpr(lambda arrays: f(model, arrays))(example), memory)


def in_batches(f: Callable, model: Any, arrays: Any, *, memory: int | None = None) -> Any:
    """`f(model, arrays)` for arrays with a common first axis, a part of the images at a time.

    Args:
      f: a compiled function of the model and the arrays, to a pytree of arrays with the same first
        axis. All batches have one shape: the last one repeats the last image until it is full.
      model: a callable pytree.
      arrays: a pytree of arrays, in NumPy or on a device.
      memory: bytes for a batch's activations; by default half of the device's memory, 256 MiB on a
        CPU. One image at a time is what there is at least.

    Returns:
      What `f` gives for all the images, as NumPy arrays.

    Example:
      >>> import numpy as np
      >>> from jaxviz.studies.batches import in_batches
      >>> square = lambda model, x: model(x) ** 2
      >>> in_batches(square, lambda x: x + 1, np.arange(3.0), memory=1).tolist()
      [1.0, 4.0, 9.0]
    """
    count = len(jax.tree.leaves(arrays)[0])
    example = jax.tree.map(lambda leaf: leaf[:1], arrays)
    most = at_once(f, model, example, memory=memory)
    size = math.ceil(count / math.ceil(count / most))
    found = []
    for start in range(0, count, size):
        index = np.minimum(np.arange(start, start + size), count - 1)
        found.append(jax.tree.map(np.asarray, f(model, _taken(arrays, index))))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *found)


def _taken(arrays: Any, index: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[index]), arrays)
