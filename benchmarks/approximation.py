"""What approximate occlusion sweeps save, and what that costs: speed against SSIM and error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import jaxviz as jv
import ports
from benchmarks.record import keep
from benchmarks.similarity import ssim
from benchmarks.timing import Contestant, race

__all__ = ["run"]

SETTINGS: dict[str, dict[str, Any]] = {
    "every 2nd": {"coarse": 2, "fraction": 0.0},
    "every 2nd, 10 % more": {"coarse": 2, "fraction": 0.1},
    "every 2nd, 25 % more": {"coarse": 2, "fraction": 0.25},
    "every 3rd, 10 % more": {"coarse": 3, "fraction": 0.1},
    "reach 0.9": {"coarse": 1, "reach": 0.9},
    "reach 0.7": {"coarse": 1, "reach": 0.7},
    "reach 0.5": {"coarse": 1, "reach": 0.5},
    "reach 0.3": {"coarse": 1, "reach": 0.3},
    "bfloat16": {"coarse": 1, "dtype": jnp.bfloat16},
}


class Trade(NamedTuple):
    """One line of the table."""

    model: str
    setting: str
    speed_up: float  # against the exact sweep
    ssim: float  # the mean over the images
    largest: float  # error over the range of the exact drops, the mean over the images
    estimate: float  # the same from the sample


def run(
    models: tuple[str, ...] = ("shapes-plain", "shapes-residual", "shapes-dense"),
    settings: tuple[str, ...] = tuple(SETTINGS),
    size: int = 224,
    window: int = 16,
    stride: int = 8,
    images: int = 4,
    rounds: int = 3,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None,
) -> None:
    """Times approximate sweeps against the exact one and compares the maps.

    The images are of the shapes set. The shapes nets are trained, and have 64 pixels, windows of 8
    and stride 2; the others have random weights.

    Args:
      models: names of ports.
      settings: names of settings, see the table.
      size: side of the images in pixels.
      window: side of the occluder.
      stride: from one position to the next.
      images: how many.
      rounds: how often each sweep runs after its warm-up.
      out: where to write the figures, with the device and the versions.
    """
    console = Console()
    rows: list[Trade] = []
    for name in models:
        console.print(f"{name} ...", style="dim")
        rows += _model(name, settings, size, window, stride, images, rounds)
        keep(out, {"rounds": rounds, "rows": [row._asdict() for row in rows]})
    table = Table("model", "setting", "speed-up", "SSIM", "largest error", "its estimate")
    for row in rows:
        table.add_row(
            row.model,
            row.setting,
            f"{row.speed_up:.2f}",
            f"{row.ssim:.3f}",
            f"{row.largest:.1%}",
            f"{row.estimate:.1%}",
        )
    console.print(table)


def _model(name, settings, size, window, stride, images, rounds) -> list[Trade]:
    shown, label, _ = jv.data.shapes(jax.random.key(7), images)
    if name.startswith("shapes"):
        model, window, stride = ports.load(name, weights="shapes"), 8, 2
        x = ports.card(name).normalize(shown)
    else:
        model, label = ports.load(name, key=jax.random.key(0)), 3
        shown = jax.image.resize(shown, (images, size, size, 3), "linear")
        x = ports.card(name).normalize(shown)
    options: dict[str, Any] = {"window": (window, window), "stride": (stride, stride)}
    key = jax.random.key(0)
    sweeps = {"exact": Contestant(lambda: jv.occlusion(model, x, label, **options).drop, 1)}

    def approximate(setting):
        return jv.approximate_occlusion(model, x, label, key=key, **options, **SETTINGS[setting])

    for setting in settings:
        sweeps[setting] = Contestant(lambda setting=setting: approximate(setting).maps.drop, 1)
    times = {row.contestant: row for row in race(name, sweeps, rounds=rounds)}
    exact = np.asarray(sweeps["exact"].run())
    spread = np.ptp(exact, axis=(1, 2))
    rows = []
    for setting in settings:
        found = approximate(setting)
        drop: Any = np.asarray(found.maps.drop)
        rows.append(
            Trade(
                name,
                setting,
                1 / times[setting].ratio,
                float(np.mean([ssim(a, b) for a, b in zip(drop, exact, strict=True)])),
                float((np.abs(drop - exact).max((1, 2)) / spread).mean()),
                float(found.error.relative.mean()),
            )
        )
    return rows
