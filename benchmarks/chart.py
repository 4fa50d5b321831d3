"""`python -m benchmarks.chart RESULTS.json PICTURE.png`: occlusion sweeps as a chart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import tyro
from matplotlib.figure import Figure

OURS, THEIRS, FLOOR = "#2a6f97", "#c8553d", "#333333"


def run(
    results: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RESULTS.json")],
    picture: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PICTURE.png")],
) -> None:
    """Draws what `python -m benchmarks occlusion` or `approximation` has kept.

    Args:
      results: the record.
      picture: where to write the chart.
    """
    record = json.loads(results.read_text())
    draw = _trade_off if "ssim" in record["rows"][0] else _speed_up
    figure = draw(record["rows"])
    figure.suptitle(f"{record['device']}, {record['cores']} cores, jax {record['versions']['jax']}")
    figure.savefig(picture, dpi=110)
    print(f"wrote {picture}")


def _speed_up(rows: list[dict[str, Any]]) -> Figure:
    figure, axes = plt.subplots(figsize=(8, 0.7 + 0.55 * len(rows)), layout="constrained")
    names = [f"{row['model']}, {row['window']} px, stride {row['stride']}" for row in rows]
    places = range(len(rows))
    own = axes.barh(places, [row["speed_up"] for row in rows], 0.36, color=OURS)
    axes.bar_label(own, fmt="%.1f", label_type="center", color="white", fontsize=8)
    own.set_label("against jaxviz's dense engine")
    floors = [row["floor"] for row in rows]
    axes.scatter(
        floors, places, marker="|", s=120, color=FLOOR, label="by operation count", zorder=3
    )
    peers = [(place + 0.37, row) for place, row in zip(places, rows, strict=True) if row["captum"]]
    if peers:
        ratios = [row["captum_ratio"] for _, row in peers]
        theirs = axes.barh([place for place, _ in peers], ratios, 0.36, color=THEIRS)
        axes.bar_label(theirs, fmt="%.1f", padding=3, fontsize=8)
        theirs.set_label("against captum at its best setting")
    axes.set_yticks([place + 0.18 for place in places], names)
    axes.invert_yaxis()
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.margins(x=0.1)
    axes.set_xlabel("times faster: incremental occlusion sweeps of one image")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _trade_off(rows: list[dict[str, Any]]) -> Figure:
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained", sharex=True)
    colours = mpl.color_sequences["tab10"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    for panel, value, label in zip(
        panels, ("ssim", "largest"), ("SSIM", "largest error / range of the map"), strict=True
    ):
        for model, marker in zip(models, "osD^vP", strict=False):
            for setting, colour in zip(settings, colours, strict=False):
                own = [r for r in rows if r["model"] == model and r["setting"] == setting]
                panel.scatter(
                    [row["speed_up"] for row in own],
                    [row[value] for row in own],
                    marker=marker,
                    color=colour,
                )
        panel.set_xlabel("times faster than the exact incremental sweep")
        panel.set_ylabel(label)
        panel.spines[["top", "right"]].set_visible(False)
    for model, marker in zip(models, "osD^vP", strict=False):
        panels[0].scatter([], [], marker=marker, color="grey", label=model)
    for setting, colour in zip(settings, colours, strict=False):
        panels[1].scatter([], [], marker="s", color=colour, label=setting)
    for panel in panels:
        panel.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    tyro.cli(run)
