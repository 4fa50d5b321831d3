"""`jaxviz study invariance`: how far features follow an image that moves."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from jaxviz import report, studies
from jaxviz.cli import choose, inputs, pictures
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.cli.study_claims import claim_numbers, claim_section
from jaxviz.cli.study_subject import (
    Subject,
    checked_layers,
    class_labels,
    first_layer,
    subject,
    top_layer,
    write_study,
)

__all__ = ["invariance"]

SHOWN = 5
"""How many images have curves of their own, as in the paper."""

STRIP = 5
"""How many amounts of a move are shown as pictures."""


def invariance(
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = "shapes-plain",
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    data: Annotated[str, tyro.conf.arg(metavar="SET")] = "shapes",
    images: int = 100,
    layers: Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="FIRST TOP")] = None,
    fill: Literal["mean", "edge"] = "mean",
    seed: int = 0,
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-invariance",
) -> None:
    """Follows features of a low and a high layer while images are shifted, enlarged and turned.

    Example: jaxviz study invariance --model shapes-residual --out invariance

    Args:
      model: A port; `jaxviz layers` lists them.
      weights: As for `jaxviz explain`.
      data: Labelled images: shapes, digits, tfds:NAME:SPLIT, or a folder of classes' folders.
      images: How many images the means are over; five of them have curves of their own.
      layers: The two layers; by default the first ReLU and the last layer before the logits.
      fill: What comes in from outside: the mean colour of each image, or its border, continued.
      seed: Which images.
      out: Folder for the page, its PNG files and numbers.json.
    """
    start = time.perf_counter()
    report.check_writable(out)
    inputs.checked_seed(seed)
    inputs.checked_card(model)
    port = inputs.load_port(model, weights)
    if layers and layers[0] == layers[1]:
        raise Mistake(f"--layers must be two layers, not {layers[0]} twice")
    first, top = checked_layers(port, layers or (), (first_layer(port), top_layer(port)))
    with progress(3) as step:
        step("images")
        seen = subject(port, data, images=images, seed=seed)
        label = class_labels(seen)
        moves = studies.standard_moves(port.card.input_size, fill=fill)
        step("features of moved images")
        found = studies.invariance(port.model, seen.x, label, layers=(first, top), moves=moves)
        step("writing")
        claims = studies.invariance_claims(found, moves, first=first, top=top)
        shown = choose.first_of_each(seen.label, count=SHOWN)
        charts = {
            name: _charts(seen, name, move, found[name], (first, top), shown)
            for name, move in moves.items()
        }
        page = report.Page(
            f"How {port.name} follows images that move",
            [
                claim_section(claims, error="± is the standard error over the images."),
                *(
                    _section(name, move, found[name], (first, top), charts[name])
                    for name, move in moves.items()
                ),
                _pictures(seen, moves, shown),
            ],
            lead="Images are shifted up and down, enlarged, and turned about their middle. A layer "
            "that does not mind has features that stay where they were.",
            facts=[
                *seen.facts(),
                ("Layers", f"{first}, {top}"),
                ("Outside", {"mean": "each image's mean colour", "edge": "its border"}[fill]),
                ("Seed", str(seed)),
            ],
        )
        told = report.sheet(
            [list(charts[name].values()) for name in moves],
            rows=list(moves),
            columns=[f"distance in {first}", f"distance in {top}", "probability of the class"],
            title=f"{port.name}: translation, scale and rotation",
        )
        write_study(
            out,
            page,
            command="invariance",
            start=start,
            claims=claims,
            sheets=[report.Picture("figure-5", told, "All nine charts on one sheet")],
            numbers=_numbers(seen, moves, found, (first, top), claims, shown)
            | {"fill": fill, "seed": seed},
        )


def _names(seen: Subject, shown) -> list[str]:
    """The categories of some images, told apart where one comes twice."""
    names = [seen.categories[k] for k in seen.label[shown]]
    return [name if names.count(name) == 1 else f"{name} {n}" for n, name in enumerate(names, 1)]


def _charts(seen, name, move, found, layers, shown) -> dict[str, np.ndarray]:
    names = _names(seen, shown)
    curves = {layer: (found.distance[layer], f"distance in {layer}") for layer in layers} | {
        "probability": (found.probability, "probability of the class")
    }
    return {
        of: report.line_chart(
            move.amounts.tolist(),
            {one: values[i].tolist() for one, i in zip(names, shown, strict=True)}
            | {"mean": values.mean(0).tolist()},
            across=f"{name}: {move.unit}",
            up=up,
        )
        for of, (values, up) in curves.items()
    }


def _section(name, move, found, layers, charts) -> report.Section:
    figures = [
        report.Figure(
            [report.Picture(f"{name}-{report.file_stem(of)}", pixels, f"{of} under {name}")], of
        )
        for of, pixels in charts.items()
    ]
    rows = [
        [layer, f"{found.distance[layer].mean():.3g}", f"{found.apart[layer].mean():.3g}"]
        + [f"{studies.relative_distance(found, move, layer).mean():.3f}"]
        for layer in layers
    ]
    lost = studies.lost_probability(found, move).mean()
    return report.Section(
        name.capitalize(),
        [
            report.Gallery(figures, size=320),
            report.Table(
                ["layer", "mean distance", "of two images", "ratio"],
                rows,
                caption=f"All images; the class loses {lost:.3f} of its probability on average",
            ),
        ],
    )


def _moved(seen: Subject, moves, shown) -> list[tuple[str, float, np.ndarray]]:
    """The first of the shown images under some amounts of each move."""
    image = seen.shown[shown[0]][None]
    found = []
    for name, move in moves.items():
        places = np.linspace(0, len(move.amounts) - 1, STRIP).round().astype(int)
        for amount in move.amounts[places]:
            moved = np.asarray(move.moved(image, np.float32(amount)))[0]
            found.append((name, float(amount), np.clip(moved, 0, 1)))
    return found


def _pictures(seen: Subject, moves, shown) -> report.Section:
    figures = {name: [] for name in moves}
    for n, (name, amount, image) in enumerate(_moved(seen, moves, shown)):
        pixels = pictures.enlarged(image, least=128, smooth=False)
        picture = report.Picture(
            f"moved-{n:02d}-{name}", pixels, f"{name} by {amount:.3g}", smooth=False
        )
        figures[name].append(report.Figure([picture], f"{amount:.3g} {moves[name].unit}"))
    return report.Section(
        "The moves",
        [report.Gallery(figures[name], title=name, size=128) for name in moves],
        ["One of the images, as the network gets it."],
    )


def _numbers(seen, moves, found, layers, claims, shown) -> dict[str, Any]:
    return {
        "model": seen.port.name,
        "weights": seen.port.weights,
        "images": seen.words,
        "layers": layers,
        "claims": claim_numbers(claims),
        "shown": [seen.source.names[i] for i in seen.index[shown]],
        "moves": {
            name: {
                "unit": move.unit,
                "amounts": move.amounts,
                "lost_probability": studies.lost_probability(found[name], move).mean(),
                "mean_probability": found[name].probability.mean(0),
                "probability": found[name].probability[shown],
                "layers": {
                    layer: {
                        "relative_distance": studies.relative_distance(
                            found[name], move, layer
                        ).mean(),
                        "apart": found[name].apart[layer].mean(),
                        "mean_distance": found[name].distance[layer].mean(0),
                        "distance": found[name].distance[layer][shown],
                    }
                    for layer in layers
                },
            }
            for name, move in moves.items()
        },
    }
