"""Occlusion maps for less than they cost, with an estimate of what that changes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxviz.attribution.covering import Answers, cover, fitting
from jaxviz.attribution.occlusion import Grid, OcclusionMaps, grid_of, maps_of
from jaxviz.attribution.question import Target, asked

__all__ = ["Approximation", "OcclusionError", "approximate_occlusion"]


class OcclusionError(NamedTuple):
    """How far an approximate map is from the exact one, on a random sample of its positions.

    Attributes:
      mean: mean of |approximate - exact|, in the target's units.
      largest: the largest one in the sample.
      relative: the largest one over the range of the exact drops in the sample.

    The labels have no estimate: between computed positions they are those of the nearest one.
    """

    mean: Float[Array, " n"]
    largest: Float[Array, " n"]
    relative: Float[Array, " n"]


class Approximation(NamedTuple):
    """Approximate occlusion maps.

    Attributes:
      maps: as those of `jv.occlusion`.
      error: against exact values, from a sample.
    """

    maps: OcclusionMaps
    error: OcclusionError


def approximate_occlusion(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    target: Target,
    *,
    key: PRNGKeyArray,
    window: tuple[int, int] = (32, 32),
    stride: tuple[int, int] = (8, 8),
    fill: float | Float[ArrayLike, "*image"] = 0.0,
    coarse: int = 2,
    fraction: float = 0.1,
    reach: float = 1.0,
    dtype: Any = None,
    sample: int = 32,
    memory: int | None = None,
) -> Approximation:
    """As `jv.occlusion`, for a fraction of the cost, and with an estimate of its own error.

    Three ways to save, each with a value that turns it off:

    - coarse to fine: only every `coarse`-th row and column of positions, and then a `fraction` of
      the others, where the map varies most; between them it is interpolated. `coarse=1` is off.
    - `reach`: a change goes no further than this share of each layer's map, around its middle, so
      that deep layers cost less. 1 is off.
    - `dtype`: weights and input in `jnp.bfloat16`, for devices that are faster with it; a model
      that names the type it computes in keeps to that. (TF32 on a GPU is JAX's own setting:
      `with jax.default_matmul_precision("tensorfloat32")`.)

    Args:
      model: a callable pytree.
      x: the model's input.
      target: a class, a class for each image, or an objective.
      key: which positions are the sample.
      window: as in `jv.occlusion`.
      stride: as in `jv.occlusion`.
      fill: as in `jv.occlusion`.
      coarse: how many positions apart the first ones lie.
      fraction: the share, in [0, 1], of the other positions that are computed too.
      reach: a share of the map, in (0, 1].
      dtype: a floating-point type, or None for that of `x`.
      sample: how many positions are computed exactly, for the estimate.
      memory: as in `jv.occlusion`.

    Returns:
      The maps, and their error on the sample.

    Raises:
      ValueError: `coarse` < 1, `sample` < 2, `fraction` not in [0, 1], `reach` not in (0, 1], or
        `dtype` not of floating point; or as in `jv.occlusion`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: x.sum((1, 2))
      >>> x, key = jnp.ones((1, 64, 64, 1)), jax.random.key(0)
      >>> found = jv.approximate_occlusion(model, x, 0, key=key, window=(16, 16))
      >>> found.maps.drop.shape, found.error.largest.tolist()
      ((1, 7, 7), [0.0])

    References:
      Nakandala, Kumar, Papakonstantinou, Incremental and approximate inference for faster
      occlusion-based deep CNN explanations, 2019, section 5: the projective field's threshold, and
      drilling down (there where the drop is largest).
    """
    if isinstance(target, Mapping):
        raise ValueError("target must be one target, got a dict; call once for each of them.")
    if coarse < 1 or sample < 2:
        raise ValueError(
            f"coarse must be at least 1 and sample at least 2, got {coarse} and {sample}."
        )
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"dtype must be a floating-point type, got {jnp.dtype(dtype)}.")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be in [0, 1], got {fraction}.")
    if not 0 < reach <= 1:
        raise ValueError(f"reach must be in (0, 1], got {reach}.")
    model, x, objective = asked(model, x, target)
    n, h, w, _ = x.shape
    grid = grid_of((h, w), window=window, stride=stride)
    fill = fitting(fill, x)
    exact = functools.partial(cover, model, x, objective, fill, size=grid.window, memory=memory)
    lower = functools.partial(
        cover,
        _cast(model, dtype),
        _cast(x, dtype),
        objective,
        _cast(fill, dtype),
        size=grid.window,
        memory=memory,
        reach=reach,
    )
    maps = _coarse_to_fine(lower, grid, coarse, fraction, x.dtype)

    count = len(grid.boxes)
    chosen = jax.random.choice(key, count, (min(sample, count),), replace=False)
    whole, covered = exact(jnp.asarray(grid.boxes)[chosen][None], starts=grid.starts)
    true = whole.score[:, None] - covered.score
    drop: Any = maps.drop
    off = jnp.abs(drop.reshape(n, count)[:, chosen] - true)
    scale = jnp.ptp(true, axis=1)
    # Infinite where a sample without any range is missed: nothing is known of the range then.
    relative = jnp.where(off.max(1) == 0, 0, off.max(1) / scale)
    return Approximation(maps, OcclusionError(off.mean(1), off.max(1), relative))


def _cast(tree: Any, dtype: Any) -> Any:
    if dtype is None:
        return tree
    return jax.tree.map(
        lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )


def _coarse_to_fine(
    sweep: Callable[..., tuple[Answers, Answers]],
    grid: Grid,
    coarse: int,
    fraction: float,
    dtype: Any,
) -> OcclusionMaps:
    shape = tuple(map(len, grid.starts))
    count = math.prod(shape)
    # The last row and column of positions are among the first, so that nothing is extrapolated.
    knots = [np.unique([*range(0, size, coarse), size - 1]) for size in shape]
    first = (knots[0][:, None] * shape[1] + knots[1]).reshape(-1)
    starts = tuple(
        tuple(np.array(own)[at].tolist()) for own, at in zip(grid.starts, knots, strict=True)
    )
    whole, covered = sweep(grid.boxes[first][None], starts=starts, grid=True)
    whole, covered = _as(whole, dtype), _as(covered, dtype)
    n = len(whole.score)
    down, across = (
        jnp.asarray(_interpolation(at, size), dtype) for at, size in zip(knots, shape, strict=True)
    )
    rough = covered.score.reshape(n, *map(len, knots))
    score = jnp.einsum("ri,nij,cj->nrc", down, rough, across).reshape(n, count)
    nearest = [
        np.abs(np.arange(size)[:, None] - at).argmin(1)
        for at, size in zip(knots, shape, strict=True)
    ]
    label = covered.label.reshape(n, *map(len, knots))[:, nearest[0]][:, :, nearest[1]]
    label = label.reshape(n, count)
    more = math.ceil(fraction * (count - len(first)))
    if more:
        varies = _spread(rough, knots, shape).reshape(n, count).at[:, first].set(-jnp.inf)
        index = jax.lax.top_k(varies, more)[1]
        _, fine = sweep(jnp.asarray(grid.boxes)[index], starts=grid.starts)
        fine = _as(fine, dtype)
        rows = jnp.arange(n)[:, None]
        score = score.at[rows, index].set(fine.score)
        label = label.at[rows, index].set(fine.label)
    return maps_of(grid, whole, Answers(score, label))


def _as(answers: Answers, dtype: Any) -> Answers:
    return answers._replace(score=answers.score.astype(dtype))


def _interpolation(knots: np.ndarray, size: int) -> np.ndarray:
    """The matrix of linear interpolation between knots, (size, knots)."""
    unit = np.eye(len(knots))
    return np.stack([np.interp(np.arange(size), knots, own) for own in unit], 1)


def _spread(rough: Array, knots: list[np.ndarray], shape: tuple[int, ...]) -> Array:
    """Around each position, the largest minus the smallest value of the knots that surround it."""
    corners = []
    for at, size in zip(knots, shape, strict=True):
        position = np.arange(size)
        corners.append([np.searchsorted(at, position, "right") - 1, np.searchsorted(at, position)])
    around = jnp.stack([rough[:, r][:, :, c] for r in corners[0] for c in corners[1]])
    return around.max(0) - around.min(0)
