"""`jaxviz demo`: everything at a glance, on three small nets and images of shapes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float

import jaxviz as jv
from jaxviz import report
from jaxviz.cli import choose, demo_files, demo_page, drawing, inputs, maps
from jaxviz.cli.demo_page import MAIN, LayerUnits, Scene, Seen
from jaxviz.cli.progress import Step, progress

__all__ = ["demo"]

NETS = ("shapes-plain", "shapes-residual", "shapes-dense")
LAYERS = ("layer1", "layer2", "layer3", "layer4", "layer5")
UNITS = 10
IMAGES = 6
SEARCHED = 200
TESTED = 300
STEPS = 128


def demo(
    *,
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-demo",
    seed: int = 0,
) -> None:
    """Shows what three small packaged nets see in fresh images of shapes; needs no download.

    Example: jaxviz demo --out jaxviz-demo

    Args:
      out: Folder for the page, its PNG files, the sheets and numbers.json.
      seed: Which images are drawn.
    """
    start = time.perf_counter()
    inputs.checked_seed(seed)
    report.check_writable(out)
    with progress(3 + 2 * len(NETS) + len(LAYERS)) as step:
        step("drawing images")
        ports = [inputs.load_port(name, None) for name in NETS]
        drawn = jv.data.shapes(jax.random.key(1000 + seed), TESTED)
        scene = Scene(
            np.asarray(drawn.image),
            np.asarray(drawn.label),
            chosen=choose.first_of_each(np.asarray(drawn.label), count=IMAGES),
            occluder=maps.Occluder(window=8, stride=4, fill="mean"),
        )
        seen = [_seen(port, scene, step) for port in ports]
        main = ports[NETS.index(MAIN)]
        step(f"{MAIN}: what excites each class")
        classes = np.arange(main.classes)
        how = drawing.Drawing(None, size=main.card.input_size, steps=STEPS, seed=seed)
        drawn_classes = drawing.draw(main, classes, how)
        exciting = demo_page.Exciting(drawn_classes.image, drawn_classes.score)
        images = scene.image[:SEARCHED]
        values = _activations(main.model, main.card.normalize(images))
        layers = []
        for layer in LAYERS:
            step(f"{MAIN}: {layer}")
            layers.append(_layer_units(main, layer, np.asarray(values[layer]), images))
        step("writing")
        footer = (
            f"Made by jaxviz demo with JAX {jax.__version__} on {jax.default_backend()} in "
            f"{time.perf_counter() - start:.0f} s. The PNG files, three sheets and numbers.json "
            "lie beside this page."
        )
        page = demo_page.page(
            scene, seen, layers, exciting, searched=len(images), footer=footer, seed=seed
        )
        files = report.write_run(
            out,
            page,
            sheets=demo_files.sheets(page, seen),
            numbers=demo_files.numbers(scene, seen, layers, exciting) | {"seed": seed},
        )
    seconds = time.perf_counter() - start
    print(f"wrote {len(files)} files to {out} in {seconds:.0f} s; open {Path(out) / 'index.html'}")


def _seen(port: inputs.Port, scene: Scene, step: Step) -> Seen:
    step(f"{port.name}: classes")
    x = np.asarray(port.card.normalize(scene.image))
    probability = maps.softmax(maps.logits_of(port.model, x))
    step(f"{port.name}: maps")
    found = maps.maps_of(
        port.model,
        x[scene.chosen],
        probability[scene.chosen].argmax(-1),
        methods=maps.METHODS if port.name == MAIN else ("deconvnet", "grad-cam", "occlusion"),
        layer=choose.last_spatial(port.layers),
        occluder=scene.occluder,
    )
    return Seen(port, probability, found)


@jax.jit
def _activations(model: Any, x: Float[Array, "n h w c"]) -> dict[str, Float[Array, "n h w c"]]:
    return jv.capture(model, x, LAYERS)[1]


def _layer_units(
    port: inputs.Port,
    layer: str,
    activations: Float[np.ndarray, "n h w c"],
    images: Float[np.ndarray, "n h w 3"],
) -> LayerUnits:
    units = choose.strongest_units(activations, count=UNITS)
    x = port.card.normalize(images[units.image])
    strongest = jv.objectives.strongest(layer, jnp.asarray(units.channel))
    # The gradient of a^2 / 2 is a: the projection keeps the activation's own value.
    projected = np.asarray(jv.deconvnet(port.model, x, 0.5 * strongest**2))
    places = choose.support(projected)
    return LayerUnits(
        layer,
        units,
        [image[place] for image, place in zip(images[units.image], places, strict=True)],
        [map[place] for map, place in zip(projected, places, strict=True)],
    )
