"""What a run has drawn so far, a file for each unit, so that it can go on where it was stopped."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxviz import report
from jaxviz.cli.drawing import Drawn
from jaxviz.cli.mistakes import Mistake

__all__ = ["agreeing", "clear", "fingerprint", "keep", "kept", "read_arrays", "write_arrays"]

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


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays by name, compressed, in a file that is whole or not there; the same arrays give the
    same bytes.
    """
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
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Mistake(f"{path} is damaged; remove it and run again to make it anew") from error
