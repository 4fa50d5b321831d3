"""The output folder of a run: every file whole, or not there at all."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxviz.report.page import Page, Picture, Table, render


def check_writable(folder: str | os.PathLike) -> Path:
    """Asks, before a long run, whether its output can be written at the end.

    Files go into the folder if it exists, and a new folder into the nearest one above it that
    does; in that one a file is made and removed again, which tells of read-only disks too.

    Args:
      folder: where the output is to go; it need not exist.

    Returns:
      The folder as a path.

    Raises:
      OSError: where the folder, or a folder on the way to it, is a file or not writable.

    Example:
      >>> check_writable("jaxviz-demo").name
      'jaxviz-demo'
    """
    folder = Path(folder)
    nearest = folder.absolute()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if not nearest.is_dir():
        raise NotADirectoryError(
            f"cannot write to {str(folder)!r}: {str(nearest)!r} is not a folder; choose another."
        )
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise PermissionError(
            f"cannot write to {str(folder)!r}: {str(nearest)!r} takes no files "
            f"({error.strerror}); choose another folder."
        ) from error
    return folder


def write_file(path: str | os.PathLike, content: str | bytes) -> Path:
    """Writes a file under a temporary name and renames it, so that it is never half there.

    Args:
      path: the file; its folder is made if need be, and an old file is replaced.
      content: text (as UTF-8) or bytes.

    Returns:
      The path.

    Raises:
      OSError: where the file cannot be written; the temporary file is gone then.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write_file(Path(folder) / "a" / "note.txt", "hello").read_text()
      'hello'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # or the name could be on the disk before what it names
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_run(
    folder: str | os.PathLike,
    page: Page,
    *,
    numbers: Mapping[str, Any],
    sheets: Sequence[Picture] = (),
    tables: Mapping[str, Table] | None = None,
) -> list[Path]:
    """Writes a run: `index.html`, its pictures as PNG files, `numbers.json`, and CSV tables.

    A new folder is filled under another name beside its place, and appears whole. In a folder that
    exists, all files are written to a hidden folder in it first, and then each is moved to its
    place, the page last.

    Args:
      folder: where to write; made if need be.
      page: what to show.
      numbers: the numbers behind the pictures; arrays become lists.
      sheets: further pictures that are not on the page.
      tables: name -> a table that becomes `NAME.csv`, on the page or not.

    Returns:
      The files, the page first.

    Raises:
      OSError: where the folder cannot be written.
      ValueError: where a number is NaN or infinite, which JSON cannot hold.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     files = write_run(Path(folder) / "run", Page("A run", []), numbers={"top": [1, 2]})
      ...     [file.name for file in files]
      ['index.html', 'numbers.json']
    """
    folder = check_writable(folder)
    contents: dict[str, bytes] = {
        f"{picture.name}.png": picture.png for picture in [*sheets, *page.pictures()]
    }
    text = json.dumps(numbers, indent=1, default=_plain, allow_nan=False)
    contents["numbers.json"] = (text + "\n").encode()
    for name, table in (tables or {}).items():
        contents[f"{name}.csv"] = _comma_separated(table).encode()
    contents["index.html"] = render(page).encode()

    target = folder.absolute()
    exists = target.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    # A rename must not cross from one file system to another: a folder may be a mount point.
    partial = (target if exists else target.parent) / f".{target.name}.{os.getpid()}.partial"
    partial.mkdir()
    try:
        for name, content in contents.items():
            (partial / name).write_bytes(content)
        if exists:
            for name in contents:
                os.replace(partial / name, target / name)
        else:
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [folder / name for name in ["index.html", *sorted(contents.keys() - {"index.html"})]]


def _comma_separated(table: Table) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table.columns, *table.rows])
    return text.getvalue()


def _plain(value: Any) -> Any:
    """Arrays and their scalars as JSON knows them."""
    array = np.asarray(value)
    if array.dtype.kind not in "biufU":
        raise TypeError(f"{type(value).__name__} has no place in numbers.json")
    return array.tolist()
