"""The devices of this machine: how they share the images, and what to do when one is full."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from jaxviz.attribution.covering import TooLittleMemory
from jaxviz.sweep.methods import POSITIONS, Asked, answers
from jaxviz.transform.memory import budget, in_batches

__all__ = ["Computer", "DeviceFull", "Running", "mesh_of", "said_when_full", "shapes_of"]

IMAGES = "images"
"""The axis of the mesh whose devices share the images."""


def mesh_of(devices: Sequence[Any], batches: int, method: str) -> Mesh:
    """The devices as a grid: so many for images, and for each of these so many for positions.

    Args:
      devices: of this machine.
      batches: how many batches there are to do; a device does one at a time.
      method: a name in `METHODS`; occlusion has positions to share.

    Returns:
      A mesh with the axes "images" and "positions".

    Example:
      >>> import jax
      >>> mesh_of(jax.devices()[:1], 5, "saliency").shape_tuple
      (('images', 1), ('positions', 1))
    """
    if method == "occlusion":
        # The most devices for images that have work, such that the others are not left over.
        fitting = [k for k in range(1, len(devices) + 1) if len(devices) % k == 0 and k <= batches]
        images = max(fitting, default=1)
        positions = len(devices) // images
    else:
        images, positions = max(min(len(devices), batches), 1), 1
    grid = np.array(devices[: images * positions]).reshape(images, positions)
    return Mesh(grid, (IMAGES, POSITIONS))


@functools.partial(jax.jit, static_argnames=("asked", "mesh", "turns", "memory"))
def _step(model, randomized, x, label, *, asked, mesh, turns, memory):
    """What `answers` gives for a batch on each device, in so many turns."""

    def on_device(model, randomized, x, label):
        def some(images):
            return answers(model, randomized, *images, asked=asked, memory=memory)

        return in_batches(some, (x, label), -(-len(x) // turns))

    everywhere, shared = PartitionSpec(), PartitionSpec(IMAGES)
    # Devices of the axis "positions" end with the same values, by an `all_gather`, which the check
    # of what varies cannot see.
    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(everywhere, everywhere, shared, shared),
        out_specs=shared,
        check_vma=False,
    )(model, randomized, x, label)


def shapes_of(
    model: Callable,
    randomized: Callable | None,
    x: jax.ShapeDtypeStruct,
    *,
    asked: Asked,
    memory: int | None,
) -> tuple[dict[str, jax.ShapeDtypeStruct], jax.ShapeDtypeStruct]:
    """The shapes of what `answers` gives; nothing is computed."""
    mesh = mesh_of(jax.local_devices()[:1], 1, asked.method)
    label = jax.ShapeDtypeStruct(x.shape[:1], np.int32)
    return _step.eval_shape(
        model, randomized, x, label, asked=asked, mesh=mesh, turns=1, memory=memory
    )


class DeviceFull(ValueError):
    """A device has too little memory for one image."""


@contextlib.contextmanager
def said_when_full() -> Iterator[None]:
    """A lack of memory that no smaller turns can mend, as of inputs on their way, as `DeviceFull`.

    Raises:
      DeviceFull: where JAX says so.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not _is_full(error):
            raise
        raise DeviceFull(
            "the device's memory does not hold the model and the batches under way; give a smaller "
            "batch."
        ) from error


class Running(NamedTuple):
    """A batch on its way.

    Attributes:
      x: the model's input, on the devices.
      label: the images' classes.
      turns: in how many turns each device takes it.
      found: what is being computed.
      full: what a device said that had no memory for it.
    """

    x: Float[Array, "n h w c"]
    label: Int[np.ndarray, " n"]
    turns: int
    found: Any = None
    full: Exception | None = None


class Computer:
    """Computes batches on the devices; where one is full, it takes half as much at a time.

    Attributes:
      sharding: where a batch goes.
      turns: in how many turns a device takes its batch.
    """

    def __init__(
        self,
        model: Callable,
        randomized: Callable | None,
        *,
        asked: Asked,
        mesh: Mesh,
        batch: int,
        memory: int | None,
        on_full: Callable[[int], None],
    ):
        everywhere = NamedSharding(mesh, PartitionSpec())
        self.sharding = NamedSharding(mesh, PartitionSpec(IMAGES))
        self.turns = 1
        self._models = jax.device_put((model, randomized), everywhere)
        self._asked, self._mesh, self._batch = asked, mesh, batch
        self._memory, self._on_full = memory, on_full
        # Bytes for one position, once it is known that a turn has less.
        self._needed: int | None = None

    def start(self, x: Float[Array, "n h w c"], label: Int[np.ndarray, " n"]) -> Running:
        """Sends a batch off; the devices compute while the caller does other things."""
        try:
            return Running(x, label, self.turns, self._run(x, label))
        except jax.errors.JaxRuntimeError as error:
            if not _is_full(error):
                raise
            return Running(x, label, self.turns, full=error)

    def finish(self, running: Running) -> tuple[dict[str, np.ndarray], Float[np.ndarray, "n h w"]]:
        """What has become of a batch.

        Raises:
          DeviceFull: a device cannot even hold what one image needs.
        """
        found, turns, full = running.found, running.turns, running.full
        while True:
            try:
                if full is not None:
                    # Another batch that was under way may have found this out already.
                    if turns == self.turns:
                        self._take_less(full)
                    turns = self.turns
                    found = self._run(running.x, running.label)
                return jax.tree.map(np.asarray, found)
            except jax.errors.JaxRuntimeError as error:
                if not _is_full(error):
                    raise
                full = error

    def _run(self, x: Array, label: np.ndarray) -> Any:
        memory = self._for_positions()
        try:
            return self._sent(x, label, memory)
        except TooLittleMemory as error:
            if self.turns == 1:
                raise
            self._needed = error.needed
            return self._sent(x, label, error.needed)

    def _sent(self, x: Array, label: np.ndarray, memory: int | None) -> Any:
        return _step(
            *self._models,
            x,
            jax.device_put(label.astype(np.int32), self.sharding),
            asked=self._asked,
            mesh=self._mesh,
            turns=min(self.turns, self._batch),
            memory=memory,
        )

    def _for_positions(self) -> int | None:
        # The positions of an occluder have a budget in bytes, which is what fills the memory.
        if self.turns == 1 or self._asked.method != "occlusion":
            return self._memory
        return max(budget(self._memory) // self.turns, self._needed or 0)

    def _take_less(self, error: Exception) -> None:
        most = 64 * self._batch if self._asked.method == "occlusion" else self._batch
        # One image and one position at a time is the least.
        least = self._needed is not None and self.turns >= self._batch
        if self.turns >= most or least:
            raise DeviceFull("the device's memory does not hold what one image needs.") from error
        self.turns *= 2
        self._on_full(self.turns)


def _is_full(error: Exception) -> bool:
    return "RESOURCE_EXHAUSTED" in str(error)
