"""What `jaxviz features` shows of units: a page, labelled sheets, moving pictures, numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8

from jaxviz import report
from jaxviz.cli import pictures
from jaxviz.cli.drawing import Drawing, Drawn
from jaxviz.cli.drawn_units import stem_of, title_of
from jaxviz.cli.inputs import Port
from jaxviz.cli.real_images import Real

__all__ = [
    "Feature",
    "cells_of",
    "feature",
    "moving_sheet",
    "numbers",
    "page",
    "sheets_of",
    "still_sheet",
    "unit_gif",
]

SIDE, CELL = 192, 128
"""About how large a small picture is made, and how large any is on a moving sheet, in pixels."""

PER_SHEET, ACROSS = 100, 5
"""How many units a sheet has at most, and how many of them are in a row at least."""


class Feature(NamedTuple):
    """A unit, and what is shown of it.

    Attributes:
      index: the channel or the class.
      stem: the name of its files, without their endings.
      title: what it is, in words.
      pixels: the image that excites it most.
      score: the mean activation, or the logit, that the image reaches.
      dead: whether nothing excites it.
      note: what the image reaches, in words.
      real: what real images bring it to, or None.
    """

    index: int
    stem: str
    title: str
    pixels: UInt8[np.ndarray, "h w 3"]
    score: float
    dead: bool
    note: str
    real: Real | None


def feature(port: Port, layer: str | None, unit: int, drawn: Drawn, real: Real | None) -> Feature:
    """What is shown of a unit.

    Args:
      port: the model.
      layer: of the channel; None for a class.
      unit: the channel or the class.
      drawn: what has become of it.
      real: what real images bring it to, or None.

    Returns:
      `Feature`.
    """
    score, dead = float(drawn.score), bool(drawn.dead)
    notes = [f"{'logit' if layer is None else 'mean activation'} {score:.3g}"]
    if dead:
        notes = [f"dead: {notes[0]} at every step; the picture shows its start"]
    if real is not None:
        notes.append(real.compared(score))
    return Feature(
        unit,
        stem_of(port, layer, unit),
        title_of(port, layer, unit),
        pictures.enlarged(drawn.image, least=SIDE),
        score,
        dead,
        ", ".join(notes),
        real,
    )


def unit_gif(drawn: Drawn) -> bytes:
    """How a unit's image came about, as a GIF file."""
    return report.gif_bytes([pictures.enlarged(frame / 255, least=SIDE) for frame in drawn.frames])


def cells_of(drawn: Drawn) -> list[UInt8[np.ndarray, "h w 3"]]:
    """The same images at the size that they have on a moving sheet."""
    small = (report.enlarge(frame / 255, (CELL, CELL)) for frame in drawn.frames)
    return [report.to_uint8(frame) for frame in small]


def sheets_of(features: Sequence[Feature]) -> list[tuple[str, Sequence[Feature]]]:
    """The name of each sheet, and whom it shows: `sheet`, and for many units `sheet-2`, ..."""
    starts = range(0, len(features), PER_SHEET)
    return [
        (f"sheet-{n + 1}" if n else "sheet", features[start : start + PER_SHEET])
        for n, start in enumerate(starts)
    ]


def _labelled(
    features: Sequence[Feature], shown: Sequence[UInt8[np.ndarray, "h w 3"]], title: str
) -> UInt8[np.ndarray, "H W 3"]:
    across = min(len(shown), max(ACROSS, math.isqrt(len(shown))))
    starts = range(0, len(shown), across)
    captions = [f"{one.title}\n{one.note}" for one in features]
    return report.sheet(
        [shown[i : i + across] for i in starts],
        captions=[captions[i : i + across] for i in starts],
        title=title,
    )


def still_sheet(name: str, features: Sequence[Feature], title: str) -> report.Picture:
    """The images of some units side by side, with captions."""
    sheet = _labelled(features, [one.pixels for one in features], title)
    return report.Picture(name, sheet, title)


def moving_sheet(
    features: Sequence[Feature],
    cells: Sequence[Sequence[UInt8[np.ndarray, "h w 3"]]],
    title: str,
    *,
    steps: Sequence[int],
) -> bytes:
    """How the images of some units came about, side by side, as a GIF file.

    Args:
      features: the units.
      cells: of each unit the images on the way, as `cells_of` gives them.
      title: a heading.
      steps: after how many steps each of these images was kept.

    Returns:
      The file's content.
    """
    # As many digits for every step, so that the heading does not break in another place.
    digits = len(str(steps[-1]))
    return report.gif_bytes(
        [
            _labelled(features, shown, f"{title}, step {step:0{digits}} of {steps[-1]}")
            for step, shown in zip(steps, zip(*cells, strict=True), strict=True)
        ]
    )


def page(
    port: Port, how: Drawing, features: Sequence[Feature], *, title: str, start: str
) -> report.Page:
    """The page of a run.

    Args:
      port: the model.
      how: how the images were drawn.
      features: the units.
      title: a heading.
      start: what the images started from, in words.

    Returns:
      A page; nothing on it depends on when or how fast it was made.
    """
    shown = [
        report.Figure(
            [report.Picture(one.stem, one.pixels, f"What excites {one.title} most")],
            one.title,
            one.note,
        )
        for one in features
    ]
    facts = [
        ("Model", port.name),
        ("Weights", port.weights),
        ("Image", how.image.replace("_", " ")),
        ("Start", start),
        ("Steps", f"{how.steps}, {how.views} view{'s' * (how.views > 1)} each"),
        ("Region", "everywhere" if how.region is None else f"Grad-CAM of {how.region}"),
    ]
    text = []
    if how.layer is not None:
        text.append("The mean over a channel's map is what was raised, and what the numbers are.")
    if features[0].real is not None:
        text.append(
            f"For comparison, {features[0].real.words} were measured in the same way, at the "
            "model's input size."
        )
    if dead := [one.title for one in features if one.dead]:
        facts.append(("Dead units", f"{len(dead)} of {len(features)}"))
        text.append(
            f"Nothing reached {', '.join(dead)}: the score was the same number at every step, and "
            "the picture shows no more than its start."
        )
    if how.frames:
        text.append("The GIF files beside this page show how the images came about.")
    alone = ": no photograph was used" if start in ("noise", "grey") else ""
    return report.Page(
        title,
        [report.Section("Activation maximization", [report.Gallery(shown, size=200)], text=text)],
        lead=f"Images found by gradient ascent from {start}{alone}.",
        facts=facts,
        footer=f"Made by jaxviz with JAX {jax.__version__} on {jax.default_backend()}.",
    )


def numbers(port: Port, how: Drawing, features: Sequence[Feature], *, start: str) -> dict[str, Any]:
    """What `numbers.json` holds.

    Args:
      port: the model.
      how: how the images were drawn.
      features: the units.
      start: what the images started from, in words.

    Returns:
      Nested dictionaries of numbers and words.
    """
    real = features[0].real
    return {
        "model": port.name,
        "weights": port.weights,
        "layer": how.layer,
        "image": how.image,
        "start": start,
        "size": how.size,
        "steps": how.steps,
        "views": how.views,
        "region": how.region,
        "seed": how.seed,
        "real_images": None if real is None else {"images": real.words, "count": len(real.score)},
        "units": [
            {"index": one.index, "name": one.title, "score": one.score, "dead": one.dead}
            | ({} if one.real is None else one.real.summary(one.score))
            for one in features
        ],
    }
