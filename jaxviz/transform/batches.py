"""A function of many items, in batches of a bounded size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["in_batches"]


def in_batches(f: Callable, items: Any, size: int) -> Any:
    """`f` of every item, in as few equal batches as `size` allows, one after the other.

    Args:
      f: a function of one item.
      items: arrays with the items along their first axis; at least one.
      size: how many items `f` is vectorized over at most.

    Returns:
      What `f` gives, with the items along the first axis.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxviz.transform.batches import in_batches
      >>> in_batches(lambda x: 2 * x, jnp.arange(5), 2).tolist()
      [0, 2, 4, 6, 8]
    """
    count = len(jax.tree.leaves(items)[0])
    turns = math.ceil(count / max(size, 1))
    size = math.ceil(count / turns)
    # The last turn repeats the last item until its batch is full.
    index = np.minimum(np.arange(turns * size), count - 1).reshape(turns, size)

    def turn(index):
        return jax.vmap(f)(jax.tree.map(lambda array: array[index], items))

    found = jax.lax.map(turn, jnp.asarray(index))
    return jax.tree.map(lambda value: value.reshape(turns * size, *value.shape[2:])[:count], found)
