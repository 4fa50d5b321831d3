"""The pictures of the study of skip connections: shuffled images, excited classes, projections."""

from __future__ import annotations

import numpy as np

from jaxviz import report
from jaxviz.cli import pictures
from jaxviz.cli.skips_results import Study

__all__ = ["exciting", "projections", "shuffled"]


def shuffled(study: Study) -> report.Gallery:
    """One of the images, with larger and larger cells shuffled."""
    seen = study.shown[0].seen
    versions = [("as it is", seen.images[0])]
    versions += [
        (f"cells of {cell} px", images[0])
        for cell, images in zip(study.cells, seen.shuffled, strict=True)
    ]
    figures = [
        report.Figure(
            [
                report.Picture(
                    f"shuffled-{n}",
                    pictures.enlarged(image, least=192, smooth=False),
                    f"A picture of “{study.subjects[0]}”, {words}",
                    False,
                )
            ],
            words,
            study.subjects[0],
        )
        for n, (words, image) in enumerate(versions)
    ]
    return report.Gallery(figures, title="What the networks are shown", size=160)


def exciting(study: Study) -> report.Section:
    """What excites the classes of the images shown, network by network."""
    galleries = []
    for one in study.shown:
        figures = [
            report.Figure(
                [
                    report.Picture(
                        f"exciting-{one.model}-{n}",
                        pictures.enlarged(image, least=192),
                        f"Image that excites “{subject}” of {one.model} most",
                    )
                ],
                subject,
                f"logit {logit:.0f}",
            )
            for n, (subject, image, logit) in enumerate(
                zip(study.subjects, one.exciting, one.logit, strict=True)
            )
        ]
        galleries.append(report.Gallery(figures, title=one.model, size=200))
    return report.Section(
        "What excites the same classes",
        galleries,
        ["Activation maximization on the first run of each network, from the same noise."],
    )


def projections(study: Study) -> report.Section:
    """The deconvnet projections of the images' classes, before and after the shuffle."""
    galleries = []
    for one in study.shown:
        figures = []
        for n, subject in enumerate(study.subjects):
            # One scale for both, so that a weaker projection looks weaker.
            before, after = report.contrast(np.stack([one.seen.before[n], one.seen.after[n]]))
            pair = [("before", before), ("after", after)]
            figures.append(
                report.Figure(
                    [
                        report.Picture(
                            f"projection-{one.model}-{n}-{when}",
                            pictures.enlarged(picture, least=192),
                            f"Projection of “{subject}” of {one.model} {when} the shuffle",
                        )
                        for when, picture in pair
                    ],
                    subject,
                    f"as it is, and cells of {one.seen.cell} px",
                )
            )
        galleries.append(report.Gallery(figures, title=one.model, size=240))
    return report.Section(
        "The class, projected back to pixels",
        galleries,
        [
            "Deconvnet projections of each image's class by the first run of each network: left of "
            "the image as it is, right of the grid-shuffled one, on one scale. Grey is zero."
        ],
    )
