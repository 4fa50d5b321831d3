"""What all training runs have in common: a state, a step, and epochs with checkpoints."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxviz.training.checkpoints import Checkpoints, evaluating

__all__ = ["Epoch", "State", "Trained", "begun", "descend", "described_key", "run_epochs"]

Model = TypeVar("Model", bound=nnx.Module)


class Epoch(NamedTuple):
    """One line of a learning record.

    Attributes:
      epoch: how many epochs are done, from 1.
      step: how many optimizer steps are due until then; a batch without any image that can be used
        makes none.
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


class State(NamedTuple):
    """All that an optimizer step reads and writes, as plain trees of arrays."""

    weights: dict[Any, Any]
    others: dict[Any, Any]
    optimizer: Any


def parts(model: nnx.Module) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """A module's weights, and its other arrays (batch statistics, random keys)."""
    _, weights, others = nnx.split(model, nnx.Param, ...)
    return nnx.to_pure_dict(weights), nnx.to_pure_dict(others)


def begun(model: Model, optimizer: optax.GradientTransformation) -> tuple[Model, State]:
    """The model in training mode, and the state before the first step; `model` stays as it is."""
    model = nnx.clone(model)
    model.train()
    # Copies, since the training step donates its arrays, and these are the caller's.
    weights, others = jax.tree.map(jnp.copy, parts(model))
    return model, State(weights, others, optimizer.init(weights))


Loss = Callable[[Float[Array, "n k"], Int[Array, " n"]], tuple[Array, Array]]
"""From logits and classes to the loss, and the scores that an epoch adds up."""


def descend(
    form: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    state: State,
    image: Float[Array, "n h w c"],
    label: Int[Array, " n"],
    loss: Loss,
) -> tuple[State, Array]:
    """One step down the gradient of the loss, and the batch's scores; to be compiled."""

    def loss_of(weights: dict[Any, Any]) -> tuple[Array, tuple[dict[Any, Any], Array]]:
        model = nnx.merge(form, weights, state.others)
        value, scores = loss(model(image), label)
        return value, (parts(model)[1], scores)

    gradient, (others, scores) = jax.grad(loss_of, has_aux=True)(state.weights)
    change, optimizer_state = optimizer.update(gradient, state.optimizer, state.weights)
    stepped = cast(dict[Any, Any], optax.apply_updates(state.weights, change))
    return State(stepped, others, optimizer_state), scores


def described_key(key: PRNGKeyArray) -> list[int]:
    """A key as the numbers that a checkpoint keeps of it."""
    return np.asarray(jax.random.key_data(key)).tolist()


def run_epochs(
    model: Model,
    state: State,
    *,
    run: dict[str, Any],
    epochs: int,
    steps: int,
    one_epoch: Callable[[State, int], tuple[State, float, float]],
    test: Callable[[Model], float],
    checkpoints: str | os.PathLike[str] | None,
    keep: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained[Model]:
    """Epoch after epoch, each tested and saved; it goes on after the last one that is saved.

    Args:
      model: in training mode.
      state: before the first step.
      run: all that tells this run from another, as JSON keeps it.
      epochs: how many.
      steps: of each epoch.
      one_epoch: from the state and the number of the epoch, from 1, to the state after it, the
        mean loss and the fraction right.
      test: of the model after an epoch, the fraction right.
      checkpoints: the directory for the checkpoints, or None.
      keep: how many of the last checkpoints stay there; None keeps all.
      on_epoch: is called with each new line of the record, after its checkpoint is written.

    Returns:
      The trained model in evaluation mode, and the record.
    """
    form = nnx.graphdef(model)
    record: list[Epoch] = []
    opened = contextlib.nullcontext() if checkpoints is None else Checkpoints(checkpoints, keep)
    with opened as store:
        if store is not None and store.epochs():
            saved = store.resume(model, state.optimizer, run)
            state = State(*parts(saved.model), saved.optimizer)
            record = [Epoch(*line) for line in saved.record]
        elif store is not None:
            store.save(model, state.optimizer, run, record)

        for epoch in range(len(record) + 1, epochs + 1):
            start = time.perf_counter()
            state, loss, right = one_epoch(state, epoch)
            model = nnx.merge(form, state.weights, state.others)
            tested = test(model)
            seconds = time.perf_counter() - start
            record.append(Epoch(epoch, epoch * steps, loss, right, tested, seconds))
            if store is not None:
                store.save(model, state.optimizer, run, record)
            if on_epoch is not None:
                on_epoch(record[-1])
    return Trained(evaluating(nnx.merge(form, state.weights, state.others)), record)
