"""`jaxviz study NAME`: the experiments of the papers, one file for each."""

from __future__ import annotations

from collections.abc import Callable

from jaxviz.cli import (
    study_ablation,
    study_architecture,
    study_correspondence,
    study_evolution,
    study_generalisation,
    study_invariance,
    study_occlusion,
    study_reconstruction,
    study_skips,
    study_strongest,
)

__all__ = ["STUDIES", "study"]

STUDIES: dict[str, Callable[..., None]] = {
    "ablation": study_ablation.ablation,
    "architecture": study_architecture.architecture,
    "correspondence": study_correspondence.correspondence,
    "evolution": study_evolution.evolution,
    "generalisation": study_generalisation.generalisation,
    "invariance": study_invariance.invariance,
    "occlusion": study_occlusion.occlusion,
    "reconstruction": study_reconstruction.reconstruction,
    "skips": study_skips.skips,
    "strongest": study_strongest.strongest,
}
"""The commands of the group, by name."""


def study() -> None:
    """Repeats an experiment of the literature; `jaxviz study --help` lists them."""
    # The group's name and help: what follows `study` is a command line of its own.
    raise AssertionError("the words after `study` name the command")
