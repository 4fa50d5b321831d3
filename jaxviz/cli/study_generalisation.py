"""`jaxviz study generalisation`: what linear classifiers read out of each layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from jaxviz import report, studies
from jaxviz.cli import inputs
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.cli.study_claims import claim_numbers, claim_section
from jaxviz.cli.study_subject import checked_layers, subject, top_layer, write_study
from jaxviz.studies import Generalisation
from jaxviz.transform import relu_layers

__all__ = ["generalisation"]

MOST = 16
"""Of a network with more ReLUs than this, only the last at each size is probed by default."""

CURVES = 7
"""How many layers have a curve of their own."""

NETWORKS = ("trained", "random weights")


def generalisation(
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = "shapes-plain",
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    data: Annotated[str, tyro.conf.arg(metavar="SET")] = "shapes",
    images: int = 1000,
    layers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LAYER...")] = (),
    counts: Annotated[tuple[int, ...], tyro.conf.arg(metavar="IMAGES...")] = (1, 2, 5, 10, 20, 50),
    seed: int = 0,
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-generalisation",
) -> None:
    """Trains a linear classifier on each layer's features, from few and from many images.

    Example: jaxviz study generalisation --model shapes-plain --data digits --out generalisation

    Args:
      model: A port; `jaxviz layers` lists them.
      weights: As for `jaxviz explain`.
      data: Labelled images of any classes: shapes, digits, tfds:NAME:SPLIT, or a folder of
        classes' folders.
      images: How many images: half to train on, a quarter each to choose the penalty and to test.
      layers: By default all ReLUs (of a network with more than 16, the last at each size of maps)
        and the last layer before the logits.
      counts: Training images of each class.
      seed: Which images, and what each is for.
      out: Folder for the page, its PNG files, accuracy.csv and numbers.json.
    """
    start = time.perf_counter()
    report.check_writable(out)
    inputs.checked_seed(seed)
    inputs.checked_card(model)
    if not counts or min(counts) < 1 or list(counts) != sorted(set(counts)):
        given = " ".join(map(str, counts)) or "none"
        raise Mistake(f"--counts must be numbers of images that rise, not {given}")
    port = inputs.load_port(model, weights)
    names = checked_layers(port, layers, _default(port))
    with progress(4) as step:
        step("images")
        seen = subject(port, data, images=images, seed=seed, least=8)
        categories, label = np.unique(seen.label, return_inverse=True)
        found = {}
        for words, one in zip(NETWORKS, (port, inputs.load_port(model, "random")), strict=True):
            step(f"probes, {words}")
            features = studies.pooled_features(one.model, seen.x, names)
            found[words] = studies.generalisation(
                jax.random.key(seed), features, label, counts=counts
            )
        step("writing")
        trained, untrained = found.values()
        claims = [
            studies.higher_layers_claim(trained),
            studies.trained_features_claim(trained, untrained),
        ]
        page = report.Page(
            f"What can be read out of {port.name}, layer by layer",
            [
                claim_section(claims, error="± is the standard error over the test images."),
                _charts(found),
                *(_table(words, one) for words, one in found.items()),
            ],
            lead="The network stays as it is. A linear classifier is trained on the features of "
            "each layer, averaged over the cells of a 4 × 4 grid where they have places.",
            facts=[
                *seen.facts(),
                ("Classes", str(len(categories))),
                ("Test images", str(trained.right.shape[-1])),
                ("Seed", str(seed)),
            ],
        )
        write_study(
            out,
            page,
            command="generalisation",
            start=start,
            claims=claims,
            tables={"accuracy": _rows(found)},
            numbers={
                "model": port.name,
                "weights": port.weights,
                "images": seen.words,
                "categories": [seen.categories[k] for k in categories],
                "claims": claim_numbers(claims),
                "layers": trained.layers,
                "counts": trained.counts,
                **{words.replace(" ", "_"): _numbers(one) for words, one in found.items()},
                "seed": seed,
            },
        )


def _default(port: inputs.Port) -> list[str]:
    size = port.card.input_size
    relus = relu_layers(port.model, jax.ShapeDtypeStruct((1, size, size, 3), "float32"))
    names = list(relus) if len(relus) <= MOST else studies.last_of_each_size(relus)
    return list(dict.fromkeys([*names, top_layer(port)]))


def _charts(found: dict[str, Generalisation]) -> report.Section:
    trained = found["trained"]
    mean = {words: one.mean for words, one in found.items()}
    some = sorted({0, len(trained.counts) // 2, len(trained.counts) - 1})
    by_layer = {
        f"{words}, {trained.counts[n]} a class": mean[words][:, n].tolist()
        for words in found
        for n in (some if words == "trained" else some[-1:])
    }
    which = np.unique(np.linspace(0, len(trained.layers) - 1, CURVES).round().astype(int))
    by_count = {trained.layers[i]: mean["trained"][i].tolist() for i in which}
    spread = {trained.layers[i]: np.nan_to_num(trained.spread[i]).tolist() for i in which}
    charts = [
        (
            "layers",
            "Layer by layer",
            report.line_chart(
                list(range(len(trained.layers))),
                by_layer,
                across="layer",
                up="accuracy",
                ticks=_short(trained.layers),
                size=(400, 880),
            ),
        ),
        (
            "counts",
            "From few images",
            report.line_chart(
                list(range(len(trained.counts))),
                by_count,
                across="training images of each class",
                up="accuracy",
                errors=spread,
                ticks=[str(count) for count in trained.counts],
                size=(400, 640),
            ),
        ),
    ]
    figures = [
        report.Figure([report.Picture(name, pixels, f"Accuracy: {title}")], title)
        for name, title, pixels in charts
    ]
    return report.Section("Accuracy on test images", [report.Gallery(figures, size=480)])


def _short(layers: Sequence[str]) -> list[str]:
    """Names for ticks, in two lines where they are long."""
    return [name.replace(".", "\n", 1) for name in layers]


def _table(words: str, found: Generalisation) -> report.Section:
    rows = [
        [layer, *map(_share, means, spreads)]
        for layer, means, spreads in zip(found.layers, found.mean, found.spread, strict=True)
    ]
    return report.Section(
        words.capitalize(),
        [
            report.Table(
                ["layer", *(f"{count} a class" for count in found.counts)],
                rows,
                caption="Test images that are right: mean and standard deviation over draws of the "
                "training images; the mean alone where only one draw is possible",
            )
        ],
    )


def _share(mean: float, spread: float) -> str:
    return f"{100 * mean:.1f}" + ("" if np.isnan(spread) else f" ± {100 * spread:.1f}") + " %"


def _rows(found: dict[str, Generalisation]) -> report.Table:
    return report.Table(
        ["network", "layer", "images of each class", "draw", "accuracy", "penalty"],
        [
            [words, layer, count, draw, f"{one.accuracy[i, j, draw]:.6f}", one.penalty[i, j, draw]]
            for words, one in found.items()
            for i, layer in enumerate(one.layers)
            for j, count in enumerate(one.counts)
            for draw in np.flatnonzero(np.isfinite(one.accuracy[i, j])).tolist()
        ],
    )


def _numbers(found: Generalisation) -> dict[str, Any]:
    return {
        "accuracy": found.mean,
        # JSON has no NaN.
        "std": np.where(np.isnan(found.spread), np.array(None), found.spread).tolist(),
        "largest_gradient": found.gradient,
    }
