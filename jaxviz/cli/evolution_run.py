"""The training run that `jaxviz study evolution` looks at, and what it has found of each epoch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxviz import report
from jaxviz.cli.drawn_units import OPTIONS, read_arrays, write_arrays
from jaxviz.cli.inputs import Port
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.studies import Evolved, Strongest

__all__ = [
    "checkpoints_in",
    "epochs_of",
    "keep",
    "kept",
    "restored",
    "trained",
    "untrained",
]

EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)
"""Those of Zeiler & Fergus' figure."""

RUN: dict[str, Any] = {"epochs": 64, "steps_per_epoch": 10, "batch": 32, "test_count": 200}
"""The run that is trained where none is given: its epochs are short, since features come early."""


def trained(port: Port, folder: Path, seed: int) -> Path:
    """Trains a shapes net with a checkpoint after every epoch, or goes on with it.

    Args:
      port: which net; its weights do not matter.
      folder: of the checkpoints.
      seed: of the first weights and of the images.

    Returns:
      The folder.

    Raises:
      Mistake: it holds another run.
    """
    from flax import nnx

    import ports
    from jaxviz import training

    card = port.card
    source = training.ShapesSource(mean=card.mean[0], std=card.std[0], size=card.input_size)
    with progress(RUN["epochs"]) as step:
        step("compiling, first epoch")
        try:
            training.train(
                ports.new(port.name, rngs=nnx.Rngs(seed)),
                source,
                key=jax.random.key(seed),
                checkpoints=folder,
                on_epoch=lambda done: step(
                    f"training, epoch {done.epoch}: test {100 * done.test_accuracy:.1f}%"
                ),
                **RUN,
            )
        except (training.OtherRun, training.OtherModel) as other:
            raise Mistake(
                f"{folder} holds a run of another --model or --seed; give another --out"
            ) from other
    return folder


def checkpoints_in(given: str) -> Path:
    """The checkpoints of a run in the folder that `jaxviz train` wrote, or that folder itself."""
    inside = Path(given) / "checkpoints"
    return inside if inside.is_dir() else Path(given)


def epochs_of(run: Path) -> list[int]:
    """The epochs to look at: 0 if it is there, those of the paper's that are, and the last one.

    Of a run of up to as many epochs as the paper's figure has, all.

    Raises:
      FileNotFoundError: there are no checkpoints.
      Mistake: there is but one.
    """
    from jaxviz.training import epochs_saved

    there = epochs_saved(run)
    if len(there) < 2:
        raise Mistake(f"{run} must hold checkpoints of several epochs, and holds one")
    if len(there) <= len(EPOCHS) + 1:
        return there
    return [epoch for epoch in there if epoch in (0, *EPOCHS, there[-1])]


def untrained(port: Port, run: Path) -> Any:
    """A network of the shapes of the run's, for `restored`: it may tell other classes apart.

    Raises:
      FileNotFoundError: there are no checkpoints.
    """
    from flax import nnx

    import ports
    from jaxviz import training

    # The last bias has an entry for each class.
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(port.model)))
    paths = [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, leaf in leaves
        if leaf.shape == (port.classes,)
    ]
    saved = training.shapes_saved(run)
    count = saved.get(paths[-1], [port.classes])[0]
    return ports.new(port.name, rngs=nnx.Rngs(0), num_classes=count)


def restored(like: Any, run: Path, epoch: int, *, name: str) -> Any:
    """The network after an epoch.

    Args:
      like: one of the same shapes, as `untrained` makes it.
      run: the checkpoints.
      epoch: which.
      name: the network's.

    Raises:
      Mistake: the checkpoints are of another network.
    """
    from jaxviz import training

    try:
        return training.restore(like, run, epoch=epoch)
    except training.OtherModel as other:
        raise Mistake(f"{run} holds a run of another --model than {name}") from other


def keep(
    folder: Path, epoch: int, found: Evolved, *, faulty: Iterable[int], options: Mapping[str, str]
) -> None:
    """Writes what was found of an epoch; it counts as done once its file is there, whole.

    Args:
      folder: of these files.
      epoch: which.
      found: what the study found.
      faulty: the images that could not be used.
      options: as `drawn_units.agreeing` compares them; written before the first file is.
    """
    if not (folder / OPTIONS).exists():
        report.write_file(folder / OPTIONS, json.dumps(options, indent=1) + "\n")
    arrays = {
        f"{name}.{part}": values
        for name, best in found.strongest.items()
        for part, values in best._asdict().items()
    }
    arrays |= {f"{name}.similarity": np.array(one) for name, one in found.similarity.items()}
    arrays["faulty"] = np.array(sorted(faulty), int)
    write_arrays(folder / f"epoch-{epoch:04d}.npz", arrays)


def kept(
    folder: Path, epoch: int, layers: Sequence[str]
) -> tuple[Evolved, set[int]] | tuple[None, None]:
    """What was found of an epoch, and of which images not; nothing where that is still to be done.

    Raises:
      Mistake: its file is damaged.
    """
    arrays = read_arrays(folder / f"epoch-{epoch:04d}.npz")
    if arrays is None:
        return None, None
    found = Evolved(
        {
            name: Strongest(*(arrays[f"{name}.{part}"] for part in Strongest._fields))
            for name in layers
        },
        {name: float(arrays[f"{name}.similarity"]) for name in layers},
    )
    return found, set(arrays["faulty"].tolist())
