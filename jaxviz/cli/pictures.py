"""The pictures of maps: one look for each method, in every command."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxviz import report
from jaxviz.cli.maps import Maps, Occluder

__all__ = [
    "cam_over",
    "drop_over",
    "enlarged",
    "figures",
    "heat_over",
    "labels_over",
    "legends",
    "magnitude",
]

Image = Float[np.ndarray, "h w 3"]


def _faded(image: Image) -> Image:
    """The image in pale greys, so that the colours laid over it are the only ones."""
    grey = image @ np.array([0.299, 0.587, 0.114])
    return np.repeat((0.35 + 0.6 * grey)[..., None], 3, axis=-1)


def magnitude(saliency: Image) -> Image:
    """A saliency map: the largest |gradient| of each pixel's colours, dark to bright."""
    size = np.abs(saliency).max(-1)
    return report.heat_colours(size, low=0, high=report.scale_limit(size))


def cam_over(image: Image, cam: Float[np.ndarray, "a b"]) -> Image:
    """A Grad-CAM over its image, which shows through where the map is low."""
    smooth = np.maximum(report.enlarge(cam, (image.shape[0], image.shape[1])), 0)
    strength = report.heat_fraction(smooth, low=0)
    return report.overlay(image, report.heat_colours(smooth, low=0), alpha=0.3 + 0.45 * strength)


def _cells(map: np.ndarray, image: Image, occluder: Occluder) -> np.ndarray:
    return report.window_cells(
        map,
        (image.shape[0], image.shape[1]),
        window=(occluder.window, occluder.window),
        stride=(occluder.stride, occluder.stride),
    )


def _drop_limit(drop: np.ndarray) -> float:
    # A loss of less than a twentieth is not worth the strongest red.
    return max(float(np.abs(drop).max()), 0.05)


def drop_over(image: Image, drop: Float[np.ndarray, "r c"], occluder: Occluder) -> Image:
    """An occlusion map over its image: red where hiding lowers the score, blue where it raises it.

    The colours end at the largest |drop|, or at 0.05 if it is smaller.
    """
    cells, limit = _cells(drop, image, occluder), _drop_limit(drop)
    colours = report.signed_colours(cells, limit=limit)
    return report.overlay(_faded(image), colours, alpha=0.25 + 0.65 * np.abs(cells) / limit)


def heat_over(
    image: Image, map: Float[np.ndarray, "r c"], occluder: Occluder, *, low: float, high: float
) -> Image:
    """A map of the occluder's positions over the image, dark at `low` and bright at `high`."""
    colours = report.heat_colours(_cells(map, image, occluder), low=low, high=high)
    return report.overlay(_faded(image), colours, alpha=0.8)


def labels_over(
    image: Image, label: Int[np.ndarray, "r c"], occluder: Occluder, *, first: Sequence[int]
) -> tuple[Image, list[tuple[int | None, tuple[float, float, float]]]]:
    """The most probable class at each position over the image, and the legend of its colours."""
    coloured = report.label_colours(_cells(label, image, occluder), first=first)
    return report.overlay(_faded(image), coloured.colours, alpha=0.65), coloured.legend


def enlarged(image: Image, *, least: int = 224, smooth: bool = True) -> UInt8[np.ndarray, "H W 3"]:
    """Bytes for a file; a small picture is enlarged a whole number of times to be looked at."""
    times = max(1, round(least / image.shape[0]))
    size = (image.shape[0] * times, image.shape[1] * times)
    return report.to_uint8(report.enlarge(image, size, smooth=smooth) if times > 1 else image)


def figures(
    image: Image,
    maps: Maps,
    *,
    stem: str,
    subject: str,
    name: str,
    occluder: Occluder,
    target: int,
    first: Sequence[int] = (),
    least: int = 224,
) -> list[report.Figure]:
    """The pictures of one image's maps.

    Args:
      image: what the network saw, in [0, 1].
      maps: of this image (`Maps.of`).
      stem: begins the pictures' file names.
      subject: the image in words, for the alternative texts.
      name: of the class that the maps explain.
      occluder: with which the occlusion maps were made.
      target: the class that the maps explain.
      first: classes that take the first colours of the label map; else the target does.
      least: about how large a small picture becomes, in pixels.

    Returns:
      Figures, the image first.
    """
    shown: list[report.Figure] = []

    def add(end: str, picture: Image, caption: str, note: str, alt: str, smooth: bool = True):
        pixels = enlarged(picture, least=least, smooth=smooth)
        figure = report.Picture(f"{stem}-{end}", pixels, f"{alt} {subject}", smooth=smooth)
        shown.append(report.Figure([figure], caption, note))

    add("image", image, "image", "as the network gets it", "The input:")
    if maps.saliency is not None:
        add("saliency", magnitude(maps.saliency), "saliency", "size of the gradient", "Saliency of")
    for end, map, caption in (
        ("guided", maps.guided, "guided backprop"),
        ("deconvnet", maps.deconvnet, "deconvnet"),
    ):
        if map is not None:
            note = "projected back to pixels"
            add(end, report.contrast(map), caption, note, f"{caption} of “{name}” for")
    if maps.grad_cam is not None:
        picture = cam_over(image, maps.grad_cam)
        note = "what speaks for the class" if maps.grad_cam.any() else "nothing speaks for it"
        add("grad-cam", picture, "Grad-CAM", note, f"Grad-CAM of “{name}” over")
    if maps.drop is not None and maps.label is not None:
        picture = drop_over(image, maps.drop, occluder)
        note = f"hidden, it costs up to {max(float(maps.drop.max()), 0):.2f}"
        alt = f"Loss of probability of “{name}” under occlusion of"
        add("occlusion", picture, "occlusion", note, alt, False)
        picture, _ = labels_over(image, maps.label, occluder, first=first or (target,))
        alt = "Most probable label under occlusion of"
        add("labels", picture, "label", "with this part hidden", alt, False)
    return shown


def legends(
    maps: Maps,
    *,
    name: str,
    target: int,
    category: Callable[[int], str],
    first: Sequence[int] = (),
) -> list[report.Legend]:
    """What the colours of one image's occlusion maps mean.

    Args:
      maps: of one image.
      name: of the class that the maps explain.
      target: that class.
      category: class index -> name.
      first: as for `figures`.

    Returns:
      A scale and a list of labels, or nothing without occlusion.
    """
    if maps.drop is None or maps.label is None:
        return []
    limit = _drop_limit(maps.drop)
    colours = report.signed_colours(np.linspace(-1, 1, 13)[None], limit=1)[0]
    scale = report.Legend(
        scale=[(float(r), float(g), float(b)) for r, g, b in colours],
        low=f"hidden, “{name}” gains {limit:.2f}",
        high=f"it loses {limit:.2f}",
    )
    legend = report.label_colours(maps.label, first=first or (target,)).legend
    entries = [("other" if k is None else category(k), colour) for k, colour in legend]
    return [scale, report.Legend(entries=entries)]
