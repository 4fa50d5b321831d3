"""`python -m benchmarks.pointing`: how often the peak of each map lies in the object.

The pointing game (Zhang et al., Top-down neural attention, 2016) on the shapes set, whose masks are
known: no time is measured here, but what the maps are worth.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Table

import jaxviz as jv
import ports

NETS = ("shapes-plain", "shapes-residual", "shapes-dense")


def _largest(projection: jax.Array) -> jax.Array:
    return jnp.abs(projection).max(-1)


def _methods(size: int) -> dict[str, Callable]:
    def grad_cam(model, x, label):
        return jax.image.resize(
            jv.grad_cam(model, x, label, layer="layer5"), (len(x), size, size), "linear"
        )

    def occlusion(window, stride, fill):
        return lambda model, x, label: jv.occlusion(
            model, x, label, window=(window, window), stride=(stride, stride), fill=fill(x)
        ).to_pixels()

    def mean_colour(x):
        return x.mean((1, 2), keepdims=True)

    return {
        "a random pixel": lambda model, x, label: jax.random.uniform(
            jax.random.key(0), x.shape[:3]
        ),
        "saliency": lambda *asked: _largest(jv.saliency(*asked)),
        "guided backpropagation": lambda *asked: _largest(jv.guided_backprop(*asked)),
        "deconvnet": lambda *asked: _largest(jv.deconvnet(*asked)),
        "Grad-CAM": grad_cam,
        "occlusion, grey, 16 px": occlusion(16, 8, lambda x: 0.0),
        "occlusion, mean colour, 8 px": occlusion(8, 4, mean_colour),
    }


def run(
    count: int = 500,
    seed: int = 7,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None,
) -> None:
    """Plays the pointing game with every map, on the three shapes nets.

    Args:
      count: fresh images.
      seed: which ones.
      out: where to write the figures.
    """
    images, labels, masks = jv.data.shapes(jax.random.key(seed), count)
    found: dict[str, dict[str, float]] = {}
    for net in NETS:
        model, card = ports.load(net, weights="shapes"), ports.card(net)
        x = card.normalize(images)
        for name, method in _methods(images.shape[1]).items():
            peak = jnp.argmax(method(model, x, labels).reshape(count, -1), 1)
            hit = masks.reshape(count, -1)[jnp.arange(count), peak].mean()
            found.setdefault(name, {})[net] = round(float(hit), 4)
    table = Table("peak in the object", *NETS)
    for name, row in found.items():
        table.add_row(name, *(f"{100 * row[net]:.1f} %" for net in NETS))
    Console().print(table)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"count": count, "seed": seed, "hits": found}, indent=1) + "\n")
        print(f"wrote {out}")


if __name__ == "__main__":
    tyro.cli(run)
