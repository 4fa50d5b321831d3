"""`jaxviz study NAME`: the experiments of the papers, one file for each."""

from __future__ import annotations

from collections.abc import Callable

from jaxviz.cli import study_ablation, study_reconstruction, study_skips

__all__ = ["STUDIES", "study"]

STUDIES: dict[str, Callable[..., None]] = {
    "ablation": study_ablation.ablation,
    "reconstruction": study_reconstruction.reconstruction,
    "skips": study_skips.skips,
}
"""The commands of the group, by name."""


def study() -> None:
    """Repeats an experiment of the literature; `jaxviz study --help` lists them."""
    # The group's name and help: what follows `study` is a command line of its own.
    raise AssertionError("the words after `study` name the command")
