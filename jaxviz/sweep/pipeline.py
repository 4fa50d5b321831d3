"""The way of a set's images through the devices into the store, all stations at work at a time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxviz.data import Batch, batches
from jaxviz.sweep.devices import Computer, Running
from jaxviz.sweep.rows import Rows
from jaxviz.sweep.store import Store
from jaxviz.sweep.writing import Computed, Written, write_group

__all__ = ["Masks", "Prepare", "computed_and_written"]

Prepare = Callable[[Float[np.ndarray, "h w 3"]], Any]
Masks = Callable[[Sequence[int]], Bool[np.ndarray, "n h w"]]

_WAITING = 2
"""How many groups of batches may be computed and not yet written."""


class _Group(NamedTuple):
    """Some batches, one for each device.

    Attributes:
      numbers: of the batches.
      batch: their images, on the devices; None where none of them can be read.
      faults: why images cannot be read, by number.
    """

    numbers: Sequence[int]
    batch: Batch | None
    faults: Mapping[int, str]


def computed_and_written(
    kept: Store,
    rows: Rows,
    groups: Sequence[Sequence[int]],
    computer: Computer,
    prepare: Prepare,
    masks: Masks | None,
    stopped: Callable[[], bool],
) -> Generator[Written, None, None]:
    """Computes groups of batches, one batch a device, and gives each when it is on the disk.

    While the devices compute one, the next is being read, and the one before written.

    Args:
      kept: the store.
      rows: its images.
      groups: the numbers of the batches that are done at one time.
      computer: of the devices.
      prepare: one image to the model's input.
      masks: the pixels that the object covers, of images by number, or None.
      stopped: whether to begin with no further group.
    """
    writing: deque[Future[Written]] = deque()
    waiting: deque[tuple[_Group, Running | None]] = deque()
    with ThreadPoolExecutor(1) as writer:

        def write(group: _Group, running: Running | None) -> None:
            computed = None
            if running is not None and group.batch is not None:
                computed = Computed(group.batch.index, *computer.finish(running))
            writing.append(
                writer.submit(write_group, kept, group.numbers, computed, group.faults, masks)
            )

        with contextlib.closing(_read(kept, rows, groups, computer, prepare)) as source:
            for group in source:
                batch = group.batch
                running = None if batch is None else computer.start(batch.input, batch.label)
                waiting.append((group, running))
                if len(waiting) > 1:
                    write(*waiting.popleft())
                while len(writing) > _WAITING or (writing and writing[0].done()):
                    yield writing.popleft().result()
                if stopped():
                    break
        while waiting:
            write(*waiting.popleft())
        while writing:
            yield writing.popleft().result()


def _read(
    kept: Store,
    rows: Rows,
    groups: Sequence[Sequence[int]],
    computer: Computer,
    prepare: Prepare,
) -> Generator[_Group, None, None]:
    """Reads the images of groups of batches, ahead of their use."""
    if not groups:
        return
    faults: dict[int, str] = {}

    def read(numbers: Sequence[int], batch: Batch | None) -> _Group:
        own = [image for image in faults if image // kept.batch in numbers]
        return _Group(numbers, batch, {image: faults.pop(image) for image in own})

    images = np.concatenate(
        [
            np.arange(number * kept.batch, min((number + 1) * kept.batch, len(kept)))
            for numbers in groups
            for number in numbers
        ]
    )
    source = batches(
        rows,
        kept.batch * len(groups[0]),
        prepare=prepare,
        indices=images,
        sharding=computer.sharding,
        on_fault=lambda image, error: faults.update({image: str(error)}),
    )
    group_of = {number: i for i, numbers in enumerate(groups) for number in numbers}
    upcoming = 0
    for batch in source:
        # One of which no image can be read does not come.
        this = group_of[int(batch.index.max()) // kept.batch]
        for numbers in groups[upcoming:this]:
            yield read(numbers, None)
        yield read(groups[this], batch)
        upcoming = this + 1
    for numbers in groups[upcoming:]:
        yield read(numbers, None)
