"""`jaxviz study evolution`: how the features of a network come about while it is trained."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

import jaxviz as jv
from jaxviz import data as sets
from jaxviz import report, studies
from jaxviz.cli import (
    chosen_units,
    drawn_units,
    evolution_page,
    evolution_run,
    inputs,
    strongest_pass,
    unit_tiles,
)
from jaxviz.cli.evolution_page import Layer, Study
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.studies import Strongest
from jaxviz.transform import as_argument, receptive_fields

__all__ = ["evolution"]

IMAGES, CHANNELS, TILE = "shapes:500", 6, 64


def evolution(
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = "shapes-plain",
    checkpoints: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None,
    data: Annotated[str | None, tyro.conf.arg(metavar="SET")] = None,
    layers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LAYER...")] = (),
    channels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NUMBER...")] = (),
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-evolution",
    seed: int = 0,
) -> None:
    """Shows features from epoch to epoch, and when each layer comes near its final state.

    Without --checkpoints it first trains a shapes net, 64 epochs of 10 steps. Started again after
    it was stopped, the same command goes on with the epochs that are missing.

    Example: jaxviz study evolution --checkpoints trained --model shapes-residual --out evolution

    Args:
      model: The port that was trained, or a shapes net to be trained.
      checkpoints: What `jaxviz train --out` wrote.
      data: As for `jaxviz study strongest`; by default 500 images of shapes for a shapes net.
      layers: As for `jaxviz study strongest`.
      channels: Which channels of each layer, by number, or all; by default six, evenly spread.
      out: Folder for the page, its PNG files, numbers.json, similarity.csv, the training run and
        what each epoch came to.
      seed: Of the training run and of the images of shapes.
    """
    start = time.perf_counter()
    report.check_writable(out)
    inputs.checked_seed(seed)
    inputs.checked_card(model)
    own = model.startswith("shapes-")
    if not own and (checkpoints is None or data is None):
        raise Mistake(f"study evolution of {model} needs --checkpoints DIR and --data SET")
    port = inputs.load_port(model, "random")
    names = chosen_units.layers_of(port, layers)
    chosen = {
        name: chosen_units.channels_of(port, name, channels, count=CHANNELS) for name in names
    }
    unit_tiles.check_projections(port, names[-1])
    spec = data or IMAGES
    images = sets.open_images(spec, seed=seed)
    if checkpoints is None:
        run = evolution_run.trained(port, Path(out) / "training", seed)
    else:
        run = evolution_run.checkpoints_in(checkpoints)
    epochs = evolution_run.epochs_of(run)
    like = evolution_run.untrained(port, run)
    final = evolution_run.restored(like, run, epochs[-1], name=model)
    folder = Path(out) / "epochs"
    options = {
        "MODEL": port.name,
        "--checkpoints": f"{epochs[-1]} epochs ({drawn_units.fingerprint(jax.tree.leaves(final))})",
        "--data": f"{spec}, {strongest_pass.identity(images)}",
        "--layers": " ".join(names),
    }
    drawn_units.agreeing(folder, options, out=out)
    drawn_units.clear(Path(out), folder)
    fields = receptive_fields(final, strongest_pass.input_of(port), names)
    found = {name: Layer(name, chosen[name], [], [], [], fields[name]) for name in names}
    left_out: set[int] = set()
    with progress(len(epochs) + 1) as step:
        for epoch in epochs:
            step(f"epoch {epoch} of {epochs[-1]}")
            now = evolution_run.restored(like, run, epoch, name=model)
            one, faulty = evolution_run.kept(folder, epoch, names)
            if one is None or faulty is None:
                faulty = set()
                batches = _batches(port, images, names, faulty)
                one = studies.evolution(now, final, batches, names)
                evolution_run.keep(folder, epoch, one, faulty=faulty, options=options)
            left_out |= faulty
            for name, layer in found.items():
                layer.similarity.append(one.similarity[name])
                layer.strongest.append(one.strongest[name])
                if epoch:
                    layer.tiles.append(_tiles(port, now, images, layer, one.strongest[name]))
        step("writing")
        words = strongest_pass.words_of(spec, len(images) - len(left_out))
        if broken := len(images.skipped) + len(left_out):
            words += f", {broken} more cannot be read"
        study = Study(port, list(found.values()), epochs, words)
        footer = (
            f"Made by jaxviz study evolution with JAX {jax.__version__} on "
            f"{jax.default_backend()} in {time.perf_counter() - start:.0f} s. The PNG files, "
            "numbers.json and similarity.csv lie beside this page."
        )
        files = report.write_run(
            out,
            evolution_page.page(study, footer=footer),
            numbers=evolution_page.numbers(study) | {"seed": seed},
            tables={"similarity": evolution_page.table(study)},
        )
    print(
        f"wrote {len(files)} files about {len(epochs)} checkpoints of {model} to {out} in "
        f"{time.perf_counter() - start:.0f} s; {evolution_page.finding(study)} Open "
        f"{Path(out) / 'index.html'}"
    )


def _batches(
    port: inputs.Port, images: sets.ImageSet, layers: list[str], faulty: set[int]
) -> Iterator[sets.Batch]:
    """All images that can be used; the others are added to `faulty`."""

    def both(model: Any, x: Any) -> Any:
        """As much as a checkpoint and the last one, whose layers are compared."""
        return [jv.capture(model, x, layers)[1] for _ in range(2)]

    most = studies.at_once(both, as_argument(port.model), strongest_pass.input_of(port))
    places = min(most, strongest_pass.MOST_AT_ONCE, len(images))

    def note(index: int, error: Exception) -> None:
        faulty.add(index)

    for batch in sets.batches(images, places, prepare=port.card.to_display, on_fault=note):
        yield batch._replace(input=port.card.normalize(batch.input))


def _tiles(
    port: inputs.Port, model: Any, images: sets.ImageSet, layer: Layer, best: Strongest
) -> unit_tiles.Tiles:
    channel = np.array(layer.channels)
    seeds = unit_tiles.Seeds(channel, *(np.asarray(part)[channel, 0] for part in best[1:]))
    return unit_tiles.tiles_of(port, model, images, layer.name, seeds, layer.fields, side=TILE)
