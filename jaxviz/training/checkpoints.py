"""The checkpoints of a training run: one for each epoch, in Orbax's format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from flax import nnx
from jaxtyping import Array

__all__ = ["Checkpoints", "OtherModel", "OtherRun", "epochs_saved", "evaluating", "restore"]

Model = TypeVar("Model", bound=nnx.Module)


class OtherRun(ValueError):
    """The checkpoints that a run should go on from are of a run with other arguments.

    Attributes:
      argument: of `train`, the first that differs.
      before: its value in the checkpoints.
      now: its value in the call.
    """

    def __init__(self, directory: Path, argument: str, before: object, now: object):
        super().__init__(
            f"{directory} holds a run with {argument}={before}, and this one has "
            f"{argument}={now}; give another directory, or the same arguments to continue."
        )
        self.argument, self.before, self.now = argument, before, now


class OtherModel(ValueError):
    """The checkpoints are of a model with other arrays than the one given."""


def evaluating(model: Any) -> Any:
    """The model in evaluation mode; the one given stays as it is."""
    if not isinstance(model, nnx.Module):
        return model
    model = nnx.clone(model)
    model.eval()
    return model


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


def _arrays(model: nnx.Module) -> dict[Any, Any]:
    return nnx.to_pure_dict(nnx.state(model))


def _shapes_of(model: nnx.Module) -> dict[str, list[int]]:
    leaves = jax.tree_util.tree_leaves_with_path(_arrays(model))
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): list(leaf.shape)
        for path, leaf in leaves
    }


class Saved(NamedTuple):
    """What a run goes on from.

    Attributes:
      model: with the arrays as they were.
      optimizer: its state.
      record: the lines of the learning record.
    """

    model: Any
    optimizer: Any
    record: list[list[Any]]


class Checkpoints:
    """One Orbax checkpoint for each epoch: the items `model`, `optimizer` and `run`.

    `model` is a plain tree of dictionaries, as `["layer3"]["conv1"]["kernel"]`, which can be read
    without building the model. To be closed after use, or used in a `with`.

    Args:
      directory: made if it does not exist.
      keep: how many of the last epochs stay; None keeps all.
    """

    def __init__(self, directory: str | os.PathLike[str], keep: int | None = None):
        self.directory = Path(directory).absolute()
        options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False, max_to_keep=keep)
        self.manager = ocp.CheckpointManager(self.directory, options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_: object) -> None:
        self.manager.close()

    def epochs(self) -> list[int]:
        """The epochs that are there, in order."""
        return sorted(self.manager.all_steps())

    def save(
        self, model: nnx.Module, optimizer: Any, run: dict[str, Any], record: list[Any]
    ) -> None:
        """Saves the state after the epoch of the record's last line."""
        described = {
            **run,
            # Where in the data the run goes on: which images come then follows from the key.
            "position": {"epochs_done": len(record), "steps_into_the_next": 0},
            "shapes": _shapes_of(model),
            "record": [list(line) for line in record],
        }
        items = {
            "model": ocp.args.StandardSave(_bare(_arrays(model))),
            "optimizer": ocp.args.StandardSave(_bare(optimizer)),
            "run": ocp.args.JsonSave(described),
        }
        self.manager.save(len(record), args=ocp.args.Composite(**items))
        self.manager.wait_until_finished()

    def _item(self, epoch: int, item: str, like: Any) -> Any:
        wanted = {item: ocp.args.StandardRestore(jax.eval_shape(_bare, like))}
        stored = self.manager.restore(epoch, args=ocp.args.Composite(**wanted))
        return _as_before(stored[item], like)

    def _run(self, epoch: int) -> dict[str, Any]:
        wanted = ocp.args.Composite(run=ocp.args.JsonRestore())
        return self.manager.restore(epoch, args=wanted)["run"]

    def model(self, epoch: int, like: Model) -> Model:
        """The model as it was; `like` is one of the same architecture."""
        # Orbax's own complaint of other shapes is a page long, and comes from deep inside.
        stored, wanted = self._run(epoch)["shapes"], _shapes_of(like)
        for name in sorted({*stored, *wanted}):
            if stored.get(name) != wanted.get(name):
                raise OtherModel(
                    f"The checkpoints in {self.directory} are of another model: {name} has shape "
                    f"{stored.get(name)} there, and {wanted.get(name)} in the model given."
                )
        return nnx.merge(nnx.graphdef(like), self._item(epoch, "model", _arrays(like)))

    def resume(self, model: nnx.Module, optimizer: Any, run: dict[str, Any]) -> Saved:
        """The last state saved, of a run described in the same words."""
        epoch = self.epochs()[-1]
        before = self._run(epoch)
        for argument, value in run.items():
            if before.get(argument) != value:
                raise OtherRun(self.directory, argument, before.get(argument), value)
        return Saved(
            self.model(epoch, model), self._item(epoch, "optimizer", optimizer), before["record"]
        )


def epochs_saved(checkpoints: str | os.PathLike[str]) -> list[int]:
    """The epochs that a directory of `train` holds, in order; 0 is the untrained model.

    Args:
      checkpoints: the directory.

    Returns:
      Numbers of epochs, for `restore`.

    Raises:
      FileNotFoundError: there is no such directory, or no checkpoint in it.

    Example:
      >>> epochs_saved("nowhere")
      Traceback (most recent call last):
      FileNotFoundError: There are no checkpoints of a training run in nowhere.
    """
    epochs = []
    if Path(checkpoints).is_dir():
        with Checkpoints(checkpoints) as saved:
            epochs = saved.epochs()
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
      OtherModel: they are of another architecture; a `ValueError`.
      ValueError: that epoch is not among them.

    Example:
      >>> import tempfile
      >>> import jax
      >>> from flax import nnx
      >>> from jaxviz.training import ShapesSource, train
      >>> net = nnx.Sequential(lambda x: x.mean((1, 2)), nnx.Linear(3, 10, rngs=nnx.Rngs(0)))
      >>> short = {"epochs": 2, "steps_per_epoch": 2, "batch": 4, "test_count": 4}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = train(
      ...         net, ShapesSource(size=8), key=jax.random.key(0), checkpoints=folder, **short
      ...     )
      ...     epochs, first = epochs_saved(folder), restore(net, folder, epoch=1)
      >>> epochs, first(jax.numpy.ones((1, 8, 8, 3))).shape
      ([0, 1, 2], (1, 10))
    """
    saved = epochs_saved(checkpoints)
    epoch = saved[-1] if epoch is None else epoch
    if epoch not in saved:
        raise ValueError(f"{checkpoints} has no epoch {epoch}; it has {saved}.")
    with Checkpoints(checkpoints) as stored:
        return evaluating(stored.model(epoch, model))
