"""A pass over a set of images that is saved on its way, and taken up where it was stopped."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxviz import data, report, studies
from jaxviz.cli.drawn_units import OPTIONS, fingerprint, read_arrays, write_arrays
from jaxviz.cli.inputs import Port
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.studies import Strongest
from jaxviz.transform import as_argument

__all__ = ["Passed", "identity", "input_of", "looked_through", "places_of_batch", "words_of"]

COUNT = 9
"""How many activations of each channel are kept."""

SECONDS, MOST_AT_ONCE = 20.0, 128
STATE = "state.npz"


class Passed(NamedTuple):
    """What a pass has found.

    Attributes:
      strongest: layer -> its channels' strongest activations.
      images: how many images were seen.
      faults: of each image that could not be used a sentence that begins with its name.
    """

    strongest: dict[str, Strongest]
    images: int
    faults: tuple[str, ...]


class _Now(NamedTuple):
    """Where a pass is: always changed as one, since Ctrl-C may come between two statements."""

    state: dict[str, Strongest]
    done: int


def identity(images: data.ImageSet) -> str:
    """Tells a set of images from others, by its images' names."""
    names = "\n".join(images.names).encode()
    return f"{len(images):,} images ({fingerprint([np.frombuffer(names, np.uint8)])})"


def words_of(spec: str, count: int) -> str:
    """Some images of a set in words.

    Example:
      >>> words_of("shapes:2000", 2000), words_of("photos/birds", 7)
      ('2,000 images of shapes', '7 images of photos/birds')
    """
    return f"{count:,} images of {'shapes' if spec.startswith('shapes:') else spec}"


def input_of(port: Port) -> jax.ShapeDtypeStruct:
    """An image as the network takes it, in shape and type alone."""
    side = port.card.input_size
    return jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)


def places_of_batch(port: Port, layers: Sequence[str], count: int) -> int:
    """How many images are looked at together."""
    state = studies.none_seen(port.model, input_of(port), layers, count=1)

    def step(model, asked):
        return studies.seen(state, model, *asked)

    example = input_of(port), jax.ShapeDtypeStruct((1,), jnp.int32)
    most = studies.at_once(step, as_argument(port.model), example)
    return min(most, MOST_AT_ONCE, count)


def looked_through(
    port: Port,
    images: data.ImageSet,
    layers: Sequence[str],
    *,
    folder: Path,
    options: Mapping[str, str],
    strict: bool = False,
) -> Passed:
    """The strongest activations over all images of a set.

    Args:
      port: the network.
      images: the set.
      layers: names of layers with places.
      folder: where the state is kept; what is there is gone on with.
      options: what the state depends on, written beside it; `agreeing` compares it.
      strict: whether an image that cannot be used is an error; otherwise it is left out and told.

    Returns:
      `Passed`.

    Raises:
      Mistake: the state is damaged, or an activation is not finite.
      ValueError: an image cannot be used, and `strict`.
    """
    model, faults = as_argument(port.model), {}
    kept = read_arrays(folder / STATE)
    if kept is None:
        now = _Now(studies.none_seen(model, input_of(port), layers, count=COUNT), 0)
    else:
        now, faults = _unpacked(kept, layers)
        if strict and faults:
            raise ValueError(faults[min(faults)])

    def save() -> None:
        if not (folder / OPTIONS).exists():
            report.write_file(folder / OPTIONS, json.dumps(options, indent=1) + "\n")
        write_arrays(folder / STATE, _packed(now, faults))

    def note(index: int, error: Exception) -> None:
        faults[index] = f"{images.names[index]}: {error}"

    left = range(now.done, len(images))
    places = places_of_batch(port, layers, len(images)) if left else 1
    batches = data.batches(
        images,
        places,
        prepare=port.card.to_display,
        indices=left,
        on_fault=None if strict else note,
    )
    saved = time.monotonic()
    try:
        with progress(max(-(-len(left) // places), 1)) as step:
            for batch in batches:
                step(f"image {now.done + 1:,} of {len(images):,}")
                x = port.card.normalize(batch.input)
                # Waited for, so that no more batches are in memory than are read ahead.
                state = jax.block_until_ready(studies.seen(now.state, model, x, batch.index))
                now = _Now(state, 1 + max(int(batch.index.max()), *faults, -1))
                if time.monotonic() - saved >= SECONDS:
                    save()
                    saved = time.monotonic()
    except KeyboardInterrupt:
        save()
        print(
            f"jaxviz: stopped with {now.done:,} of {len(images):,} images seen; the same command "
            "goes on with the others",
            file=sys.stderr,
        )
        raise
    if len(faults) == len(images):
        raise Mistake(f"no image can be used; the first is {faults[0]}")
    found = jax.tree.map(np.asarray, now.state)
    _check(port, found)
    if left:
        now = now._replace(done=len(images))
        save()
    return Passed(found, len(images) - len(faults), tuple(faults[i] for i in sorted(faults)))


def _check(port: Port, found: Mapping[str, Strongest]) -> None:
    for name, best in found.items():
        if not np.isfinite(best.value[best.image >= 0]).all():
            raise Mistake(
                f"{name} of {port.name} comes to values that are not finite; its weights, or what "
                "it computes of them, are not"
            )


def _packed(now: _Now, faults: Mapping[int, str]) -> dict[str, np.ndarray]:
    arrays = {
        f"{name}.{part}": np.asarray(values)
        for name, best in now.state.items()
        for part, values in best._asdict().items()
    }
    return arrays | {
        "done": np.array(now.done),
        "faulty": np.array(list(faults), int),
        "faults": np.array(list(faults.values()), str),
    }


def _unpacked(kept: Mapping[str, np.ndarray], layers: Sequence[str]) -> tuple[_Now, dict[int, str]]:
    state = {
        name: Strongest(*(jnp.asarray(kept[f"{name}.{part}"]) for part in Strongest._fields))
        for name in layers
    }
    done = int(kept["done"])
    # A fault may have been told before its batch was counted.
    faults = zip(kept["faulty"].tolist(), kept["faults"].tolist(), strict=True)
    return _Now(state, done), {index: words for index, words in faults if index < done}
