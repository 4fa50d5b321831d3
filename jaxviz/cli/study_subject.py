"""What a study looks at: a network and labelled images, and how its results are written."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

import jaxviz as jv
from jaxviz import report
from jaxviz.cli import inputs, skips_subjects
from jaxviz.cli.mistakes import Mistake
from jaxviz.studies import Claim
from jaxviz.transform import relu_layers

__all__ = [
    "Subject",
    "checked_layers",
    "class_labels",
    "first_layer",
    "masks",
    "subject",
    "top_layer",
    "write_study",
]

PACKAGED = ("imagenet", "random", "shapes", "shapes-1", "shapes-2")
"""Weights that are no file of the user's: what their classes are is known by name."""

BATCH = 64
"""How many images are read at a time."""


class Subject(NamedTuple):
    """A network and labelled images.

    Attributes:
      port: the network.
      shown: the images as people see them, in [0, 1], at the size of the network's input.
      x: as the network gets them.
      label: of each the index of its category.
      index: which image of the set each is.
      source: the set.
      words: what the images are, for a page.
    """

    port: inputs.Port
    shown: Float[np.ndarray, "n s s 3"]
    x: Float[np.ndarray, "n s s 3"]
    label: Int[np.ndarray, " n"]
    index: Int[np.ndarray, " n"]
    source: jv.data.ImageSet
    words: str

    @property
    def categories(self) -> tuple[str, ...]:
        """The names of the categories."""
        return self.source.categories

    def facts(self) -> list[tuple[str, str]]:
        """What a page says of the network and the images."""
        side = self.port.card.input_size
        return [
            ("Network", self.port.name),
            ("Weights", self.port.weights),
            ("Input", f"{side} × {side} px"),
            ("Images", self.words),
        ]


def subject(port: inputs.Port, data: str, *, images: int, seed: int, least: int = 2) -> Subject:
    """A network with images of a set, drawn at random without repetition.

    Args:
      port: the network.
      data: the set, as `jaxviz.data.open_images` reads it.
      images: how many images; all, where the set has fewer.
      seed: which ones, and of the shapes set itself.
      least: how many there must be.

    Returns:
      `Subject`; what cannot be read is left out, and counted in its words.

    Raises:
      Mistake: `images` or the set is too small.
      ValueError, OSError: a set that cannot be opened.

    Example:
      >>> seen = subject(inputs.load_port("shapes-plain", "random"), "shapes", images=3, seed=0)
      >>> seen.x.shape, seen.words
      ((3, 64, 64, 3), '3 images of shapes')
    """
    if images < least:
        raise Mistake(f"--images must be at least {least}, not {images}")
    source = jv.data.open_images(data, seed=seed)
    order = np.random.default_rng(seed).permutation(len(source))
    found: list[np.ndarray] = []
    index: list[int] = []
    broken: list[int] = []
    batches = jv.data.batches(
        source,
        min(BATCH, images),
        prepare=port.card.to_display,
        indices=order,
        on_fault=lambda i, error: broken.append(i),
    )
    for batch in batches:
        there = batch.index >= 0
        found.append(np.asarray(batch.input)[there])
        index += batch.index[there].tolist()
        if len(index) >= images:
            break
    if len(index) < least:
        raise Mistake(
            f"--data {data} must hold at least {least} images, and {len(index)} were read"
        )
    shown, kept = np.concatenate(found)[:images], np.array(index[:images])
    left = len(source.skipped) + len(broken)
    words = f"{len(kept):,} images of {data}" + (f", {left} more cannot be read" if left else "")
    x = np.asarray(port.card.normalize(shown))
    return Subject(port, shown, x, source.labels[kept], kept, source, words)


def class_labels(seen: Subject) -> Int[np.ndarray, " n"]:
    """Of each image the network's class.

    Folders are named by the user, who may give a class's number. A set that has names of its own
    means no such number: the digit 3 is not the fourth shape.

    Args:
      seen: the network and the images.

    Returns:
      An index for each image.

    Raises:
      Mistake: a category is none of the network's classes; weights of the user's own may have been
        trained on any.

    Example:
      >>> port = inputs.load_port("shapes-plain", "random")
      >>> class_labels(subject(port, "digits", images=2, seed=0))
      Traceback (most recent call last):
      jaxviz.cli.mistakes.Mistake: --data must have the classes of shapes-plain, which knows no '0';
          or give --weights that were trained on these images
    """
    card, source = seen.port.card, seen.source
    known = {name.lower() for name in card.categories}
    others = [name for name in seen.categories if name.replace("_", " ").lower() not in known]
    # ImageNet's own names are in the order of its classes.
    wordnet = all(re.fullmatch(r"n\d{8}", name) for name in seen.categories)
    numbered = isinstance(source, jv.data.ImageFolder) and all(map(str.isdecimal, others))
    if known and others and seen.port.weights in PACKAGED and not (wordnet or numbered):
        raise Mistake(
            f"--data must have the classes of {seen.port.name}, which knows no '{others[0]}'; or "
            "give --weights that were trained on these images"
        )
    return skips_subjects.class_of_each(seen.categories, seen.port.card)[seen.label]


def masks(seen: Subject) -> Bool[np.ndarray, "n s s"] | None:
    """The object of each image, where the set knows it and the network sees the whole image."""
    source = seen.source
    side = seen.port.card.input_size
    if isinstance(source, jv.data.ShapesImages) and source.size == side:
        return source.masks(seen.index.tolist())
    return None


def first_layer(port: inputs.Port) -> str:
    """The network's first ReLU."""
    size = port.card.input_size
    found = relu_layers(port.model, jax.ShapeDtypeStruct((1, size, size, 3), "float32"))
    return next(iter(found or port.layers))


def top_layer(port: inputs.Port) -> str:
    """The last layer before the logits.

    Example:
      >>> top_layer(inputs.load_port("shapes-plain", "random"))
      'avgpool'
    """
    return list(port.layers)[-2:][0]


def checked_layers(port: inputs.Port, layers: Sequence[str], default: Sequence[str]) -> list[str]:
    """The layers that the user names, each once and in the order of evaluation, or the default."""
    given = {inputs.checked_layer(port, name) for name in layers}
    return [name for name in port.layers if name in given] or list(default)


def write_study(
    out: str,
    page: report.Page,
    *,
    command: str,
    start: float,
    claims: Sequence[Claim],
    numbers: Mapping[str, Any],
    sheets: Sequence[report.Picture] = (),
    tables: Mapping[str, report.Table] | None = None,
) -> None:
    """Writes a study's folder, and says so in one line.

    Args:
      out: the folder.
      page: without its last line, which is added.
      command: the study's name.
      start: when it began, by `time.perf_counter`.
      claims: whose verdicts the line tells.
      numbers: for numbers.json.
      sheets: pictures beside those of the page.
      tables: for CSV files.
    """
    seconds = time.perf_counter() - start
    page = report.Page(
        page.title,
        page.sections,
        page.lead,
        page.facts,
        f"Made by jaxviz study {command} with JAX {jax.__version__} on {jax.default_backend()} in "
        f"{seconds:.0f} s. The PNG files and numbers.json lie beside this page.",
    )
    files = report.write_run(out, page, sheets=sheets, tables=tables, numbers=numbers)
    verdicts = ", ".join(claim.verdict for claim in claims) or "none"
    print(
        f"wrote {len(files)} files to {out} in {time.perf_counter() - start:.0f} s; claims: "
        f"{verdicts}; open {Path(out) / 'index.html'}"
    )
