"""`jaxviz layers`: the names that other commands take."""

from __future__ import annotations

from typing import Annotated

import tyro

__all__ = ["layers"]


def layers(
    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")],
    *,
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
) -> None:
    """Lists a model's layers, with the shape of each value; no weights are needed.

    Example: jaxviz layers resnet50

    Models: {models}.

    Args:
      model: A port.
      size: Side of the input; by default the model's own.
    """
    import jax
    import jax.numpy as jnp
    from flax import nnx
    from rich.console import Console
    from rich.table import Table

    import jaxviz as jv
    import ports
    from jaxviz.cli import inputs
    from jaxviz.cli.mistakes import Mistake

    inputs.checked_port(model)
    side = ports.card(model).input_size if size is None else size
    if not 1 <= side <= 4096:
        raise Mistake(f"--size must be from 1 to 4096 pixels, not {side}")
    found: dict[str, jax.ShapeDtypeStruct] = {}

    def look(net):
        found.update(jv.layers(net, jnp.zeros((1, side, side, 3))))

    from ports.registry import entry

    net = nnx.eval_shape(lambda: entry(model).build(rngs=nnx.Rngs(0)))
    net.eval()
    try:
        jax.eval_shape(look, net)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        if size is None:
            raise
        reason = str(error).splitlines()[0]
        raise Mistake(f"--size {side} does not suit {model}: {reason}") from error
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("layer", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("dtype", no_wrap=True)
    for name, value in found.items():
        table.add_row(name, str(value.shape), str(value.dtype))
    console = Console()
    width = console.measure(table).maximum
    Console(width=max(width, console.width), highlight=False).print(table)
    print(f"{len(found)} layers of {model} for an input of {side} x {side} pixels; wrote nothing")
