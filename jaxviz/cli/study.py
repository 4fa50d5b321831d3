"""`jaxviz study NAME`: the experiments of the papers, one file for each."""

from __future__ import annotations

from collections.abc import Callable

from jaxviz.cli import study_reconstruction

__all__ = ["STUDIES"]

STUDIES: dict[str, Callable[..., None]] = {
    "reconstruction": study_reconstruction.reconstruction,
}
"""The command of each study by its name."""
