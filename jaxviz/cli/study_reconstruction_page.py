"""The page of the reconstruction study, from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

import jaxviz as jv
from jaxviz import report
from jaxviz.cli import inputs, pictures
from jaxviz.studies import Reconstruction

__all__ = ["Shown", "page", "sheet"]

ACROSS = 10
"""How many images the sheet shows."""


class Shown(NamedTuple):
    """An image of the study.

    Attributes:
      name: in words.
      image: as people see it, in [0, 1].
      truth: its class in words, or "" where that is not known.
    """

    name: str
    image: Float[np.ndarray, "h w 3"]
    truth: str


def page(
    port: inputs.Port,
    classes: Sequence[int],
    shown: Sequence[Shown],
    x: Float[np.ndarray, "n h w 3"],
    found: Reconstruction,
    *,
    footer: str,
) -> report.Page:
    """The page: the table of logits, the weight images, their spectrum, the gates.

    Args:
      port: the network.
      classes: whose logits were rebuilt.
      shown: the images.
      x: as the network gets them.
      found: the study's numbers.
      footer: the page's last line.

    Returns:
      What `jaxviz.report.write_run` takes.
    """
    names = [port.category(k) for k in classes]
    gates = sum(found.margin_across.gates)
    return report.Page(
        f"{port.name} rebuilt as weight images",
        [
            _answers(names, shown, found),
            _weights(names, shown, x, found),
            _spectrum(names, found),
            _gates(shown, x, found),
        ],
        lead="With its ReLUs and poolings fixed as one image sets them, the network is an affine "
        "map: one weight image and one bias for each class. They are read out of the fixed "
        "network, never fitted.",
        facts=[
            ("Network", port.name),
            ("Weights", port.weights),
            ("Input", " × ".join(map(str, x.shape[1:3])) + " px"),
            ("Classes", ", ".join(names)),
            ("Gates", f"{gates:,}"),
            ("Largest difference", f"{found.error:.1e} of the largest logit"),
        ],
        footer=footer,
    )


def _answers(names, shown, found) -> report.Section:
    rows = []
    for i, one in enumerate(shown):
        network, rebuilt = np.asarray(found.network[i]), np.asarray(found.rebuilt[i])
        pairs = zip(network, rebuilt, strict=True)
        cells = [f"{value:.5f}" for pair in pairs for value in pair]
        rows.append([one.name, *cells, f"{np.abs(network - rebuilt).max():.1e}"])
    columns = [f"{name}: {which}" for name in names for which in ("network", "rebuilt")]
    return report.Section(
        "The same answers",
        [
            report.Table(
                ["image", *columns, "difference"],
                rows,
                caption="Logits of the network, and weights · image + bias",
            )
        ],
        [
            "The weights and the bias are found without looking at the logits: the bias is what "
            "the fixed network answers to an image of zeros. So it is a finding that they agree."
        ],
    )


def _weights(names, shown, x, found) -> report.Section:
    # What a pixel adds when all its colours are raised together, and what it adds as it is.
    weights = np.asarray(found.affine.weights).sum(-1)
    parts = np.asarray(found.affine.contributions(x)).sum(-1)
    limit, most = report.scale_limit(weights), report.scale_limit(parts)
    galleries = []
    for i, one in enumerate(shown):
        stem = f"{i + 1:02d}-{report.file_stem(one.name)[:40]}"
        figures = [_figure(one.image, f"{stem}-image", "image", "as the network gets it", one.name)]
        for j, name in enumerate(names):
            # Two classes may have the same name.
            end = f"{j + 1}-{report.file_stem(name)[:40]}"
            colours = report.signed_colours(weights[i, j], limit=limit)
            note = f"bias {float(found.affine.bias[i, j]):.2f}"
            alt = f"Weights of “{name}” at {one.name}"
            figures.append(_figure(colours, f"{stem}-weights-{end}", f"weights: {name}", note, alt))
            colours = report.signed_colours(parts[i, j], limit=most)
            note = f"sum {parts[i, j].sum():.2f}"
            alt = f"What each pixel of {one.name} adds to “{name}”"
            title = f"adds to {name}"
            figures.append(_figure(colours, f"{stem}-adds-{end}", title, note, alt))
        if len(names) > 1:
            colours = report.signed_colours(weights[i, 0] - weights[i, 1], limit=limit)
            title = f"{names[0]} − {names[1]}"
            alt = f"Weights of “{names[0]}” minus those of “{names[1]}” at {one.name}"
            note = "difference of the weights"
            figures.append(_figure(colours, f"{stem}-difference", title, note, alt))
        galleries.append(report.Gallery(figures, title=one.name, size=150))
    galleries[-1] = report.Gallery(
        galleries[-1].figures,
        title=galleries[-1].title,
        size=150,
        legends=[_scale("weights", limit), _scale("added to the logit", most)],
    )
    return report.Section(
        "Weight images",
        galleries,
        [
            "Red raises the class, blue lowers it. A weight image shows what one more unit of "
            "a pixel's normalised value would add to the logit; “adds to” shows what the pixel, as "
            "it is, adds, so that its sum and the bias are the logit. Colours are summed; all "
            "weight images share one scale, and all others another one."
        ],
    )


def _figure(picture, name, caption, note, alt) -> report.Figure:
    pixels = pictures.enlarged(picture, least=192, smooth=False)
    return report.Figure([report.Picture(name, pixels, alt, smooth=False)], caption, note)


def _scale(what: str, limit: float) -> report.Legend:
    colours = report.signed_colours(np.linspace(-1, 1, 13)[None], limit=1)[0]
    return report.Legend(
        scale=[(float(r), float(g), float(b)) for r, g, b in colours],
        low=f"{what}: −{limit:.2g}",
        high=f"+{limit:.2g}",
    )


def _spectrum(names, found) -> report.Section:
    curves = {
        f"weights: {name}": np.asarray(found.weights.shares[:, j]).mean(0)
        for j, name in enumerate(names)
    }
    varied = np.maximum(np.asarray(found.images.shares).sum(-1, keepdims=True), 1e-12)
    curves["images, without their mean"] = (np.asarray(found.images.shares) / varied).mean(0)
    octaves = range(1, found.weights.shares.shape[-1] + 1)
    chart = report.line_chart(
        list(octaves),
        {name: curve.tolist() for name, curve in curves.items()},
        across="log2 of the octave's shortest period, in pixels",
        up="share of the energy",
        title="Fine and coarse",
    )
    alt = "Share of the energy in each octave of spatial frequency: " + ", ".join(curves)
    columns = [f"{2**octave}–{2 ** (octave + 1)} px" for octave in octaves]
    return report.Section(
        "How fine the weights are",
        [
            report.Gallery(
                [report.Figure([report.Picture("octaves", chart, alt)], "Energy by period")],
                size=480,
            ),
            report.Table(
                ["period", *columns],
                [
                    [name, *(f"{100 * float(share):.1f}%" for share in curve)]
                    for name, curve in curves.items()
                ],
                caption="Mean over the images",
            ),
        ],
        ["The squares of a weight image, sorted by spatial frequency, octave by octave."],
    )


def _gates(shown, x, found) -> report.Section:
    across, toward = found.margin_across, found.margin_toward
    lengths = np.sqrt((x**2).sum((1, 2, 3)))
    layers = [
        [layer, f"{count:,}", *(_length(np.median(m.by_layer[:, j])) for m in (across, toward))]
        for j, (layer, count) in enumerate(zip(across.layers, across.gates, strict=True))
    ]
    images = [
        [one.name, f"{lengths[i]:.1f}", *_end(across, i), *_end(toward, i)]
        for i, one in enumerate(shown)
    ]
    return report.Section(
        "Where the maps end",
        [
            report.Table(
                ["image", "its length", "at random", "gate", "along the weights", "gate"],
                images,
                caption="How far the image may move before the first gate turns, and which it is",
            ),
            report.Table(
                ["layer", "gates", "at random", "along the weights"],
                layers,
                caption="Gates by layer, and how near their nearest one is: median of the images",
            ),
        ],
        [
            "A gate is a ReLU, on or off, or the choice of a pooling window. As long as none turns "
            "the map is the network, up to rounding. Lengths are Euclidean, in the input's "
            "units; one direction is random, the other raises the first class against the second "
            "fastest."
        ],
    )


def _length(t) -> str:
    return f"{float(t):.2g}" if np.isfinite(t) else "none turns"


def _end(margin: jv.RegionMargin, i: int) -> tuple[str, str]:
    name = margin.names()[i]
    return _length(margin.margin[i]), f"{name}, {int(margin.index[i])}" if name else ""


def sheet(page: report.Page) -> report.Picture:
    """The weight images of up to ten images on one labelled sheet."""
    galleries = [one for one in page.sections[1].blocks if isinstance(one, report.Gallery)]
    rows = galleries[:ACROSS]
    pixels = report.sheet(
        [[figure.pictures[0].pixels for figure in gallery.figures] for gallery in rows],
        rows=[gallery.title for gallery in rows],
        columns=[figure.caption for figure in rows[0].figures],
        title=page.title,
    )
    return report.Picture("sheet", pixels, page.title)
