"""What a run has drawn so far, a file for each unit, so that it can go on where it was stopped."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxviz import report
from jaxviz.cli import drawing
from jaxviz.cli.drawing import Drawing, Drawn
from jaxviz.cli.inputs import Port
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress

__all__ = [
    "agreeing",
    "clear",
    "draw_missing",
    "fingerprint",
    "keep",
    "kept",
    "read_arrays",
    "stem_of",
    "title_of",
    "write_arrays",
]

OPTIONS = "options.json"


def fingerprint(arrays: Iterable[Array | np.ndarray]) -> str:
    """Twelve digits that tell weights, or images, from others.

    Example:
      >>> fingerprint([np.zeros(3)]) == fingerprint([np.zeros(3)]) != fingerprint([np.ones(3)])
      True
    """
    digest = hashlib.sha256()
    for leaf in arrays:
        # The keys of random layers are no weights, and NumPy does not know them.
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()[:12]


def title_of(port: Port, layer: str | None, unit: int) -> str:
    """A unit in words: a layer's channel, or a class's name."""
    return port.category(unit) if layer is None else f"{layer}, channel {unit}"


def stem_of(port: Port, layer: str | None, unit: int) -> str:
    """What the names of a unit's files begin with."""
    # With the number, since ImageNet has two classes of the name "crane".
    if layer is None:
        return f"class-{unit}-{report.file_stem(port.category(unit))}"
    return f"channel-{unit}"


def agreeing(folder: Path, options: Mapping[str, str], *, out: str) -> None:
    """Makes sure that what lies in a folder was drawn with these options.

    Args:
      folder: of the drawn units; it need not exist.
      options: each option of the command with its value in words.
      out: the output folder as the user named it.

    Raises:
      Mistake: the folder is of a run with other options; all that differ are named.
    """
    if not (folder / OPTIONS).exists():
        return
    before = json.loads((folder / OPTIONS).read_text())
    other = [
        f"{name} {before.get(name, 'not given')} (now {options.get(name, 'not given')})"
        for name in [*options, *(name for name in before if name not in options)]
        if before.get(name) != options.get(name)
    ]
    if other:
        raise Mistake(
            f"{out} holds a run with {', '.join(other)}; give the options of that run to go on "
            "with it, or another --out"
        )


def clear(*folders: Path) -> None:
    """Removes what a run that was killed has left half-written in some folders."""
    for folder in folders:
        for partial in folder.glob(".*.partial"):  # the names that `jaxviz.report` writes under
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink()


def keep(folder: Path, unit: str, drawn: Drawn, *, options: Mapping[str, str]) -> None:
    """Writes a unit's images and numbers; it counts as drawn once its file is there, whole.

    Args:
      folder: of the drawn units.
      unit: the stem of its file's name.
      drawn: what has become of it.
      options: as given to `agreeing`; they are written before the first unit is.
    """
    if not (folder / OPTIONS).exists():
        report.write_file(folder / OPTIONS, json.dumps(options, indent=1) + "\n")
    write_arrays(folder / f"{unit}.npz", drawn._asdict())


def kept(folder: Path, unit: str) -> Drawn | None:
    """A unit as it was drawn, or None where that is still to be done.

    Raises:
      Mistake: its file is damaged.
    """
    found = read_arrays(folder / f"{unit}.npz")
    return None if found is None else Drawn(**found)


def draw_missing(
    port: Port, units: Sequence[int], how: Drawing, *, folder: Path, options: Mapping[str, str]
) -> None:
    """Draws the units that have no file yet, as many together as the memory holds.

    Args:
      port: the model and its card.
      units: channels of the layer, or classes, each once.
      how: how to draw them.
      folder: of the drawn units.
      options: as given to `agreeing`.

    Raises:
      Mistake: a unit's file is damaged, or what it comes to is not finite.
    """
    stems = {unit: stem_of(port, how.layer, unit) for unit in units}
    missing = [unit for unit in units if kept(folder, stems[unit]) is None]
    if not missing:
        return
    chunk = min(drawing.units_at_once(port, how), len(units))
    # The same units come together whether some are already there or not, and the last ones with
    # themselves: then one program does for all, and rounds as it would have in a run of one piece.
    chunks = [[*units[i : i + chunk]] for i in range(0, len(units), chunk)]
    chunks = [some for some in chunks if not set(missing).isdisjoint(some)]
    titles = {unit: title_of(port, how.layer, unit) for unit in units}
    with progress(len(chunks)) as step:
        for some in chunks:
            named = [titles[unit] for unit in some]
            step(", ".join(named) if len(named) < 4 else f"{named[0]} to {named[-1]}")
            drawn = drawing.draw(port, (some + some[-1:] * chunk)[:chunk], how)
            for place, unit in enumerate(some):
                one = drawn.of(place)
                if not np.isfinite(one.score) or not np.isfinite(one.image).all():
                    raise Mistake(
                        f"{titles[unit]} of {port.name} comes to {one.score:g}; its weights, or "
                        "what it computes of them, are not finite"
                    )
                if unit in missing:
                    keep(folder, stems[unit], one, options=options)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays by name in a file that is whole or not there; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    report.write_file(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """What `write_arrays` wrote, or None where there is no such file.

    Raises:
      Mistake: the file is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        return None
    except OSError:
        raise
    except Exception as error:  # what a damaged file makes a decoder raise is any of many kinds
        raise Mistake(f"{path} is damaged; remove it and run again to make it anew") from error
