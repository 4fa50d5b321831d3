"""Training on an endless source of images, which is compiled into the step."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Int, PRNGKeyArray

from jaxviz.training.checkpoints import evaluating
from jaxviz.training.descent import (
    Epoch,
    State,
    Trained,
    begun,
    descend,
    described_key,
    run_epochs,
)
from jaxviz.training.optimizers import adamw
from jaxviz.training.sources import Source

__all__ = ["evaluate", "train"]

Model = TypeVar("Model", bound=nnx.Module)


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
    also: Mapping[str, Any] | None = None,
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
      also: whatever else tells this run from another, in words and numbers as JSON keeps them;
        compared with the checkpoints as the arguments are.
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
    model, state = begun(model, descent)
    form = nnx.graphdef(model)
    train_key, test_key = jax.random.split(key)

    def loss_of(logits: Array, label: Array) -> tuple[Array, Array]:
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
        return loss, jnp.stack([loss, jnp.mean(logits.argmax(-1) == label)])

    # The steps are called one by one, since XLA on a CPU runs the convolutions' gradients slower
    # inside a loop: ShapesPlain, batch of 8, 62 ms of processor time a step against 600 in a scan.
    @partial(jax.jit, donate_argnums=(0, 1))
    def step(state: State, totals: Array, number: Array) -> tuple[State, Array]:
        image, label = source(jax.random.fold_in(train_key, number), batch)
        state, scores = descend(form, descent, state, image, label, loss_of)
        return state, totals + scores

    def one_epoch(state: State, epoch: int) -> tuple[State, float, float]:
        totals = jnp.zeros(2)
        for number in range((epoch - 1) * steps_per_epoch, epoch * steps_per_epoch):
            state, totals = step(state, totals, np.int32(number))
        loss, right = (float(total) for total in totals / steps_per_epoch)
        return state, loss, right

    run = {
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "batch": batch,
        "test_count": test_count,
        "key": described_key(key),
        **(also or {}),
    }
    return run_epochs(
        model,
        state,
        run=run,
        epochs=epochs,
        steps=steps_per_epoch,
        one_epoch=one_epoch,
        test=lambda model: evaluate(model, source, key=test_key, count=test_count),
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )


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
