"""`jaxviz study reconstruction`: a network as the affine map that it is at each image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

import jaxviz as jv
from jaxviz import report
from jaxviz.cli import choose, inputs, maps
from jaxviz.cli import study_reconstruction_page as study_page
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.cli.study_reconstruction_page import Shown
from jaxviz.studies import Reconstruction
from jaxviz.studies import reconstruction as rebuild

__all__ = ["reconstruction"]

DRAWN, SEARCHED = 5, 400
"""How many images of each class are drawn, and among how many they are looked for."""

CLASSES = ("circle", "ring")
"""The classes of drawn images: two that look alike, as the paper's two aircraft."""


def reconstruction(
    images: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[IMAGE...]")
    ] = (),
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = "shapes-plain",
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS...")] = (),
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-reconstruction",
    seed: int = 0,
) -> None:
    """Rebuilds a ReLU network as weight images, and checks that they give the same logits.

    Example: jaxviz study reconstruction --model shapes-residual --classes star flower --out rebuilt

    Args:
      images: Image files, and folders of them; without any, ten fresh images of two shapes.
      model: A port of ReLUs and poolings; `jaxviz layers` lists all.
      weights: As for `jaxviz explain`.
      classes: Whose logits to rebuild, by number or name; the first two are compared. By default
        circle and ring for drawn images, else the two most probable classes of all images.
      out: Folder for the page, its PNG files, numbers.json, logits.csv and gates.csv.
      seed: Which images are drawn, and of the random directions.
    """
    start = time.perf_counter()
    report.check_writable(out)
    inputs.checked_seed(seed)
    card = inputs.checked_card(model)
    photographs = inputs.photographs(images, card) if images else []
    if not images and not model.startswith("shapes-"):
        raise Mistake(
            f"study reconstruction of {model} needs image files; what it draws without them is "
            "for the shapes nets"
        )
    port = inputs.load_port(model, weights)
    chosen = _classes(port, classes or (() if images else CLASSES))
    with progress(3) as step:
        step("images")
        if images:
            shown = [Shown(one.path.name, one.shown, "") for one in photographs]
            x = np.concatenate([one.x for one in photographs])
        else:
            shown = _drawn(port, chosen, seed)
            x = np.asarray(card.normalize(np.stack([one.image for one in shown])))
        if not chosen:
            mean = maps.softmax(maps.logits_of(port.model, x)).mean(0)
            chosen = np.argsort(-mean, kind="stable")[:2].tolist()
        step("read-out and margins")
        found = rebuild(jax.random.key(seed), port.model, x, chosen)
        step("writing")
        lengths = np.sqrt((x**2).sum((1, 2, 3)))
        footer = (
            f"Made by jaxviz with JAX {jax.__version__} on {jax.default_backend()} in "
            f"{time.perf_counter() - start:.0f} s. The PNG files, a sheet, numbers.json, "
            "logits.csv and gates.csv lie beside this page."
        )
        page = study_page.page(port, chosen, shown, x, found, footer=footer)
        files = report.write_run(
            out,
            page,
            sheets=[study_page.sheet(page)],
            numbers=_numbers(port, chosen, shown, found, lengths) | {"seed": seed},
            tables={
                "logits": _table(_logits_rows(port, chosen, shown, found)),
                "gates": _table(_gates_rows(found)),
            },
        )
    count = f"{len(shown)} images" if len(shown) > 1 else shown[0].name
    print(
        f"wrote {len(files)} files about {count} to {out}; the rebuilt logits differ "
        f"by {found.error:.1e} of the largest; open {Path(out) / 'index.html'}"
    )


def _table(rows: Sequence[Sequence]) -> report.Table:
    headings, *cells = rows
    return report.Table(headings, cells)


def _classes(port: inputs.Port, names: Sequence[str]) -> list[int]:
    found = [
        choose.class_index(
            name, categories=port.card.categories, count=port.classes, option="--classes"
        )
        for name in names
    ]
    if len(set(found)) < len(found):
        raise Mistake(f"--classes must be different classes, not {' '.join(names)}")
    return found


def _drawn(port: inputs.Port, classes: Sequence[int], seed: int) -> list[Shown]:
    """Fresh images of the first two classes, in turns."""
    drawn = jv.data.shapes(jax.random.key(3000 + seed), SEARCHED)
    label = np.asarray(drawn.label)
    shown = []
    for k in classes[:2]:
        for n, i in enumerate(np.flatnonzero(label == k)[:DRAWN], 1):
            name = port.category(k)
            shown.append(Shown(f"{name} {n}", np.asarray(drawn.image[i]), name))
    return shown


def _numbers(
    port: inputs.Port,
    classes: Sequence[int],
    shown: Sequence[Shown],
    found: Reconstruction,
    lengths: np.ndarray,
) -> dict[str, Any]:
    def end(margin: jv.RegionMargin, i: int) -> dict[str, Any]:
        t = float(margin.margin[i])
        # JSON has no infinity: no gate turns, then.
        return {
            "margin": t if np.isfinite(t) else None,
            "layer": margin.names()[i] or None,
            "gate": int(margin.index[i]),
        }

    return {
        "model": port.name,
        "weights": port.weights,
        "classes": [{"class": k, "name": port.category(k)} for k in classes],
        "largest_difference": found.error,
        "gates": dict(zip(found.margin_across.layers, found.margin_across.gates, strict=True)),
        "images": [
            {
                "image": one.name,
                "truth": one.truth or None,
                "length": lengths[i],
                "network": found.network[i],
                "rebuilt": found.rebuilt[i],
                "bias": found.affine.bias[i],
                "octaves": found.images.shares[i],
                "constant": found.images.constant[i],
                "weight_octaves": found.weights.shares[i],
                "weight_constant": found.weights.constant[i],
                "across": end(found.margin_across, i),
                "toward": end(found.margin_toward, i),
            }
            for i, one in enumerate(shown)
        ],
    }


def _logits_rows(port, classes, shown, found) -> list[list[Any]]:
    names = [port.category(k) for k in classes]
    rows: list[list[Any]] = [
        ["image", *(f"{name}, {which}" for name in names for which in ("network", "rebuilt"))]
    ]
    for i, one in enumerate(shown):
        pairs = zip(found.network[i].tolist(), found.rebuilt[i].tolist(), strict=True)
        rows.append([one.name, *(value for pair in pairs for value in pair)])
    return rows


def _gates_rows(found) -> list[list[Any]]:
    across, toward = found.margin_across, found.margin_toward
    rows: list[list[Any]] = [["layer", "gates", "nearest across", "nearest toward"]]
    for j, (layer, count) in enumerate(zip(across.layers, across.gates, strict=True)):
        nearest = (float(np.median(margin.by_layer[:, j])) for margin in (across, toward))
        rows.append([layer, count, *nearest])
    return rows
