"""What the study of skip connections found, and the estimates over its training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxviz import studies

__all__ = [
    "SHUFFLED",
    "Run",
    "Seen",
    "Shown",
    "Study",
    "curve",
    "layer_estimates",
    "measured",
    "names",
    "runs_of",
    "stage_estimates",
    "thresholds",
]

SENSITIVITY = (0.05, 0.1, 0.2, 0.3, 0.5)
"""The thresholds at which the claims are looked at beside the one that was asked for."""

SHUFFLED = ("cells", "patches")
"""What is shuffled: the pixels of cells, or whole patches."""


class Run(NamedTuple):
    """One training run of a network, and what it makes of the images.

    Attributes:
      model: the network's name.
      weights: which weights these are, in words.
      skips: its kind of skip connections, as `skips_subjects.skips` says.
      whole: the answers to the images as they are.
      cells: those with the pixels of cells shuffled, by size.
      patches: those with patches in another order, by size.
      layers: its ReLUs' layers, with rows, columns and channels.
      stages: the last of these at each size.
      peaks: how far each channel rises, by layer.
    """

    model: str
    weights: str
    skips: int
    whole: studies.Answers
    cells: studies.Answers
    patches: studies.Answers
    layers: Mapping[str, tuple[int, ...]]
    stages: Sequence[str]
    peaks: Mapping[str, studies.Peaks]


class Seen(NamedTuple):
    """Some images and the projections of their classes, before and after the shuffle.

    Attributes:
      cell: side of the cells of the shuffle, in pixels.
      images: in [0, 1].
      shuffled: the images with each size of cells.
      before: the deconvnet projection of the class.
      after: the same from the shuffled image.
    """

    cell: int
    images: Float[np.ndarray, "m h w 3"]
    shuffled: Float[np.ndarray, "g m h w 3"]
    before: Float[np.ndarray, "m h w 3"]
    after: Float[np.ndarray, "m h w 3"]


class Shown(NamedTuple):
    """The pictures of one network, of its first run.

    Attributes:
      model: its name.
      seen: projections.
      exciting: for each class shown an image that excites it, in [0, 1].
      logit: what the image brings the class to.
    """

    model: str
    seen: Seen
    exciting: Float[np.ndarray, "m h w 3"]
    logit: Float[np.ndarray, " m"]


class Study(NamedTuple):
    """All that the study found.

    Attributes:
      runs: of all networks, network by network.
      shown: one for each network.
      cells: sides of the cells and patches, in pixels.
      threshold: from which fraction of the layer's strongest on a channel is active.
      subjects: the classes of the images shown.
      words: what the images are.
    """

    runs: Sequence[Run]
    shown: Sequence[Shown]
    cells: tuple[int, ...]
    threshold: float
    subjects: Sequence[str]
    words: str


def names(study: Study) -> list[str]:
    """The networks, in order."""
    return list(dict.fromkeys(run.model for run in study.runs))


def runs_of(study: Study, name: str) -> list[Run]:
    """The training runs of a network."""
    return [run for run in study.runs if run.model == name]


def thresholds(study: Study) -> list[float]:
    """The thresholds at which features are counted, rising."""
    return sorted({*SENSITIVITY, study.threshold})


def curve(runs: Sequence[Run], shuffled: str, of: str) -> list[studies.Estimate]:
    """What a network's runs say of the whole images, and then of those shuffled, size by size.

    Args:
      runs: of one network.
      shuffled: one of `SHUFFLED`.
      of: "right" or "probability".

    Returns:
      An estimate for the whole images, and one for each size.
    """
    values = [
        np.concatenate([getattr(run.whole, of)[None], getattr(getattr(run, shuffled), of)])
        for run in runs
    ]
    return [studies.estimate([value[i] for value in values]) for i in range(len(values[0]))]


def layer_estimates(
    runs: Sequence[Run], layer: str, *, threshold: float
) -> dict[str, studies.Estimate]:
    """A layer's active features: `count`, `fraction`, `strength` and `value` over the runs."""
    found = [studies.active_features(run.peaks[layer], threshold=threshold) for run in runs]
    return {
        field: studies.estimate([getattr(one, field) for one in found])
        for field in studies.Features._fields
    }


def stage_estimates(
    runs: Sequence[Run], *, threshold: float
) -> tuple[studies.Estimate, studies.Estimate]:
    """A network's active fraction and its strength, the mean over the stages."""
    found = [studies.stage_features(run.peaks, run.stages, threshold=threshold) for run in runs]
    active, strength = zip(*found, strict=True)
    return studies.estimate(active), studies.estimate(strength)


def measured(study: Study, *, threshold: float) -> list[studies.Network]:
    """What the claims speak of, for each network."""
    found = []
    for name in names(study):
        runs = runs_of(study, name)
        falls = [studies.relative_fall(run.whole, run.cells) for run in runs]
        found.append(
            studies.Network(
                name,
                runs[0].skips,
                *stage_estimates(runs, threshold=threshold),
                studies.estimate([fall.right for fall in falls]),
                studies.estimate([fall.probability for fall in falls]),
            )
        )
    return found
