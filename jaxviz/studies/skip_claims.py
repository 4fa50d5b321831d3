"""What is claimed of skip connections, held against measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxviz.studies.claims import Claim, Comparison, Estimate, compared, mean_of, verdict
from jaxviz.studies.skips import Peaks, active_features

__all__ = ["Network", "skip_claims", "stage_features"]


class Network(NamedTuple):
    """What the claims speak of, measured on one network.

    Attributes:
      name: the network's.
      skips: 0 without skip connections, 1 where a block adds its input to its output, 2 where it
        passes on all maps before it.
      active: the fraction of channels that are active, over its stages.
      strength: how strong an active channel is, over its stages.
      fall_right: the relative fall of its accuracy without detail.
      fall_probability: the relative fall of the true class's probability without detail.
    """

    name: str
    skips: int
    active: Estimate
    strength: Estimate
    fall_right: Estimate
    fall_probability: Estimate


def stage_features(
    peaks: Mapping[str, Peaks], stages: Sequence[str], *, threshold: float = 0.2
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The active features of a network in each image: the mean over its stages.

    Args:
      peaks: by layer, as `layer_peaks` gives them.
      stages: which layers; `last_of_each_size` finds them.
      threshold: as in `active_features`.

    Returns:
      The active fraction of the channels, and their strength.

    Example:
      >>> layer = Peaks(np.array([[4.0, 1.0]]), np.array([4.0]))
      >>> active, strength = stage_features({"a": layer}, ["a"], threshold=0.5)
      >>> active.tolist(), strength.tolist()
      ([0.5], [2.0])
    """
    found = [active_features(peaks[layer], threshold=threshold) for layer in stages]
    active = np.mean([one.fraction for one in found], axis=0)
    return active, np.mean([one.strength for one in found], axis=0)


# What is said of a network beside another one: the words, the measure, and whether it is larger.
_FEWER_BUT_STRONGER = (
    ("fewer active features", "active", False),
    ("stronger active features", "strength", True),
)
_MORE_BUT_WEAKER = (
    ("more active features", "active", True),
    ("weaker active features", "strength", False),
)
_LOSES_LESS = (
    ("loses less accuracy", "fall_right", False),
    ("loses less probability", "fall_probability", False),
)


def _beside(
    one: Network, other: Network, said: tuple[tuple[str, str, bool], ...]
) -> list[Comparison]:
    return [
        compared(
            f"{one.name}: {words} than {other.name}",
            larger=getattr(one if larger else other, measure),
            smaller=getattr(other if larger else one, measure),
        )
        for words, measure, larger in said
    ]


def skip_claims(networks: Sequence[Network]) -> list[Claim]:
    """The claims about skip connections, each with what must hold for it and a verdict.

    The first takes all networks with skip connections together, the others one by one; networks
    without are taken together throughout. What their mean is compared with, and by which rule, is
    said in `jaxviz.studies.claims.compared` and `verdict`.

    Args:
      networks: at least one without skip connections and one with.

    Returns:
      Three claims, and a fourth where there are networks of both kinds of skip connections.

    Raises:
      ValueError: one of the two groups is empty.

    Example:
      >>> e = lambda mean: Estimate(mean, 0.01, 0.01)
      >>> plain = Network("plain", 0, e(0.2), e(3.0), e(0.6), e(0.6))
      >>> skipping = Network("residual", 1, e(0.3), e(2.0), e(0.4), e(0.6))
      >>> [claim.verdict for claim in skip_claims([plain, skipping])]
      ['supported', 'supported', 'mixed']

    References:
      Guo, Zhang, Wang, Exploring the impact of skip connection structures on the deep neural
      networks feature extraction based on feature visualization, Computer Engineering 51(4), 2025.
    """
    without = _group([one for one in networks if one.skips == 0], "without skip connections")
    skipping = [one for one in networks if one.skips > 0]
    with_skips = _group(skipping, "with skip connections")
    claims = [
        verdict(
            "Without skip connections a network extracts fewer features, but stronger ones.",
            _beside(without, with_skips, _FEWER_BUT_STRONGER),
        ),
        verdict(
            "With skip connections it extracts more features, but weaker ones.",
            [part for one in skipping for part in _beside(one, without, _MORE_BUT_WEAKER)],
        ),
        verdict(
            "With skip connections it relies more on local colour and global contour than on "
            "detail: it loses less when detail is shuffled.",
            [part for one in skipping for part in _beside(one, without, _LOSES_LESS)],
        ),
    ]
    added = [one for one in networks if one.skips == 1]
    passed_on = [one for one in networks if one.skips == 2]
    if added and passed_on:
        few, many = _group(added, "with additions"), _group(passed_on, "with concatenations")
        claims.append(
            verdict(
                "The more skip connections, the stronger the trend.",
                _beside(many, few, _MORE_BUT_WEAKER + _LOSES_LESS),
            )
        )
    return claims


def _group(networks: Sequence[Network], words: str) -> Network:
    """Several networks as one, of the mean of each measure."""
    if not networks:
        raise ValueError(f"The claims need at least one network {words}, and there is none.")
    if len(networks) == 1:
        return networks[0]
    measures = zip(*(one[2:] for one in networks), strict=True)
    means = [mean_of(estimates) for estimates in measures]
    return Network(f"networks {words}", networks[0].skips, *means)
