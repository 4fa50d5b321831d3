"""How alike two maps look."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

__all__ = ["ssim"]


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The structural similarity of a map to `b`, at most 1; constants are relative to b's range.

    Args:
      a: a map, (rows, columns), at least 7 x 7.
      b: the map that it should be.

    Returns:
      The mean over all windows of 7 x 7 that lie inside.

    References:
      Wang, Bovik, Sheikh, Simoncelli, Image quality assessment: from error visibility to
      structural similarity, 2004, section III; with square windows.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    data_range = np.ptp(b)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def mean(values):
        return ndimage.uniform_filter(values, 7)[3:-3, 3:-3]

    mean_a, mean_b = mean(a), mean(b)
    unbiased = 49 / 48
    variance_a = unbiased * (mean(a * a) - mean_a**2)
    variance_b = unbiased * (mean(b * b) - mean_b**2)
    covariance = unbiased * (mean(a * b) - mean_a * mean_b)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return float((luminance * structure).mean())
