"""`jaxviz layers`: the names that other commands take."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp
import tyro

import jaxviz as jv
from jaxviz.cli import inputs
from jaxviz.cli.mistakes import Mistake

__all__ = ["layers", "layers_at"]


def layers(
    model: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")] = None,
    *,
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
) -> None:
    """Lists a model's layers with their shapes, or all models; no weights are needed.

    Example: jaxviz layers resnet50

    Args:
      model: One of the ports; without it, they are listed.
      size: Side of the input; by default the model's own.
    """
    import ports

    if model is None:
        cards = [ports.card(name) for name in ports.names()]
        rows = [
            (card.name, f"{card.parameters:,}", f"{card.input_size} px", card.licence)
            for card in cards
        ]
        _print_table(("model", "parameters", "input", "licence of weights"), rows)
        print(f"{len(cards)} models; wrote nothing")
        return
    side = inputs.checked_card(model).input_size if size is None else size
    if not 1 <= side <= 4096:
        raise Mistake(f"--size must be from 1 to 4096 pixels, not {side}")
    try:
        found = layers_at(model, side)
    except ValueError as error:
        raise Mistake(f"--size {side} does not suit {model}: {error}") from error
    rows = [(name, str(value.shape), str(value.dtype)) for name, value in found.items()]
    _print_table(("layer", "shape", "dtype"), rows)
    print(f"{len(found)} layers of {model} for an input of {side} x {side} pixels; wrote nothing")


def layers_at(model: str, side: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The layers of a port for an input of `side` pixels; not even its weights are made."""
    from flax import nnx

    import ports

    found: dict[str, jax.ShapeDtypeStruct] = {}
    net = nnx.eval_shape(lambda: ports.new(model, rngs=nnx.Rngs(0)))
    jax.eval_shape(lambda net: found.update(jv.layers(net, jnp.zeros((1, side, side, 3)))), net)
    return found


def _print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # Piped into a file or another program, a line is as long as it needs to be.
    width = Console(width=10_000).measure(table).maximum
    terminal = Console(highlight=False)
    console = terminal if terminal.is_terminal else Console(width=width, highlight=False)
    console.print(table, crop=False)
