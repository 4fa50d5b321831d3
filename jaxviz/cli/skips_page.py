"""The page of the study of skip connections, from its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jaxviz import report, studies
from jaxviz.cli import skips_pictures, skips_results
from jaxviz.cli.skips_results import Study
from jaxviz.cli.study_claims import claim_sentence, plus_minus

__all__ = ["page"]

LAYERS_SHOWN = 20
MEASURES = {"right": "accuracy", "probability": "probability of the class"}


def page(study: Study, *, footer: str, seed: int) -> report.Page:
    """The page: the claims, the curves, the features, the pictures.

    Args:
      study: what was found.
      footer: the page's last line.
      seed: of the images and shuffles.

    Returns:
      What `jaxviz.report.write_run` takes.
    """
    names = skips_results.names(study)
    runs = {name: len(skips_results.runs_of(study, name)) for name in names}
    return report.Page(
        "What skip connections do",
        [
            _claims(study),
            _answers(study),
            _features(study),
            skips_pictures.exciting(study),
            skips_pictures.projections(study),
        ],
        lead="Networks without and with skip connections, held against what is claimed of them: "
        "how many features they use, how strong these are, and what is left of their answers "
        "when an image loses its detail and keeps its colours and contours.",
        facts=[
            ("Networks", ", ".join(names)),
            ("Training runs", " + ".join(str(runs[name]) for name in names)),
            ("Images", study.words),
            ("A feature is active from", f"{study.threshold:g} of its layer's strongest"),
            ("Seed", str(seed)),
        ],
        footer=footer,
    )


def _error_words(study: Study) -> str:
    alone = [n for n in skips_results.names(study) if len(skips_results.runs_of(study, n)) == 1]
    words = "± is the standard deviation over training runs from different seeds."
    if not alone:
        return words
    if len(alone) == len(skips_results.names(study)):
        words = ""
    return (
        f"{words} Of {', '.join(alone)} there is one run: its ± is the standard error over the "
        "images, and a difference may come from that run as well as from its architecture."
    ).strip()


def _claims(study: Study) -> report.Section:
    claims = studies.skip_claims(skips_results.measured(study, threshold=study.threshold))
    rows = []
    for number, claim in enumerate(claims, 1):
        for one in claim.comparisons:
            rows.append(
                [
                    f"{number}",
                    one.words,
                    plus_minus(one.larger, digits=3),
                    plus_minus(one.smaller, digits=3),
                    one.outcome,
                ]
            )
    limits = skips_results.thresholds(study)
    verdicts = [
        studies.skip_claims(skips_results.measured(study, threshold=limit)) for limit in limits
    ]
    sensitivity = [
        [claim.text, *(several[i].verdict for several in verdicts)]
        for i, claim in enumerate(claims)
    ]
    return report.Section(
        "The claims",
        [
            report.Table(
                ["claim", "what must hold", "should be larger", "should be smaller", "outcome"],
                rows,
                caption="Features: fraction of the channels that are active, and their strength; "
                "losses: relative fall, the mean over the sizes of cells",
            ),
            report.Table(
                ["verdict with the threshold at", *(f"{limit:g}" for limit in limits)],
                sensitivity,
                caption="How the verdicts depend on when a feature counts as active",
            ),
        ],
        [
            *(f"({number}) {claim_sentence(claim)}" for number, claim in enumerate(claims, 1)),
            "A comparison holds where the difference is more than twice its standard error, and "
            "is undecided where it is less. A claim is supported where all of its comparisons "
            f"hold, not supported where none does, else mixed. {_error_words(study)} Active "
            "fraction and strength are means over the network's stages, the last ReLU at each "
            "size of maps. Strength is an active channel's peak over the layer's root mean square.",
        ],
    )


def _chart(
    name: str,
    curves: Mapping[str, Sequence[studies.Estimate]],
    ticks: Sequence[str],
    *,
    across: str,
    up: str,
    title: str,
) -> report.Figure:
    # A network with fewer stages than others ends before them.
    padded = {
        model: [*curve, *[studies.Estimate(np.nan, np.nan, np.nan)] * (len(ticks) - len(curve))]
        for model, curve in curves.items()
    }
    drawn = report.line_chart(
        range(len(ticks)),
        {model: [one.mean for one in curve] for model, curve in padded.items()},
        errors={model: [one.spread for one in curve] for model, curve in padded.items()},
        across=across,
        up=up,
        title=title,
        ticks=ticks,
    )
    alt = f"Chart of {up} by {across} for {', '.join(curves)}"
    return report.Figure([report.Picture(name, drawn, alt)], title, f"by {across}")


def _answers(study: Study) -> report.Section:
    sizes = [str(cell) for cell in study.cells]
    charts = [
        _answers_chart(study, shuffled, of, up)
        for shuffled in skips_results.SHUFFLED
        for of, up in MEASURES.items()
    ]
    rows = []
    for name in skips_results.names(study):
        runs = skips_results.runs_of(study, name)
        for shuffled in skips_results.SHUFFLED:
            for of, words in MEASURES.items():
                curve = skips_results.curve(runs, shuffled, of)
                told = (plus_minus(one, percent=True) for one in curve)
                rows.append([name, shuffled, words, *told])
    return report.Section(
        "Without detail, without contour",
        [
            skips_pictures.shuffled(study),
            report.Gallery(charts, size=420),
            report.Table(
                ["network", "shuffled", "mean", "whole", *(f"{size} px" for size in sizes)],
                rows,
                caption="What is left of the networks' answers",
            ),
        ],
        [
            "Grid-shuffled images: the pixels inside each cell change places, so that the cell's "
            "colours stay and its detail is lost; the larger the cells, the less is left. For "
            "comparison, whole patches change places: their detail stays and the contour is "
            "lost; the smaller the patches, the less is left.",
            _error_words(study),
        ],
    )


def _answers_chart(study: Study, shuffled: str, of: str, up: str) -> report.Figure:
    curves = {
        model: skips_results.curve(skips_results.runs_of(study, model), shuffled, of)
        for model in skips_results.names(study)
    }
    sizes = [str(cell) for cell in study.cells]
    lost = "detail shuffled"
    if shuffled == "patches":
        # Smaller patches lose more of the contour.
        curves = {model: [curve[0], *curve[:0:-1]] for model, curve in curves.items()}
        sizes, lost = sizes[::-1], "contour shuffled"
    return _chart(
        f"chart-{shuffled}-{of}",
        curves,
        ["whole", *sizes],
        across=f"side of the {shuffled}, pixels",
        up=up,
        title=f"{up[0].upper()}{up[1:]}, {lost}",
    )


def _features(study: Study) -> report.Section:
    names = skips_results.names(study)
    most = max(len(skips_results.runs_of(study, name)[0].stages) for name in names)
    ticks = [f"stage {i + 1}" for i in range(most)]
    charts = [
        _chart(
            f"chart-{field}",
            {name: _stage_curve(study, name, field) for name in names},
            ticks,
            across="stage, the last ReLU at each size of maps",
            up=up,
            title=f"{up[0].upper()}{up[1:]}",
        )
        for field, up in (
            ("fraction", "active fraction"),
            ("strength", "strength of active channels"),
        )
    ]
    limits = skips_results.thresholds(study)
    rows = []
    for name in names:
        runs = skips_results.runs_of(study, name)
        found = [skips_results.stage_estimates(runs, threshold=limit) for limit in limits]
        rows.append([name, "active fraction", *(plus_minus(one, percent=True) for one, _ in found)])
        rows.append([name, "strength", *(plus_minus(one) for _, one in found)])
    return report.Section(
        "Active features",
        [
            report.Gallery(charts, size=420),
            report.Table(
                ["network", "threshold", *(f"{limit:g}" for limit in limits)],
                rows,
                caption="Means over the stages at several thresholds",
            ),
            *(_layers(study, name) for name in names),
        ],
        [
            "A channel is active in an image where its largest activation over all positions is "
            f"at least {study.threshold:g} times that of the layer's strongest channel in this "
            "image. Its strength is that activation over the root mean square of the layer: how "
            "far it stands out, whatever the layer's scale. The last column of the tables is the "
            "activation itself, which has each network's own scale."
        ],
    )


def _stage_curve(study: Study, name: str, field: str) -> list[studies.Estimate]:
    runs = skips_results.runs_of(study, name)
    return [
        skips_results.layer_estimates(runs, layer, threshold=study.threshold)[field]
        for layer in runs[0].stages
    ]


def _layers(study: Study, name: str) -> report.Table:
    runs = skips_results.runs_of(study, name)
    layers = list(runs[0].layers)
    shown = layers if len(layers) <= LAYERS_SHOWN else list(runs[0].stages)
    rows = []
    for layer in shown:
        found = skips_results.layer_estimates(runs, layer, threshold=study.threshold)
        height, width, channels = runs[0].layers[layer]
        rows.append(
            [
                layer,
                f"{height} × {width}",
                channels,
                plus_minus(found["count"], digits=1),
                plus_minus(found["fraction"], percent=True),
                plus_minus(found["strength"]),
                plus_minus(found["value"]),
            ]
        )
    which = "ReLU layers" if shown == layers else "stages; layers.csv has all ReLU layers"
    return report.Table(
        ["layer", "positions", "channels", "active", "fraction", "strength", "activation"],
        rows,
        caption=f"{name}: {which}",
    )
