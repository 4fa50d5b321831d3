"""`jaxviz features`: images that excite channels or classes most."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

from jaxviz import report
from jaxviz.cli import choose, drawing, drawn_units, feature_page, inputs, real_images
from jaxviz.cli.drawing import Drawing
from jaxviz.cli.mistakes import Mistake, unknown
from jaxviz.cli.progress import progress

__all__ = ["features"]

FIRST = 9


def features(
    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")],
    *,
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    layer: Annotated[str | None, tyro.conf.arg(metavar="LAYER")] = None,
    channels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NUMBER...")] = (),
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS...")] = (),
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-features",
    gif: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    images: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None,
    image: Annotated[str, tyro.conf.arg(metavar="KIND")] = "laplacian_pyramid",
    start: Annotated[str, tyro.conf.arg(metavar="START")] = "noise",
    steps: int = 256,
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    views: int = 1,
    region: Annotated[str, tyro.conf.arg(metavar="LAYER")] = "auto",
    seed: int = 0,
    memory: Annotated[int | None, tyro.conf.arg(metavar="MIB")] = None,
) -> None:
    """Draws images that excite single channels of a layer, or classes, most.

    Started again after it was stopped, the same command goes on with the units that are missing;
    other units of the same layer may be added to a folder in this way.

    Example: jaxviz features shapes-residual --layer layer4 --channels 0 1 2 --out features

    Args:
      model: A port; `jaxviz layers` lists them.
      weights: As for `jaxviz explain`.
      layer: The layer of the channels; `jaxviz layers MODEL` lists them.
      channels: Which channels of the layer, or all; by default the first nine.
      classes: Classes instead of channels, by number or name, or all.
      out: Folder for the page, its PNG files, the sheet, numbers.json, and every unit's arrays.
      gif: Also write how each image, and the sheet, came about, as GIF files.
      images: Folder of real images to compare with, or shapes for 2,000 of the shapes set.
      image: What an image is made of: laplacian_pyramid, gaussian_pyramid, fourier, pixel, cppn or
        maco.
      start: What to start from: noise, grey, or an image file.
      steps: Steps of gradient ascent.
      size: Side of the images; by default that of the model's input.
      views: How many times an image is moved about and looked at in a step.
      region: Layer whose Grad-CAM confines the image to where the unit is seen; none; or auto, the
        last layer with places for classes and none for channels.
      seed: Of the first image and of the jitter.
      memory: MiB that the activations may take at one time; by default 256, on a GPU half of its
        memory.
    """
    begun = time.perf_counter()
    report.check_writable(out)
    inputs.checked_seed(seed)
    inputs.checked_card(model)
    if (layer is None) == (not classes):
        raise Mistake("features needs either --layer (and --channels) or --classes")
    if layer is None and channels:
        raise Mistake("--channels needs --layer, whose channels they are")
    for name, number in (("steps", steps), ("views", views), ("memory", memory)):
        if number is not None and number < 1:
            raise Mistake(f"--{name} must be at least 1, not {number}")
    if image not in drawing.IMAGES:
        kinds = f"--image takes {', '.join(drawing.IMAGES)}"
        raise unknown("kind of image", image, drawing.IMAGES, lists=kinds)
    if image == "cppn" and start != "noise":
        raise Mistake(f"--start {start} needs another --image than cppn, which has no way back")
    port = inputs.load_port(model, weights)
    side = port.card.input_size if size is None else size
    if not 8 <= side <= 2048:
        raise Mistake(f"--size must be from 8 to 2048 pixels, not {side}")
    units = _classes(port, classes) if layer is None else _channels(port, layer, channels)
    how = drawing.checked(
        port,
        Drawing(
            layer=layer,
            size=side,
            steps=steps,
            seed=seed,
            image=image,
            start=drawing.start_of(start, port.card, side),
            views=views,
            region=_region(port, layer, region),
            frames=gif,
            memory=None if memory is None else memory << 20,
        ),
    )
    source = None if images is None else real_images.source_of(images, port)
    start = start if start in ("noise", "grey") else Path(start).name

    folder = Path(out) / "units"
    options = _options(port, how, start)
    drawn_units.agreeing(folder, options, out=out)
    drawn_units.clear(Path(out), folder)
    stems = [drawn_units.stem_of(port, layer, unit) for unit in units]
    real: Sequence[real_images.Real | None] = [None] * len(units)
    with _going_on(stems, folder):
        if source is not None:
            real = real_images.measured(
                port,
                layer,
                units,
                source,
                memory=how.memory,
                kept=folder / "real-images.npz",
                same=" ".join(options[name] for name in ("MODEL", "--weights", "--layer")),
            )
        drawn_units.draw_missing(port, units, how, folder=folder, options=options)
        count = _write(port, how, units, real, folder, start=start)
    seconds = time.perf_counter() - begun
    page = Path(out) / "index.html"
    print(
        f"wrote {count} files about {_what(port, layer)} to {out} in {seconds:.0f} s; open {page}"
    )


def _what(port: inputs.Port, layer: str | None) -> str:
    return f"{layer} of {port.name}" if layer else f"{port.name}'s classes"


def _channels(port: inputs.Port, layer: str, given: tuple[str, ...]) -> list[int]:
    """The channels to draw; one that the layer does not have is a mistake."""
    count = port.layers[inputs.checked_layer(port, layer)].shape[-1]
    if given == ("all",):
        return list(range(count))
    for channel in given:
        if not (channel.isascii() and channel.isdigit() and int(channel) < count):
            raise Mistake(f"--channels of {layer} must be from 0 to {count - 1}, not {channel}")
    return list(dict.fromkeys(map(int, given))) or list(range(min(FIRST, count)))


def _classes(port: inputs.Port, given: tuple[str, ...]) -> list[int]:
    if given == ("all",):
        return list(range(port.classes))
    found = [
        choose.class_index(
            one, categories=port.card.categories, count=port.classes, option="--classes"
        )
        for one in given
    ]
    return list(dict.fromkeys(found))


def _region(port: inputs.Port, layer: str | None, given: str) -> str | None:
    """The layer whose class activation map confines the images, or None."""
    if given == "none" or (given == "auto" and layer is not None):
        return None
    if given == "auto":
        return choose.last_spatial(port.layers)
    shape = port.layers[inputs.checked_layer(port, given)].shape
    if len(shape) != 4:
        raise Mistake(f"--region must be a layer with positions; '{given}' has the shape {shape}")
    names = list(port.layers)
    if layer is not None and names.index(given) > names.index(layer):
        raise Mistake(f"--region must not come after --layer; '{given}' comes after '{layer}'")
    return given


def _options(port: inputs.Port, how: Drawing, start: str) -> dict[str, str]:
    """All that the images depend on beside the unit: the command's options and their values."""
    if isinstance(how.start, np.ndarray):
        start = f"{start} ({drawn_units.fingerprint([how.start])})"
    return {
        "MODEL": port.name,
        "--weights": f"{port.weights} ({drawn_units.fingerprint(jax.tree.leaves(port.model))})",
        "--layer": how.layer or "none",
        "--image": how.image,
        "--start": start,
        "--steps": str(how.steps),
        "--size": str(how.size),
        "--views": str(how.views),
        "--region": how.region or "none",
        "--seed": str(how.seed),
        "--gif": "on" if how.frames else "off",
    }


@contextlib.contextmanager
def _going_on(stems: Collection[str], folder: Path) -> Iterator[None]:
    """Says after Ctrl-C what is done, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        done = sum((folder / f"{stem}.npz").exists() for stem in stems)
        print(
            f"jaxviz: stopped with {done} of {len(stems)} units done; the same command goes on "
            "with the others",
            file=sys.stderr,
        )
        raise


def _write(
    port: inputs.Port,
    how: Drawing,
    units: Sequence[int],
    real: Sequence[real_images.Real | None],
    folder: Path,
    *,
    start: str,
) -> int:
    """Writes all that is shown of the units, which have been drawn; the number of files."""
    shown, cells, gifs = [], {}, 0
    title = f"What excites {_what(port, how.layer)} most"
    with progress(len(units) + 1) as step:
        for unit, known in zip(units, real, strict=True):
            stem = drawn_units.stem_of(port, how.layer, unit)
            step(f"writing {stem}")
            drawn = drawn_units.kept(folder, stem)
            assert drawn is not None
            shown.append(feature_page.feature(port, how.layer, unit, drawn, known))
            if how.frames:
                report.write_file(folder.parent / f"{stem}.gif", feature_page.unit_gif(drawn))
                cells[stem] = feature_page.cells_of(drawn)
                gifs += 1
        step("writing the sheets")
        sheets = []
        for name, some in feature_page.sheets_of(shown):
            sheets.append(feature_page.still_sheet(name, some, title))
            if how.frames:
                moving = feature_page.moving_sheet(
                    some, [cells.pop(one.stem) for one in some], title, steps=how.kept
                )
                report.write_file(folder.parent / f"{name}.gif", moving)
                gifs += 1
        files = report.write_run(
            folder.parent,
            feature_page.page(port, how, shown, title=title, start=start),
            sheets=sheets,
            numbers=feature_page.numbers(port, how, shown, start=start),
        )
    return len(files) + gifs
