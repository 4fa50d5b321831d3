"""`jaxviz study NAME`: the experiments of the papers, one file for each."""

from __future__ import annotations

from collections.abc import Callable

from jaxviz.cli import study_skips

__all__ = ["STUDIES"]

STUDIES: dict[str, Callable[..., None]] = {
    "skips": study_skips.skips,
}
"""The commands of the group, by name."""
