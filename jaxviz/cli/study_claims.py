"""Claims of the literature and what became of them, on a page and in numbers.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxviz import report, studies
from jaxviz.studies import Claim

__all__ = ["claim_numbers", "claim_section", "claim_sentence", "plus_minus"]


def plus_minus(one: studies.Estimate, *, percent: bool = False, digits: int = 2) -> str:
    """A mean and its spread in words.

    Example:
      >>> plus_minus(studies.Estimate(0.25, 0.011, 0.01), percent=True)
      '25.0 ± 1.1 %'
    """
    if percent:
        return f"{100 * one.mean:.1f} ± {100 * one.spread:.1f} %"
    return f"{one.mean:.{digits}f} ± {one.spread:.{digits}f}"


def claim_sentence(claim: Claim) -> str:
    """A claim's verdict in a sentence.

    Example:
      >>> e = studies.Estimate
      >>> one = studies.compared("a above b", larger=e(5, 1, 1), smaller=e(1, 1, 1))
      >>> claim_sentence(studies.verdict("It grows.", [one]))
      'It grows. Supported: 1 of 1 comparisons holds, 0 undecided, 0 the other way round.'
    """
    outcomes = [one.outcome for one in claim.comparisons]
    held, open_, reversed_ = (outcomes.count(o) for o in ("holds", "undecided", "reversed"))
    verb = "holds" if held == 1 else "hold"
    return (
        f"{claim.text} {claim.verdict.capitalize()}: {held} of {len(outcomes)} comparisons {verb}, "
        f"{open_} undecided, {reversed_} the other way round."
    )


def claim_section(claims: Sequence[Claim], *, error: str) -> report.Section:
    """A section with a sentence for each claim and a row for each comparison.

    Args:
      claims: at least one.
      error: what the numbers behind ± are, in a sentence.

    Returns:
      A section of a page.
    """
    rows = [
        [
            f"{number}",
            one.words,
            plus_minus(one.larger, digits=3),
            plus_minus(one.smaller, digits=3),
            one.outcome,
        ]
        for number, claim in enumerate(claims, 1)
        for one in claim.comparisons
    ]
    columns = ["claim", "what must hold", "should be larger", "should be smaller", "outcome"]
    told = "A comparison holds where the difference is more than twice its standard error."
    return report.Section(
        "What is claimed, and what was found",
        [report.Table(columns, rows)],
        [
            *(f"{n}. {claim_sentence(claim)}" for n, claim in enumerate(claims, 1)),
            f"{told} {error}",
        ],
    )


def claim_numbers(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """The claims as numbers.json has them."""
    return [
        {
            "claim": claim.text,
            "verdict": claim.verdict,
            "comparisons": [
                {
                    "words": one.words,
                    "larger": one.larger._asdict(),
                    "smaller": one.smaller._asdict(),
                    "outcome": one.outcome,
                }
                for one in claim.comparisons
            ],
        }
        for claim in claims
    ]
