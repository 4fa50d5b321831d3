"""What the target loses when a part of the image is covered."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from jaxviz.attribution.question import asked
from jaxviz.synthesis.objectives import Objective, score
from jaxviz.transform.memory import budget, live_bytes

__all__ = ["OcclusionMaps", "occlusion"]

ENGINES = ("auto", "dense")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OcclusionMaps:
    """What became of the target at each position of the occluder.

    Position `(r, c)` covers the pixels from `(r * stride[0], c * stride[1])` on, `window` of them,
    cut at the border.

    Attributes:
      score: the target with the window covered.
      drop: the target of the whole image minus `score`: what was lost.
      label: the model's most probable class with the window covered.
      window: rows and columns of the occluder, in pixels.
      stride: rows and columns between positions, in pixels.
      size: rows and columns of the image.
    """

    score: Float[Array, "n r c"]
    drop: Float[Array, "n r c"]
    label: Int[Array, "n r c"]
    window: tuple[int, int] = field(metadata={"static": True})
    stride: tuple[int, int] = field(metadata={"static": True})
    size: tuple[int, int] = field(metadata={"static": True})

    def to_pixels(self) -> Float[Array, "n h w"]:
        """For each pixel the mean drop over the windows that cover it, as captum defines it.

        Returns:
          A map of the image's size; 0 where no window came.
        """
        rows, columns = (
            _covered(size, length, step, count).astype(self.drop.dtype)
            for size, length, step, count in zip(
                self.size, self.window, self.stride, self.drop.shape[1:], strict=True
            )
        )
        total = jnp.einsum("rh,nrc,cw->nhw", rows, self.drop, columns)
        count = rows.sum(0)[:, None] * columns.sum(0)
        return total / jnp.maximum(count, 1)


def _covered(size: int, length: int, step: int, count: int) -> Bool[Array, "positions size"]:
    """Which pixels of an axis each position covers."""
    start = step * jnp.arange(count)[:, None]
    pixel = jnp.arange(size)
    return (pixel >= start) & (pixel < start + length)


def occlusion(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    target: Objective | int | Int[ArrayLike, " n"],
    *,
    window: tuple[int, int] = (32, 32),
    stride: tuple[int, int] = (8, 8),
    fill: float | Float[ArrayLike, "*image"] = 0.0,
    engine: str = "auto",
    memory: int | None = None,
) -> OcclusionMaps:
    """How the target changes while a patch slides over the image.

    All positions of all images run in one compiled program, in equal batches that `memory` bounds.

    Args:
      model: a callable pytree.
      x: the model's input.
      target: a class, a class for each image, or an objective.
      window: rows and columns of the occluder, in pixels.
      stride: rows and columns from one position to the next. The last position of an axis is the
        first that reaches the border, where it is cut.
      fill: what the occluder shows, in the input's units: a number, one for each channel, or an
        image (for example a blurred one). 0 is the mean colour where a card normalises by it.
      engine: `"dense"` runs the whole model for each position, and is the only engine so far;
        `"auto"` chooses the fastest one.
      memory: bytes that the model's activations may take at one time; by default half of the
        device's memory, 256 MiB on a CPU.

    Returns:
      Maps with one entry for each position: `(n, r, c)`, where
      `r = ceil((h - window[0]) / stride[0]) + 1`.

    Raises:
      ValueError: `window`, `stride`, `fill`, `engine` or `memory` does not fit; `x` or `target`
        does not fit the model.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: x.sum((1, 2))
      >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> maps = jv.occlusion(model, x, target=0, window=(2, 2), stride=(2, 2))
      >>> maps.drop[0].tolist()
      [[10.0, 18.0], [42.0, 50.0]]
      >>> maps.to_pixels().shape
      (1, 4, 4)

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 4.2.
    """
    model, x, objective = asked(model, x, target)
    n, h, w, channels = x.shape
    window, stride = _pair("window", window), _pair("stride", stride)
    if window[0] > h or window[1] > w:
        raise ValueError(f"window {window} must fit into the image, which has {h} x {w} pixels.")
    if engine not in ENGINES:
        raise ValueError(f"unknown engine '{engine}'; choose one of: {', '.join(ENGINES)}.")
    fill = jnp.asarray(fill, x.dtype)
    if fill.ndim > 4 or not _fits(fill.shape, x.shape):
        raise ValueError(
            f"fill must be a number, {channels} channels, or an image of shape {(h, w, channels)}; "
            f"got {fill.shape}."
        )
    fill = fill.reshape((1,) * (4 - fill.ndim) + fill.shape)
    positions = [
        math.ceil((size - length) / step) + 1
        for size, length, step in zip((h, w), window, stride, strict=True)
    ]
    count = n * math.prod(positions)
    turns = math.ceil(count / _affordable(model, x, objective, memory))
    base, covered, label = _sweep(
        model,
        x,
        objective,
        fill,
        window=window,
        stride=stride,
        positions=tuple(positions),
        batch=math.ceil(count / turns),
    )
    return OcclusionMaps(
        covered, base[:, None, None] - covered, label, window=window, stride=stride, size=(h, w)
    )


def _fits(shape: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether an array broadcasts to a shape."""
    tail = whole[len(whole) - len(shape) :]
    return all(size in (1, full) for size, full in zip(shape, tail, strict=True))


def _pair(name: str, value: tuple[int, int]) -> tuple[int, int]:
    if not (isinstance(value, Sequence) and len(value) == 2 and all(v > 0 for v in value)):
        raise ValueError(f"{name} must be two positive ints (rows, columns), got {value}.")
    return value[0], value[1]


def _affordable(model: Callable, x: jax.Array, objective: Objective, memory: int | None) -> int:
    """How many images the model may take at one time."""
    available = budget() if memory is None else memory
    # Tracing is kept from one call to the next, as compilation is.
    needed = live_bytes(_score.trace(model, x[:1], objective.of(0)).jaxpr)
    if needed > available:
        raise ValueError(
            f"memory must hold the activations of one image, {needed:,} bytes; got {available:,}."
        )
    return available // needed


_score = jax.jit(score)


@functools.partial(jax.jit, static_argnames=("window", "stride", "positions", "batch"))
def _sweep(model, x, objective, fill, *, window, stride, positions, batch):
    n, h, w, _ = x.shape
    rows = _covered(h, window[0], stride[0], positions[0])
    columns = _covered(w, window[1], stride[1], positions[1])

    def run(image, row, column):
        """The model's answer to one image with one position covered."""
        mask = rows[row][:, None] & columns[column]
        shown = jnp.where(mask[..., None], jnp.broadcast_to(fill, x.shape)[image], x[image])
        output, value = score(model, shown[None], objective.of(image))
        return value[0], jnp.argmax(output.reshape(-1))

    base = score(model, x, objective)[1]
    count = n * math.prod(positions)
    turns = math.ceil(count / batch)
    # The last turn repeats the last position until its batch is full.
    flat = jnp.minimum(jnp.arange(turns * batch), count - 1).reshape(turns, batch)
    place = jnp.unravel_index(flat, (n, *positions))
    values, labels = jax.lax.map(lambda place: jax.vmap(run)(*place), place)
    shape = (n, *positions)
    return (
        base,
        values.reshape(-1)[:count].reshape(shape),
        labels.reshape(-1)[:count].reshape(shape),
    )
