"""`jaxviz study strongest`: what excites each channel of some layers most."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

from jaxviz import data as sets
from jaxviz import report
from jaxviz.cli import chosen_units, drawn_units, inputs, strongest_page, strongest_pass, unit_tiles
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.cli.strongest_page import Channel, Layer, Study
from jaxviz.cli.strongest_pass import Passed
from jaxviz.transform import ReceptiveFields, receptive_fields

__all__ = ["strongest"]

IMAGES, CHANNELS, TILE = "shapes:2000", 16, 48
"""The set for the shapes nets, how many channels of a layer of another net are shown, and the least
side of a picture in pixels."""


def strongest(
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = "shapes-plain",
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    data: Annotated[str | None, tyro.conf.arg(metavar="SET")] = None,
    layers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LAYER...")] = (),
    channels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NUMBER...")] = (),
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-strongest",
    strict: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    seed: int = 0,
) -> None:
    """Shows the nine strongest activations of each channel: patches, and their projections.

    Started again after it was stopped, the same command goes on with the images that are missing;
    other channels of the same layers need no new pass over the images.

    Example: jaxviz study strongest --model vgg16 --data photos --channels 0 1 2 --out strongest

    Args:
      model: A ReLU network; `jaxviz layers` lists the ports.
      weights: As for `jaxviz explain`.
      data: A folder that holds a folder of images for each class, shapes:COUNT, digits, or
        tfds:NAME:SPLIT. By default 2,000 images of shapes for a shapes net.
      layers: Layers with places; by default the five stages of a shapes net, and of another the
        ReLUs, of more than five the last one at each size of maps.
      channels: Which channels of each layer, by number, or all; by default all of a shapes net, and
        sixteen of each layer, evenly spread, of another.
      out: Folder for the page, its PNG files, numbers.json, strongest.csv, and the pass's state.
      strict: Stop at an image that cannot be used, instead of leaving it out.
      seed: Which images of shapes.
    """
    start = time.perf_counter()
    report.check_writable(out)
    inputs.checked_seed(seed)
    inputs.checked_card(model)
    own = model.startswith("shapes-")
    if data is None and not own:
        raise Mistake(
            "--data SET is needed for a network of photographs: a folder of classes' folders"
        )
    port = inputs.load_port(model, weights)
    names = chosen_units.layers_of(port, layers)
    chosen = {
        name: chosen_units.channels_of(port, name, channels, count=None if own else CHANNELS)
        for name in names
    }
    unit_tiles.check_projections(port, names[-1])
    spec = data or IMAGES
    images = sets.open_images(spec, strict=strict, seed=seed)
    fields = receptive_fields(port.model, strongest_pass.input_of(port), names)

    folder = Path(out) / "pass"
    options = {
        "MODEL": port.name,
        "--weights": f"{port.weights} ({drawn_units.fingerprint(jax.tree.leaves(port.model))})",
        "--data": f"{spec}, {strongest_pass.identity(images)}",
        "--layers": " ".join(names),
    }
    drawn_units.agreeing(folder, options, out=out)
    drawn_units.clear(Path(out), folder)
    passed = strongest_pass.looked_through(
        port, images, names, folder=folder, options=options, strict=strict
    )
    with progress(len(names) + 1) as step:
        found = []
        for name in names:
            step(f"projections of {name}")
            found.append(_layer(port, images, name, chosen[name], passed, fields[name]))
        step("writing")
        words = strongest_pass.words_of(spec, passed.images)
        study = Study(port, images, found, words, (*_skipped(images), *passed.faults))
        footer = (
            f"Made by jaxviz study strongest with JAX {jax.__version__} on {jax.default_backend()} "
            f"in {time.perf_counter() - start:.0f} s. The PNG files, numbers.json and "
            "strongest.csv lie beside this page."
        )
        files = report.write_run(
            out,
            strongest_page.page(study, footer=footer),
            sheets=strongest_page.sheets(study),
            numbers=strongest_page.numbers(study) | {"seed": seed},
            tables={"strongest": strongest_page.table(study)},
        )
    left_out = f", {len(study.faults)} images left out" if study.faults else ""
    print(
        f"wrote {len(files)} files about {sum(map(len, chosen.values()))} channels of {port.name} "
        f"over {words} to {out} in {time.perf_counter() - start:.0f} s{left_out}; "
        f"open {Path(out) / 'index.html'}"
    )


def _skipped(images: sets.ImageSet) -> list[str]:
    return [one.reason for one in images.skipped]


def _layer(
    port: inputs.Port,
    images: sets.ImageSet,
    name: str,
    channels: list[int],
    passed: Passed,
    fields: ReceptiveFields,
) -> Layer:
    best = passed.strongest[name]
    # All seeds of the layer in one row, so that one program does for them.
    which = [(c, k) for c in channels for k in np.flatnonzero(best.image[c] >= 0)]
    channel, rank = np.array(which).T
    seeds = unit_tiles.Seeds(channel, *(np.asarray(part)[channel, rank] for part in best[1:]))
    tiles = unit_tiles.tiles_of(
        port, port.model, images, name, seeds, fields, side=max(TILE, port.card.input_size // 3)
    )
    shown = []
    for c in channels:
        own = np.flatnonzero(channel == c)
        energy = tiles.energy
        shown.append(
            Channel(
                c,
                np.asarray(best.value[c][best.image[c] >= 0]),
                tiles.label[own],
                tiles.projection[own],
                tiles.patch[own],
                None if energy is None else type(energy)(*(part[own] for part in energy)),
            )
        )
    return Layer(name, shown, best, fields)
