"""`jaxviz occlude`: what a network loses where a square hides a photograph."""

from __future__ import annotations

import time
from typing import Annotated

import tyro

from jaxviz import report
from jaxviz.cli import choose, explain, inputs, maps
from jaxviz.cli.mistakes import Mistake

__all__ = ["occlude"]


def occlude(
    images: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE...")],
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")],
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-occlude",
    target: Annotated[str | None, tyro.conf.arg(metavar="CLASS")] = None,
    window: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    stride: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    fill: Annotated[str, tyro.conf.arg(metavar="NUMBER|mean")] = "0",
    coarse: Annotated[int, tyro.conf.arg(metavar="PLACES")] = 1,
    memory: Annotated[int | None, tyro.conf.arg(metavar="MIB")] = None,
) -> None:
    """Slides a square over photographs, and maps what hiding each place does to a class.

    Example: jaxviz occlude photo.jpg --model vgg16 --weights vgg16.safetensors --window 16

    Args:
      images: Image files, and folders of them.
      model: A port; `jaxviz layers` lists them.
      weights: A .safetensors or .pth file, an Orbax directory, "imagenet", or "random". By
        default the packaged weights of the shapes nets, "imagenet" for the others.
      out: Folder for the page, its PNG files and numbers.json.
      target: The class to follow, by number or name; by default each image's most probable.
      window: Side of the square; by default a seventh of the input's.
      stride: Step of the square; by default half the window.
      fill: Value of the square in the model's normalised input, or "mean" for the mean colour of
        each image.
      coarse: Compute one place in so many each way and a tenth of the others, and interpolate;
        the error is estimated. 1 is exact.
      memory: MiB for the places that are computed together; by default half of the device's
        memory, 256 on a CPU.
    """
    start = time.perf_counter()
    report.check_writable(out)
    for name, number in (("coarse", coarse), ("memory", memory)):
        if number is not None and number < 1:
            raise Mistake(f"--{name} must be at least 1, not {number}")
    photographs = inputs.photographs(images, inputs.checked_card(model))
    port = inputs.load_port(model, weights)
    asked = explain.Asked(
        port,
        photographs,
        explain.target_of(port, target),
        methods=("occlusion",),
        layer=choose.last_spatial(port.layers),
        occluder=maps.checked_occluder(port.card.input_size, window, stride, fill)._replace(
            coarse=coarse
        ),
        memory=None if memory is None else memory << 20,
    )
    explain.written(asked, out=out, start=start)
