"""Training an image classifier on an endless source, with a checkpoint after every epoch."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxviz.data import shapes

__all__ = ["Epoch", "ShapesSource", "Source", "Trained", "epochs_saved", "evaluate", "restore"]
__all__ += ["train"]

Source = Callable[[PRNGKeyArray, int], tuple[Float[Array, "n h w c"], Int[Array, "n"]]]
"""`source(key, count)` gives `count` model inputs and their classes, and can be jitted."""

Model = TypeVar("Model", bound=nnx.Module)


@dataclass(frozen=True)
class ShapesSource:
    """The shapes set, normalised as a model wants it: a `Source`.

    Args:
      mean: subtracted from images in [0, 1].
      std: then divides them.
      size: height and width of the images, in pixels.

    Example:
      >>> import jax
      >>> source = ShapesSource(mean=0.5, std=0.25, size=16)
      >>> image, label = source(jax.random.key(0), 2)
      >>> image.shape, label.shape
      ((2, 16, 16, 3), (2,))
    """

    mean: float = 0.5
    std: float = 0.25
    size: int = 64

    def __call__(
        self, key: PRNGKeyArray, count: int
    ) -> tuple[Float[Array, "n h w 3"], Int[Array, "n"]]:
        """Renders `count` images."""
        drawn = shapes(key, count, size=self.size)
        return (drawn.image - self.mean) / self.std, drawn.label


class Epoch(NamedTuple):
    """One line of a learning record.

    Attributes:
      epoch: how many epochs are done, from 1.
      step: how many optimizer steps are done.
      loss: mean cross-entropy of the epoch's training batches, in nats.
      train_accuracy: fraction right in those batches, as they were met.
      test_accuracy: fraction right on the run's held-out images, after the epoch.
      seconds: wall-clock time of the epoch, compilation included.
    """

    epoch: int
    step: int
    loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float


class Trained(NamedTuple, Generic[Model]):
    """A trained model, in evaluation mode, and how it came about."""

    model: Model
    record: list[Epoch]


def train(
    model: Model,
    source: Source,
    *,
    key: PRNGKeyArray,
    epochs: int = 10,
    steps_per_epoch: int = 100,
    batch: int = 64,
    optimizer: optax.GradientTransformation | None = None,
    test_count: int = 1000,
    checkpoints: str | os.PathLike[str] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained[Model]:
    """Trains a Flax NNX classifier by minibatch descent of the cross-entropy."""
    raise NotImplementedError


def evaluate(
    model: Callable[..., Any],
    source: Source,
    *,
    key: PRNGKeyArray,
    count: int = 2000,
    batch: int = 100,
) -> float:
    """The fraction of fresh images that a model puts in the right class."""
    raise NotImplementedError


def epochs_saved(checkpoints: str | os.PathLike[str]) -> list[int]:
    """The epochs that a directory of `train` holds, in order; 0 is the untrained model."""
    raise NotImplementedError


def restore(
    model: Model, checkpoints: str | os.PathLike[str], *, epoch: int | None = None
) -> Model:
    """A model as it was after an epoch of `train` (the last one saved, if none is named)."""
    raise NotImplementedError
