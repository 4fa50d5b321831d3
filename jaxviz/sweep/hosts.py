"""Many machines on one sweep: what each of them does, and where they wait for each other.

`jax.distributed.initialize` makes them known to each other; each writes its own batches into the
one store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import jax

__all__ = ["is_first", "own_share", "together"]

Item = TypeVar("Item")


def is_first() -> bool:
    """Whether this process is the one that does what is done once."""
    return jax.process_index() == 0


def own_share(items: Sequence[Item]) -> list[Item]:
    """What of a list falls to this process.

    Example:
      >>> own_share([5, 7, 9])
      [5, 7, 9]
    """
    return list(items[jax.process_index() :: jax.process_count()])


def together(point: str) -> None:
    """Waits until all processes have come to a point of that name."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(point)
