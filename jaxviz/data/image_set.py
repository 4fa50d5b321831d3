"""What every set of labelled images offers, whatever it is read from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

__all__ = ["ImageSet", "Skipped", "kept"]

# A property that is computed once. Type checkers do not take a `cached_property` for the property
# that `ImageSet` asks for, though it is one to whoever reads it.
if TYPE_CHECKING:
    kept = property
else:
    kept = cached_property


class Skipped(NamedTuple):
    """A file that is no image that can be used, and why, in a sentence."""

    path: Path
    reason: str


class ImageSet(Protocol):
    """Labelled images with random access, each read when it is asked for.

    `len(images)` is their number, and `images[i]` one of them with its label: RGB, float32, in
    [0, 1], of its own size. A broken image raises a `ValueError` or an `OSError` there.
    """

    @property
    def categories(self) -> tuple[str, ...]:
        """The classes' names."""
        ...

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Of each image the index of its category."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Of each image a name that stays: its path below the folder, its number in the set."""
        ...

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The files that were left out when the set was opened, and why."""
        ...

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def __getitem__(self, index: int) -> tuple[Float[np.ndarray, "h w 3"], int]:
        """An image and its label."""
        ...
