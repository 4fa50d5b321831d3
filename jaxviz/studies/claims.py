"""From measurements to a verdict: estimates with errors, comparisons, and a stated rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

__all__ = ["Claim", "Comparison", "Estimate", "compared", "estimate", "mean_of", "verdict"]

BEYOND = 2.0
"""How many standard errors a difference must have to count."""


class Estimate(NamedTuple):
    """A mean with its uncertainty.

    Attributes:
      mean: over the training runs, or, where there is one run, over its images.
      spread: the standard deviation over the runs; with one run, the standard error over images.
      error: the standard error of the mean.
    """

    mean: float
    spread: float
    error: float


def estimate(runs: Sequence[Float[np.ndarray, " n"]]) -> Estimate:
    """The mean of something that was measured on each image by each of several training runs.

    The runs are the sample, by their means over the images. A single run leaves only the images as
    a sample, and then says nothing of other runs.

    Args:
      runs: one value for each image, from each run.

    Returns:
      `Estimate`.

    Example:
      >>> estimate([np.array([0.0, 2.0]), np.array([3.0, 3.0])])
      Estimate(mean=2.0, spread=1.4142135623730951, error=1.0)
      >>> estimate([np.array([0.0, 2.0])]).error
      1.0
    """
    if len(runs) > 1:
        means = [np.mean(run, dtype=float) for run in runs]
        spread = float(np.std(means, ddof=1))
        return Estimate(float(np.mean(means)), spread, float(spread / np.sqrt(len(runs))))
    values = np.asarray(runs[0], float)
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return Estimate(float(values.mean()), error, error)


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of several independent estimates.

    Example:
      >>> mean_of([Estimate(1.0, 0.3, 0.3), Estimate(3.0, 0.4, 0.4)])
      Estimate(mean=2.0, spread=0.25, error=0.25)
    """
    means, spreads, errors = np.array(estimates).T
    return Estimate(
        float(means.mean()),
        float(np.hypot.reduce(spreads) / len(means)),
        float(np.hypot.reduce(errors) / len(means)),
    )


class Comparison(NamedTuple):
    """One thing that must hold if a claim is true.

    Attributes:
      words: what must hold, "a is above b".
      larger: what should be the larger one.
      smaller: what should be the smaller one.
      outcome: "holds", "reversed", or "undecided" where the difference is within its error.
    """

    words: str
    larger: Estimate
    smaller: Estimate
    outcome: str


def compared(words: str, *, larger: Estimate, smaller: Estimate) -> Comparison:
    """Whether one estimate is above another by more than twice the standard error of that.

    With three runs of each, chance alone makes about one comparison in 17 hold that has nothing to
    it (Student's t with four degrees of freedom, one side).

    Args:
      words: what must hold.
      larger: what should be the larger one.
      smaller: what should be the smaller one.

    Returns:
      `Comparison`.

    Example:
      >>> compared("a above b", larger=Estimate(5, 1, 1), smaller=Estimate(1, 1, 1)).outcome
      'holds'
      >>> compared("a above b", larger=Estimate(2, 1, 1), smaller=Estimate(1, 1, 1)).outcome
      'undecided'
    """
    difference = larger.mean - smaller.mean
    if abs(difference) <= BEYOND * np.hypot(larger.error, smaller.error):
        return Comparison(words, larger, smaller, "undecided")
    return Comparison(words, larger, smaller, "holds" if difference > 0 else "reversed")


class Claim(NamedTuple):
    """A claim and what became of it.

    Attributes:
      text: what is claimed.
      comparisons: what must hold for it to be true.
      verdict: see `verdict`.
    """

    text: str
    comparisons: tuple[Comparison, ...]
    verdict: str


def verdict(text: str, comparisons: Sequence[Comparison]) -> Claim:
    """A claim with its verdict: supported if all comparisons hold, not supported if none, or mixed.

    Args:
      text: what is claimed.
      comparisons: at least one.

    Returns:
      `Claim`.

    Example:
      >>> one = compared("a above b", larger=Estimate(5, 1, 1), smaller=Estimate(1, 1, 1))
      >>> verdict("a is large", [one]).verdict
      'supported'
    """
    if not comparisons:
        raise ValueError("a verdict needs at least one comparison, got none.")
    held = sum(one.outcome == "holds" for one in comparisons)
    word = "supported" if held == len(comparisons) else "mixed" if held else "not supported"
    return Claim(text, tuple(comparisons), word)
