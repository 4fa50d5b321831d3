"""What lies beside the study's page: labelled sheets, tables and the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxviz import report, studies
from jaxviz.cli import skips_results
from jaxviz.cli.skips_results import Study

__all__ = ["numbers", "sheets", "tables"]

SIDE = 160


def _sized(image: np.ndarray, smooth: bool = True) -> UInt8[np.ndarray, "s s 3"]:
    return report.to_uint8(report.enlarge(image, (SIDE, SIDE), smooth=smooth))


def sheets(study: Study) -> list[report.Picture]:
    """Labelled sheets: the shuffled images, what excites the classes, and the projections.

    Args:
      study: what was found.

    Returns:
      Pictures to be written beside the page's.
    """
    seen = study.shown[0].seen
    shuffled = report.sheet(
        [
            [_sized(image, False) for image in (seen.images[n], *seen.shuffled[:, n])]
            for n in range(len(seen.images))
        ],
        rows=study.subjects,
        columns=["as it is", *(f"cells of {cell} px" for cell in study.cells)],
        title="Grid-shuffled images: less and less detail",
    )
    exciting = report.sheet(
        [[_sized(image) for image in one.exciting] for one in study.shown],
        rows=[one.model for one in study.shown],
        columns=study.subjects,
        title="What excites the same classes of each network",
    )
    rows = []
    for n in range(len(study.subjects)):
        for before in (True, False):
            image = seen.images[n] if before else seen.shuffled[_cell(study), n]
            row = [_sized(image, False)]
            for one in study.shown:
                both = report.contrast(np.stack([one.seen.before[n], one.seen.after[n]]))
                row.append(_sized(both[0 if before else 1]))
            rows.append(row)
    projections = report.sheet(
        rows,
        rows=[
            f"{subject}, {words}"
            for subject in study.subjects
            for words in ("as it is", f"cells of {seen.cell} px")
        ],
        columns=["image", *(one.model for one in study.shown)],
        title="Deconvnet projections of the class, without and with grid-shuffled detail",
    )
    return [
        report.Picture("sheet-shuffled", shuffled, "Images with larger and larger cells shuffled"),
        report.Picture("sheet-exciting", exciting, "Activation maximization, class by class"),
        report.Picture("sheet-projections", projections, "Projections before and after a shuffle"),
    ]


def _cell(study: Study) -> int:
    return study.cells.index(study.shown[0].seen.cell)


def tables(study: Study) -> dict[str, report.Table]:
    """Two long tables of all training runs, for CSV files: the answers, and the layers.

    Args:
      study: what was found.

    Returns:
      Name -> table.
    """
    answers = []
    for number, run in _numbered(study):
        told = [("whole", 0, run.whole.right, run.whole.probability)]
        for words, found in (("cells", run.cells), ("patches", run.patches)):
            told += [(words, *one) for one in zip(study.cells, *found, strict=True)]
        for words, size, right, probability in told:
            accuracy, mean = f"{right.mean():.6f}", f"{probability.mean():.6f}"
            answers.append([run.model, number, words, size, accuracy, mean])
    layers = []
    for number, run in _numbered(study):
        for layer, (_, _, channels) in run.layers.items():
            for limit in skips_results.thresholds(study):
                found = studies.active_features(run.peaks[layer], threshold=limit)
                means = [f"{np.mean(value):.6g}" for value in found]
                stage = int(layer in run.stages)
                layers.append([run.model, number, layer, stage, channels, limit, *means])
    return {
        "answers": report.Table(
            ["network", "run", "shuffled", "pixels", "accuracy", "probability"], answers
        ),
        "layers": report.Table(
            ["network", "run", "layer", "stage", "channels", "threshold"]
            + list(studies.Features._fields),
            layers,
        ),
    }


def _numbered(study: Study):
    for name in skips_results.names(study):
        yield from enumerate(skips_results.runs_of(study, name))


def numbers(study: Study) -> dict[str, Any]:
    """What `numbers.json` holds: estimates over the runs, and the verdicts.

    Args:
      study: what was found.

    Returns:
      Nested dictionaries of numbers and words.
    """
    found = skips_results.measured(study, threshold=study.threshold)
    networks = {}
    for one in found:
        runs = skips_results.runs_of(study, one.name)
        networks[one.name] = {
            "weights": [run.weights for run in runs],
            "skips": one.skips,
            **{name: getattr(one, name)._asdict() for name in one._fields[2:]},
            **{
                f"{of}_{shuffled}": [
                    point._asdict() for point in skips_results.curve(runs, shuffled, of)
                ]
                for shuffled in ("cells", "patches")
                for of in ("right", "probability")
            },
            "stages": {
                layer: {
                    name: value._asdict()
                    for name, value in skips_results.layer_estimates(
                        runs, layer, threshold=study.threshold
                    ).items()
                }
                for layer in runs[0].stages
            },
        }
    claims = {
        f"{limit:g}": [
            {
                "claim": claim.text,
                "verdict": claim.verdict,
                "comparisons": {one.words: one.outcome for one in claim.comparisons},
            }
            for claim in studies.skip_claims(skips_results.measured(study, threshold=limit))
        ]
        for limit in skips_results.thresholds(study)
    }
    return {
        "images": study.words,
        "cells": study.cells,
        "threshold": study.threshold,
        "networks": networks,
        "claims_by_threshold": claims,
        "maximized": {one.model: one.logit for one in study.shown},
    }
