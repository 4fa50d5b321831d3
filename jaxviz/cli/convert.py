"""`jaxviz convert`: weights from one kind of file to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

__all__ = ["convert"]


def convert(
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="IN")],
    destination: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")],
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")],
) -> None:
    """Converts weights to safetensors or Orbax, after checking every tensor against the model.

    Example: jaxviz convert vgg16-397923af.pth vgg16.safetensors --model vgg16

    Args:
      source: A .safetensors or .pth file, an Orbax directory, or "imagenet".
      destination: A .safetensors file, or a name without ending for an Orbax directory.
      model: The port that the weights are for; `jaxviz layers` lists them.
    """
    import ports
    from jaxviz import report
    from jaxviz.cli import inputs
    from jaxviz.cli.mistakes import Mistake
    from jaxviz.cli.progress import progress

    inputs.checked_card(model)
    path = Path(destination)
    if path.suffix not in ("", ".safetensors"):
        raise Mistake(
            f"OUT must end in .safetensors, or have no ending for an Orbax directory, "
            f"not {destination}"
        )
    report.check_writable(path.parent)
    if path.suffix and path.is_dir():
        raise Mistake(f"OUT must be a file, and {destination} is a folder")
    if not path.suffix and path.is_file():
        raise Mistake(f"OUT must be a folder to be, and {destination} is a file")
    with progress(2) as step:
        step(f"reading {source}")
        net = inputs.loaded(model, source)
        step(f"writing {destination}")
        ports.save(net, path)
    print(f"wrote the weights of {model} to {destination}")
