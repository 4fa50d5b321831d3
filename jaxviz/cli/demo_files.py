"""What lies beside the demo's page: labelled sheets, and the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxviz import report
from jaxviz.cli.demo_page import MAIN, Exciting, LayerUnits, Scene, Seen, accuracy

__all__ = ["numbers", "sheets"]

SIDE = 128
ACROSS = 5


def _sized(picture: report.Picture) -> UInt8[np.ndarray, "s s 3"]:
    return report.to_uint8(report.enlarge(picture.pixels / 255, (SIDE, SIDE)))


def _galleries(page: report.Page, number: int) -> list[report.Gallery]:
    return [one for one in page.sections[number].blocks if isinstance(one, report.Gallery)]


def sheets(page: report.Page, seen: Sequence[Seen]) -> list[report.Picture]:
    """Three labelled sheets of the page's pictures: the maps, the layers, the classes.

    Args:
      page: as `demo_page.page` makes it.
      seen: what each net makes of the images.

    Returns:
      Pictures to be written beside the page's.
    """
    port = next(one.port for one in seen if one.port.name == MAIN)
    galleries = _galleries(page, 0)
    every = range(port.classes)
    colours = report.label_colours(np.arange(port.classes)[None], first=every).legend
    maps = report.sheet(
        [[figure.pictures[0].pixels for figure in gallery.figures] for gallery in galleries],
        rows=[gallery.title for gallery in galleries],
        columns=[figure.caption for figure in galleries[0].figures],
        title=f"{page.sections[0].title}, {MAIN}",
        legend=[(port.category(k), colour) for k, colour in colours if k is not None],
    )
    galleries = _galleries(page, 1)
    layers = report.sheet(
        [
            [_sized(picture) for figure in gallery.figures for picture in figure.pictures]
            for gallery in galleries
        ],
        rows=[gallery.title for gallery in galleries],
        captions=[
            [text for figure in gallery.figures for text in (figure.caption, "projection")]
            for gallery in galleries
        ],
        title=f"{page.sections[1].title}: patches and their deconvnet projections, {MAIN}",
    )
    figures = _galleries(page, 3)[0].figures
    rows = [figures[i : i + ACROSS] for i in range(0, len(figures), ACROSS)]
    classes = report.sheet(
        [[figure.pictures[0].pixels for figure in row] for row in rows],
        captions=[[figure.caption for figure in row] for row in rows],
        title=f"What excites each class of {MAIN} most",
    )
    return [
        report.Picture("sheet-maps", maps, "All maps of all images"),
        report.Picture("sheet-layers", layers, "Channels of each layer"),
        report.Picture("sheet-classes", classes, "Activation maximization of each class"),
    ]


def numbers(
    scene: Scene, seen: Sequence[Seen], layers: Sequence[LayerUnits], exciting: Exciting
) -> dict[str, Any]:
    """What `numbers.json` holds.

    Args:
      scene: the images.
      seen: what each net makes of them.
      layers: the units of the main net.
      exciting: its classes' exciting images.

    Returns:
      Nested dictionaries of numbers, words and arrays.
    """
    category = seen[0].port.category
    return {
        "occlusion": scene.occluder._asdict(),
        "fresh_images": len(scene.label),
        "nets": {
            one.port.name: {
                "accuracy": accuracy(scene, one),
                "images": [
                    {
                        "index": n,
                        "truth": category(int(scene.label[n])),
                        "probability": one.probability[n],
                        "grad_cam": one.maps.of(i).grad_cam,
                        "occlusion_drop": one.maps.of(i).drop,
                        "occlusion_label": one.maps.of(i).label,
                    }
                    for i, n in enumerate(scene.chosen)
                ],
            }
            for one in seen
        },
        "activation_maximization": {"net": MAIN, "logits": exciting.logit},
        "layers": {one.layer: one.units._asdict() for one in layers},
    }
