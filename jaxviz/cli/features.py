"""`jaxviz features`: images that excite channels or classes most."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float, Int

import jaxviz as jv
from jaxviz import report
from jaxviz.cli import choose, inputs, pictures
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress

__all__ = ["exciting_images", "features"]

AT_ONCE = 10


def exciting_images(
    port: inputs.Port,
    units: Int[np.ndarray, " k"],
    *,
    layer: str | None,
    key: Array,
    size: int,
    steps: int,
) -> tuple[Float[np.ndarray, "k h w 3"], Float[np.ndarray, " k"]]:
    """An image that maximizes each of some units.

    Args:
      port: the model and its card.
      units: channels of `layer`, or classes.
      layer: the layer of the channels; None for class logits.
      key: a JAX random key.
      size: side of the images, in pixels.
      steps: of gradient ascent.

    Returns:
      Images in [0, 1], and each unit's final activation (a mean over the map) or logit.
    """
    which = jnp.asarray(units)
    goal = jv.objectives.logit(which) if layer is None else jv.objectives.channel(layer, which)
    found = jv.maximize(
        port.model,
        goal,
        key=key,
        image=jv.images.laplacian_pyramid(size),
        preprocess=port.card.normalize,
        steps=steps,
    )
    scores = _scores(port.model, port.card.normalize(found.image), goal)
    return np.asarray(found.image), np.asarray(scores)


@jax.jit
def _scores(model: Any, x: Array, goal: jv.objectives.Objective) -> Array:
    return jv.objectives.score(model, x, goal)[1]


def features(
    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")],
    *,
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    layer: Annotated[str | None, tyro.conf.arg(metavar="LAYER")] = None,
    channels: Annotated[tuple[int, ...], tyro.conf.arg(metavar="NUMBER...")] = (),
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS...")] = (),
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-features",
    steps: int = 256,
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    seed: int = 0,
) -> None:
    """Draws images that excite single channels of a layer, or classes, most.

    Example: jaxviz features shapes-residual --layer layer4 --channels 0 1 2 --out features

    Args:
      model: A port; `jaxviz layers` lists them.
      weights: As for `jaxviz explain`.
      layer: The layer of the channels; `jaxviz layers MODEL` lists them.
      channels: Which channels of the layer; by default the first nine.
      classes: Classes instead of channels, by number or name.
      out: Folder for the page, its PNG files, the sheet and numbers.json.
      steps: Steps of gradient ascent.
      size: Side of the images; by default that of the model's input.
      seed: Of the first image and of the jitter.
    """
    start = time.perf_counter()
    report.check_writable(out)
    inputs.checked_seed(seed)
    inputs.checked_card(model)
    if (layer is None) == (not classes):
        raise Mistake("features needs either --layer (and --channels) or --classes")
    if layer is None and channels:
        raise Mistake("--channels needs --layer, whose channels they are")
    if steps < 1:
        raise Mistake(f"--steps must be at least 1, not {steps}")
    port = inputs.load_port(model, weights)
    side = port.card.input_size if size is None else size
    if not 8 <= side <= 2048:
        raise Mistake(f"--size must be from 8 to 2048 pixels, not {side}")
    if layer is not None:
        units = _channels(port, layer, channels)
        titles = [f"channel {c}" for c in units]
    else:
        units = [
            choose.class_index(
                c, categories=port.card.categories, count=port.classes, option="--classes"
            )
            for c in classes
        ]
        titles = [port.category(c) for c in units]

    drawn, scores = [], []
    chunk = min(AT_ONCE if side <= 96 else 4, len(units))
    with progress(-(-len(units) // chunk) + 1) as step:
        for i in range(0, len(units), chunk):
            step(", ".join(titles[i : i + chunk]))
            some = (units[i : i + chunk] + units[-1:] * chunk)[:chunk]
            key = jax.random.fold_in(jax.random.key(seed), i)
            images, values = exciting_images(
                port, np.array(some), layer=layer, key=key, size=side, steps=steps
            )
            drawn += [pictures.enlarged(image, least=192) for image in images]
            scores += [float(value) for value in values]
        drawn, scores = drawn[: len(units)], scores[: len(units)]
        step("writing")
        what = f"{layer} of {port.name}" if layer else f"{port.name}'s classes"
        shown = [
            report.Figure(
                [report.Picture(f"{n + 1:03d}-{report.file_stem(t)}", p, f"What excites {t} most")],
                t,
                f"{'mean activation' if layer else 'logit'} {s:.3g}",
            )
            for n, (t, p, s) in enumerate(zip(titles, drawn, scores, strict=True))
        ]
        page = report.Page(
            f"What excites {what} most",
            [report.Section("Activation maximization", [report.Gallery(shown, size=200)])],
            lead="Images found by gradient ascent from noise: no photograph was used.",
            facts=[("Model", port.name), ("Weights", port.weights), ("Steps", str(steps))],
            footer=f"Made by jaxviz with JAX {jax.__version__} on {jax.default_backend()} in "
            f"{time.perf_counter() - start:.0f} s.",
        )
        across = min(5, len(drawn))
        starts = range(0, len(drawn), across)
        sheet = report.sheet(
            [drawn[i : i + across] for i in starts],
            captions=[titles[i : i + across] for i in starts],
            title=page.title,
        )
        files = report.write_run(
            out,
            page,
            sheets=[report.Picture("sheet", sheet, page.title)],
            numbers={
                "model": port.name,
                "weights": port.weights,
                "layer": layer,
                "units": [
                    {"index": int(u), "name": t, "score": s}
                    for u, t, s in zip(units, titles, scores, strict=True)
                ],
            },
        )
    print(f"wrote {len(files)} files about {what} to {out}; open {Path(out) / 'index.html'}")


def _channels(port: inputs.Port, layer: str, channels: tuple[int, ...]) -> list[int]:
    """The channels to draw; one that the layer does not have is a mistake."""
    count = port.layers[inputs.checked_layer(port, layer)].shape[-1]
    for channel in channels:
        if not 0 <= channel < count:
            raise Mistake(f"--channels of {layer} must be from 0 to {count - 1}, not {channel}")
    return list(channels) or list(range(min(9, count)))
