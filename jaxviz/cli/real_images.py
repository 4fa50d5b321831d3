"""What real images bring units to, as a measure for those that were made."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import jaxviz as jv
from jaxviz.cli.drawing import goal_of, most_at_once
from jaxviz.cli.drawn_units import read_arrays, write_arrays
from jaxviz.cli.inputs import Port
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.data.image_files import IMAGE_SUFFIXES

__all__ = ["Real", "Source", "activations", "measured", "source_of"]

SHAPES, SEED = 2000, 4711
"""How many images of the shapes set are looked at, and the seed of their key."""

READERS = 8


class Source(NamedTuple):
    """Where real images come from.

    Attributes:
      words: it in words, the end of "above 90 % of ...".
      count: how many images.
      same: tells whether another run has the same ones.
      read: `read(first, count)` gives some of them, in [0, 1] and of the model's input size; near
        the end it may give fewer, or more than there are.
    """

    words: str
    count: int
    same: str
    read: Callable[[int, int], Float[np.ndarray, "n s s 3"]]


class Real(NamedTuple):
    """What real images bring a unit to.

    Attributes:
      score: of each image, by the objective that was raised.
      words: the images in words.
    """

    score: Float[np.ndarray, " n"]
    words: str

    def percentile(self, reached: float) -> float:
        """How many of the images, in percent, bring the unit to less than what was reached."""
        return 100 * float(np.mean(self.score < reached))

    def compared(self, reached: float) -> str:
        """That in words, for a caption.

        Example:
          >>> Real(np.arange(2000.0), "2,000 images").compared(1999)
          'above 99.9 % of 2,000 images'
        """
        below = int(np.sum(self.score < reached))
        if below == len(self.score):
            return f"above all of {self.words}"
        # Rounded down, since 99.97 is not all of them.
        return f"above {1000 * below // len(self.score) / 10:g} % of {self.words}"

    def summary(self, reached: float) -> dict[str, float]:
        """The percentile, and the middle and the top of what the images bring the unit to."""
        return {
            "percentile": self.percentile(reached),
            "real_median": float(np.median(self.score)),
            "real_maximum": float(self.score.max()),
        }


def source_of(given: str, port: Port) -> Source:
    """The images that a user names: a folder, or "shapes".

    Args:
      given: "shapes", or a folder of images or of folders of images.
      port: whose preprocessing they get.

    Returns:
      `Source`; of the files nothing but the names has been looked at.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it has no image in it.
      Mistake: it is a file.
    """
    if given == "shapes":
        render = functools.partial(_rendered, jax.random.key(SEED), size=port.card.input_size)
        words = f"{SHAPES:,} images of the shapes set"
        return Source(words, SHAPES, "shapes", lambda i, n: np.asarray(render(i, count=n)))
    files = _files(Path(given))
    sizes = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]

    def shown(file: Path) -> Float[np.ndarray, "s s 3"]:
        image = jv.data.load_image(file)
        try:
            return port.card.to_display(image)[0]
        except ValueError as error:
            raise Mistake(f"{file}: {error}") from error

    def read(first: int, count: int) -> Float[np.ndarray, "n s s 3"]:
        with ThreadPoolExecutor(READERS) as readers:
            return np.stack(list(readers.map(shown, files[first : first + count])))

    words = f"{len(files):,} images" if len(files) > 1 else "1 image"
    return Source(words, len(files), repr(sizes), read)


def _files(folder: Path) -> list[Path]:
    """The images in a folder and in the folders in it."""
    if folder.is_file():
        raise Mistake(f'--images must be a folder or "shapes", and {folder} is a file')
    inside = sorted(path for path in folder.glob("[!.]*") if path.is_dir())
    found = [
        file
        for place in [folder, *inside]
        for file in sorted(place.glob("[!.]*"))
        if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    ]
    return found or jv.data.list_images(folder)  # which says what is wrong


@functools.partial(jax.jit, static_argnames=("count", "size"))
def _rendered(key: Array, first: int, *, count: int, size: int) -> Float[Array, "n s s 3"]:
    """Some of an endless row of images, each from a key of its own, however many are asked for."""
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(first + jnp.arange(count))
    return jax.lax.map(lambda key: jv.data.shapes(key, 1, size=size).image[0], keys, batch_size=16)


def activations(
    port: Port,
    layer: str | None,
    units: Sequence[int],
    source: Source,
    *,
    memory: int | None,
) -> Float[np.ndarray, "k n"]:
    """What each image brings each unit to, a batch at a time, with a progress bar.

    Args:
      port: the model and its card.
      layer: whose channels the units are; None where they are classes.
      units: channels or classes.
      source: the images.
      memory: bytes that a batch may take; None takes jaxviz's default.

    Returns:
      For each unit a number for each image: the mean over the channel's map, or the logit.

    Raises:
      ValueError, OSError, Mistake: an image that cannot be used, by its name.
    """
    goal, side = goal_of(layer, np.asarray(units)), port.card.input_size
    most = most_at_once(lambda x: _scores(port.model, x, goal), (1, side, side, 3), memory)
    batch = min(most, source.count)
    found = []
    with progress(-(-source.count // batch)) as step:
        for first in range(0, source.count, batch):
            step(f"image {first + 1:,} of {source.words}")
            images = source.read(first, batch)
            # The last batch repeats its last image until it is full, so that nothing recompiles.
            whole = images[np.minimum(np.arange(batch), len(images) - 1)]
            found.append(np.asarray(_scores(port.model, port.card.normalize(whole), goal)))
    return np.concatenate(found, 1)[:, : source.count]


def measured(
    port: Port,
    layer: str | None,
    units: Sequence[int],
    source: Source,
    *,
    memory: int | None,
    kept: Path,
    same: str,
) -> list[Real]:
    """As `activations`, for each unit, read from the file `kept` where they are already there.

    Args:
      port: the model and its card.
      layer: whose channels the units are; None where they are classes.
      units: channels or classes.
      source: the images.
      memory: bytes that a batch may take; None takes jaxviz's default.
      kept: the file, which is written if it is missing, or of other units, images
        or model.
      same: tells whether another run has the same model and layer.

    Returns:
      `Real` of each unit.
    """
    found, same = read_arrays(kept), f"{same} {source.same}"
    if (
        found is None
        or str(found["same"]) != same
        or not set(units) <= set(found["units"].tolist())
    ):
        score = activations(port, layer, units, source, memory=memory)
        found = {"units": np.array(units), "score": score, "same": np.array(same)}
        write_arrays(kept, found)
    place = {unit: i for i, unit in enumerate(found["units"].tolist())}
    return [Real(found["score"][place[unit]], source.words) for unit in units]


@jax.jit
def _scores(model: Any, x: Float[Array, "n h w c"], goal: jv.objectives.Objective) -> Array:
    output, taps = jv.capture(model, x, goal.layers)
    return jax.lax.map(lambda unit: goal.of(unit)(output, taps), jnp.arange(goal.images))
