"""The page of the ablation study, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxviz import report
from jaxviz.cli.study_claims import claim_sentence, plus_minus
from jaxviz.studies.ablation import Ablated, depth_claim

__all__ = ["page", "tables"]


def page(found: Sequence[Ablated], facts: Mapping[str, Any], *, footer: str) -> report.Page:
    """The page: the table of errors, the claim, the learning curves.

    Args:
      found: the variants, trained.
      facts: what was asked for, by name.
      footer: the page's last line.

    Returns:
      What `jaxviz.report.write_run` takes.
    """
    left_out = (
        f"; {facts['skipped']} that cannot be used are left out, see skipped.csv"
        if facts["skipped"]
        else ""
    )
    return report.Page(
        "What layers are worth",
        [_errors(found, facts), *_claim(found), _curves(found)],
        lead="A small net of five convolutions and two dense layers, trained anew without some of "
        "them, or with wider ones; all with the same images, epochs and seeds.",
        facts=[
            ("Images", f"{facts['data']}: {facts['images']:,} to learn from{left_out}"),
            ("Test", f"{facts['test_images']:,} other images"),
            ("Training", f"{facts['epochs']} epochs, batch {facts['batch']}, {facts['settings']}"),
            ("Seeds", str(facts["seeds"])),
        ],
        footer=footer,
    )


def _errors(found: Sequence[Ablated], facts: Mapping[str, Any]) -> report.Section:
    spread = (
        "± is the standard deviation over the seeds of the training runs, for one division of the "
        "images and one learning rate; it says nothing of other divisions and rates."
        if facts["seeds"] > 1
        else "There is one run of each: ± is the standard error over the images, and a difference "
        "may come from that run as well as from the layers."
    )
    return report.Section(
        "Errors",
        [
            report.Table(
                ["net", "layers", "parameters", "training error", "test error"],
                [
                    [
                        str(one.variant),
                        7 - len(one.variant.drop),
                        f"{one.parameters:,}",
                        plus_minus(one.train_error, percent=True),
                        plus_minus(one.test_error, percent=True),
                    ]
                    for one in found
                ],
                caption="Images in the wrong class, after the last epoch",
            )
        ],
        [
            "A layer's ReLU and pooling go with it, and its weights are not there at all. Without "
            "a pooling the next dense layer gets larger maps, so that a net may have fewer layers "
            f"and more parameters. There is no dropout, which Zeiler and Fergus had. {spread}"
        ],
    )


def _claim(found: Sequence[Ablated]) -> list[report.Section]:
    claim = depth_claim(found)
    if claim is None:
        return []
    rows = [
        [
            one.words,
            plus_minus(one.larger, percent=True),
            plus_minus(one.smaller, percent=True),
            one.outcome,
        ]
        for one in claim.comparisons
    ]
    return [
        report.Section(
            "Middle and top layers",
            [
                report.Table(
                    ["what must hold", "should be larger", "should be smaller", "outcome"],
                    rows,
                    caption="Test errors",
                )
            ],
            [
                claim_sentence(claim),
                "A comparison holds where the difference is more than twice its standard error, "
                "and is undecided where it is less.",
            ],
        )
    ]


def _curves(found: Sequence[Ablated]) -> report.Section:
    curves, errors = {}, {}
    for one in found:
        wrong = 1 - np.array([[line.test_accuracy for line in record] for record in one.records])
        curves[str(one.variant)] = wrong.mean(0).tolist()
        if len(wrong) > 1:
            errors[str(one.variant)] = wrong.std(0, ddof=1).tolist()
    chart = report.line_chart(
        [line.epoch for line in found[0].records[0]],
        curves,
        errors=errors,
        across="epoch",
        up="test error",
        title="Test error after each epoch",
        size=(480, 720),
    )
    alt = f"Test error after each epoch of the nets: {'; '.join(curves)}"
    return report.Section(
        "Learning",
        [
            report.Gallery(
                [report.Figure([report.Picture("learning", chart, alt)], "Test error by epoch")],
                size=560,
            )
        ],
        ["Means over the seeds, with standard deviations."] if errors else [],
    )


def tables(found: Sequence[Ablated]) -> dict[str, report.Table]:
    """The errors of the variants, and of each run, as tables for files.

    Args:
      found: the variants, trained.

    Returns:
      File stem -> table.
    """
    variants = [
        [
            str(one.variant),
            one.parameters,
            *one.train_error[:2],
            *one.test_error[:2],
        ]
        for one in found
    ]
    runs = [
        [str(one.variant), seed, float(train.mean()), float(test.mean())]
        for one in found
        for seed, (train, test) in enumerate(zip(one.train_wrong, one.test_wrong, strict=True))
    ]
    deviations = ["training error", "its deviation", "test error", "its deviation"]
    return {
        "variants": report.Table(["net", "parameters", *deviations], variants),
        "runs": report.Table(["net", "seed", "training error", "test error"], runs),
    }
