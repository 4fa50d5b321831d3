"""The training loop: minibatch descent of the cross-entropy, tested and saved every epoch."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Int, PRNGKeyArray

from jaxviz.training.checkpoints import Checkpoints, evaluating
from jaxviz.training.sources import Source

__all__ = ["Epoch", "Trained", "adamw", "evaluate", "train"]

Model = TypeVar("Model", bound=nnx.Module)


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


def adamw(
    steps: int, *, peak: float = 4e-3, weight_decay: float = 1e-2
) -> optax.GradientTransformationExtraArgs:
    """AdamW whose learning rate rises for a twentieth of the run, then falls to 0 as a cosine.

    Args:
      steps: how many optimizer steps the run has.
      peak: the largest learning rate.
      weight_decay: per unit of learning rate; of kernels only, not of biases and scales.

    Returns:
      An optax optimizer.

    Example:
      >>> import jax.numpy as jnp
      >>> optimizer = adamw(100)
      >>> weights = {"kernel": jnp.ones((2, 2))}
      >>> change, _ = optimizer.update(weights, optimizer.init(weights), weights)
      >>> float(change["kernel"].sum())  # the first step of the warm-up
      0.0

    References:
      I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019; "SGDR", 2017.
    """
    rate = optax.warmup_cosine_decay_schedule(0.0, peak, max(1, steps // 20), max(2, steps))
    return optax.adamw(
        rate,
        weight_decay=weight_decay,
        mask=lambda weights: jax.tree.map(lambda weight: weight.ndim > 1, weights),
    )


class _State(NamedTuple):
    """All that an optimizer step reads and writes, as plain trees of arrays."""

    weights: dict[Any, Any]
    others: dict[Any, Any]
    optimizer: Any


def _parts(model: nnx.Module) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """A module's weights, and its other arrays (batch statistics, random keys)."""
    _, weights, others = nnx.split(model, nnx.Param, ...)
    return nnx.to_pure_dict(weights), nnx.to_pure_dict(others)


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
    """Trains a Flax NNX classifier by minibatch descent of the cross-entropy.

    The result is a pure function of the arguments. With `checkpoints`, the run is saved before its
    first epoch and after every one, and a later call with the same arguments goes on after the
    last one saved, to the same result bit for bit; `restore` reads the model as it was then. The
    numbers, the key and the shapes of the weights are compared with those of the checkpoints;
    `source` and `optimizer` are functions and are not: to give the same ones is up to the caller.

    Args:
      model: maps inputs (n, h, w, c) to logits (n, classes). It is left as it is.
      source: gives a batch of inputs and classes for a key; it is compiled into the step.
      key: all randomness of the data comes from it.
      epochs: after each of them there are a test and a checkpoint.
      steps_per_epoch: optimizer steps.
      batch: images a step.
      optimizer: any optax optimizer; if none is given, `adamw` over the whole run.
      test_count: images of the test after each epoch, the same ones each time.
      checkpoints: a directory for the Orbax checkpoints `0` (untrained), `1`, ...; made if it does
        not exist.
      on_epoch: is called with each new line of the record, after its checkpoint is written.

    Returns:
      The trained model in evaluation mode, and the learning record, one `Epoch` for each.

    Raises:
      OtherRun: `checkpoints` holds a run with other numbers or another key; a `ValueError`.
      OtherModel: it holds a run of another model; a `ValueError` too.
      ValueError: a number is below 1.

    Example:
      >>> import jax
      >>> from flax import nnx
      >>> from jaxviz.training import ShapesSource
      >>> linear = nnx.Linear(3, 10, rngs=nnx.Rngs(0))
      >>> net = nnx.Sequential(lambda x: x.mean((1, 2)), linear)
      >>> trained = train(
      ...     net,
      ...     ShapesSource(size=8),
      ...     key=jax.random.key(0),
      ...     epochs=2,
      ...     steps_per_epoch=3,
      ...     batch=4,
      ...     test_count=4,
      ... )
      >>> [line.step for line in trained.record]
      [3, 6]
    """
    for name, number in [
        ("epochs", epochs),
        ("steps_per_epoch", steps_per_epoch),
        ("batch", batch),
        ("test_count", test_count),
    ]:
        if number < 1:
            raise ValueError(f"train needs {name} of at least 1, not {number}.")
    descent = adamw(epochs * steps_per_epoch) if optimizer is None else optimizer
    model = nnx.clone(model)
    model.train()
    form = nnx.graphdef(model)
    # Copies, since the training step donates its arrays, and these are the caller's.
    weights, others = jax.tree.map(jnp.copy, _parts(model))
    state = _State(weights, others, descent.init(weights))
    train_key, test_key = jax.random.split(key)

    # The steps are called one by one, since XLA on a CPU runs the convolutions' gradients slower
    # inside a loop: ShapesPlain, batch of 8, 62 ms of processor time a step against 600 in a scan.
    @partial(jax.jit, donate_argnums=(0, 1))
    def step(state: _State, totals: Array, number: Array) -> tuple[_State, Array]:
        image, label = source(jax.random.fold_in(train_key, number), batch)

        def loss_of(weights: dict[Any, Any]) -> tuple[Array, tuple[dict[Any, Any], Array]]:
            model = nnx.merge(form, weights, state.others)
            logits = model(image)
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
            right = jnp.mean(logits.argmax(-1) == label)
            return loss, (_parts(model)[1], jnp.stack([loss, right]))

        gradient, (others, scores) = jax.grad(loss_of, has_aux=True)(state.weights)
        change, optimizer_state = descent.update(gradient, state.optimizer, state.weights)
        stepped = cast(dict[Any, Any], optax.apply_updates(state.weights, change))
        return _State(stepped, others, optimizer_state), totals + scores

    run = {
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "batch": batch,
        "test_count": test_count,
        "key": np.asarray(jax.random.key_data(key)).tolist(),
    }
    record: list[Epoch] = []
    with contextlib.nullcontext() if checkpoints is None else Checkpoints(checkpoints) as store:
        if store is not None and store.epochs():
            saved = store.resume(model, state.optimizer, run)
            state = _State(*_parts(saved.model), saved.optimizer)
            record = [Epoch(*line) for line in saved.record]
        elif store is not None:
            store.save(model, state.optimizer, run, record)

        for epoch in range(len(record) + 1, epochs + 1):
            start = time.perf_counter()
            totals = jnp.zeros(2)
            for number in range((epoch - 1) * steps_per_epoch, epoch * steps_per_epoch):
                state, totals = step(state, totals, np.int32(number))
            loss, right = (float(total) for total in totals / steps_per_epoch)
            model = nnx.merge(form, state.weights, state.others)
            tested = evaluate(model, source, key=test_key, count=test_count)
            seconds = time.perf_counter() - start
            record.append(Epoch(epoch, epoch * steps_per_epoch, loss, right, tested, seconds))
            if store is not None:
                store.save(model, state.optimizer, run, record)
            if on_epoch is not None:
                on_epoch(record[-1])
    return Trained(evaluating(nnx.merge(form, state.weights, state.others)), record)


@partial(jax.jit, static_argnames=("source", "count"))
def _right(model: Any, source: Source, key: PRNGKeyArray, count: int) -> Int[Array, ""]:
    image, label = source(key, count)
    return jnp.sum(model(image).argmax(-1) == label)


def evaluate(
    model: Callable[..., Any],
    source: Source,
    *,
    key: PRNGKeyArray,
    count: int = 2000,
    batch: int = 100,
) -> float:
    """The fraction of fresh images that a model puts in the right class.

    Args:
      model: maps inputs (n, h, w, c) to logits (n, classes); an NNX module is run in evaluation
        mode, and is left as it is.
      source: gives inputs and classes for a key.
      key: which images.
      count: how many images.
      batch: how many of them at a time.

    Returns:
      Between 0 and 1.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxviz.training import ShapesSource
      >>> blind = jax.tree_util.Partial(lambda x: jnp.eye(10)[jnp.zeros(len(x), int)])
      >>> accuracy = evaluate(blind, ShapesSource(size=8), key=jax.random.key(0), count=100)
      >>> 0 < accuracy < 0.25
      True
    """
    if count < 1 or batch < 1:
        raise ValueError(
            f"evaluate needs a count and a batch of at least 1, not {count=}, {batch=}."
        )
    model = evaluating(model)
    sizes = [batch] * (count // batch) + [count % batch] * (count % batch > 0)
    right = [
        _right(model, source, jax.random.fold_in(key, i), size) for i, size in enumerate(sizes)
    ]
    return sum(int(number) for number in right) / count
