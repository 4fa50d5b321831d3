"""`jaxviz study occlusion`: the panels of Zeiler & Fergus' occlusion figure."""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import tyro

from jaxviz import report, studies
from jaxviz.cli import choose, inputs, pictures, study_subject
from jaxviz.cli.maps import Occluder
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.cli.study_claims import claim_numbers, claim_section
from jaxviz.cli.study_subject import Subject, class_labels, subject, write_study

__all__ = ["occlusion"]

OTHERS = 3
"""From how many other images a feature map is projected, as in the paper."""

SIDE = 160


def occlusion(
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = "shapes-plain",
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    data: Annotated[str, tyro.conf.arg(metavar="SET")] = "shapes",
    images: int = 200,
    shown: int = 10,
    layer: Annotated[str | None, tyro.conf.arg(metavar="LAYER")] = None,
    window: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    stride: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    seed: int = 0,
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-occlusion",
) -> None:
    """Slides a grey square over images: what a feature map, the class and the answer make of it.

    Example: jaxviz study occlusion --model shapes-residual --shown 5 --out occlusion

    Args:
      model: A port; `jaxviz layers` lists them.
      weights: As for `jaxviz explain`.
      data: Labelled images: shapes, digits, tfds:NAME:SPLIT, or a folder of classes' folders.
      images: Among how many images those are looked for that excite a feature map most.
      shown: How many of them are occluded: one of each class, as far as there are classes.
      layer: Whose strongest feature map is followed; by default the last one with positions.
      window: Side of the square; by default a seventh of the input's.
      stride: Its step; by default half the window.
      seed: Which images.
      out: Folder for the page, its PNG files and numbers.json.
    """
    start = time.perf_counter()
    report.check_writable(out)
    inputs.checked_seed(seed)
    if shown < 1:
        raise Mistake(f"--shown must be at least 1, not {shown}")
    card = inputs.checked_card(model)
    occluder = _occluder(card.input_size, window, stride)
    port = inputs.load_port(model, weights)
    layer = choose.last_spatial(port.layers) if layer is None else _checked(port, layer)
    with progress(3) as step:
        step("images")
        seen = subject(port, data, images=images, seed=seed, least=OTHERS + 1)
        label = class_labels(seen)
        chosen = choose.first_of_each(seen.label, count=shown)
        step("occlusion")
        found = studies.occluded_figure(
            port.model,
            seen.x,
            label,
            shown=chosen,
            layer=layer,
            others=OTHERS,
            window=(occluder.window, occluder.window),
            stride=(occluder.stride, occluder.stride),
        )
        step("writing")
        # One image is no sample.
        claims = _claims(seen, chosen, found, occluder) if len(chosen) > 1 else []
        rows = [_row(seen, chosen, found, n, occluder) for n in range(len(chosen))]
        legend = _label_legend(seen, label, chosen, found)
        page = report.Page(
            f"What a grey square takes from {port.name}",
            [
                *([claim_section(claims, error=_ERROR)] if claims else []),
                _panels(seen, chosen, found, rows, legend, layer),
            ],
            lead="A grey square slides over each image. The maps show, where its middle is, what "
            "became of the layer's strongest feature map, of the class's probability, and of the "
            "answer.",
            facts=[*seen.facts(), ("Layer", layer), ("Square", occluder.words())],
        )
        titles = ["(a) image", "(b) strongest map", "(c) its projections", "(d) probability"]
        told = report.sheet(
            [list(row.values()) for row in rows],
            rows=[seen.categories[k] for k in seen.label[chosen]],
            columns=[*titles, "(e) answer"],
            legend=legend,
            title=f"{port.name}, {layer}: a grey square of {occluder.window} pixels",
        )
        write_study(
            out,
            page,
            command="occlusion",
            start=start,
            claims=claims,
            sheets=[report.Picture("figure-6", told, "The panels of all images on one sheet")],
            numbers=_numbers(seen, chosen, found, claims, layer, occluder) | {"seed": seed},
        )


_ERROR = "± is the standard error over the images."


def _occluder(size: int, window: int | None, stride: int | None) -> Occluder:
    window = choose.default_window(size)[0] if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    for name, number in (("window", window), ("stride", stride)):
        if not 1 <= number <= size:
            raise Mistake(f"--{name} must be from 1 to {size} pixels, not {number}")
    return Occluder(window, stride)


def _checked(port: inputs.Port, layer: str) -> str:
    shape = port.layers[inputs.checked_layer(port, layer)].shape
    if len(shape) != 4:
        raise Mistake(f"--layer must have positions, (n, h, w, c); '{layer}' has shape {shape}")
    return layer


def _claims(
    seen: Subject, chosen, found: studies.OccludedFigure, occluder: Occluder
) -> list[studies.Claim]:
    nothing = studies.Estimate(0.0, 0.0, 0.0)
    claims = [
        studies.verdict(
            "A feature map falls where its projection is covered.",
            [
                studies.compared(
                    "the map's loss and the projection's energy correlate, position by position",
                    larger=studies.estimate([found.agreement]),
                    smaller=nothing,
                )
            ],
        )
    ]
    masks = study_subject.masks(seen)
    if masks is not None:
        share = studies.window_means(
            masks[chosen],
            window=(occluder.window, occluder.window),
            stride=(occluder.stride, occluder.stride),
        ).reshape(len(chosen), -1)
        worst = np.asarray(found.panels.probability).reshape(len(chosen), -1).argmin(1)
        claims.append(
            studies.verdict(
                "The class is lost where the object is covered.",
                [
                    studies.compared(
                        "the worst square holds more of the object than the mean square, by",
                        larger=studies.estimate(
                            [share[np.arange(len(chosen)), worst] - share.mean(1)]
                        ),
                        smaller=nothing,
                    )
                ],
            )
        )
    return claims


def _row(seen: Subject, chosen, found, n: int, occluder: Occluder) -> dict[str, np.ndarray]:
    """The five pictures of an image, all of one size."""
    image, panels = seen.shown[chosen[n]], found.panels
    activation = np.asarray(panels.activation[n])
    projections = report.contrast(np.stack([panels.projection[n], *found.projections[n]]))
    tiles = np.pad(projections, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
    top, bottom = (np.concatenate(list(pair), 1) for pair in (tiles[:2], tiles[2:]))
    labels, _ = pictures.labels_over(
        image, np.asarray(panels.label[n]), occluder, first=_colours(found)
    )
    shown = {
        "image": image,
        "map": pictures.heat_over(
            image, activation, occluder, low=float(activation.min()), high=float(activation.max())
        ),
        "projections": np.concatenate([top, bottom], 0)[:-1, :-1],
        "probability": pictures.heat_over(
            image, np.asarray(panels.probability[n]), occluder, low=0, high=1
        ),
        "answer": labels,
    }
    return {
        name: report.to_uint8(report.enlarge(picture, (SIDE, SIDE), smooth=name == "projections"))
        for name, picture in shown.items()
    }


def _colours(found: studies.OccludedFigure) -> list[int]:
    """The answers to all images, the most frequent first, so that a class keeps its colour."""
    legend = report.label_colours(np.asarray(found.panels.label)).legend
    return [label for label, _ in legend if label is not None]


def _label_legend(seen: Subject, label, chosen, found) -> list[tuple[str, tuple]]:
    legend = report.label_colours(np.asarray(found.panels.label)).legend
    port = seen.port
    return [("other" if k is None else port.category(k), colour) for k, colour in legend]


def _panels(seen, chosen, found, rows, legend, layer) -> report.Section:
    panels = found.panels
    galleries = []
    for n, row in enumerate(rows):
        i, channel = chosen[n], int(panels.channel[n])
        name = seen.categories[seen.label[i]]
        total = found.total[n]
        activation = np.asarray(panels.activation[n]) / (total or 1)
        part = f"{activation.min():.2f} to {activation.max():.2f}" if total else "silent"
        probability = np.asarray(panels.probability[n])
        notes = {
            "image": ("(a) image", seen.source.names[seen.index[i]]),
            "map": (f"(b) channel {channel}", part),
            "projections": ("(c) projected", "from this image, and from three others"),
            "probability": (
                f"(d) p({name})",
                f"{probability.min():.2f} to {probability.max():.2f}",
            ),
            "answer": ("(e) answer", "with this part covered"),
        }
        figures = [
            report.Figure(
                [report.Picture(f"{n + 1:02d}-{which}", row[which], f"{caption} of {name}")],
                caption,
                note,
            )
            for which, (caption, note) in notes.items()
        ]
        galleries.append(report.Gallery(figures, title=name, size=160))
    bar = [
        (float(r), float(g), float(b))
        for r, g, b in report.heat_colours(np.linspace(0, 1, 13)[None])[0]
    ]
    legends = [
        report.Legend(scale=bar, low="(b) least of this map", high="most"),
        report.Legend(scale=bar, low="(d) probability 0", high="1"),
        report.Legend(entries=legend),
    ]
    last = galleries[-1]
    galleries[-1] = report.Gallery(last.figures, title=last.title, size=160, legends=legends)
    return report.Section(
        "The panels",
        galleries,
        [
            f"(b) is the sum of the strongest feature map of {layer}, as a part of that in the "
            "whole image; (c) its deconvnet projection, top left from this image, and from the "
            "three other images in which it is strongest; (e) the most probable class."
        ],
    )


def _numbers(seen, chosen, found, claims, layer, occluder) -> dict[str, Any]:
    panels = found.panels
    return {
        "model": seen.port.name,
        "weights": seen.port.weights,
        "images": seen.words,
        "layer": layer,
        "window": occluder.window,
        "stride": occluder.stride,
        "claims": claim_numbers(claims),
        "shown": [
            {
                "image": seen.source.names[seen.index[i]],
                "category": seen.categories[seen.label[i]],
                "channel": panels.channel[n],
                "total": found.total[n],
                "agreement": found.agreement[n],
                "others": [seen.source.names[seen.index[j]] for j in found.others[n]],
                "activation": panels.activation[n],
                "probability": panels.probability[n],
                "label": panels.label[n],
            }
            for n, i in enumerate(chosen)
        ],
    }
