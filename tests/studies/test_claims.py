"""Estimates, comparisons and verdicts, against their formulas and by simulation."""

import numpy as np
import pytest
from scipy import stats

from jaxviz.studies import Estimate, Network, compared, estimate, mean_of, skip_claims, verdict


def test_runs_are_the_sample():
    runs = np.random.default_rng(0).normal(size=(3, 50))
    found = estimate(list(runs))
    means = runs.mean(1)
    assert found.mean == pytest.approx(means.mean())
    assert found.spread == pytest.approx(means.std(ddof=1))
    assert found.error == pytest.approx(stats.sem(means))


def test_of_one_run_the_images_are():
    run = np.random.default_rng(0).normal(size=50)
    found = estimate([run])
    assert found.mean == pytest.approx(run.mean())
    assert found.error == found.spread == pytest.approx(stats.sem(run))
    assert estimate([np.array([3.0])]) == (3.0, 0.0, 0.0)


def test_errors_of_a_mean_add_in_squares():
    draws = np.random.default_rng(0).normal([1, 5], [0.3, 0.4], size=(20_000, 2)).mean(1)
    found = mean_of([Estimate(1, 0.3, 0.3), Estimate(5, 0.4, 0.4)])
    # 20,000 draws: a standard deviation is known to half a percent.
    assert found.error == pytest.approx(draws.std(), rel=0.02)
    assert found.mean == 3


@pytest.mark.parametrize(
    ("larger", "smaller", "outcome"),
    [
        ((2.0, 1.0), (-1.0, 1.0), "holds"),
        ((-1.0, 1.0), (2.0, 1.0), "reversed"),
        ((2.0, 1.0), (-0.5, 1.0), "undecided"),
        ((1.0, 0.0), (1.0, 0.0), "undecided"),
        ((1.1, 0.0), (1.0, 0.0), "holds"),
    ],
)
def test_a_difference_counts_beyond_twice_its_error(larger, smaller, outcome):
    one, other = (Estimate(mean, error, error) for mean, error in (larger, smaller))
    assert compared("", larger=one, smaller=other).outcome == outcome


def test_how_often_chance_alone_holds():
    # Three runs each of the same thing: one side of Student's t with four degrees of freedom.
    runs = np.random.default_rng(0).normal(size=(2, 4000, 3))
    held = 0
    for a, b in zip(*runs, strict=True):
        one, other = (estimate(list(three[:, None])) for three in (a, b))
        held += compared("", larger=one, smaller=other).outcome == "holds"
    expected = stats.t.sf(2, 4)
    assert 1 / expected == pytest.approx(17, abs=0.5)
    assert held / 4000 == pytest.approx(expected, abs=4 * np.sqrt(expected / 4000))


YES, NO, MAYBE = (
    compared("", larger=Estimate(mean, 1, 1), smaller=Estimate(0, 1, 1)) for mean in (9, -9, 0)
)


@pytest.mark.parametrize(
    ("comparisons", "word"),
    [
        ([YES, YES], "supported"),
        ([YES, MAYBE], "mixed"),
        ([YES, NO], "mixed"),
        ([NO, NO], "not supported"),
        ([MAYBE], "not supported"),
    ],
)
def test_verdicts(comparisons, word):
    claim = verdict("It is so.", comparisons)
    assert (claim.text, claim.verdict, len(claim.comparisons)) == (
        "It is so.",
        word,
        len(comparisons),
    )


def network(name, skips, *means):
    return Network(name, skips, *(Estimate(mean, 0.01, 0.01) for mean in means))


def test_the_claims_of_the_paper_as_they_are_made():
    plain = network("vgg", 0, 0.2, 5, 0.8, 0.8)
    residual, dense = network("res", 1, 0.3, 4, 0.6, 0.6), network("dense", 2, 0.4, 3, 0.4, 0.4)
    claims = skip_claims([plain, residual, dense])
    assert [claim.verdict for claim in claims] == ["supported"] * 4
    assert [len(claim.comparisons) for claim in claims] == [2, 4, 4, 4]
    # Of the first, all networks with skip connections are one.
    assert claims[0].comparisons[0].larger.mean == pytest.approx(0.35)
    assert claims[1].comparisons[0].words == "res: more active features than vgg"
    # The opposite of everything.
    swapped = [residual._replace(skips=0), plain._replace(skips=1)]
    assert [claim.verdict for claim in skip_claims(swapped)] == ["not supported"] * 3


@pytest.mark.parametrize(
    ("measure", "verdicts"),
    [
        ("active", ["mixed", "mixed", "supported"]),
        ("strength", ["mixed", "mixed", "supported"]),
        ("fall_right", ["supported", "supported", "mixed"]),
        ("fall_probability", ["supported", "supported", "mixed"]),
    ],
)
def test_each_measure_counts_in_its_claims(measure, verdicts):
    plain, residual = network("vgg", 0, 0.2, 5, 0.8, 0.8), network("res", 1, 0.3, 4, 0.6, 0.6)
    same = residual._replace(**{measure: getattr(plain, measure)})
    assert [claim.verdict for claim in skip_claims([plain, same])] == verdicts


@pytest.mark.parametrize("skips", [0, 1])
def test_both_groups_are_needed(skips):
    with pytest.raises(ValueError, match="at least one network with"):
        skip_claims([network("a", skips, 1, 1, 1, 1)])
