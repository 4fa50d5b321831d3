"""Many pictures on one sheet, with titles that always fit."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

INK = (38, 43, 51)
PAPER = (255, 255, 255)


@functools.cache
def _font(points: int, bold: bool = False) -> FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along, so that a sheet looks the same everywhere."""
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, points)


def wrap_text(text: str, *, width: float, points: int, bold: bool = False) -> list[str]:
    """`text` in lines no wider than `width` pixels; a word that is too long is cut.

    Args:
      text: what to write; its own line breaks are kept.
      width: the widest line, in pixels, at least that of one character.
      points: the size of the letters.
      bold: whether they are bold.

    Returns:
      The lines.

    Example:
      >>> wrap_text("most probable label", width=110, points=13)
      ['most probable', 'label']
    """
    font = _font(points, bold)
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if font.getlength(longer) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            while font.getlength(word) > width and len(word) > 1:
                cut = next(
                    n
                    for n in range(len(word) - 1, 0, -1)
                    if n == 1 or font.getlength(word[:n]) <= width
                )
                lines.append(word[:cut])
                word = word[cut:]
            line = word
        lines.append(line)
    return lines


def _write(draw: ImageDraw, lines: Sequence[str], x: float, y: float, points: int, bold=False):
    for n, text in enumerate(lines):
        draw.text((x, y + n * _line(points)), text, fill=INK, font=_font(points, bold))


def _line(points: int) -> int:
    return round(points * 1.35)


def _widest(lines: Sequence[str], points: int, bold: bool = False) -> int:
    return max((math.ceil(_font(points, bold).getlength(text)) for text in lines), default=0)


def _flow(texts: Sequence[str], *, width: float, points: int) -> list[tuple[int, int, int]]:
    """Where each entry of a legend goes, as words in a paragraph: (x, line, width)."""
    places, x, line = [], 0, 0
    for text in texts:
        needed = points + 6 + _widest([text], points)
        if x and x + needed > width:
            x, line = 0, line + 1
        places.append((x, line, needed))
        x += needed + 18
    return places


def sheet(
    images: Sequence[Sequence[UInt8[np.ndarray, "h w 3"] | None]],
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    title: str = "",
    legend: Sequence[tuple[str, tuple[float, float, float]]] = (),
    gap: int = 8,
    points: int = 13,
) -> UInt8[np.ndarray, "H W 3"]:
    """Tiles equally sized pictures into one labelled sheet.

    Titles and captions wrap to the width of their column (rows: to 160 pixels) and the sheet grows
    to hold them, so no text is ever clipped.

    Args:
      images: rows of pictures, all of one size; None leaves a place empty.
      rows: a title for each row, or none at all.
      columns: a title for each column, or none at all.
      captions: for each row a text below each of its pictures, or none at all.
      title: a heading for the sheet.
      legend: (text, colour in [0, 1]) pairs, listed below the pictures.
      gap: pixels between pictures.
      points: the size of the letters.

    Returns:
      The sheet as bytes, on white.

    Raises:
      ValueError: where pictures differ in size, or titles and pictures in number.

    Example:
      >>> tile = np.zeros((20, 30, 3), np.uint8)
      >>> sheet([[tile, tile], [tile, None]], gap=8).shape
      (64, 84, 3)
    """
    from PIL import Image, ImageDraw

    height, width, across = _measure(images, rows, columns, captions)
    above = [wrap_text(text, width=width, points=points) for text in columns]
    beside = [wrap_text(text, width=160, points=points) for text in rows] or [[]] * len(images)
    below = [[wrap_text(text, width=width, points=points) for text in row] for row in captions]
    below = below or [[]] * len(images)
    left = gap + max(_widest(lines, points) for lines in beside) + (gap if rows else 0)
    body = left + across * (width + gap)
    heading = wrap_text(title, width=max(body - 2 * gap, 200), points=points + 3, bold=True)
    heading = heading if title else []
    key = _flow([text for text, _ in legend], width=max(body, 200) - 2 * gap, points=points)

    title_height = _line(points + 3) * len(heading) + gap if title else 0
    columns_height = _line(points) * max(map(len, above)) + gap // 2 if above else 0
    tops = [gap + title_height + columns_height]
    for titled, captioned in zip(beside, below, strict=True):
        tall = height + _line(points) * max(map(len, captioned), default=0)
        tops.append(tops[-1] + max(tall, _line(points) * len(titled)) + gap)
    legend_height = _line(points) * (1 + max(n for _, n, _ in key)) + gap if key else 0
    total = max([body, *(gap + x + needed + gap for x, _, needed in key)])
    total = max(total, _widest(heading, points + 3, True) + 2 * gap)

    paper = Image.new("RGB", (total, tops[-1] + legend_height), PAPER)
    draw = ImageDraw.Draw(paper)
    _write(draw, heading, gap, gap, points + 3, True)
    for j, lines in enumerate(above):  # titles stand on their pictures
        start = tops[0] - gap // 2 - _line(points) * len(lines)
        _write(draw, lines, left + j * (width + gap), start, points)
    for i, row in enumerate(images):
        free = tops[i + 1] - gap - tops[i] - _line(points) * len(beside[i])
        _write(draw, beside[i], gap, tops[i] + free // 2, points)
        for j, image in enumerate(row):
            x = left + j * (width + gap)
            if image is not None:
                paper.paste(Image.fromarray(np.asarray(image, np.uint8)), (x, tops[i]))
            if below[i]:
                _write(draw, below[i][j], x, tops[i] + height + 2, points)
    for (text, colour), (x, n, _) in zip(legend, key, strict=True):
        x, y = gap + x, tops[-1] + n * _line(points)
        swatch = (round(255 * colour[0]), round(255 * colour[1]), round(255 * colour[2]))
        draw.rectangle((x, y + 1, x + points, y + points + 1), fill=swatch)
        _write(draw, [text], x + points + 6, y, points)
    return np.asarray(paper)


def _measure(images, rows, columns, captions) -> tuple[int, int, int]:
    """Height and width of the pictures, and how many are in a row, once all fits together."""
    shapes = {np.asarray(image).shape for row in images for image in row if image is not None}
    if len(shapes) != 1:
        raise ValueError(
            f"the pictures of a sheet must have one size, not {sorted(shapes)}; "
            "bring them to one size with jaxviz.report.enlarge."
        )
    across = max(len(row) for row in images)
    for what, titles, count in (("row", rows, len(images)), ("column", columns, across)):
        if titles and len(titles) != count:
            raise ValueError(f"a sheet of {count} {what}s needs {count} titles, not {len(titles)}.")
    if captions and [len(row) for row in captions] != [len(row) for row in images]:
        raise ValueError(
            f"captions must be given for each picture: rows of {[len(row) for row in images]}, "
            f"not of {[len(row) for row in captions]}."
        )
    height, width, _ = shapes.pop()
    return height, width, across
