"""Images in batches of one shape, decoded by threads ahead of their use and put on the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from jaxviz.data.image_set import ImageSet

__all__ = ["Batch", "batches"]

_READERS = 8

Prepare = Callable[[Float[np.ndarray, "h w 3"]], Any]
OnFault = Callable[[int, Exception], None]


class Batch(NamedTuple):
    """Some images as a model takes them. A place without an image has index and label -1.

    Attributes:
      index: which image of the set is in each place.
      input: on the device; zeros where there is no image.
      label: the index of its category.
    """

    index: Int[np.ndarray, " n"]
    input: Float[Array, "n h w c"]
    label: Int[np.ndarray, " n"]


def batches(
    images: ImageSet,
    size: int,
    *,
    prepare: Prepare,
    indices: Sequence[int] | Int[np.ndarray, " m"] | None = None,
    ahead: int = 2,
    sharding: Any = None,
    on_fault: OnFault | None = None,
) -> Iterator[Batch]:
    """The images of a set, batch by batch, while the next ones are read and sent to the device.

    Every batch has `size` places, the last one too, so that no program compiles anew for it. A
    batch in which no image can be used is left out.

    Args:
      images: any set of images.
      size: how many places a batch has.
      prepare: one image, (h, w, 3) in [0, 1], to the model's input, (h, w, c) or (1, h, w, c), as
        a card's `preprocess`. It is called by several threads.
      indices: which images, in this order; by default all of them.
      ahead: how many batches are made before they are asked for.
      sharding: where an input goes, for example a `jax.sharding.NamedSharding` over the first axis;
        by default, the first device.
      on_fault: is called with the index and the error of each image that cannot be used, before its
        batch is given; its place stays empty. Without it, the error is raised.

    Returns:
      An iterator over `Batch`.

    Raises:
      ValueError: `size` or `ahead` is too small, or inputs have different shapes; and without
        `on_fault`, an image cannot be used: the sentence begins with its name.
      IndexError: an index that the set does not have.

    Example:
      >>> from jaxviz.data import shapes_images
      >>> images = shapes_images(5)
      >>> for batch in batches(images, 3, prepare=lambda image: 2 * image - 1):
      ...     print(batch.index, batch.input.shape)
      [0 1 2] (3, 64, 64, 3)
      [ 3  4 -1] (3, 64, 64, 3)
    """
    if size < 1 or ahead < 0:
        raise ValueError(
            f"batches needs a size of at least 1 and ahead of at least 0, not {size=}, {ahead=}."
        )
    order = np.arange(len(images)) if indices is None else np.asarray(indices, int)
    if order.size and not (order.min() >= 0 and order.max() < len(images)):
        wrong = order[(order < 0) | (order >= len(images))][0]
        raise IndexError(
            f"indices must be from 0 to {len(images) - 1}, and one of them is {wrong}."
        )
    parts = [order[start : start + size] for start in range(0, len(order), size)]

    def made() -> Iterator[Batch]:
        readers, maker = ThreadPoolExecutor(_READERS), ThreadPoolExecutor(1)
        try:
            waiting: deque[Future[_Made]] = deque()
            for part in parts:
                waiting.append(maker.submit(_make, readers, images, part, size, prepare, sharding))
                if len(waiting) > ahead:
                    yield from _checked(waiting.popleft().result(), images, on_fault)
            while waiting:
                yield from _checked(waiting.popleft().result(), images, on_fault)
        finally:
            # Whoever stops early waits for the batch that is being made, and for no other.
            maker.shutdown(cancel_futures=True)
            readers.shutdown(cancel_futures=True)

    return made()


class _Made(NamedTuple):
    batch: Batch | None
    faults: list[tuple[int, Exception]]


def _make(
    readers: ThreadPoolExecutor,
    images: ImageSet,
    part: Int[np.ndarray, " m"],
    size: int,
    prepare: Prepare,
    sharding: Any,
) -> _Made:
    def read(index: int) -> tuple[np.ndarray, int] | Exception:
        try:
            image, label = images[index]
            x = np.asarray(prepare(image))
        except (ValueError, OSError) as error:
            return error
        return (x[0] if x.ndim == 4 else x), label

    faults: list[tuple[int, Exception]] = []
    index, label, inputs = np.full(size, -1), np.full(size, -1), None
    found = zip(part.tolist(), readers.map(read, part.tolist()), strict=True)
    for place, (which, one) in enumerate(found):
        if isinstance(one, Exception):
            faults.append((which, one))
            continue
        x, label[place] = one
        index[place] = which
        if inputs is None:
            inputs = np.zeros((size, *x.shape), x.dtype)
        if x.shape != inputs.shape[1:]:
            raise ValueError(
                f"prepare must give inputs of one shape, and gave {x.shape} for "
                f"{images.names[which]} after {inputs.shape[1:]}."
            )
        inputs[place] = x
    if inputs is None:
        return _Made(None, faults)
    return _Made(Batch(index, jax.device_put(inputs, sharding), label), faults)


def _checked(made: _Made, images: ImageSet, on_fault: OnFault | None) -> Iterator[Batch]:
    """The batch, if it has an image, after its faults are told to the caller, in his thread."""
    for index, error in made.faults:
        if on_fault is None:
            raise ValueError(f"{images.names[index]}: {error}") from error
        on_fault(index, error)
    if made.batch is not None:
        yield made.batch
