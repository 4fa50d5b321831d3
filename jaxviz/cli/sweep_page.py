"""The page of a sweep: a sample of maps, the mean map, how the scores are distributed, failures."""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from jaxviz import report
from jaxviz.cli import inputs, pictures
from jaxviz.cli.maps import Occluder
from jaxviz.sweep import Summary
from jaxviz.sweep.strings import as_text
from jaxviz.sweep.summary import sample

__all__ = ["write"]

SAMPLE = 12
"""How many maps are shown."""

LISTED = 200
"""How many failures are listed."""

BINS = 20

TITLES = {
    "probability": "Probability of the explained class",
    "deletion_area": "Area under the deletion curve",
    "insertion_area": "Area under the insertion curve",
    "likeness_randomized": "Rank correlation with the map of the randomized model",
}


def write(page: str | os.PathLike, found: Summary, port: inputs.Port, images: Any) -> None:
    """Writes the page, its pictures and numbers.json.

    Args:
      page: the folder.
      found: what the store holds.
      port: the model.
      images: the set, for the pictures under the maps.
    """
    parameters = found.about["parameters"]
    total = sum(found.counts.values())
    sections = [_sample(found, port, images)]
    if found.mean_map is not None:
        sections.append(_together(found))
    sections.append(_scores(found))
    if found.failures:
        rows = [[one.image, one.status.replace("_", " "), one.reason] for one in found.failures]
        more = f", the first {LISTED}" if len(rows) > LISTED else ""
        caption = f"{len(rows):,} images without a map{more}"
        table = report.Table(["image", "status", "reason"], rows[:LISTED], caption=caption)
        sections.append(report.Section("Failures", [table]))
    facts = [(name, str(value)) for name, value in parameters.items()]
    made = ", ".join(f"{name} {version}" for name, version in found.about["versions"].items())
    shown = report.Page(
        f"{parameters['method']} of {found.counts['done']:,} images",
        [section for section in sections if section.blocks],
        lead=f"What {port.name} rests its opinion on, over a whole set of images: "
        f"{found.counts['done']:,} of {total:,} are done.",
        facts=facts,
        footer=f"Made by {made} on {jax.default_backend()}. All maps are in {found.place}.",
    )
    means = {
        name: None if np.isnan(values).all() else float(np.nanmean(values))
        for name, values in found.scores.items()
    }
    numbers = {
        "store": found.place,
        "parameters": parameters,
        "counts": dict(found.counts),
        "means": means,
        "curves": dict(found.curves),
        "failures": [one._asdict() for one in found.failures],
    }
    report.write_run(page, shown, numbers=numbers)


def _sample(found: Summary, port: inputs.Port, images: Any) -> report.Section:
    """Some of the maps, from all parts of the set."""
    places = {as_text(name): place for place, name in enumerate(images.names)}
    figures = []
    for i, one in enumerate(sample(found.place, SAMPLE)):
        if one.image not in places:
            continue
        try:
            shown = port.card.to_display(images[places[one.image]][0])[0]
        except (ValueError, OSError):  # it has gone since
            continue
        name = port.category(one.target)
        stem = f"{i + 1:02d}-{report.file_stem(one.image)[:40]}"
        pair = [
            report.Picture(f"{stem}-image", pictures.enlarged(shown), f"The input {one.image}"),
            report.Picture(
                f"{stem}-map",
                pictures.enlarged(_picture(one.arrays, shown, found)),
                f"The map of “{name}” for {one.image}",
            ),
        ]
        note = f"“{name}”, probability {100 * one.probability:.1f}%"
        figures.append(report.Figure(pair, one.image, note))
    return report.Section("A sample", [report.Gallery(figures, size=320)] if figures else [])


def _picture(arrays: dict[str, np.ndarray], shown: np.ndarray, found: Summary) -> np.ndarray:
    """One map in the colours that its method has in every command."""
    parameters = found.about["parameters"]
    if parameters["method"] == "occlusion":
        occluder = Occluder(*(parameters[name] for name in ("window", "stride", "fill")))
        return pictures.drop_over(shown, arrays["drop"], occluder)
    if parameters["method"] == "saliency":
        return pictures.magnitude(arrays["map"])
    if "layer" in parameters:
        return pictures.cam_over(shown, arrays["map"])
    return report.contrast(arrays["map"])


def _together(found: Summary) -> report.Section:
    assert found.mean_map is not None
    colours = report.heat_colours(found.mean_map)
    picture = report.Picture(
        "mean-map", pictures.enlarged(colours), "The mean over all images of how much pixels matter"
    )
    note = "where maps are strong, over all images"
    return report.Section(
        "All maps together", [report.Gallery([report.Figure([picture], "mean map", note)])]
    )


def _scores(found: Summary) -> report.Section:
    figures = []
    for name, title in TITLES.items():
        values = found.scores.get(name, np.zeros(0))
        values = values[np.isfinite(values)]
        if len(values):
            alt = f"How many images have which value: {title}"
            chart = report.Picture(f"scores-{name}", _histogram(values, title), alt)
            note = f"mean {values.mean():.3f}, standard deviation {values.std():.3f}"
            figures.append(report.Figure([chart], title, note))
    text = []
    if found.curves:
        share = np.linspace(0, 1, len(found.curves["deletion"]))
        chart = report.line_chart(
            share.tolist(),
            {name: curve.tolist() for name, curve in found.curves.items()},
            across="share of the pixels taken away, or put back",
            up="probability of the class",
        )
        picture = report.Picture("curves", chart, "The mean deletion and insertion curves")
        figures.append(report.Figure([picture], "deletion and insertion", "means over the images"))
    if len(hits := found.scores.get("in_object", np.zeros(0))):
        text.append(
            f"The peak of the map lies in the object in {100 * hits.mean():.1f}% of images."
        )
    return report.Section("Scores", [report.Gallery(figures, size=420)] if figures else [], text)


def _histogram(values: Float[np.ndarray, " n"], title: str) -> UInt8[np.ndarray, "h w 3"]:
    counts, edges = np.histogram(values, BINS)
    middle = (edges[:-1] + edges[1:]) / 2
    return report.line_chart(
        middle.tolist(), {"images": counts.tolist()}, across=title.lower(), up="images"
    )
