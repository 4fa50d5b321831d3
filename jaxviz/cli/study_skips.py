"""`jaxviz study skips`: what skip connections do to a network's features."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

import jaxviz as jv
from jaxviz import report, studies
from jaxviz.cli import choose, drawing, inputs, skips_files, skips_page, skips_subjects
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import Step, progress
from jaxviz.cli.skips_results import Run, Seen, Shown, Study
from jaxviz.studies.skips import patches
from jaxviz.transform import relu_layers

__all__ = ["skips"]

SHOWN = 4
"""How many classes and images are shown."""


def skips(
    *,
    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = (
        "shapes-plain",
        "shapes-residual",
        "shapes-dense",
    ),
    weights: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None,
    data: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None,
    images: int = 500,
    cells: Annotated[tuple[int, ...], tyro.conf.arg(metavar="PIXELS...")] = (2, 4, 8, 16),
    threshold: float = 0.2,
    steps: int = 128,
    seed: int = 0,
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-skips",
) -> None:
    """Compares networks without and with skip connections: features, and images without detail.

    Example: jaxviz study skips --out skips

    Args:
      models: Ports, at least one without skip connections and one with.
      weights: A folder that holds NAME.safetensors for each model, and NAME-1.safetensors and so
        on of further training runs. By default the three packaged runs of each shapes net, and
        the ImageNet weights of the others.
      data: A folder that holds a folder of images for each class, named after the class or its
        number; by default fresh images of shapes.
      images: How many images; of a folder about so many, equally many of each class.
      cells: Sides of the cells whose pixels are shuffled, and of the patches that change places.
      threshold: A channel is active where it reaches this fraction of the layer's strongest.
      steps: Steps of activation maximization.
      seed: Of the images of shapes, the shuffles and the first images of the maximization.
      out: Folder for the page, its PNG files, the tables and numbers.json.
    """
    start = time.perf_counter()
    inputs.checked_seed(seed)
    report.check_writable(out)
    names = skips_subjects.checked_networks(models)
    _check(images, cells, threshold, steps)
    smallest = min(inputs.checked_card(name).input_size for name in names)
    if max(cells) >= smallest:
        raise Mistake(f"--cells must be below {smallest}, the input's side, not {max(cells)}")
    if data is None and not all(name.startswith("shapes-") for name in names):
        raise Mistake("--data FOLDER is needed for networks of photographs: the classes' folders")
    where = {name: skips_subjects.weights_of(name, weights) for name in names}
    source = skips_subjects.labelled(data, count=images, seed=seed)
    classes = {
        name: skips_subjects.class_of_each(source.categories, inputs.checked_card(name))
        for name in names
    }

    chosen = choose.first_of_each(source.label, count=SHOWN)
    runs: list[Run] = []
    shown: list[Shown] = []
    with progress(2 + sum(map(len, where.values())) + 2 * len(names)) as step:
        step("images")
        # Networks of one kind see the same pixels: read once.
        cards = {name: inputs.checked_card(name) for name in names}
        sizes = {(card.input_size, card.resize): card for card in cards.values()}
        display = {size: skips_subjects.shown_to(source.images, sizes[size]) for size in sizes}
        for name, card in cards.items():
            seen, label = display[card.input_size, card.resize], classes[name][source.label]
            x = np.asarray(card.normalize(seen))
            for number, one in enumerate(where[name]):
                step(f"{name}, run {number + 1} of {len(where[name])}")
                port = inputs.load_port(name, one)
                runs.append(_run(port, x, label, cells, seed))
                if number == 0:
                    some = x[chosen], seen[chosen], label[chosen]
                    shown.append(_shown(port, *some, cells, steps, seed, step))
        step("writing")
        study = Study(
            runs,
            shown,
            cells=tuple(cells),
            threshold=threshold,
            subjects=[source.categories[k] for k in source.label[chosen]],
            words=source.words,
        )
        footer = (
            f"Made by jaxviz study skips with JAX {jax.__version__} on {jax.default_backend()} in "
            f"{time.perf_counter() - start:.0f} s. The PNG files, the tables as CSV and "
            "numbers.json lie beside this page."
        )
        page = skips_page.page(study, footer=footer, seed=seed)
        files = report.write_run(
            out,
            page,
            sheets=skips_files.sheets(study),
            tables=skips_files.tables(study),
            numbers=skips_files.numbers(study) | {"seed": seed},
        )
    print(
        f"wrote {len(files)} files about {len(runs)} runs of {len(names)} networks to {out} in "
        f"{time.perf_counter() - start:.0f} s; open {Path(out) / 'index.html'}"
    )


def _check(images: int, cells: tuple[int, ...], threshold: float, steps: int) -> None:
    # One image has no error, and would make every comparison certain.
    for name, number, least in (("images", images, 2), ("steps", steps, 1)):
        if number < least:
            raise Mistake(f"--{name} must be at least {least}, not {number}")
    if not cells or min(cells) < 2 or list(cells) != sorted(set(cells)):
        given = " ".join(map(str, cells)) or "none"
        raise Mistake(f"--cells must be sides of 2 pixels or more that rise, not {given}")
    if not 0 < threshold <= 1:
        raise Mistake(f"--threshold must be above 0 and at most 1, not {threshold:g}")


def _run(port: inputs.Port, x, label, cells, seed: int) -> Run:
    """All numbers of one training run."""
    key = jax.random.key(seed)
    layers = {
        name: shape
        for name, shape in relu_layers(port.model, x[:1]).items()
        if len(shape.shape) == 4 and shape.shape[1] * shape.shape[2] > 1
    }
    return Run(
        port.name,
        port.weights,
        skips_subjects.skips(port.name),
        studies.answers(port.model, x, label),
        studies.answers_under(key, port.model, x, label, sizes=cells),
        studies.answers_under(key, port.model, x, label, sizes=cells, perturb=patches),
        {name: shape.shape[1:] for name, shape in layers.items()},
        studies.last_of_each_size(layers),
        studies.layer_peaks(port.model, x, list(layers)),
    )


def _shown(port: inputs.Port, x, images, label, cells, steps: int, seed: int, step: Step) -> Shown:
    """The pictures of a network: its classes' projections from some images, and their ascents."""
    key, cell = jax.random.key(seed), cells[min(1, len(cells) - 1)]
    step(f"{port.name}: projections")
    shuffled = jv.grid_shuffle_blur(key, x, cell=cell)
    seen = Seen(
        cell,
        images,
        np.stack([np.asarray(jv.grid_shuffle_blur(key, images, cell=side)) for side in cells]),
        np.asarray(jv.deconvnet(port.model, x, label)),
        np.asarray(jv.deconvnet(port.model, shuffled, label)),
    )
    step(f"{port.name}: what excites each class")
    how = drawing.Drawing(None, size=port.card.input_size, steps=steps, seed=seed)
    drawn = drawing.draw(port, np.asarray(label), how)
    return Shown(port.name, seen, drawn.image, drawn.score)
