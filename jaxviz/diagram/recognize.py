"""Operations of a program as the layers that people know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jaxviz.diagram.composites import merged
from jaxviz.diagram.layer import Layer
from jaxviz.diagram.program import Program
from jaxviz.diagram.rules import Value, channels_last, renamed, rule_of

__all__ = ["recognize"]


def recognize(program: Program) -> tuple[list[Layer], list[Layer]]:
    """The layers of a program.

    Args:
      program: as `read_program` gives it.

    Returns:
      The layers in the order of evaluation, the first of them the input, and those whose values
      the model returns.
    """
    operations = program.operations
    live = _live(program)
    reads = Counter(source for place in live for source in operations[place].sources)
    reads.update(program.outputs)
    bases = {base for place in live for base, _ in operations[place].taps}
    blocks = {base for base in bases if any(other.startswith(f"{base}.") for other in bases)}

    values: dict[int, Value] = {}
    layers: list[Layer] = []
    for place in sorted(live):
        operation = operations[place]
        sources = [values[source] for source in operation.sources]
        layer, channels = rule_of(operation)(operation, sources)
        # The value whose layer the operation joined, or only moved.
        entered = next((value for value in sources if value.layer is layer), None)
        if operation.taps and entered is not None and not entered.open:
            layer = renamed(operation, entered)
        elif operation.taps and entered is not None:
            layer.shape = channels_last(operation.shape, channels)
        for base, name in operation.taps:
            if base in blocks:
                layer.blocks.append(base)
            elif layer.name is None and layer.kind != "input":
                layer.name = name
            else:
                layer = Layer("identity", [layer], layer.shape, name=name)
        lonely = reads[place] == 1 and not operation.taps and layer.kind != "input"
        may_join = lonely and (entered is None or layer is not entered.layer or entered.open)
        last = channels == len(operation.shape) - 1
        values[place] = Value(layer, operation.shape, -1 if last else channels, may_join)
        layers.append(layer)
    outputs = [values[place].layer for place in program.outputs]
    found = merged(_ordered(layers, outputs), outputs)
    for layer in found:
        _settle(layer)
    return found, list(dict.fromkeys(outputs))


def _live(program: Program) -> set[int]:
    """The operations that the results depend on, and the input."""
    waiting, live = list(program.outputs), {0}
    while waiting:
        place = waiting.pop()
        if place not in live:
            live.add(place)
            waiting += program.operations[place].sources
    return live


def _ordered(layers: Sequence[Layer], outputs: Sequence[Layer]) -> list[Layer]:
    """The layers that are left, each after those that it reads."""
    needed, waiting = {layers[0]}, list(outputs)
    while waiting:
        layer = waiting.pop()
        if layer not in needed:
            needed.add(layer)
            waiting += layer.sources
    found: dict[Layer, None] = {}

    def visit(layer: Layer) -> None:
        chain = [layer]
        while chain:
            missing = [source for source in chain[-1].sources if source not in found]
            if missing:
                chain.append(missing[0])
            else:
                found[chain.pop()] = None

    for layer in layers:
        if layer in needed and layer not in found:
            visit(layer)
    return list(found)


def _settle(layer: Layer) -> None:
    """Gives the layer its last kind."""
    if layer.kind == "rectification":  # and no step of a normalisation
        layer.kind = "ReLU"
    if layer.kind == "scale":
        layer.settings["steps"] = tuple(layer.steps)
    if layer.kind == "scale" and layer.made_by & {"rsqrt", "sqrt"}:
        layer.kind = "batch norm"
        small = [scalar for scalar in layer.scalars if 0 < scalar <= 0.1]
        if small:
            layer.settings["eps"] = small[0]
