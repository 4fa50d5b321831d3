"""Many pictures on one sheet, with titles that always fit."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
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


def sheet(
    images: Sequence[Sequence[UInt8[np.ndarray, "h w 3"] | None]],
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    title: str = "",
    legend: Sequence[tuple[str, tuple[float, float, float]]] = (),
    gap: int = 8,
    points: int = 13,
) -> UInt8[np.ndarray, "H W 3"]:
    """Tiles equally sized pictures into one labelled sheet.

    Titles wrap to the width of their column (rows: to 160 pixels) and the sheet grows to hold them,
    so no text is ever clipped.

    Args:
      images: rows of pictures, all of one size; None leaves a place empty.
      rows: a title for each row, or none at all.
      columns: a title for each column, or none at all.
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
    height, width = shapes.pop()[:2]
    line = round(points * 1.35)

    above = [wrap_text(text, width=width, points=points) for text in columns]
    beside = [wrap_text(text, width=160, points=points) for text in rows]
    left = max((_font(points).getlength(t) for lines in beside for t in lines), default=-gap)
    left = int(np.ceil(left)) + 2 * gap
    row_heights = [height] * len(images)
    for i, lines in enumerate(beside):
        row_heights[i] = max(height, line * len(lines))

    body = left + across * (width + gap)
    total = body
    heading = wrap_text(title, width=max(body - 2 * gap, 200), points=points + 3, bold=True)
    if title:
        widest = max(_font(points + 3, True).getlength(text) for text in heading)
        total = max(total, int(np.ceil(widest)) + 2 * gap)
    key = _flow_legend([text for text, _ in legend], width=max(body, 200) - 2 * gap, points=points)
    if key:
        total = max(total, int(np.ceil(max(x + w for x, _, w in key))) + 2 * gap)

    top = gap + (round((points + 3) * 1.35) * len(heading) + gap if title else 0)
    first = top + (line * max(len(lines) for lines in above) + gap // 2 if above else 0)
    bottom = first + sum(row_heights) + gap * len(images)
    legend_top = bottom + gap // 2
    if key:
        bottom = legend_top + line * (1 + max(n for _, n, _ in key)) + gap

    paper = Image.new("RGB", (total, bottom), PAPER)
    draw = ImageDraw.Draw(paper)
    for n, text in enumerate(heading if title else ()):
        y = gap + n * round((points + 3) * 1.35)
        draw.text((gap, y), text, fill=INK, font=_font(points + 3, True))
    for j, lines in enumerate(above):
        start = first - gap // 2 - line * len(lines)  # titles stand on their pictures
        for n, text in enumerate(lines):
            x = left + j * (width + gap)
            draw.text((x, start + n * line), text, fill=INK, font=_font(points))
    y = first
    for i, row in enumerate(images):
        for n, text in enumerate(beside[i] if beside else ()):
            start = y + (row_heights[i] - line * len(beside[i])) // 2
            draw.text((gap, start + n * line), text, fill=INK, font=_font(points))
        for j, image in enumerate(row):
            if image is not None:
                tile = Image.fromarray(np.asarray(image, np.uint8))
                paper.paste(tile, (left + j * (width + gap), y + (row_heights[i] - height) // 2))
        y += row_heights[i] + gap
    for (text, colour), (x, n, _) in zip(legend, key, strict=True):
        y = legend_top + n * line
        swatch = tuple(round(255 * c) for c in colour)
        draw.rectangle((gap + x, y + 1, gap + x + points, y + points + 1), fill=swatch)
        draw.text((gap + x + points + 6, y), text, fill=INK, font=_font(points))
    return np.asarray(paper)


def _flow_legend(
    texts: Sequence[str], *, width: float, points: int
) -> list[tuple[float, int, float]]:
    """Where each entry of a legend goes, as words in a paragraph: (x, line, width)."""
    places, x, line = [], 0.0, 0
    for text in texts:
        needed = points + 6 + _font(points).getlength(text)
        if x and x + needed > width:
            x, line = 0.0, line + 1
        places.append((x, line, needed))
        x += needed + 18
    return places
