"""`python -m benchmarks CASE`: a table on the terminal, and JSON with the device's name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks import approximation, occlusion
from benchmarks.cases import CASES
from benchmarks.record import keep
from benchmarks.timing import Row, race


def _table(rows: list[Row]) -> Table:
    table = Table("case", "contestant", "median", "fastest", "times ours")
    for row in rows:
        times = [f"{1e3 * value:.1f} ms" for value in (row.median, row.fastest)]
        table.add_row(row.case, row.contestant, *times, f"{row.ratio:.2f}")
    return table


def _runner(case: str):
    def run(
        models: tuple[str, ...] = ("vgg16", "resnet50", "densenet201"),
        rounds: int = 5,
        out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None,
    ) -> None:
        """Times jaxviz beside torch and captum, where they are installed.

        Times are for one image, step or row. "times ours" is the contestant's time divided by
        that of jaxviz: above 1, jaxviz is faster.

        Args:
          models: names of ports.
          rounds: how often each contestant runs after its warm-up.
          out: where to write the figures, with the device and the versions.
        """
        console = Console()
        rows: list[Row] = []
        for model in models:
            console.print(f"{case} {model} ...", style="dim")
            rows += race(f"{case} {model}", CASES[case](model), rounds=rounds)
        console.print(_table(rows))
        keep(out, {"rounds": rounds, "rows": [row._asdict() for row in rows]})

    return run


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {
            **{case: _runner(case) for case in CASES},
            "occlusion": occlusion.run,
            "approximation": approximation.run,
        }
    )
