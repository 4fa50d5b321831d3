"""A progress bar on a terminal, and nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Step", "counted", "progress"]

Step = Callable[[str], None]
"""`step("what comes next")`: one more part is done, or, the first time, begins."""


@contextlib.contextmanager
def _bar() -> Iterator[Any]:
    """A bar on a terminal; None where there is none."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield bar


@contextlib.contextmanager
def progress(parts: int) -> Iterator[Step]:
    """Shows on a terminal how many of `parts` parts are done, and what is being done.

    Args:
      parts: how many times `step` will be called.

    Yields:
      `step`, to be called when a part begins.

    Example:
      >>> with progress(2) as step:
      ...     step("reading")
      ...     step("writing")
    """
    with _bar() as bar:
        if bar is None:
            yield lambda text: None
            return
        task = bar.add_task("", total=parts)
        begun = 0

        def step(text: str) -> None:
            nonlocal begun
            bar.update(task, completed=begun, description=text)
            begun += 1

        yield step


@contextlib.contextmanager
def counted() -> Iterator[Callable[[Any], None]]:
    """Shows on a terminal how far something is that counts itself.

    Yields:
      A function of what has `done`, `total` and `words()`, to be called whenever that changes.

    Example:
      >>> from jaxviz.sweep import Progress
      >>> with counted() as watch:
      ...     watch(Progress(10, 5, 0, 2.0, 0.0, 2.5))
    """
    with _bar() as bar:
        if bar is None:
            yield lambda progress: None
            return
        task = bar.add_task("compiling", total=None)

        def watch(progress: Any) -> None:
            total, done = progress.total, progress.done
            bar.update(task, total=total, completed=done, description=progress.words())

        yield watch
