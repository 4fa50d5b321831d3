"""One static HTML page for a run: self-contained, readable offline, by day and by night."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import re
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image file of a run.

    Attributes:
      name: the file's name without its ending, unique in the run: letters, digits, `.`, `_`, `-`.
      pixels: RGB bytes.
      alt: what the picture shows, in words, for those who cannot see it.
      smooth: whether enlarging may blend pixels; cells and labels are kept sharp instead.
    """

    name: str
    pixels: UInt8[np.ndarray, "h w 3"]
    alt: str
    smooth: bool = True

    @functools.cached_property
    def png(self) -> bytes:
        """The content of the picture's file."""
        return png_bytes(self.pixels)

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.name):
            raise ValueError(
                f"a picture's name must be of letters, digits and '._-', not {self.name!r}; "
                "jaxviz.report.file_stem makes one of any text."
            )
        if not self.alt.strip():
            raise ValueError(
                f"picture {self.name!r} must have an alt text that says what it shows."
            )


@dataclasses.dataclass(frozen=True)
class Figure:
    """Pictures that belong together, side by side, with one caption.

    Attributes:
      pictures: one or more.
      caption: a short title.
      note: a line of detail below the caption.
    """

    pictures: Sequence[Picture]
    caption: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Legend:
    """What colours mean.

    Attributes:
      entries: (text, RGB in [0, 1]) pairs, shown as swatches.
      scale: colours from the low to the high end of a continuous scale, shown as a bar.
      low: what the low end means.
      high: what the high end means.
    """

    entries: Sequence[tuple[str, tuple[float, float, float]]] = ()
    scale: Sequence[tuple[float, float, float]] = ()
    low: str = ""
    high: str = ""


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Figures in a row that wraps where the screen ends.

    Attributes:
      figures: what to show.
      title: a heading for the row, or none.
      text: a sentence or two before it.
      legends: what the colours of the row mean.
      size: how wide a figure is at least, in CSS pixels.
    """

    figures: Sequence[Figure]
    title: str = ""
    text: str = ""
    legends: Sequence[Legend] = ()
    size: int = 168


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of numbers and words.

    Attributes:
      columns: the headings.
      rows: the cells; numbers are set to the right, so give them as numbers or formatted text.
      caption: what the table says.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float]]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page with a heading.

    Attributes:
      title: the heading.
      text: paragraphs before the blocks.
      blocks: galleries and tables, in order.
    """

    title: str
    blocks: Sequence[Gallery | Table]
    text: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Page:
    """All that a run has to show.

    Attributes:
      title: the heading of the page.
      sections: its parts.
      lead: the first paragraph: what was done, with what.
      facts: (name, value) pairs: model, weights, sizes.
      footer: the last line.
    """

    title: str
    sections: Sequence[Section]
    lead: str = ""
    facts: Sequence[tuple[str, str]] = ()
    footer: str = ""

    def pictures(self) -> Iterator[Picture]:
        """Every picture of the page, in order of appearance."""
        for section in self.sections:
            for block in section.blocks:
                for figure in block.figures if isinstance(block, Gallery) else ():
                    yield from figure.pictures


def file_stem(text: str) -> str:
    """A name for a picture's file, of any text.

    Args:
      text: for example an image's path or a class's name.

    Returns:
      Lower-case letters, digits and `-`; never empty.

    Example:
      >>> file_stem("My Photo (1).JPG")
      'my-photo-1-jpg'
      >>> file_stem("照片")
      'picture'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "picture"


def png_bytes(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A picture as the bytes of a PNG file.

    Args:
      pixels: RGB bytes.

    Returns:
      The file's content.

    Example:
      >>> png_bytes(np.zeros((2, 2, 3), np.uint8))[1:4]
      b'PNG'
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _css_colour(colour: tuple[float, float, float]) -> str:
    return "rgb(" + " ".join(str(round(255 * float(c))) for c in colour) + ")"


def _is_number(cell: str | int | float) -> bool:
    return bool(re.fullmatch(r"\s*[-+−]?[\d.,]+(e[-+]?\d+)?\s*%?", str(cell)))


def render(page: Page) -> str:
    """The page as one HTML document with every picture inside it.

    Args:
      page: what to show; all its texts are escaped.

    Returns:
      The document: no script, no reference to anything outside it.

    Raises:
      ValueError: where two pictures share a name.

    Example:
      >>> print(render(Page("A run", []))[:15])
      <!doctype html>
    """
    import jinja2

    names = [picture.name for picture in page.pictures()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"every picture of a page needs a name of its own; given twice: {twice}.")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jaxviz.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["colour"] = _css_colour
    environment.tests["number"] = _is_number
    environment.tests["gallery"] = lambda block: isinstance(block, Gallery)
    environment.globals["data_uri"] = lambda picture: (
        "data:image/png;base64," + base64.b64encode(picture.png).decode()
    )
    return environment.get_template("page.html.jinja").render(page=page)
