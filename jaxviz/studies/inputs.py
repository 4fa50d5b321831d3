"""What every study of labelled images asks of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import ArrayLike, Float, Int

__all__ = ["checked"]


def checked(
    given_x: Float[ArrayLike, "n h w c"], given_label: Int[ArrayLike, " n"]
) -> tuple[np.ndarray, np.ndarray]:
    """Images and their classes in NumPy, refused where they do not fit each other."""
    x, label = np.asarray(given_x), np.asarray(given_label)
    if x.ndim != 4 or not len(x) or label.shape != x.shape[:1]:
        raise ValueError(
            f"x must be images (n, h, w, c) and label one class for each, got {x.shape} and "
            f"{label.shape}."
        )
    return x, label
