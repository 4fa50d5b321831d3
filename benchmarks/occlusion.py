"""Occlusion sweeps: the incremental engine beside the dense one, captum, and what is possible."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import tyro
from rich.console import Console
from rich.table import Table

import jaxviz as jv
import ports
from benchmarks.floor import work
from benchmarks.peers import as_tensor, torch_model
from benchmarks.record import keep
from benchmarks.timing import Contestant, Row, race, seconds
from jaxviz.attribution.occlusion import grid_of

__all__ = ["run"]

# A dense engine pays the same for every position, whatever the window: some hundred of them tell
# the price of all.
_POSITIONS_A_SIDE = 9


class Sweep(NamedTuple):
    """One line of the table; times in seconds for one position."""

    model: str
    size: int
    window: int
    stride: int
    memory: int | None
    positions: int
    incremental: float
    dense: float
    speed_up: float  # dense / incremental, the median over the rounds
    floor: float  # the same by operation count, at best
    share: float  # of the floor
    flops: float  # operations for one position, at the floor, in a second
    captum: float | None
    captum_ratio: float | None  # captum / incremental
    captum_setting: str | None


def run(
    models: tuple[str, ...] = ("vgg16", "resnet50", "densenet201"),
    sizes: tuple[int, ...] = (224,),
    windows: tuple[int, ...] = (16, 32),
    strides: tuple[int, ...] = (8,),
    memories: tuple[int, ...] = (0,),
    rounds: int = 3,
    captum: bool = True,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None,
) -> None:
    """Times whole sweeps of one image, incremental and dense, and captum's at its best setting.

    The floor is the number of multiplications of a dense sweep over those that an exact sweep
    cannot do without, for all positions of the grid and their own reach at the border.

    Args:
      models: names of ports.
      sizes: sides of the image in pixels; the shapes nets have theirs, of 64.
      windows: sides of the occluder.
      strides: from one position to the next.
      memories: budgets in MiB; 0 is the default one.
      rounds: how often each contestant runs after its warm-up.
      captum: whether captum runs too, where it is installed.
      out: where to write the figures, with the device and the versions.
    """
    console = Console()
    rows: list[Sweep] = []
    for name in models:
        own = (64,) if name.startswith("shapes") else sizes
        for size in own:
            for row in _model(console, name, size, windows, strides, memories, rounds, captum):
                rows.append(row)
                keep(out, {"rounds": rounds, "rows": [row._asdict() for row in rows]})
    console.print(_table(rows))


def _model(
    console: Console,
    name: str,
    size: int,
    windows: tuple[int, ...],
    strides: tuple[int, ...],
    memories: tuple[int, ...],
    rounds: int,
    captum: bool,
) -> Iterator[Sweep]:
    model = ports.load(name, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, size, size, 3))
    peer = torch_model(name, model) if captum and not name.startswith("shapes") else None
    best: tuple[str, dict[str, Any]] | None = None
    for window in windows:
        few = max((size - window) // (_POSITIONS_A_SIDE - 1), 1)
        if peer is not None and best is None:
            best = _best(console, name, peer, x, few)
        for stride in strides:
            for memory in memories:
                console.print(f"{name} {size} {window} {stride} {memory or ''}...", style="dim")
                grid = grid_of((size, size), window=(window, window), stride=(stride, stride))
                budget = memory << 20 if memory else None
                contestants = {
                    "incremental": _ours(model, x, window, stride, "incremental", budget),
                    "dense": _ours(model, x, window, few, "dense", budget),
                }
                if best is not None:
                    contestants["captum"] = _captum(peer, x, few, **best[1])
                found = {row.contestant: row for row in race(name, contestants, rounds=rounds)}
                needed = work(model, x, window=grid.window, starts=grid.starts)
                theirs: Row | None = found.get("captum")
                speed_up = found["dense"].ratio
                yield Sweep(
                    name,
                    size,
                    window,
                    stride,
                    memory or None,
                    len(grid.boxes),
                    found["incremental"].median,
                    found["dense"].median,
                    speed_up,
                    needed.floor,
                    speed_up / needed.floor,
                    2 * needed.reached / found["incremental"].median,
                    theirs and theirs.median,
                    theirs and theirs.ratio,
                    best and best[0],
                )


def _ours(
    model: Any, x: jax.Array, window: int, stride: int, engine: str, memory: int | None
) -> Contestant:
    options: dict[str, Any] = {
        "window": (window, window),
        "stride": (stride, stride),
        "engine": engine,
        "memory": memory,
    }
    size = x.shape[1], x.shape[2]
    count = len(grid_of(size, window=options["window"], stride=options["stride"]).boxes)
    return Contestant(lambda: jv.occlusion(model, x, 3, **options).drop, count)


def _captum(
    peer: Any, x: jax.Array, stride: int, *, at_once: int, channels_last: bool
) -> Contestant:
    import torch
    from captum.attr import Occlusion

    layout = torch.channels_last if channels_last else torch.contiguous_format
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = peer.to(device, memory_format=layout)
    if device == "cuda":
        model = torch.compile(model)
    explainer = Occlusion(model)
    tensor = as_tensor(x).to(device, memory_format=layout)
    window = stride  # captum asks for one that is no smaller

    def sweep():
        with torch.inference_mode():
            return explainer.attribute(
                tensor,
                sliding_window_shapes=(3, window, window),
                strides=(3, stride, stride),
                target=3,
                perturbations_per_eval=at_once,
            ).cpu()

    side = math.ceil((x.shape[1] - window) / stride) + 1
    return Contestant(sweep, side**2)


def _best(
    console: Console, name: str, peer: Any, x: jax.Array, stride: int
) -> tuple[str, dict[str, Any]]:
    """captum's fastest setting, of one run each."""
    times = {}
    for channels_last in (False, True):
        for at_once in (1, 16, 64):
            options = {"at_once": at_once, "channels_last": channels_last}
            setting = f"{at_once} at once{', channels_last' * channels_last}"
            contestant = _captum(peer, x, stride, **options)
            times[setting] = seconds(contestant), options
            console.print(f"captum {name} {setting}: {1e3 * times[setting][0]:.1f} ms", style="dim")
    fastest = min(times, key=lambda setting: times[setting][0])
    return fastest, times[fastest][1]


def _table(rows: list[Sweep]) -> Table:
    table = Table(
        *"model size window stride positions incremental dense speed-up floor share".split(),
        "captum",
        "captum / ours",
    )
    for row in rows:
        table.add_row(
            row.model,
            *map(str, (row.size, row.window, row.stride, row.positions)),
            f"{1e3 * row.incremental:.2f} ms",
            f"{1e3 * row.dense:.2f} ms",
            f"{row.speed_up:.2f}",
            f"{row.floor:.2f}",
            f"{row.share:.0%}",
            "" if row.captum is None else f"{1e3 * row.captum:.1f} ms ({row.captum_setting})",
            "" if row.captum_ratio is None else f"{row.captum_ratio:.2f}",
        )
    return table
