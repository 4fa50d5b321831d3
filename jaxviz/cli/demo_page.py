"""The demo's page, from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxviz import report
from jaxviz.cli import choose, inputs, maps, pictures

__all__ = [
    "MAIN",
    "Exciting",
    "LayerUnits",
    "Scene",
    "Seen",
    "accuracy",
    "page",
]

MAIN = "shapes-residual"
"""The net whose maps and layers are shown at length."""

SMALL = 128
COMPARED = 3


class Scene(NamedTuple):
    """The images of the demo.

    Attributes:
      image: in [0, 1].
      label: the class of each.
      chosen: the images whose maps are shown.
      occluder: what hides a part of them.
    """

    image: Float[np.ndarray, "n h w 3"]
    label: Int[np.ndarray, " n"]
    chosen: Int[np.ndarray, " m"]
    occluder: maps.Occluder


class Seen(NamedTuple):
    """What one net makes of the images.

    Attributes:
      port: the net.
      probability: of each class, for all images.
      maps: of the chosen images, for the most probable class of each.
    """

    port: inputs.Port
    probability: Float[np.ndarray, "n k"]
    maps: maps.Maps


class Exciting(NamedTuple):
    """For each class an image that excites it.

    Attributes:
      image: in [0, 1].
      logit: what the image brings the class to.
    """

    image: Float[np.ndarray, "k h w 3"]
    logit: Float[np.ndarray, " k"]


class LayerUnits(NamedTuple):
    """Some channels of a layer: what excites each, and its projection.

    Attributes:
      layer: its name.
      units: the channels and their images.
      patches: the square of the image that each answers to, in [0, 1]; one size for the layer.
      projections: the deconvnet projection of each activation, cut alike.
    """

    layer: str
    units: choose.Units
    patches: list[Float[np.ndarray, "s s 3"]]
    projections: list[Float[np.ndarray, "s s 3"]]


def accuracy(scene: Scene, seen: Seen) -> float:
    """The fraction of the images that a net puts in the right class."""
    return float(np.mean(seen.probability.argmax(-1) == scene.label))


def page(
    scene: Scene,
    seen: Sequence[Seen],
    layers: Sequence[LayerUnits],
    exciting: Exciting,
    *,
    searched: int,
    footer: str,
    seed: int,
) -> report.Page:
    """The page: images and their maps, layers, nets, classes, numbers.

    Args:
      scene: the images.
      seen: what each net makes of them.
      layers: the units of the main net.
      exciting: its classes' exciting images.
      searched: among how many images the units' patches were found.
      footer: the page's last line.
      seed: which images these are.

    Returns:
      What `jaxviz.report.write_run` takes.
    """
    main = next(one for one in seen if one.port.name == MAIN)
    return report.Page(
        "What a convolutional network sees",
        [
            _images(scene, main),
            _layers(layers, searched),
            _nets(scene, seen),
            _classes(main.port, exciting),
            report.Section("Numbers", [_table(scene, seen)]),
        ],
        lead=f"Small networks tell {main.port.classes} shapes apart: a plain stack of "
        "convolutions, one with residual connections and one with dense connections. They come "
        "with the package; the images are new to them.",
        facts=[
            ("Networks", ", ".join(one.port.name for one in seen)),
            ("Input", f"{scene.image.shape[1]} × {scene.image.shape[2]} px"),
            ("Occlusion", scene.occluder.words()),
            ("Seed", str(seed)),
        ],
        footer=footer,
    )


def _images(scene: Scene, seen: Seen) -> report.Section:
    every = range(seen.port.classes)
    galleries = []
    for i, n in enumerate(scene.chosen):
        probability = seen.probability[n]
        target = int(probability.argmax())
        name, truth = seen.port.category(target), seen.port.category(int(scene.label[n]))
        found = seen.maps.of(i)
        galleries.append(
            report.Gallery(
                pictures.figures(
                    scene.image[n],
                    found,
                    stem=f"image{i + 1}",
                    subject=f"a picture of a {truth}",
                    name=name,
                    occluder=scene.occluder,
                    target=target,
                    first=every,
                    least=192,
                ),
                title=f"{truth}: “{name}” with {100 * probability[target]:.1f}%",
                legends=pictures.legends(
                    found, name=name, target=target, category=seen.port.category, first=every
                ),
                size=132,
            )
        )
    return report.Section(
        "Which pixels speak for the class",
        galleries,
        [
            f"Images through {seen.port.name}, each with the class that it holds for most "
            "probable, and several views of that opinion. Saliency is the gradient; guided "
            "backpropagation and the deconvnet project the class back to pixels; Grad-CAM shows "
            "where the last layer sees it; occlusion hides a square of the image at each place, "
            "in the image's mean colour, and shows what that costs, and what the network takes "
            "the image for instead."
        ],
    )


def _layers(layers: Sequence[LayerUnits], searched: int) -> report.Section:
    galleries = []
    for one in layers:
        shown = []
        for k, (channel, value) in enumerate(zip(one.units.channel, one.units.value, strict=True)):
            stem = f"{one.layer}-channel{channel:02d}"
            both = [
                report.Picture(
                    f"{stem}-patch",
                    pictures.enlarged(one.patches[k], least=SMALL),
                    f"Image patch that excites channel {channel} of {one.layer} most",
                ),
                report.Picture(
                    f"{stem}-projection",
                    pictures.enlarged(report.contrast(one.projections[k]), least=SMALL),
                    f"Deconvnet projection of channel {channel} of {one.layer}",
                ),
            ]
            shown.append(report.Figure(both, f"channel {channel}", f"activation {value:.1f}"))
        side = one.patches[0].shape[0]
        galleries.append(
            report.Gallery(shown, title=f"{one.layer}, patches of {side} px", size=190)
        )
    return report.Section(
        "Layer by layer, from edges to shapes",
        galleries,
        [
            f"The channels of each layer of {MAIN} that stand out. Left, the patch that excites "
            f"the channel most among {searched} images; right, what in it the channel responds to: "
            "its activation projected back to pixels by a deconvnet. Grey is zero."
        ],
    )


def _cam_view(scene: Scene, i: int, seen: Seen) -> np.ndarray:
    return pictures.cam_over(scene.image[scene.chosen[i]], _there(seen.maps.grad_cam)[i])


def _drop_view(scene: Scene, i: int, seen: Seen) -> np.ndarray:
    drop = _there(seen.maps.drop)[i]
    return pictures.drop_over(scene.image[scene.chosen[i]], drop, scene.occluder)


def _deconvnet_view(scene: Scene, i: int, seen: Seen) -> np.ndarray:
    return report.contrast(_there(seen.maps.deconvnet)[i])


def _there(map: np.ndarray | None) -> np.ndarray:
    assert map is not None, "the demo computes every map"
    return map


def _nets(scene: Scene, seen: Sequence[Seen]) -> report.Section:
    galleries = []
    for title, text, end, view in (
        ("Grad-CAM", "Where the last layer sees the class.", "cam", _cam_view),
        ("Occlusion", "Red: hidden, this place costs the class probability.", "drop", _drop_view),
        ("Deconvnet", "The class projected back to pixels.", "projection", _deconvnet_view),
    ):
        shown = []
        for i, n in enumerate(scene.chosen[:COMPARED]):
            truth = seen[0].port.category(int(scene.label[n]))
            row = [
                report.Picture(
                    f"nets-{i + 1}-{one.port.name}-{end}",
                    pictures.enlarged(view(scene, i, one), least=SMALL, smooth=end != "drop"),
                    f"{title} of {one.port.name} for a picture of a {truth}",
                    end != "drop",
                )
                for one in seen
            ]
            shown.append(report.Figure(row, truth, "plain, residual, dense"))
        galleries.append(report.Gallery(shown, title=title, text=text, size=300))
    return report.Section(
        "The same image, three networks",
        galleries,
        [
            "The networks differ only in how their layers are joined. From left to right: plain, "
            "residual, dense."
        ],
    )


def _classes(port: inputs.Port, exciting: Exciting) -> report.Section:
    shown = []
    for k, (picture, logit) in enumerate(zip(*exciting, strict=True)):
        name = port.category(k)
        one = report.Picture(
            f"class-{report.file_stem(name)}",
            pictures.enlarged(picture, least=192),
            f"Image that excites “{name}” of {port.name} most",
        )
        shown.append(report.Figure([one], name, f"logit {logit:.0f}"))
    return report.Section(
        "What each class looks like to the network",
        [report.Gallery(shown, size=190)],
        [
            f"Activation maximization on {port.name}: an image of noise is changed, step by step, "
            "so that the class's logit grows. No picture of a shape was used."
        ],
    )


def _table(scene: Scene, seen: Sequence[Seen]) -> report.Table:
    truth = np.arange(len(scene.label)), scene.label
    return report.Table(
        ["network", "parameters", "right", "mean probability of the true class"],
        [
            [
                one.port.name,
                f"{one.port.card.parameters:,}",
                f"{100 * accuracy(scene, one):.1f}%",
                f"{one.probability[truth].mean():.3f}",
            ]
            for one in seen
        ],
        caption=f"On {len(scene.label)} fresh images",
    )
