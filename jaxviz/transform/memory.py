"""How much memory a program's values take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxviz.transform.interpret import opened

__all__ = [
    "FEWEST",
    "SHARES",
    "array_bytes",
    "at_once",
    "budget",
    "in_batches",
    "live_bytes",
    "with_scratch",
]


def live_bytes(program: Any) -> int:
    """The most bytes that what a program computes holds at one time, its inputs not counted.

    It counts each value from the equation that makes it to the last one that reads it. A compiler
    that fuses equations needs less, one that wants scratch space for convolutions more.

    Args:
      program: a jaxpr, closed or not.

    Returns:
      A number of bytes.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxviz.transform.memory import live_bytes
      >>> live_bytes(jax.make_jaxpr(lambda x: jnp.sin(x) + 1)(jnp.zeros(1000)))
      8000
    """
    jaxpr, _ = opened(program)
    last_use = {v: i for i, equation in enumerate(jaxpr.eqns) for v in _variables(equation.invars)}
    last_use |= dict.fromkeys(_variables(jaxpr.outvars), len(jaxpr.eqns))
    held: dict[core.Var, int] = {}
    peak = 0
    for i, equation in enumerate(jaxpr.eqns):
        made = {v: _size(v) for v in equation.outvars}
        inside = [live_bytes(inner) for inner in core.jaxprs_in_params(equation.params)]
        peak = max(peak, sum(held.values()) + max([sum(made.values()), *inside]))
        held = {v: size for v, size in (held | made).items() if last_use.get(v, i) > i}
    return peak


def _variables(atoms: Any) -> list[core.Var]:
    return [atom for atom in atoms if isinstance(atom, core.Var)]


def _size(variable: Any) -> int:
    aval = variable.aval
    return aval.size * aval.dtype.itemsize if hasattr(aval, "dtype") else 0


def budget(memory: int | None = None) -> int:
    """Bytes that a method may take: those given, else half of the device's, 256 MiB on a CPU."""
    if memory is not None:
        return memory
    statistics = jax.local_devices()[0].memory_stats() or {}
    # A CPU does not tell, and gains nothing from batches that leave its caches: the shapes nets
    # take a quarter longer with 1 GiB than with 64 MiB.
    return statistics["bytes_limit"] // 2 if "bytes_limit" in statistics else 256 << 20


def array_bytes(values: Iterable[Any]) -> int:
    """Bytes of those of the values that are arrays."""
    return sum(array.size * array.dtype.itemsize for array in values if hasattr(array, "dtype"))


def with_scratch(values: int) -> int:
    """Bytes for values of so many: on a CPU, packed operands of convolutions take as much again."""
    return 2 * max(values, 1)


def at_once(program: Any, memory: int | None = None) -> int:
    """How many runs of a program fit into the memory together; one does in any case.

    Args:
      program: a jaxpr, closed or not, of one item.
      memory: bytes, by default those of `budget`.

    Returns:
      At least 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxviz.transform.memory import at_once
      >>> at_once(jax.make_jaxpr(lambda x: jnp.sin(x) + 1)(jnp.zeros(1000)), 64_000)
      4
    """
    return max(budget(memory) // with_scratch(live_bytes(program)), 1)


SHARES, FEWEST = 8, 16
"""Devices of an axis share at least so many batches, if they have at least so many items each."""


def in_batches(f: Callable, items: Any, batch: int, *, axis: str | None = None) -> Any:
    """`f` of batches of items, in as few equal batches as `batch` allows.

    Args:
      f: a function of an array, or of a tree of arrays, with the items in front; so is its result.
      items: all of them.
      batch: how many `f` may have at one time, at least 1.
      axis: the name of a mapped axis whose devices share the batches, each of them having all
        items; all of them get the whole result. There are `SHARES` batches then, or more, and fewer
        only where a batch would have less than `FEWEST` items; they are the same on however few
        devices, so that the same items come together and round alike.

    Returns:
      What `f` gives for all items.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxviz.transform.memory import in_batches
      >>> in_batches(lambda x: x + len(x), jnp.arange(5), 2).tolist()
      [2, 3, 4, 5, 6]
    """
    count = len(jax.tree.leaves(items)[0])
    turns = math.ceil(count / batch)
    if axis is not None:
        turns = max(turns, min(count // FEWEST, SHARES))
    elif turns == 1:
        return f(items)
    size = math.ceil(count / turns)
    devices = 1 if axis is None else jax.lax.axis_size(axis)
    each = math.ceil(turns / devices)
    # The last turns repeat the last item until their batches are full.
    index = np.minimum(np.arange(devices * each * size), count - 1).reshape(devices, each, size)
    own = jnp.asarray(index)[0 if axis is None else jax.lax.axis_index(axis)]
    found = jax.lax.map(lambda index: f(jax.tree.map(lambda leaf: leaf[index], items)), own)
    if axis is not None:
        found = jax.lax.all_gather(found, axis, tiled=True)
    # Not -1: a value may have no entries.
    places = devices * each * size
    return jax.tree.map(lambda value: value.reshape(places, *value.shape[2:])[:count], found)
