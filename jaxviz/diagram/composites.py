"""Layers that a model writes out in elementary steps: normalisations, softmax."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jaxviz.diagram.layer import Layer

__all__ = ["merged"]

_STEPS = {
    "abs",
    "divide",
    "exp",
    "global average pool",
    "integer pow",
    "largest",
    "linear map",
    "log",
    "maximum",
    "mean",
    "multiply",
    "neg",
    "power",
    "rectification",
    "rsqrt",
    "scale",
    "select n",
    "sqrt",
    "square",
    "subtract",
    "sum",
    "window sum",
}
"""Kinds that may be a step of a larger layer."""


def merged(layers: Sequence[Layer], outputs: Sequence[Layer]) -> list[Layer]:
    """The layers, with those that compute one thing of one value made one layer.

    Steps belong together where they end in one result, read one value from outside at least twice
    (a normalisation reads it for its statistics and for itself), and no tap names one of them.

    Args:
      layers: each after those that it reads.
      outputs: layers whose values the model returns, which stay.

    Returns:
      The layers that are left, in the same order.
    """
    reads = Counter(source for layer in layers for source in set(layer.sources))
    kept = set(outputs)
    gone: set[Layer] = set()
    for last in reversed(layers):
        if last in gone or last.kind not in _STEPS:
            continue
        parts = _cone(last, reads, kept)
        outside = [source for part in parts for source in part.sources if source not in parts]
        # Counted by reader: a square reads its value twice, and is no layer of many steps.
        readers = sum(any(source not in parts for source in part.sources) for part in parts)
        if len(parts) == 1 or len(set(outside)) != 1 or readers < 2:
            continue
        gone |= parts - {last}
        last.kind, last.settings = _kind(parts)
        last.sources = outside[:1]
        for part in parts - {last}:
            last.leaves |= part.leaves
            last.multiplications += part.multiplications
    return [layer for layer in layers if layer not in gone]


def _cone(last: Layer, reads: Counter[Layer], kept: set[Layer]) -> set[Layer]:
    """The steps whose values serve `last` alone, and `last` itself."""
    parts, inside, waiting = {last}, Counter[Layer](), [last]
    while waiting:
        for source in set(waiting.pop().sources):
            inside[source] += 1
            free = source.name is None and not source.blocks and source not in kept
            if free and source.kind in _STEPS and inside[source] == reads[source]:
                parts.add(source)
                waiting.append(source)
    return parts


def _kind(parts: set[Layer]) -> tuple[str, dict]:
    kinds = {part.kind for part in parts}
    if {"window sum", "power"} <= kinds:
        return "local response norm", _response(parts)
    if kinds & {"rsqrt", "sqrt"} and kinds & {"mean", "global average pool", "sum"}:
        return "norm", {}
    if {"exp", "sum"} <= kinds:
        return "log softmax" if "log" in kinds else "softmax", {}
    return "function", {}


def _response(parts: set[Layer]) -> dict:
    """Size, alpha, beta and k, as x / (k + alpha * sum of squares) ** beta has them."""
    settings = {}
    for part in parts:
        if part.kind == "window sum":
            settings["size"] = max(part.settings["kernel"])
        if part.kind == "power" and part.settings.get("other") is not None:
            settings["beta"] = abs(part.settings["other"])
        if part.kind == "scale":
            for step, number in part.steps:
                settings[{"mul": "alpha", "add": "k"}.get(step, step)] = number
    return settings
