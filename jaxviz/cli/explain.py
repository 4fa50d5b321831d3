"""`jaxviz explain`: what a network sees in photographs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import numpy as np
import tyro

from jaxviz import report
from jaxviz.cli import choose, inputs, maps, pictures
from jaxviz.cli.progress import progress

__all__ = ["Asked", "explain", "target_of", "written"]

BATCH = 4
TOP = 5


def explain(
    images: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE...")],
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")],
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-explain",
    target: Annotated[str | None, tyro.conf.arg(metavar="CLASS")] = None,
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="METHOD...")] = maps.METHODS,
    layer: Annotated[str | None, tyro.conf.arg(metavar="LAYER")] = None,
    window: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    stride: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    fill: Annotated[str, tyro.conf.arg(metavar="NUMBER|mean")] = "0",
) -> None:
    """Shows what a network sees in photographs: classes and maps on one page.

    Example: jaxviz explain photo.jpg --model vgg16 --weights vgg16.safetensors --out seen

    Args:
      images: Image files, and folders of them.
      model: A port; `jaxviz layers` lists them.
      weights: A .safetensors or .pth file, an Orbax directory, "imagenet", or "random". By
        default the packaged weights of the shapes nets, "imagenet" for the others.
      out: Folder for the page, its PNG files and numbers.json.
      target: The class to explain, by number or name; by default each image's most probable.
      methods: Some of saliency, guided, deconvnet, grad-cam, occlusion.
      layer: Where Grad-CAM looks; by default the last layer with positions.
      window: Side of the occluding square; by default a seventh of the input's.
      stride: Step of the occluding square; by default half the window.
      fill: Value of the occluding square in the model's normalised input, or "mean" for the mean
        colour of each image. The default, 0, is the mean colour of the training images, as in the
        literature; where images are unlike each other, "mean" is less of a shape of its own.
    """
    start = time.perf_counter()
    report.check_writable(out)
    wanted = maps.checked_methods(methods)
    photographs = inputs.photographs(images, inputs.checked_card(model))
    port = inputs.load_port(model, weights)
    layer = inputs.layer_with_places(port, layer)
    occluder = maps.checked_occluder(port.card.input_size, window, stride, fill)
    asked = Asked(port, photographs, target_of(port, target), wanted, layer, occluder)
    written(asked, out=out, start=start)


class Asked(NamedTuple):
    """What a page of maps is asked to show.

    Attributes:
      port: the model.
      photographs: the images.
      target: the class to explain, or None for each image's most probable.
      methods: some of `maps.METHODS`.
      layer: where Grad-CAM looks.
      occluder: what occlusion hides the images with.
      memory: bytes for the places of the occluder that are computed together.
    """

    port: inputs.Port
    photographs: list[inputs.Photograph]
    target: int | None
    methods: Sequence[str]
    layer: str
    occluder: maps.Occluder
    memory: int | None = None


def target_of(port: inputs.Port, target: str | None) -> int | None:
    """The class that `--target` names, by number or name; None where it is not given."""
    if target is None:
        return None
    return choose.class_index(target, categories=port.card.categories, count=port.classes)


def written(asked: Asked, *, out: str, start: float) -> None:
    """Computes the maps, and writes the page with its pictures and numbers."""
    port, photographs, chosen, wanted, layer, occluder, memory = asked
    sections, numbers = [], []
    size = min(BATCH, len(photographs))
    batches = [photographs[i : i + size] for i in range(0, len(photographs), size)]
    with progress(len(batches) + 1) as step:
        for batch in batches:
            step(batch[0].path.name if len(batch) == 1 else f"{len(batch)} images")
            # The last batch is filled up with its last image: one shape, one compilation.
            filled = [*batch, *batch[-1:] * (size - len(batch))]
            x = np.concatenate([photograph.x for photograph in filled])
            logits = maps.logits_of(port.model, x)
            probability = maps.softmax(logits)
            classes = logits.argmax(-1) if chosen is None else np.full(size, chosen)
            found = maps.maps_of(
                port.model,
                x,
                classes,
                methods=wanted,
                layer=layer,
                occluder=occluder,
                memory=memory,
            )
            for i, photograph in enumerate(batch):
                stem = f"{len(numbers) + 1:03d}-{report.file_stem(photograph.path.stem)[:40]}"
                target_class, one = int(classes[i]), found.of(i)
                sections.append(
                    _section(port, photograph, probability[i], target_class, one, occluder, stem)
                )
                record = _numbers(port, photograph, probability[i], target_class, one)
                numbers.append(record | {"logits": logits[i]})
        step("writing")
        facts = [
            ("Model", port.name),
            ("Weights", port.weights),
            ("Input", " × ".join(map(str, photographs[0].x.shape[1:3])) + " px"),
            ("Images", str(len(photographs))),
        ]
        facts += [("Grad-CAM layer", layer)] if "grad-cam" in wanted else []
        if "occlusion" in wanted:
            facts.append(("Occlusion", occluder.words()))
        many = f"{len(photographs)} images" if len(photographs) > 1 else photographs[0].path.name
        page = report.Page(
            f"What {port.name} sees in {many}",
            sections,
            lead="Each map explains one class: on which pixels the network's opinion rests.",
            facts=facts,
            footer=f"Made by jaxviz with JAX {jax.__version__} on {jax.default_backend()} in "
            f"{time.perf_counter() - start:.0f} s. The PNG files and numbers.json lie beside this "
            "page.",
        )
        record = {
            "model": port.name,
            "weights": port.weights,
            "grad_cam_layer": layer if "grad-cam" in wanted else None,
            "occlusion": occluder._asdict(),
            "images": numbers,
        }
        files = report.write_run(Path(out), page, numbers=record)
    print(f"wrote {len(files)} files about {many} to {out}; open {Path(out) / 'index.html'}")


def _section(port, photograph, probability, target, found, occluder, stem) -> report.Section:
    top = np.argsort(-probability, kind="stable")[:TOP]
    table = report.Table(
        ["class", "name", "probability"],
        [[int(k), port.category(k), f"{100 * probability[k]:.1f}%"] for k in top],
        caption="The most probable classes",
    )
    name = port.category(target)
    shown = pictures.figures(
        photograph.shown,
        found,
        stem=stem,
        subject=photograph.path.name,
        name=name,
        occluder=occluder,
        target=target,
    )
    legends = pictures.legends(found, name=name, target=target, category=port.category)
    text = f"Explained: “{name}”, probability {100 * probability[target]:.1f}%."
    gallery = report.Gallery(shown, legends=legends, size=224)
    return report.Section(photograph.path.name, [gallery, table], [text])


def _numbers(port, photograph, probability, target, found) -> dict:
    top = np.argsort(-probability, kind="stable")[:TOP]
    result = {
        "file": str(photograph.path),
        "top": [
            {"class": int(k), "name": port.category(k), "probability": float(probability[k])}
            for k in top
        ],
        "target": {"class": target, "name": port.category(target)},
    }
    for name in ("grad_cam", "drop", "label", "drop_error"):
        if (map := getattr(found, name)) is not None:
            result[name if name == "grad_cam" else f"occlusion_{name}"] = map
    return result
