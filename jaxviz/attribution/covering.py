"""A model's answers to images of which a part is covered: what all kinds of occlusion share.

The parts are data. All of them run in one compiled program, in equal batches that a number of bytes
bounds; a box costs what it changes (the engine `incremental`) or a whole pass (`dense`).
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from jaxviz.attribution.borders import Group, split_at_borders
from jaxviz.synthesis.objectives import Objective
from jaxviz.transform import Incremental, capture, incremental
from jaxviz.transform.hoist import hoist
from jaxviz.transform.memory import array_bytes, budget, in_batches, live_bytes, with_scratch

__all__ = ["ENGINES", "Answers", "Objectives", "Starts", "TooLittleMemory", "cover", "fitting"]

ENGINES = ("auto", "incremental", "dense")

Objectives = Objective | Mapping[str, Objective]
"""One objective, or several by name."""

Starts = tuple[tuple[int, ...], tuple[int, ...]]
"""The rows and the columns where boxes may begin."""


class Answers(NamedTuple):
    """What the model says of an image: a number for each objective, and the likeliest class.

    The class is -1 where the model's output is not one number for each class.
    """

    score: Any
    label: Int[Array, ...]


class TooLittleMemory(ValueError):
    """Memory for less than one image and one covered part.

    Attributes:
      needed: bytes for these.
    """

    def __init__(self, needed: int, given: int):
        super().__init__(
            "memory must hold the activations of one image and of one covered part, "
            f"{needed:,} bytes; got {given:,}."
        )
        self.needed = needed


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[],
    meta_fields=["engine", "groups", "batch", "needed"],
)
@dataclass(frozen=True)
class _Plan:
    """How the parts run.

    Attributes:
      engine: incremental or dense.
      groups: the parts that share a program, and where they begin.
      batch: how many parts run at one time.
      needed: bytes for one part at a time.
    """

    engine: str
    groups: tuple[Group, ...]
    batch: int
    needed: int


# The share of the dense engine's work up to which the incremental one is chosen: it has to read
# surroundings, and runs smaller convolutions.
_WORTH_IT = 0.8


def fitting(fill: Any, x: Float[Array, "n h w c"]) -> Float[Array, "*image"]:
    """The fill as an array of four axes that broadcasts to the images.

    Raises:
      ValueError: it does not.
    """
    fill = jnp.asarray(fill, x.dtype)
    tail = x.shape[4 - fill.ndim :] if fill.ndim <= 4 else ()
    if fill.ndim > 4 or any(a not in (1, b) for a, b in zip(fill.shape, tail, strict=True)):
        raise ValueError(
            f"fill must be a number, {x.shape[3]} channels, or an image of shape {x.shape[1:]}, "
            f"one or as many as images; got {fill.shape}."
        )
    return fill.reshape((1,) * (4 - fill.ndim) + fill.shape)


def cover(
    model: Callable,
    x: Float[Array, "n h w c"],
    objectives: Objectives,
    fill: Float[Array, "n|1 ..."],
    parts: Int[ArrayLike, "m parts 4"] | Bool[ArrayLike, "m parts h w"],
    *,
    size: tuple[int, int] | None = None,
    starts: Starts | None = None,
    grid: bool = False,
    engine: str = "auto",
    memory: int | None = None,
    reach: float = 1.0,
    over: str | None = None,
) -> tuple[Answers, Answers]:
    """What the model says of the images, and of each image with each part covered.

    Args:
      model: a callable pytree of arrays.
      x: the images.
      objectives: what to score.
      fill: what covers, see `fitting`.
      parts: for all images (m = 1) or for each (m = n): boxes as top, left, bottom, right in
        pixels, the last two exclusive; or masks, which go the dense way.
      size: rows and columns that hold any of the boxes.
      starts: where windows of this size may begin, if they begin at a few places only.
      grid: whether the boxes are all pairs of `starts`, row by row.
      engine: auto, incremental or dense.
      memory: bytes to take at one time, beside the weights.
      reach: see `jaxviz.transform.incremental.Incremental`.
      over: the name of a mapped axis whose devices share the parts.

    Returns:
      `(whole, covered)`: answers of shapes (n,) and (n, parts).

    Raises:
      ValueError: an engine that is not there, or memory for less than one part.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine '{engine}'; choose one of: {', '.join(ENGINES)}.")
    if any(objective.joint for objective in _listed(objectives)):
        raise ValueError("the target must score each image by itself; this one compares images.")
    parts = jnp.asarray(parts)
    parts = parts if parts.dtype == bool else parts.astype(jnp.int32)
    available = budget(memory)
    options = {"size": size, "starts": starts, "grid": grid, "reach": reach}
    # Tracing is kept from one call to the next, as compilation is; and a plan is all static.
    plan = _plan.eval_shape(
        model, x, objectives, fill, parts, engine=engine, available=available, **options
    )
    if memory is not None and plan.needed > available:
        raise TooLittleMemory(plan.needed, available)
    return _run(model, x, objectives, fill, parts, plan, size=size, reach=reach, over=over)


@functools.partial(
    jax.jit,
    static_argnames=("size", "starts", "grid", "engine", "available", "reach"),
)
def _plan(model, x, objectives, fill, parts, *, size, starts, grid, engine, available, reach):
    image, example = _image(model, x, objectives, fill, 0), parts[0, 0]
    everything = Group(tuple(range(parts.shape[1])), starts)
    needed = with_scratch(live_bytes(jax.make_jaxpr(image.dense)(example)))
    dense = _Plan("dense", (everything,), max(available // needed, 1), needed)
    if engine == "dense" or parts.ndim == 4:
        return dense
    edited = incremental(image.answer, image.pixels)
    steps = edited.explain(size, starts=starts, reach=reach)
    # Reading and writing an entry counts as one more multiplication.
    costs = [step.work + math.prod(step.shape) for step in steps]
    shares = [math.prod(step.window) / max(math.prod(step.shape), 1) for step in steps]
    windows, whole = sum(map(operator.mul, costs, shares)), sum(costs)
    if engine == "auto" and windows > _WORTH_IT * whole:
        return dense
    # The groups' windows are no larger than those of all together.
    program = jax.make_jaxpr(image.incremental(edited, size, starts, reach))(example)
    weights = {id(leaf) for leaf in jax.tree.leaves(model)}
    once = array_bytes(value for value in program.consts if id(value) not in weights)
    each = with_scratch(live_bytes(program))
    if engine == "auto" and once + each > available:
        return dense
    groups = (everything,)
    if grid and starts is not None:
        reached = edited.explain(size, starts=starts, reach=reach, nearly_all=math.inf)
        groups = split_at_borders(reached, starts)
    return _Plan("incremental", groups, max((available - once) // each, 1), once + each)


@functools.partial(jax.jit, static_argnames=("size", "reach", "over"))
def _run(model, x, objectives, fill, parts, plan, *, size, reach, over=None):
    order = np.argsort([number for group in plan.groups for number in group.boxes])

    def one_image(i):
        image = _image(model, x, objectives, fill, i)
        own = parts[i] if len(parts) > 1 else parts[0]
        if plan.engine == "dense":
            whole = image.answer(image.pixels)
            runs = [image.dense]
        else:
            edited = incremental(image.answer, image.pixels)
            whole = edited.output
            runs = [image.incremental(edited, size, group.starts, reach) for group in plan.groups]
        found = [
            in_batches(jax.vmap(run), own[np.array(group.boxes)], plan.batch, axis=over)
            for run, group in zip(runs, plan.groups, strict=True)
        ]
        return whole, jax.tree.map(lambda *groups: jnp.concatenate(groups)[order], *found)

    return jax.lax.map(one_image, jnp.arange(len(x)))


class _Image(NamedTuple):
    """One image of a batch, before and behind what covers it."""

    model: Callable
    objectives: Objectives
    pixels: Float[Array, "1 h w c"]
    filled: Float[Array, "1 h w c"]

    def answer(self, pixels: Float[Array, "1 h w c"]) -> Answers:
        """What the model says of the image or of another version of it."""
        names = dict.fromkeys(name for one in _listed(self.objectives) for name in one.layers)
        output, taps = capture(self.model, pixels, tuple(names))
        scores = jax.tree.map(
            lambda objective: objective(output, taps)[0],
            self.objectives,
            is_leaf=_is_objective,
        )
        return Answers(scores, _likeliest(output))

    def dense(self, part: Int[Array, 4] | Bool[Array, "h w"]) -> Answers:
        """What it says with a part covered, in a whole pass."""
        mask = part if part.ndim == 2 else _mask(part, (0, 0), self.pixels.shape[1:3])
        return self.answer(jnp.where(mask[..., None], self.filled, self.pixels))

    def incremental(
        self, edited: Incremental, size: tuple[int, int], starts: Starts | None, reach: float
    ) -> Callable[[Int[Array, 4]], Answers]:
        """What it says with a box covered, in as much of a pass as it takes."""
        _, h, w, c = self.pixels.shape

        def run(box):
            # The window lies inside; a box that is smaller, or cut at the border, covers a part.
            start = jnp.minimum(box[0], h - size[0]), jnp.minimum(box[1], w - size[1])
            corner = jnp.stack([jnp.zeros_like(box[0]), *start, jnp.zeros_like(box[0])])
            before, filled = (
                jax.lax.dynamic_slice(image, corner, (1, *size, c))
                for image in (self.pixels, self.filled)
            )
            patch = jnp.where(_mask(box, start, size)[..., None], filled, before)
            return edited(patch, start, starts=starts, reach=reach)

        return hoist(run, jax.ShapeDtypeStruct((4,), jnp.int32))


def _likeliest(output: Any) -> Int[Array, ""]:
    """The class of a batch of one, or -1 where the output is not one number for each class."""
    if getattr(output, "ndim", 0) != 2:
        return jnp.array(-1)
    return jnp.argmax(output[0])


def _image(model, x, objectives, fill, i) -> _Image:
    own = jax.tree.map(lambda objective: objective.of(i), objectives, is_leaf=_is_objective)
    pixels = x[i][None]
    shown = fill[i] if len(fill) > 1 else fill[0]
    return _Image(model, own, pixels, jnp.broadcast_to(shown, pixels.shape))


def _is_objective(node: Any) -> bool:
    return isinstance(node, Objective)


def _listed(objectives: Objectives) -> list[Objective]:
    return jax.tree.leaves(objectives, is_leaf=_is_objective)


def _mask(box, start, size) -> Bool[Array, "rows columns"]:
    """Which pixels of a window the box covers."""
    rows, columns = (start[side] + jnp.arange(size[side]) for side in range(2))
    down = (rows >= box[0]) & (rows < box[2])
    return down[:, None] & ((columns >= box[1]) & (columns < box[3]))
