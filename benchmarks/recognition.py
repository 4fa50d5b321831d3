"""`python -m benchmarks.recognition`: whether pictures of a class are taken for it by another net.

Activation maximization on the shapes nets, judged without looking: by a net of the same kind that
was trained from another seed, by the strongest of real images, and by the spectrum.
"""

from __future__ import annotations

import itertools
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
from jaxviz.studies import in_batches

NETS = ("shapes-plain", "shapes-residual", "shapes-dense")
SIZE, CLASSES, OCTAVES = 64, 10, 5

CAM = jv.cam_region("layer5")
# What the nets were trained not to mind, as far as images are concerned: place, size, direction and
# colour of an object.
TRANSFORMS = (
    jv.transforms.jitter(12),
    jv.transforms.random_scale(0.6, 1.4),
    jv.transforms.random_rotate(180.0),
    jv.transforms.colour_jitter(brightness=0.3, contrast=0.3, saturation=0.5),
)


def _sgd(steps: int, *first: optax.GradientTransformation) -> optax.GradientTransformation:
    rate = optax.cosine_decay_schedule(0.05, steps)
    return optax.chain(*first, optax.add_decayed_weights(0.5), optax.sgd(rate, momentum=0.9))


def settings_of(steps: int) -> dict[str, dict[str, Any]]:
    """What differs from a Laplacian pyramid, normalised gradients, momentum and the mask."""
    images, penalties = jv.images, jv.regularizers
    pixels = {"image": images.pixel(SIZE)}
    octaves = jv.pyramid_scale((0.25, 0.5, 1.0, 2.0))
    alone = {
        "default": {},
        "without the pyramid": pixels,
        "without normalisation": {"optimizer": _sgd(steps)},
        "without the mask": {"region": None},
        "shifts alone": {"transforms": (jv.transforms.jitter(8),)},
        "pixels, blurred every 4 steps": pixels
        | {"optimizer": optax.chain(_sgd(steps, jv.normalize_gradient()), jv.blur_every(4, 0.5))},
        "pixels, gradient by octave": pixels
        | {"optimizer": _sgd(steps, octaves, jv.normalize_gradient())},
    }
    # Each with the optimizer that its authors use.
    parameterizations: dict[str, dict[str, Any]] = {
        "Laplacian pyramid": {},
        "pixels": pixels,
        "Gaussian pyramid": {"image": images.gaussian_pyramid(SIZE)},
        "Fourier": {"image": images.fourier(SIZE), "optimizer": optax.adam(0.05)},
        "CPPN": {"image": images.cppn(SIZE), "optimizer": optax.adam(0.005)},
        "MACO": {"image": images.maco(SIZE), "optimizer": optax.nadam(1.0)},
    }
    regularisers: dict[str, dict[str, Any]] = {
        "none": {},
        "total variation": {"regularizers": (penalties.total_variation(1.0),)},
        "alpha-norm": {"regularizers": (penalties.alpha_norm(1.0),)},
    }
    grid = {
        f"{image}, {regulariser}": own | penalty
        for image, own in parameterizations.items()
        for regulariser, penalty in regularisers.items()
    }
    return alone | grid


SETTINGS = tuple(settings_of(1))


class Quality(NamedTuple):
    """One line of the table, a mean over classes and seeds."""

    net: str
    setting: str
    seeds: int
    classes: int  # of ten, that the judge recognises in more than half of the pictures
    recognised: float  # the share of pictures that the judge takes for their class
    by_another: float  # the share that a second judge takes for their class
    probability: float  # of the class, by the judge
    activation: float  # the logit over the largest logit of that class among real images
    octaves: tuple[float, ...]  # shares of energy, finest first
    # How far pictures of channels are from real images, over how far real ones are.
    neurons: float | None


def run(
    nets: tuple[str, ...] = NETS,
    settings: tuple[str, ...] = SETTINGS,
    seeds: int = 3,
    steps: int = 192,
    views: int = 4,
    neurons: bool = True,
    real: int = 2000,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None,
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None,
) -> None:
    """Makes pictures of the ten classes and of ten channels with every setting, and judges them.

    Args:
      nets: shapes nets; their judges are the same nets trained from seeds 1 and 2.
      settings: names of settings, see the table.
      seeds: how many pictures of each class.
      steps: of each ascent.
      views: how many times an image is looked at in a step.
      neurons: whether to draw channels too.
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
        model = ports.load(net, weights="shapes")
        judge, another = (ports.load(net, weights=f"shapes-{seed}") for seed in (1, 2))
        strongest = in_batches(_output, model, card.normalize(shown)).max(0)
        # What the judge's last layer with positions has of images, averaged over these.
        known, fresh = (in_batches(_seen, judge, card.normalize(x)) for x in (shown, others))
        typical = np.median(_nearest(fresh, known))
        for name in settings:
            console.print(f"{net}: {name} ...", style="dim")
            drawn = _classes(model, card, name, seeds, steps, views)
            logits = in_batches(_output, model, card.normalize(drawn))
            judged, again = (
                np.asarray(jax.nn.softmax(in_batches(_output, one, card.normalize(drawn))))
                for one in (judge, another)
            )
            label = np.tile(np.arange(CLASSES), seeds)
            own = np.arange(len(label)), label
            hit = judged.argmax(1) == label
            unlike = None
            if neurons:
                channels = _channels(model, card, name, steps)
                seen = in_batches(_seen, judge, card.normalize(channels))
                unlike = float(np.median(_nearest(seen, known)) / typical)
            rows.append(
                Quality(
                    net,
                    name,
                    seeds,
                    int((hit.reshape(seeds, CLASSES).mean(0) > 0.5).sum()),
                    float(hit.mean()),
                    float((again.argmax(1) == label).mean()),
                    float(judged[own].mean()),
                    float((logits[own] / strongest[label]).mean()),
                    tuple(_energy(drawn).tolist()),
                    unlike,
                )
            )
            if net == nets[0]:
                pictures.append([_bytes(image) for image in drawn[:CLASSES]])
            budget = {"seeds": seeds, "steps": steps, "views": views}
            keep(out, budget | {"rows": [row._asdict() for row in rows]})
    console.print(_table(rows))
    if sheet is not None:
        names = ports.card(nets[0]).categories
        drawn_sheet = report.sheet(pictures, rows=settings, columns=names)
        sheet.write_bytes(report.png_bytes(drawn_sheet))
        print(f"wrote {sheet}")


def _classes(model: Any, card: Any, setting: str, seeds: int, steps: int, views: int) -> jax.Array:
    """Pictures of all classes, seed by seed."""
    which = jnp.tile(jnp.arange(CLASSES), seeds)
    # What speaks for the class, and for no other one.
    goal = jv.objectives.logit(which) + jv.objectives.log_probability(which)
    own = {"region": CAM, "views": views} | settings_of(steps)[setting]
    return _drawn(model, card, goal, steps, own)


def _channels(model: Any, card: Any, setting: str, steps: int) -> jax.Array:
    """Pictures of single channels of the last layer that has positions, of any place in them."""
    goal = jv.objectives.channel("layer5", jnp.arange(0, 80, 8))
    own = settings_of(steps)[setting] | {"region": None, "views": 1}
    return _drawn(model, card, goal, steps, own)


def _drawn(model, card, goal, steps: int, own: dict[str, Any]) -> jax.Array:
    options: dict[str, Any] = {
        "image": jv.images.laplacian_pyramid(SIZE),
        "optimizer": _sgd(steps, jv.normalize_gradient()),
        "transforms": TRANSFORMS,
    } | own
    key = jax.random.key(0)
    return jv.maximize(
        model, goal, key=key, preprocess=card.normalize, steps=steps, **options
    ).image


@jax.jit
def _output(model, x):
    return model(x)


@jax.jit
def _seen(judge, x):
    return jv.capture(judge, x, ["layer5"])[1]["layer5"].mean((1, 2))


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
    table = Table(
        "net",
        "setting",
        "classes",
        "pictures",
        "by another",
        "probability",
        "activation",
        "octaves",
        "neurons",
    )
    for row in rows:
        table.add_row(
            row.net,
            row.setting,
            f"{row.classes} of {CLASSES}",
            f"{row.recognised:.0%}",
            f"{row.by_another:.0%}",
            f"{row.probability:.2f}",
            f"{row.activation:.2f}",
            " ".join(f"{share:.0%}" for share in row.octaves),
            "" if row.neurons is None else f"{row.neurons:.2f}",
        )
    return table


if __name__ == "__main__":
    tyro.cli(run)
