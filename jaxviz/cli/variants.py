"""Variants of a net as a user writes them: `drop: [3, 4], width: {6: 256}`."""

from __future__ import annotations

from typing import Any

import yaml

from jaxviz.cli.mistakes import Mistake
from jaxviz.studies.variant_net import Variant, layers_of

__all__ = ["parsed"]

LIKE = '"drop: [3, 4]" or "drop: [7], width: {6: 256}"'


class _Loader(yaml.SafeLoader):
    """YAML's own, but a key that is there twice is an error; otherwise its last value would win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        written = len(node.value)
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != written:
            raise yaml.constructor.ConstructorError(problem="a key is there twice")
        return mapping


def parsed(text: str) -> Variant:
    """The variant that a user wrote, as YAML of two keys, `drop` and `width`, or `all`.

    Args:
      text: `drop` lists the numbers of layers, `width` maps numbers to widths; outer braces may be
        left out.

    Returns:
      `Variant`, with its layers in order.

    Raises:
      Mistake: it cannot be read, or the net has no such layers.

    Example:
      >>> parsed("drop: [4, 3], width: {6: 256}")
      Variant(drop=(3, 4), width=((6, 256),))
    """
    if text.strip() == "all":
        return Variant()
    inside = text.strip()
    try:
        given = yaml.load(inside if inside.startswith("{") else "{" + inside + "}", _Loader)
    except (yaml.YAMLError, ValueError):  # ValueError: what looks like a date, and is none
        raise Mistake(f"--variant must be like {LIKE}, not {text!r}") from None
    surplus = sorted(str(key) for key in given if key not in ("drop", "width"))
    if surplus or not given:
        raise Mistake(f"--variant must be like {LIKE}, not {text!r}")
    drop, width = given.get("drop", []), given.get("width", {})
    drop = drop if isinstance(drop, list) else [drop]
    if not isinstance(width, dict) or not all(map(_whole, [*drop, *width, *width.values()])):
        raise Mistake(f"--variant must be like {LIKE}, with whole numbers, not {text!r}")
    variant = Variant(tuple(sorted(drop)), tuple(sorted(width.items())))
    try:
        layers_of(variant)
    except ValueError as error:
        raise Mistake(f"--variant {text!r}: {error}") from error
    return variant


def _whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
