"""Training on a set of images: every epoch meets each of them once, in an order of its own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxviz.data import ImageSet, batches
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

__all__ = ["evaluate_on", "train_on"]

Model = TypeVar("Model", bound=nnx.Module)
Prepare = Callable[[Float[np.ndarray, "h w 3"]], Any]
OnFault = Callable[[str, Exception], None]


def train_on(
    model: Model,
    images: ImageSet,
    test: ImageSet,
    *,
    key: PRNGKeyArray,
    prepare: Prepare,
    epochs: int = 10,
    batch: int = 64,
    optimizer: optax.GradientTransformation | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    keep: int | None = None,
    also: Mapping[str, Any] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_fault: OnFault | None = None,
) -> Trained[Model]:
    """As `train`, on a set of images: an epoch is each of them once, in an order from the key.

    The images that do not fill the last batch of an epoch are left for the next ones. With
    `checkpoints`, a later call with the same arguments goes on after the last epoch saved, to the
    same result bit for bit; sets of images are compared by the names and labels of their images,
    not by their pixels, which `also` may tell.

    Args:
      model: maps inputs (n, h, w, c) to logits (n, classes). It is left as it is.
      images: what it learns from.
      test: what it is tested on after each epoch.
      key: the order of the images comes from it.
      prepare: one image, (h, w, 3) in [0, 1], to the model's input, as a card's `preprocess`.
      epochs: after each of them there are a test and a checkpoint.
      batch: images a step.
      optimizer: any optax optimizer; if none is given, `adamw` over the whole run.
      checkpoints: a directory for the Orbax checkpoints `0` (untrained), `1`, ...; made if it does
        not exist.
      keep: how many of the last checkpoints stay there; None keeps all.
      also: whatever else tells this run from another, in words and numbers as JSON keeps them;
        compared with the checkpoints as the arguments are.
      on_epoch: is called with each new line of the record, after its checkpoint is written.
      on_fault: is called with the name and the error of an image that cannot be used, each time it
        is met; such an image counts neither in the loss nor in the accuracies, but zeros stand in
        its place, and batch normalisation sees them: leave out with `jaxviz.data.part` what is
        known to be broken. Without it, the error is raised.

    Returns:
      The trained model in evaluation mode, and the learning record, one `Epoch` for each.

    Raises:
      OtherRun: `checkpoints` holds a run with other arguments; a `ValueError`.
      OtherModel: it holds a run of another model; a `ValueError` too.
      ValueError: a number is below 1, there are fewer images than a batch has, the two sets have
        other categories, or an image cannot be used and there is no `on_fault`.

    Example:
      >>> import jax
      >>> from flax import nnx
      >>> from jaxviz.data import shapes_images
      >>> net = nnx.Sequential(lambda x: x.mean((1, 2)), nnx.Linear(3, 10, rngs=nnx.Rngs(0)))
      >>> trained = train_on(
      ...     net,
      ...     shapes_images(10, seed=1),
      ...     shapes_images(5, seed=2),
      ...     key=jax.random.key(0),
      ...     prepare=lambda image: image - 0.5,
      ...     epochs=2,
      ...     batch=4,
      ... )
      >>> [line.step for line in trained.record]
      [2, 4]
    """
    for name, number in [("epochs", epochs), ("batch", batch), ("keep", keep)]:
        if number is not None and number < 1:
            raise ValueError(f"train_on needs {name} of at least 1, not {number}.")
    if len(images) < batch:
        raise ValueError(
            f"train_on needs at least as many images as a batch has, {batch}, not {len(images)}."
        )
    if images.categories != test.categories:
        raise ValueError(
            f"train_on needs two sets with the same categories, not {len(images.categories)} "
            f"({', '.join(images.categories[:3])}, ...) and {len(test.categories)} "
            f"({', '.join(test.categories[:3])}, ...)."
        )
    steps = len(images) // batch
    descent = adamw(epochs * steps) if optimizer is None else optimizer
    model, state = begun(model, descent)
    form = nnx.graphdef(model)
    told = _by_name(images, on_fault)

    def one_epoch(state: State, epoch: int) -> tuple[State, float, float]:
        order = np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), len(images)))
        totals = jnp.zeros(3)
        for one in batches(
            images, batch, prepare=prepare, indices=order[: steps * batch], on_fault=told
        ):
            state, totals = _step(
                state, totals, one.input, one.label.astype(np.int32), form=form, optimizer=descent
            )
        loss, right, count = (float(total) for total in totals)
        return state, loss / max(count, 1), right / max(count, 1)

    run = {
        "epochs": epochs,
        "batch": batch,
        # Before the images, since a caller may have chosen those by the same key.
        "key": described_key(key),
        "images": _identity(images),
        "test": _identity(test),
        **(also or {}),
    }
    return run_epochs(
        model,
        state,
        run=run,
        epochs=epochs,
        steps=steps,
        one_epoch=one_epoch,
        test=lambda model: evaluate_on(model, test, prepare=prepare, on_fault=on_fault),
        checkpoints=checkpoints,
        keep=keep,
        on_epoch=on_epoch,
    )


def _by_name(images: ImageSet, on_fault: OnFault | None) -> Callable[[int, Exception], None] | None:
    if on_fault is None:
        return None
    names = images.names
    return lambda index, error: on_fault(names[index], error)


def _identity(images: ImageSet) -> dict[str, Any]:
    labels = " ".join(map(str, np.asarray(images.labels).tolist()))
    words = "\n".join([*images.categories, "", *images.names, "", labels])
    return {"count": len(images), "sha256": hashlib.sha256(words.encode()).hexdigest()}


def _loss(logits: Array, label: Array) -> tuple[Array, Array]:
    """The mean over the images that there are, and sums for the epoch."""
    there = label >= 0
    each = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(label, 0))
    total, count = jnp.sum(each * there), jnp.sum(there)
    right = jnp.sum((logits.argmax(-1) == label) & there)
    return total / jnp.maximum(count, 1), jnp.stack([total, right, count])


# One program for all runs of a model's form and an optimizer: studies train many alike.
@partial(jax.jit, static_argnames=("form", "optimizer"), donate_argnums=(0, 1))
def _step(
    state: State,
    totals: Array,
    image: Float[Array, "n h w c"],
    label: Int[Array, " n"],
    *,
    form: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
) -> tuple[State, Array]:
    state, scores = descend(form, optimizer, state, image, label, _loss)
    return state, totals + scores


@jax.jit
def _right(model: Any, image: Float[Array, "n h w c"], label: Int[Array, " n"]) -> Array:
    return jnp.sum(model(image).argmax(-1) == label)


def evaluate_on(
    model: Callable[..., Any],
    images: ImageSet,
    *,
    prepare: Prepare,
    batch: int = 100,
    on_fault: OnFault | None = None,
) -> float:
    """The fraction of a set of images that a model puts in the right class.

    Args:
      model: maps inputs (n, h, w, c) to logits (n, classes); an NNX module is run in evaluation
        mode, and is left as it is.
      images: which images.
      prepare: one image, (h, w, 3) in [0, 1], to the model's input, as a card's `preprocess`.
      batch: how many of them at a time.
      on_fault: is called with the name and the error of an image that cannot be used; such an
        image counts for nothing. Without it, the error is raised.

    Returns:
      Between 0 and 1.

    Raises:
      ValueError: there is no image, or none that can be used.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxviz.data import shapes_images
      >>> blind = jax.tree_util.Partial(lambda x: jnp.eye(10)[jnp.zeros(len(x), int)])
      >>> images = shapes_images(50)
      >>> found = evaluate_on(blind, images, prepare=lambda image: image)
      >>> bool(found == (images.labels == 0).mean())
      True
    """
    model = evaluating(model)
    told = _by_name(images, on_fault)
    found = [
        (_right(model, one.input, one.label.astype(np.int32)), int(np.sum(one.index >= 0)))
        for one in batches(images, batch, prepare=prepare, on_fault=told)
    ]
    if not found:
        raise ValueError("evaluate_on needs at least one image that can be used, and has none.")
    right, count = zip(*found, strict=True)
    return sum(int(number) for number in right) / sum(count)
