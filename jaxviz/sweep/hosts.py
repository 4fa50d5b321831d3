"""Many machines on one sweep: what each of them does, and where they wait for each other.

`jax.distributed.initialize` makes them known to each other; each writes its own batches into the
one store.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import TypeVar

import jax
import numpy as np

__all__ = ["OtherFailed", "is_first", "own_share", "together"]

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


class OtherFailed(OSError):
    """Another process of the sweep has failed, and said why."""


@contextlib.contextmanager
def together(step: str) -> Iterator[None]:
    """A step that no process leaves before all have done it; if one fails, all do.

    Args:
      step: what is done, for the sentence.

    Raises:
      OtherFailed: another process could not do it.

    Example:
      >>> with together("opening the store"):
      ...     pass
    """
    if jax.process_count() == 1:
        yield
        return
    from jax.experimental import multihost_utils

    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        # The others may come to the end of the step much later.
        logging.getLogger(__name__).error(
            "process %d stopped while %s, and waits for the others to end: %s",
            jax.process_index(),
            step,
            str(error) or type(error).__name__,
        )
    try:
        failed = multihost_utils.process_allgather(np.int32(failure is not None))
    except Exception:
        # Where the others are gone, or have not come for too long, the own failure is what to say.
        if failure is None:
            raise
        raise failure from None
    if failure is not None:
        raise failure
    if failed.any():
        numbers = np.flatnonzero(failed)
        which = " ".join(["process" if len(numbers) == 1 else "processes", *map(str, numbers)])
        raise OtherFailed(f"{which} stopped while {step}, and said why; this one stops as well.")
