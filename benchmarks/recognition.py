"""`python -m benchmarks.recognition`: whether pictures of a class are taken for it by another net.

Activation maximization on the shapes nets, judged without looking: by a net of the same kind that
was trained from another seed, by the strongest of real images, and by the spectrum.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from rich.console import Console
from rich.table import Table

import jaxviz as jv
import ports
from benchmarks.record import keep
from jaxviz import report

NETS = ("shapes-plain", "shapes-residual", "shapes-dense")
SIZE, CLASSES, OCTAVES = 64, 10, 5

CAM = jv.cam_region("layer5")


def _descent(*first: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.chain(*first, optax.add_decayed_weights(0.5), optax.sgd(0.01, momentum=0.9))


_images = jv.images
SETTINGS: dict[str, dict[str, Any]] = {
    # The default, and what it is without one of its parts.
    "Laplacian pyramid": {},
    "without the pyramid": {"image": _images.pixel(SIZE)},
    "without normalisation": {"optimizer": _descent()},
    "without the mask": {"region": None},
    # Other parameterizations, with the optimizers that their authors use.
    "Gaussian pyramid": {"image": _images.gaussian_pyramid(SIZE)},
    "Fourier": {"image": _images.fourier(SIZE), "optimizer": optax.adam(0.05)},
    "CPPN": {"image": _images.cppn(SIZE), "optimizer": optax.adam(0.005)},
    "MACO": {"image": _images.maco(SIZE), "optimizer": optax.nadam(1.0)},
    # Regularisers on the default.
    "total variation": {"regularizers": (jv.regularizers.total_variation(10.0),)},
    "alpha-norm": {"regularizers": (jv.regularizers.alpha_norm(10.0),)},
    "blur every 4 steps": {
        "image": _images.pixel(SIZE),
        "optimizer": optax.chain(_descent(jv.normalize_gradient()), jv.blur_every(4, 0.5)),
    },
    "gradient by octave": {
        "image": _images.pixel(SIZE),
        "optimizer": _descent(jv.pyramid_scale((0.25, 0.5, 1.0, 2.0)), jv.normalize_gradient()),
    },
    "4 views": {"views": 4},
}


class Quality(NamedTuple):
    """One line of the table, a mean over classes and seeds."""

    net: str
    setting: str
    recognised: float  # the share of pictures that the judge takes for their class
    probability: float  # of the class, by the judge
    activation: float  # the logit over the largest logit of that class among real images
    octaves: tuple[float, ...]  # shares of energy, finest first
    neurons: float  # how far pictures of channels are from real images, over how far real ones are


def run(
    nets: tuple[str, ...] = NETS,
    settings: tuple[str, ...] = tuple(SETTINGS),
    seeds: int = 3,
    steps: int = 256,
    real: int = 2000,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None,
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None,
) -> None:
    """Makes pictures of the ten classes and of ten channels with every setting, and judges them.

    Args:
      nets: shapes nets; their judges are the same nets trained from seed 1.
      settings: names of settings, see the table.
      seeds: how many pictures of each class.
      steps: of each ascent.
      real: how many fresh images of the shapes set stand for real ones.
      out: where to write the figures, with the device and the versions.
      sheet: where to write the pictures of the first net and seed.
    """
    console = Console()
    shown, _, _ = jv.data.shapes(jax.random.key(5), real)
    others, _, _ = jv.data.shapes(jax.random.key(6), 200)
    rows: list[Quality] = []
    pictures: list[list[np.ndarray]] = []
    for net in nets:
        card = ports.card(net)
        model, judge = ports.load(net, weights="shapes"), ports.load(net, weights="shapes-1")
        strongest = _in_batches(model, card.normalize(shown)).max(0)
        seen = _seen_by(judge, card)
        known = seen(shown)
        typical = np.median(_nearest(seen(others), known))
        for name in settings:
            console.print(f"{net}: {name} ...", style="dim")
            drawn = _classes(model, card, name, seeds, steps)
            logits = _in_batches(model, card.normalize(drawn))
            judged = jax.nn.softmax(_in_batches(judge, card.normalize(drawn)))
            label = np.tile(np.arange(CLASSES), seeds)
            own = np.arange(len(label)), label
            channels = _channels(model, card, name, steps)
            rows.append(
                Quality(
                    net,
                    name,
                    float((judged.argmax(1) == label).mean()),
                    float(judged[own].mean()),
                    float((logits[own] / strongest[label]).mean()),
                    tuple(_energy(drawn).tolist()),
                    float(np.median(_nearest(seen(channels), known)) / typical),
                )
            )
            if net == nets[0]:
                pictures.append([_bytes(image) for image in drawn[:CLASSES]])
            keep(out, {"seeds": seeds, "steps": steps, "rows": [row._asdict() for row in rows]})
    console.print(_table(rows))
    if sheet is not None:
        names = ports.card(nets[0]).categories
        drawn_sheet = report.sheet(pictures, rows=settings, columns=names)
        sheet.write_bytes(report.png_bytes(drawn_sheet))
        print(f"wrote {sheet}")


def _classes(model: Any, card: Any, setting: str, seeds: int, steps: int) -> jax.Array:
    """Pictures of all classes, seed by seed."""
    goal = jv.objectives.logit(jnp.tile(jnp.arange(CLASSES), seeds))
    return _drawn(model, card, setting, goal, steps, region=CAM)


def _channels(model: Any, card: Any, setting: str, steps: int) -> jax.Array:
    """Pictures of single channels of the last layer that has positions."""
    goal = jv.objectives.channel("layer5", jnp.arange(0, 80, 8))
    return _drawn(model, card, setting, goal, steps, region=None)


def _drawn(model, card, setting, goal, steps, *, region) -> jax.Array:
    options: dict[str, Any] = {
        "image": _images.laplacian_pyramid(SIZE),
        "region": region,
        **SETTINGS[setting],
    }
    return jv.maximize(
        model,
        goal,
        key=jax.random.key(0),
        preprocess=card.normalize,
        transforms=(jv.transforms.jitter(8),),
        steps=steps,
        **options,
    ).image


@jax.jit
def _output(model, x):
    return model(x)


def _in_batches(model, x) -> np.ndarray:
    return np.concatenate([_output(model, part) for part in np.split(x, range(200, len(x), 200))])


def _seen_by(judge: Any, card: Any) -> Callable[[jax.Array], np.ndarray]:
    """What the judge's last layer with positions has of images, averaged over these."""
    look = jax.jit(lambda judge, x: jv.capture(judge, x, ["layer5"])[1]["layer5"].mean((1, 2)))

    def seen(images):
        parts = np.split(images, range(200, len(images), 200))
        return np.concatenate([look(judge, card.normalize(jnp.asarray(part))) for part in parts])

    return seen


def _nearest(features: np.ndarray, known: np.ndarray) -> np.ndarray:
    """How far the nearest of the known ones is."""
    return np.sqrt(((features[:, None] - known) ** 2).sum(-1).min(1))


def _energy(images: jax.Array) -> np.ndarray:
    """The share of the images' energy around their mean that lies in each octave, finest first."""
    waves = np.abs(np.fft.fft2(np.asarray(images, float), axes=(1, 2))) ** 2
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE))
    edges = [np.inf, *(0.5 ** np.arange(2, OCTAVES + 1)), 1e-9]
    shares = [
        waves[:, (frequency >= low) & (frequency < high)].sum((1, 2))
        for high, low in itertools.pairwise(edges)
    ]
    return (np.array(shares) / np.sum(shares, 0)).mean(1)


def _bytes(image: jax.Array) -> np.ndarray:
    return np.asarray(jnp.round(255 * image), np.uint8)


def _table(rows: list[Quality]) -> Table:
    table = Table("net", "setting", "recognised", "probability", "activation", "octaves", "neurons")
    for row in rows:
        table.add_row(
            row.net,
            row.setting,
            f"{row.recognised:.0%}",
            f"{row.probability:.2f}",
            f"{row.activation:.2f}",
            " ".join(f"{share:.0%}" for share in row.octaves),
            f"{row.neurons:.2f}",
        )
    return table


if __name__ == "__main__":
    tyro.cli(run)
