"""Claims of the literature and what became of them, on a page and in numbers.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxviz import report
from jaxviz.cli.skips_page import claim_sentence, plus_minus
from jaxviz.studies import Claim

__all__ = ["claim_numbers", "claim_section"]


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
