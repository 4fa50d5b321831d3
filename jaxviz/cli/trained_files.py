"""What a training run leaves behind beside its checkpoints: weights, record, curve, list."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

import ports
from jaxviz import report
from jaxviz.cli.training_runs import How, Run

__all__ = ["skipped_lines", "write"]

LISTED = 10
"""How many skipped files are told on the terminal; `skipped.csv` has all."""


def write(folder: Path, how: How, run: Run, *, command: str, cpu_seconds: float | None) -> Path:
    """Writes the weights, their record as JSON, the learning curve, and what was skipped.

    Args:
      folder: where.
      how: the run that was asked for.
      run: what came of it.
      command: the command line that does it again.
      cpu_seconds: processor time, if it is known.

    Returns:
      The file of the weights.
    """
    name, record = how.card.name, run.trained.record
    weights = folder / f"{name}.safetensors"
    ports.save(run.trained.model, weights)
    parameters = nnx.state(run.trained.model, nnx.Param)
    optimizer = {"adamw": "adamw", "zeiler-fergus": "zeiler_fergus"}[how.settings]
    described: dict[str, Any] = {
        "model": name,
        "parameters": sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(parameters)),
        "command": command,
        "seed": how.seed,
        "epochs": how.epochs,
        "steps": record[-1].step,
        "batch": how.batch,
        "optimizer": f"jaxviz.training.{optimizer}",
        **run.facts,
        "wall_clock_seconds": round(sum(line.seconds for line in record), 1),
        "cpu_seconds": cpu_seconds,
        "machine": f"{os.cpu_count()} CPU cores ({platform.machine()}), {jax.default_backend()}",
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
        "curve": [line._asdict() for line in record],
    }
    report.write_file(folder / f"{name}.json", json.dumps(described, indent=2) + "\n")
    report.write_file(folder / "learning.csv", _table([record[0]._fields, *record]))
    if run.skipped:
        report.write_file(folder / "skipped.csv", _table([("image", "reason"), *run.skipped]))
    else:
        # The list of an earlier go would be about other files.
        (folder / "skipped.csv").unlink(missing_ok=True)
    chart = report.line_chart(
        [line.epoch for line in record],
        {
            "training batches": [line.train_accuracy for line in record],
            run.tested: [line.test_accuracy for line in record],
        },
        across="epoch",
        up="fraction right",
        title=run.title,
    )
    report.write_file(folder / "learning.png", report.png_bytes(chart))
    return weights


def _table(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def skipped_lines(skipped: Sequence[tuple[str, str]], folder: Path) -> Iterator[str]:
    """What to say of images that could not be used: how many, and the first ones with a reason.

    Example:
      >>> for line in skipped_lines([("a.png", "it is cut off")], Path("out")):
      ...     print(line)
      skipped 1 image that cannot be used (all in out/skipped.csv):
        a.png: it is cut off
    """
    if not skipped:
        return
    what = "1 image" if len(skipped) == 1 else f"{len(skipped):,} images"
    yield f"skipped {what} that cannot be used (all in {folder / 'skipped.csv'}):"
    for name, reason in skipped[:LISTED]:
        # A reason mostly begins with the file's name already.
        yield f"  {reason if name in reason else f'{name}: {reason}'}"
    if len(skipped) > LISTED:
        yield f"  and {len(skipped) - LISTED:,} more"
