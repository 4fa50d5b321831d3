"""Training an image classifier on an endless source, with a checkpoint after every epoch."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxviz.data import shapes

__all__ = [
    "Epoch",
    "ShapesSource",
    "Source",
    "Trained",
    "adamw",
    "epochs_saved",
    "evaluate",
    "restore",
    "train",
]

Source = Callable[[PRNGKeyArray, int], tuple[Float[Array, "n h w c"], Int[Array, " n"]]]
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
    ) -> tuple[Float[Array, "n h w 3"], Int[Array, " n"]]:
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
    """All that an optimizer step reads and writes."""

    weights: dict[str, Array]
    others: dict[str, Array]
    optimizer: Any


class _Form(Generic[Model]):
    """An NNX module without its arrays, which it gives out and takes in under dotted names.

    Plain dictionaries of arrays go through optax and Orbax without either knowing of NNX.
    """

    def __init__(self, model: Model):
        self._graph, *states = nnx.split(model, nnx.Param, ...)
        self._structures = [jax.tree.structure(state) for state in states]
        self._names = [
            [".".join(str(step) for step in path) for path, _ in nnx.to_flat_state(state)]
            for state in states
        ]
        # Copies, since the training step donates its arrays, and these are the caller's.
        self.arrays = [
            {name: jnp.copy(leaf) for name, leaf in zip(names, jax.tree.leaves(state), strict=True)}
            for names, state in zip(self._names, states, strict=True)
        ]

    def model(self, weights: dict[str, Array], others: dict[str, Array]) -> Model:
        """The module with these arrays."""
        states = [
            jax.tree.unflatten(structure, [arrays[name] for name in names])
            for structure, names, arrays in zip(
                self._structures, self._names, (weights, others), strict=True
            )
        ]
        return nnx.merge(self._graph, *states, copy=True)


def _evaluating(model: Any) -> Any:
    """The model in evaluation mode; the one given stays as it is."""
    if not isinstance(model, nnx.Module):
        return model
    model = nnx.clone(model)
    model.eval()
    return model


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
    last one saved, to the same result bit for bit; `restore` reads the model as it was then.

    Args:
      model: maps inputs (n, h, w, c) to logits (n, classes). It is left as it is.
      source: gives a batch of inputs and classes for a key; it is compiled into the step.
      key: all randomness of the data comes from it.
      epochs: after each of them there are a test and a checkpoint.
      steps_per_epoch: optimizer steps.
      batch: images a step.
      optimizer: any optax optimizer; if none is given, `adamw` over the whole run.
      test_count: images of the test after each epoch, the same ones each time.
      checkpoints: a directory for the Orbax checkpoints `0` (untrained), `1`, ... and for
        `record.csv`; made if it does not exist.
      on_epoch: is called with each new line of the record, after its checkpoint is written.

    Returns:
      The trained model in evaluation mode, and the learning record, one `Epoch` for each.

    Raises:
      ValueError: `checkpoints` holds another run, or a number is below 1.

    Example:
      >>> import jax
      >>> from flax import nnx
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
    form = _Form(model)
    weights, others = form.arrays
    state = _State(weights, others, descent.init(weights))
    train_key, test_key = jax.random.split(key)

    # The steps are called one by one, since XLA on a CPU runs the convolutions' gradients slower
    # inside a loop: ShapesPlain, batch of 8, 62 ms of processor time a step against 600 in a scan.
    @partial(jax.jit, donate_argnums=(0, 1))
    def step(state: _State, totals: Array, number: Array) -> tuple[_State, Array]:
        image, label = source(jax.random.fold_in(train_key, number), batch)

        def loss_of(weights: dict[str, Array]) -> tuple[Array, tuple[dict[str, Array], Array]]:
            model = form.model(weights, state.others)
            logits = model(image)
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
            right = jnp.mean(logits.argmax(-1) == label)
            return loss, (_Form(model).arrays[1], jnp.stack([loss, right]))

        gradient, (others, scores) = jax.grad(loss_of, has_aux=True)(state.weights)
        change, optimizer_state = descent.update(gradient, state.optimizer, state.weights)
        stepped = cast(dict[str, Array], optax.apply_updates(state.weights, change))
        return _State(stepped, others, optimizer_state), totals + scores

    run = {
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "batch": batch,
        "test_count": test_count,
        "key": np.asarray(jax.random.key_data(key)).tolist(),
    }
    record: list[Epoch] = []
    store = None if checkpoints is None else _Checkpoints(checkpoints)
    if store is not None:
        if store.epochs():
            state, record = store.resume(state, run)
        else:
            store.save(state, run, record)

    for epoch in range(len(record) + 1, epochs + 1):
        start = time.perf_counter()
        totals = jnp.zeros(2)
        for number in range((epoch - 1) * steps_per_epoch, epoch * steps_per_epoch):
            state, totals = step(state, totals, np.int32(number))
        loss, right = (float(total) for total in totals / steps_per_epoch)
        model = form.model(state.weights, state.others)
        tested = evaluate(model, source, key=test_key, count=test_count)
        seconds = time.perf_counter() - start
        record.append(Epoch(epoch, epoch * steps_per_epoch, loss, right, tested, seconds))
        if store is not None:
            store.save(state, run, record)
        if on_epoch is not None:
            on_epoch(record[-1])
    return Trained(_evaluating(form.model(state.weights, state.others)), record)


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
      >>> blind = jax.tree_util.Partial(lambda x: jnp.eye(10)[jnp.zeros(len(x), int)])
      >>> accuracy = evaluate(blind, ShapesSource(size=8), key=jax.random.key(0), count=100)
      >>> 0 < accuracy < 0.25
      True
    """
    if count < 1 or batch < 1:
        raise ValueError(
            f"evaluate needs a count and a batch of at least 1, not {count=}, {batch=}."
        )
    model = _evaluating(model)
    sizes = [batch] * (count // batch) + [count % batch] * (count % batch > 0)
    right = [
        _right(model, source, jax.random.fold_in(key, i), size) for i, size in enumerate(sizes)
    ]
    return sum(int(number) for number in right) / count


def _nested(arrays: dict[str, Array]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *modules, last = name.split(".")
        inside = tree
        for module in modules:
            inside = inside.setdefault(module, {})
        inside[last] = array
    return tree


def _array_at(tree: dict[str, Any], name: str) -> Array:
    for step in name.split("."):
        tree = tree[step]
    return cast(Array, tree)


def _bare(tree: Any) -> Any:
    # Orbax stores numbers; a random key (of dropout, say) is stored as the numbers inside it.
    def numbers(leaf: Array) -> Array:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return jax.random.key_data(leaf) if is_key else leaf

    return jax.tree.map(numbers, tree)


def _as_before(stored: Any, like: Any) -> Any:
    def leaf(value: Array, before: Array) -> Array:
        if jnp.issubdtype(before.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(value, impl=jax.random.key_impl(before))
        return value

    return jax.tree.map(leaf, stored, like)


def _shapes_of(arrays: dict[str, Array]) -> dict[str, list[int]]:
    return {name: list(array.shape) for name, array in arrays.items()}


class _Checkpoints:
    """One Orbax checkpoint for each epoch: the items `model`, `optimizer` and `run`.

    `model` is a plain tree of dictionaries, as `["layer3"]["conv1"]["kernel"]`, which can be read
    without building the model.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self.directory = Path(directory).absolute()
        options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
        self.manager = ocp.CheckpointManager(self.directory, options=options)

    def epochs(self) -> list[int]:
        return sorted(self.manager.all_steps())

    def save(self, state: _State, run: dict[str, Any], record: list[Epoch]) -> None:
        items = {
            "model": ocp.args.StandardSave(_bare(_nested({**state.weights, **state.others}))),
            "optimizer": ocp.args.StandardSave(_bare(state.optimizer)),
            "run": ocp.args.JsonSave(
                {
                    **run,
                    "shapes": _shapes_of({**state.weights, **state.others}),
                    "record": [list(line) for line in record],
                }
            ),
        }
        self.manager.save(len(record), args=ocp.args.Composite(**items))
        self.manager.wait_until_finished()
        # Written whole beside the old one, then moved over it.
        partial_csv = self.directory / "record.csv.partial"
        with partial_csv.open("w", newline="") as file:
            csv.writer(file).writerows([Epoch._fields, *record])
        partial_csv.replace(self.directory / "record.csv")

    def arrays(self, epoch: int, item: str, like: Any) -> Any:
        wanted = {item: ocp.args.StandardRestore(jax.eval_shape(_bare, like))}
        stored = self.manager.restore(epoch, args=ocp.args.Composite(**wanted))
        return _as_before(stored[item], like)

    def run(self, epoch: int) -> dict[str, Any]:
        wanted = ocp.args.Composite(run=ocp.args.JsonRestore())
        return self.manager.restore(epoch, args=wanted)["run"]

    def model(self, epoch: int, *like: dict[str, Array]) -> list[dict[str, Array]]:
        every = {name: array for arrays in like for name, array in arrays.items()}
        # Orbax's own complaint of other shapes is a page long, and comes from deep inside.
        stored, wanted = self.run(epoch)["shapes"], _shapes_of(every)
        for name in sorted({*stored, *wanted}):
            if stored.get(name) != wanted.get(name):
                raise ValueError(
                    f"The checkpoints in {self.directory} are of another model: {name} has shape "
                    f"{stored.get(name)} there, and {wanted.get(name)} in the model given."
                )
        tree = self.arrays(epoch, "model", _nested(every))
        return [{name: _array_at(tree, name) for name in arrays} for arrays in like]

    def resume(self, state: _State, run: dict[str, Any]) -> tuple[_State, list[Epoch]]:
        epoch = self.epochs()[-1]
        before = self.run(epoch)
        differing = [name for name, value in run.items() if before.get(name) != value]
        if differing:
            name = differing[0]
            raise ValueError(
                f"{self.directory} holds a run with {name}={before.get(name)}, and this one has "
                f"{name}={run[name]}; give another directory, or the same arguments to continue."
            )
        weights, others = self.model(epoch, state.weights, state.others)
        optimizer = self.arrays(epoch, "optimizer", state.optimizer)
        return _State(weights, others, optimizer), [Epoch(*line) for line in before["record"]]


def epochs_saved(checkpoints: str | os.PathLike[str]) -> list[int]:
    """The epochs that a directory of `train` holds, in order; 0 is the untrained model.

    Args:
      checkpoints: the directory.

    Returns:
      Numbers of epochs, for `restore`.

    Raises:
      FileNotFoundError: there is no such directory, or no checkpoint in it.
    """
    epochs = _Checkpoints(checkpoints).epochs() if Path(checkpoints).is_dir() else []
    if not epochs:
        raise FileNotFoundError(f"There are no checkpoints of a training run in {checkpoints}.")
    return epochs


def restore(
    model: Model, checkpoints: str | os.PathLike[str], *, epoch: int | None = None
) -> Model:
    """A model as it was after an epoch of `train`.

    Args:
      model: one of the same architecture; its weights do not matter, and it is left as it is.
      checkpoints: the directory that `train` wrote.
      epoch: which epoch; 0 is the untrained model, and by default it is the last one saved.

    Returns:
      The model in evaluation mode.

    Raises:
      FileNotFoundError: there are no checkpoints.
      ValueError: that epoch is not among them, or they are of another architecture.
    """
    saved = epochs_saved(checkpoints)
    epoch = saved[-1] if epoch is None else epoch
    if epoch not in saved:
        raise ValueError(f"{checkpoints} has no epoch {epoch}; it has {saved}.")
    form = _Form(model)
    return _evaluating(form.model(*_Checkpoints(checkpoints).model(epoch, *form.arrays)))
