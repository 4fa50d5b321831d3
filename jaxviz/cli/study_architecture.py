"""`jaxviz study architecture`: the first layers of two networks, ZFNet's and AlexNet's."""

from __future__ import annotations

import math
import time
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from flax import nnx

import jaxviz as jv
from jaxviz import report, studies, training
from jaxviz.cli import inputs, pictures, skips_subjects
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import Step, progress
from jaxviz.cli.study_subject import Subject, class_labels, subject, write_study
from jaxviz.studies import FirstLayer

__all__ = ["architecture"]

WIDTH = 0.25
"""How wide the nets are that are trained here, as a part of the published ones."""

START = 0.01
"""The standard deviation of the first layer's weights before the training."""

BATCH = 64
PER_EPOCH = 100

TRAINED = ("alexnet", "zfnet")
"""The networks that are trained where no weights are given."""


def architecture(
    *,
    models: Annotated[tuple[str, str], tyro.conf.arg(metavar="COARSE FINE")] = TRAINED,
    weights: Annotated[str | None, tyro.conf.arg(metavar="DIR|random")] = None,
    data: Annotated[str, tyro.conf.arg(metavar="SET")] = "shapes",
    images: int = 200,
    steps: int = 600,
    seed: int = 0,
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-architecture",
) -> None:
    """Compares the first layers of two networks: their filters, dead ones, and aliasing.

    Example: jaxviz study architecture --steps 1200 --out architecture

    Args:
      models: Two ports, the one with the coarser first layer first.
      weights: A folder that holds NAME.safetensors of both, or "random". By default both are
        trained here, a quarter as wide as published, on shapes of 64 pixels.
      data: Images that the filters see: shapes, digits, tfds:NAME:SPLIT, or a folder of classes'
        folders.
      images: How many of them.
      steps: Steps of training, of 64 fresh images each; a few more where they do not make whole
        epochs of up to 100.
      seed: Which images, and of the training.
      out: Folder for the page, its PNG files and numbers.json.
    """
    start = time.perf_counter()
    report.check_writable(out)
    inputs.checked_seed(seed)
    if models[0] == models[1]:
        raise Mistake(f"--models must be two networks, not {models[0]} twice")
    for name in models:
        inputs.checked_card(name)
        if weights is None and name not in TRAINED:
            raise Mistake(
                f"--weights is needed for {name}; only alexnet and zfnet are trained here"
            )
    if steps < 1:
        raise Mistake(f"--steps must be at least 1, not {steps}")
    with progress(4) as step:
        seen: list[Subject] = []
        found: list[FirstLayer] = []
        for name in models:
            step(name)
            if weights is None:
                port = _trained(name, steps, seed, step)
            elif weights == "random":
                port = inputs.load_port(name, weights)
            else:
                port = inputs.load_port(name, skips_subjects.weights_of(name, weights)[0])
            seen.append(subject(port, data, images=images, seed=seed))
            found.append(studies.first_layer(port.model, seen[-1].x))
        step("writing")
        page = report.Page(
            f"The first layers of {models[0]} and {models[1]}",
            [
                _table(seen, found),
                *(_filters(one, layer) for one, layer in zip(seen, found, strict=True)),
            ],
            lead="A filter is dead that hardly responds to any image. A stride folds frequencies "
            "that are too fine for it onto coarser ones, and nothing tells them apart: aliasing.",
            facts=[
                *((one.port.name, one.port.weights) for one in seen),
                ("Images", seen[0].words),
                ("Seed", str(seed)),
            ],
        )
        write_study(
            out,
            page,
            command="architecture",
            start=start,
            claims=[],
            numbers={
                "images": seen[0].words,
                # One run of each network: filters of one net are no sample of what its plan does.
                "claims": [],
                "networks": {
                    one.port.name: _numbers(one, layer, data)
                    for one, layer in zip(seen, found, strict=True)
                },
                "seed": seed,
            },
        )


def _trained(name: str, steps: int, seed: int, step: Step) -> inputs.Port:
    """A narrow net of this plan, trained on the endless set of shapes."""
    import ports

    card = ports.card("shapes-plain")._replace(name=name)
    model: Any = ports.new(name, rngs=nnx.Rngs(seed), num_classes=len(card.categories), width=WIDTH)
    # Small at first, as the paper's are, or what is drawn at random would hide what is learnt.
    first = getattr(model.features, "0").kernel
    first[...] = first[...] * (START / first[...].std())
    source = training.ShapesSource(mean=card.mean[0], std=card.std[0], size=card.input_size)
    epochs = math.ceil(steps / PER_EPOCH)
    per_epoch = math.ceil(steps / epochs)
    steps = epochs * per_epoch
    trained = training.train(
        model,
        source,
        key=jax.random.key(seed),
        epochs=epochs,
        steps_per_epoch=per_epoch,
        batch=BATCH,
        test_count=BATCH,
        # Without batch normalisation, the rate of the shapes nets would kill most filters.
        optimizer=training.adamw(steps, peak=1e-3),
    )
    size = card.input_size
    shapes = jv.layers(trained.model, jax.ShapeDtypeStruct((1, size, size, 3), "float32"))
    words = f"{WIDTH:g} as wide, {steps} steps on shapes, seed {seed}"
    return inputs.Port(name, words, trained.model, card, shapes, len(card.categories))


def _accuracy(seen: Subject) -> float:
    told = studies.answers(seen.port.model, seen.x, class_labels(seen))
    return float(told.right.mean())


def _measures(layer: FirstLayer) -> dict[str, float]:
    rms = layer.rms
    return {
        "filters": len(layer.dead),
        "dead": float(layer.dead.mean()),
        "folded": float(layer.folded.mean()),
        "rms_median": float(np.median(rms)),
        "rms_largest_over_median": float(rms.max() / max(np.median(rms), 1e-30)),
    }


def _table(seen: list[Subject], found: list[FirstLayer]) -> report.Section:
    rows = []
    for one, layer in zip(seen, found, strict=True):
        measured = _measures(layer)
        size = " × ".join(map(str, layer.kernel.shape[:2]))
        rows.append(
            [
                one.port.name,
                f"{measured['filters']} of {size}, stride {layer.stride[0]}",
                f"{100 * measured['dead']:.1f} %",
                f"{100 * measured['folded']:.1f} %",
                f"{measured['rms_median']:.3f}",
                f"{measured['rms_largest_over_median']:.2f}",
            ]
        )
    columns = ["network", "filters", "dead", "folded", "median RMS", "largest / median"]
    return report.Section(
        "Numbers",
        [report.Table(columns, rows)],
        [
            "Dead: the peak over all images is below a hundredth of the strongest filter's. "
            "Folded: the share of a filter's response, read at all places, that is finer than its "
            "stride can hold, the mean over the filters. RMS: of a filter's weights.",
            "These are one run of each network, so there is no verdict: another run may differ by "
            "as much. What is folded follows in part from the stride alone, since a larger one "
            "holds fewer frequencies whatever the filters are. Zeiler & Fergus also scale filters "
            "back during the training whose RMS exceeds 0.1; here nothing is clipped.",
        ],
    )


def _filters(seen: Subject, layer: FirstLayer) -> report.Section:
    """All filters in one picture, the strongest first, with one scale and each with its own."""
    order = np.argsort(-layer.rms, kind="stable")
    filters = np.moveaxis(layer.kernel, -1, 0)[order]
    if filters.shape[-1] != 3:  # more channels than colours: their mean
        filters = np.repeat(filters.mean(-1, keepdims=True), 3, -1)
    name = seen.port.name
    shown = {
        "together": (report.contrast(filters), "one scale for all"),
        "each": (np.stack([report.contrast(one) for one in filters]), "each on its own scale"),
    }
    figures = [
        report.Figure(
            [
                report.Picture(
                    f"filters-{report.file_stem(name)}-{which}",
                    pictures.enlarged(_mosaic(tiles), least=480, smooth=False),
                    f"First-layer filters of {name}, {words}",
                    smooth=False,
                )
            ],
            name,
            words,
        )
        for which, (tiles, words) in shown.items()
    ]
    return report.Section(f"Filters of {name}", [report.Gallery(figures, size=360)])


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """Tiles in rows, with white lines between them."""
    count, height, width, _ = tiles.shape
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    sheet = np.ones((down * (height + 1) + 1, across * (width + 1) + 1, 3))
    for i, tile in enumerate(tiles):
        top, left = (height + 1) * (i // across) + 1, (width + 1) * (i % across) + 1
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _numbers(seen: Subject, layer: FirstLayer, data: str) -> dict[str, Any]:
    trained_here = "on shapes" in seen.port.weights
    return {
        "weights": seen.port.weights,
        **({"accuracy": _accuracy(seen)} if trained_here and data.startswith("shapes") else {}),
        "kernel": layer.kernel.shape,
        "stride": layer.stride,
        **_measures(layer),
        "peaks": layer.peak,
        "folded_by_filter": layer.folded,
        "rms": layer.rms,
    }
