"""What the target loses when a part of the image is covered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from jaxviz.attribution.covering import Answers, cover, fitting
from jaxviz.attribution.question import Targets, asked_several

__all__ = ["OcclusionMaps", "occlusion"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OcclusionMaps:
    """What became of the target at each position of the occluder.

    Position `(r, c)` covers the pixels from `(r * stride[0], c * stride[1])` on, `window` of them,
    cut at the border.

    Attributes:
      score: the target with the window covered; for several targets, a dict of such maps.
      drop: the target of the whole image minus `score`: what was lost; or a dict as well.
      label: the model's most probable class with the window covered; -1 where its output is not
        one number for each class.
      window: rows and columns of the occluder, in pixels.
      stride: rows and columns between positions, in pixels.
      size: rows and columns of the image.
    """

    score: Float[Array, "n r c"] | dict[str, Float[Array, "n r c"]]
    drop: Float[Array, "n r c"] | dict[str, Float[Array, "n r c"]]
    label: Int[Array, "n r c"]
    window: tuple[int, int] = field(metadata={"static": True})
    stride: tuple[int, int] = field(metadata={"static": True})
    size: tuple[int, int] = field(metadata={"static": True})

    def to_pixels(self) -> Float[Array, "n h w"] | dict[str, Float[Array, "n h w"]]:
        """For each pixel the mean drop over the windows that cover it, as captum defines it.

        Returns:
          A map of the image's size; 0 where no window came.
        """
        rows, columns = (
            _covered(size, length, step, count)
            for size, length, step, count in zip(
                self.size, self.window, self.stride, self.label.shape[1:], strict=True
            )
        )
        count = jnp.maximum(rows.sum(0)[:, None] * columns.sum(0), 1)

        def spread(drop):
            total = jnp.einsum(
                "rh,nrc,cw->nhw", rows.astype(drop.dtype), drop, columns.astype(drop.dtype)
            )
            return total / count

        return jax.tree.map(spread, self.drop)


def _covered(size: int, length: int, step: int, count: int) -> Bool[Array, "positions size"]:
    """Which pixels of an axis each position covers."""
    start = step * jnp.arange(count)[:, None]
    pixel = jnp.arange(size)
    return (pixel >= start) & (pixel < start + length)


def occlusion(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    target: Targets,
    *,
    window: tuple[int, int] = (32, 32),
    stride: tuple[int, int] = (8, 8),
    fill: float | Float[ArrayLike, "*image"] = 0.0,
    engine: str = "auto",
    memory: int | None = None,
    over: str | None = None,
) -> OcclusionMaps:
    """How the target changes while a patch slides over the image.

    All positions of all images run in one compiled program. Its engine `incremental` computes for
    each position only what the patch can reach, layer by layer, and takes the rest from the whole
    image: the same result, in a fraction of the work. (A derivative of the maps is that of
    `jv.incremental`; with `engine="dense"` it is the model's own.)

    Args:
      model: a callable pytree.
      x: the model's input.
      target: a class, a class for each image, or an objective; or a dict of these, which share one
        sweep.
      window: rows and columns of the occluder, in pixels.
      stride: rows and columns from one position to the next. The last position of an axis is the
        first that reaches the border, where it is cut.
      fill: what the occluder shows, in the input's units: a number, one for each channel, or an
        image, as `jv.gaussian_blur(x, 10.0)` or `jv.noise(key, x)`. 0 is the mean colour where a
        card normalises by it.
      engine: `"incremental"`; `"dense"` runs the whole model for each position; `"auto"` counts the
        operations of both and takes the cheaper one.
      memory: bytes that the model's activations may take at one time, beside the weights; by
        default half of the device's memory, 256 MiB on a CPU.
      over: inside `jax.shard_map`, the name of a mesh axis whose devices share the positions; all
        of them get whole maps, the same ones on however many devices.

    Returns:
      Maps with one entry for each position: `(n, r, c)`, where
      `r = ceil((h - window[0]) / stride[0]) + 1`; one less where the last would begin outside.

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
      Nakandala, Kumar, Papakonstantinou, Incremental and approximate inference for faster
      occlusion-based deep CNN explanations, 2019, section 4: incremental evaluation.
    """
    model, x, objectives = asked_several(model, x, target)
    _, h, w, _ = x.shape
    grid = grid_of((h, w), window=window, stride=stride)
    whole, covered = cover(
        model,
        x,
        objectives,
        fitting(fill, x),
        grid.boxes[None],
        size=grid.window,
        starts=grid.starts,
        grid=True,
        engine=engine,
        memory=memory,
        over=over,
    )
    return maps_of(grid, whole, covered)


class Grid(NamedTuple):
    """The positions of an occluder.

    Attributes:
      window: rows and columns of the occluder, in pixels.
      stride: rows and columns from one position to the next.
      size: rows and columns of the image.
      starts: rows and columns where windows begin that hold the occluder and lie inside the image.
      boxes: what each position covers: top, left, bottom, right; row by row.
    """

    window: tuple[int, int]
    stride: tuple[int, int]
    size: tuple[int, int]
    starts: tuple[tuple[int, ...], tuple[int, ...]]
    boxes: Int[np.ndarray, "positions 4"]


def grid_of(size: tuple[int, int], *, window: tuple[int, int], stride: tuple[int, int]) -> Grid:
    """The positions of an occluder that slides over images of `size`.

    Raises:
      ValueError: `window` or `stride` are not two positive ints, or the window is larger than the
        image.
    """
    window, stride = _pair("window", window), _pair("stride", stride)
    if window[0] > size[0] or window[1] > size[1]:
        raise ValueError(
            f"window {window} must fit into the image, which has {size[0]} x {size[1]} pixels."
        )
    first = [
        step * np.arange(min(math.ceil((whole - length) / step) + 1, math.ceil(whole / step)))
        for whole, length, step in zip(size, window, stride, strict=True)
    ]
    last = [
        np.minimum(start + length, whole)
        for start, length, whole in zip(first, window, size, strict=True)
    ]
    sides = [np.meshgrid(*ends, indexing="ij") for ends in (first, last)]
    boxes = np.stack([side.reshape(-1) for ends in sides for side in ends], -1)
    starts = [
        tuple(np.minimum(start, whole - length).tolist())
        for start, length, whole in zip(first, window, size, strict=True)
    ]
    return Grid(window, stride, size, (starts[0], starts[1]), boxes)


def maps_of(grid: Grid, whole: Answers, covered: Answers) -> OcclusionMaps:
    """The answers for a grid's boxes, laid out as maps."""
    shape = (-1, *map(len, grid.starts))
    score = jax.tree.map(lambda values: values.reshape(shape), covered.score)
    drop = jax.tree.map(lambda whole, map: whole[:, None, None] - map, whole.score, score)
    return OcclusionMaps(
        score, drop, covered.label.reshape(shape), grid.window, grid.stride, grid.size
    )


def _pair(name: str, value: tuple[int, int]) -> tuple[int, int]:
    if not (
        isinstance(value, Sequence)
        and len(value) == 2
        and all(isinstance(v, int | np.integer) and v > 0 for v in value)
    ):
        raise ValueError(f"{name} must be two positive ints (rows, columns), got {value}.")
    return int(value[0]), int(value[1])
