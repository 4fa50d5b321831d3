"""`python -m benchmarks`: a table on the terminal, and JSON with the device's name."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Annotated

import jax
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES
from benchmarks.timing import Row, race


def _device() -> dict[str, object]:
    installed = {}
    for package in ("jax", "flax", "torch", "torchvision", "captum"):
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = None
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": installed,
    }


def _table(rows: list[Row]) -> Table:
    table = Table("case", "contestant", "median", "fastest", "times ours")
    for row in rows:
        times = [f"{1e3 * value:.1f} ms" for value in (row.median, row.fastest)]
        table.add_row(row.case, row.contestant, *times, f"{row.ratio:.2f}")
    return table


def run(
    cases: tyro.conf.Positional[tuple[str, ...]] = tuple(CASES),
    models: tuple[str, ...] = ("vgg16", "resnet50", "densenet201"),
    rounds: int = 5,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None,
) -> None:
    """Times jaxviz beside torch and captum, where they are installed.

    Times are for one image, position or step. "times ours" is the contestant's time divided by
    that of jaxviz: above 1, jaxviz is faster.

    Args:
      cases: forward, deconvnet, occlusion, ascent; by default all.
      models: names of ports.
      rounds: how often each contestant runs after its warm-up.
      out: where to write the figures, with the device and the versions.
    """
    console = Console()
    unknown = [case for case in cases if case not in CASES]
    if unknown:
        raise SystemExit(f"unknown case '{unknown[0]}'; choose among: {', '.join(CASES)}.")
    rows: list[Row] = []
    for case in cases:
        for model in models:
            console.print(f"{case} {model} ...", style="dim")
            contest = CASES[case](model)
            rows += race(f"{case} {model}", contest.contestants, items=contest.items, rounds=rounds)
    console.print(_table(rows))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        figures = {**_device(), "rounds": rounds, "rows": [row._asdict() for row in rows]}
        out.write_text(json.dumps(figures, indent=1) + "\n")
        console.print(f"wrote {out}")


if __name__ == "__main__":
    tyro.cli(run)
