"""Images shifted, enlarged or turned, at the size that they have; bilinear."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from jaxviz.perturb.inputs import batch

__all__ = ["Fill", "rotate", "scale", "translate"]

Fill = float | Literal["mean", "edge"]
"""What lies outside an image: a number, its own mean colour, or its border, continued."""


def translate(
    x: Float[ArrayLike, "n h w c"],
    shift: tuple[float, float] | Float[ArrayLike, "*n 2"],
    *,
    fill: Fill = "mean",
) -> Float[Array, "n h w c"]:
    """Images shifted by any part of a pixel; another shift needs no recompilation.

    Args:
      x: images, or a model's input.
      shift: pixels down and to the right, negative for up and left; for all images, or for each.
      fill: what comes in from outside: a number, "mean" for the mean colour of each image, or
        "edge" for the nearest pixel of its border.

    Returns:
      Images of the same shape and type.

    Raises:
      ValueError: `x` is not a batch of floating-point images, or `fill` is another word.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> image = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 4, 1)
      >>> jv.translate(image, (0, 1.5), fill="edge").ravel().tolist()
      [1.0, 1.0, 1.5, 2.5]
    """
    x = batch(x)
    shifts = jnp.broadcast_to(jnp.asarray(shift, x.dtype), (len(x), 2))
    return _moved(x, (jnp.ones(len(x), x.dtype), shifts), _outside(fill), how="stretch")


def scale(
    x: Float[ArrayLike, "n h w c"], factor: float | Float[ArrayLike, "*n"], *, fill: Fill = "mean"
) -> Float[Array, "n h w c"]:
    """Images enlarged or shrunk about their middle; another factor needs no recompilation.

    Where an image shrinks, pixels are averaged, so that nothing is left out.

    Args:
      x: images, or a model's input.
      factor: above 1 enlarges, below 1 shrinks; a positive number, or one for each image.
      fill: as in `translate`.

    Returns:
      Images of the same shape and type.

    Raises:
      ValueError: as in `translate`.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> image = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 4, 1)
      >>> jv.scale(image, 2.0).ravel().tolist()
      [1.75, 2.25, 2.75, 3.25]
    """
    x = batch(x)
    factors = jnp.broadcast_to(jnp.asarray(factor, x.dtype), len(x))
    shifts = (1 - factors[:, None]) * jnp.array(x.shape[1:3], x.dtype) / 2
    return _moved(x, (factors, shifts), _outside(fill), how="stretch")


def rotate(
    x: Float[ArrayLike, "n h w c"], degrees: float | Float[ArrayLike, "*n"], *, fill: Fill = "mean"
) -> Float[Array, "n h w c"]:
    """Images turned anticlockwise about their middle; another angle needs no recompilation.

    Gradients reach the images, and, unless `fill` is "edge", not the angle.

    Args:
      x: images, or a model's input.
      degrees: an angle, or one for each image.
      fill: as in `translate`.

    Returns:
      Images of the same shape and type.

    Raises:
      ValueError: as in `translate`.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> image = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
      >>> [round(value, 3) for value in jv.rotate(image, 90.0).ravel().tolist()]
      [2.0, 4.0, 1.0, 3.0]
    """
    x = batch(x)
    angles = jnp.broadcast_to(jnp.deg2rad(jnp.asarray(degrees, x.dtype)), len(x))
    return _moved(x, angles, _outside(fill), how="turn")


def _outside(fill: Fill) -> Fill:
    if isinstance(fill, str) and fill not in ("mean", "edge"):
        raise ValueError(f"fill must be a number, 'mean' or 'edge', got {fill!r}.")
    # A number is data, a word is not.
    return fill if isinstance(fill, str) else jnp.asarray(fill)  # type: ignore[return-value]


def _moved(x: Array, amounts: Any, fill: Fill, *, how: str) -> Float[Array, "n h w c"]:
    if isinstance(fill, str):
        return _moved_into(x, amounts, jnp.zeros((), x.dtype), how=how, beyond=fill)
    return _moved_into(x, amounts, fill, how=how, beyond="fill")


@functools.partial(jax.jit, static_argnames=("how", "beyond"))
def _moved_into(x: Array, amounts: Any, fill: Array, *, how: str, beyond: str) -> Array:
    edge = beyond == "edge"
    # What samples an image takes 0 for what lies outside, so the fill is taken away and added.
    zero = x.mean((1, 2), keepdims=True) if beyond == "mean" else fill.astype(x.dtype)
    if how == "stretch":
        move = functools.partial(_stretched, edge=edge)
    else:
        move = _turned_edge if edge else _turned
    return jax.vmap(move)(x - zero, amounts) + zero


def _stretched(
    image: Float[Array, "h w c"], amounts: tuple[Array, Array], *, edge: bool
) -> Float[Array, "h w c"]:
    factor, shift = amounts
    rows, columns = (
        _stretching(size, factor, shift[axis], edge).astype(image.dtype)
        for axis, size in enumerate(image.shape[:2])
    )
    # A device that rounds the factors of a product would lose half of the digits here.
    exact = jax.lax.Precision.HIGHEST
    return jnp.einsum("gh,vw,hwc->gvc", rows, columns, image, precision=exact)


def _stretching(size: int, factor: Array, shift: Array, edge: bool) -> Float[Array, "to of"]:
    """The matrix that shifts and stretches one axis.

    Each entry is a tent around the place that a pixel comes from, as wide as what it stands for.
    """
    of = jnp.arange(size)
    place = (of[:, None] + 0.5 - shift) / factor - 0.5
    inside = (place >= -0.5) & (place <= size - 0.5)
    place = jnp.clip(place, 0, size - 1) if edge else place
    tents = jnp.maximum(1 - jnp.abs(place - of) * jnp.minimum(factor, 1), 0)
    total = tents.sum(1, keepdims=True)
    return jnp.where(inside | edge, tents / jnp.where(total > 0, total, 1), 0)


@jax.custom_vjp
def _turned(image: Float[Array, "h w c"], angle: Float[Array, ""]) -> Float[Array, "h w c"]:
    return _tents(image, angle, reach=(0, 1), seen=lambda row, column: (row, column))


def _turned_forward(image: Array, angle: Array) -> tuple[Array, Array]:
    return _turned(image, angle), angle


def _turned_backward(angle: Array, cotangent: Array) -> tuple[Array, Array]:
    # Each pixel collects from all that have looked at it, instead of each throwing its share back
    # at four: on a CPU that is several times faster, and on a GPU it gives the same bits each time.
    turn = functools.partial(_turn, angle=angle)
    return _tents(cotangent, -angle, reach=(-1, 0, 1, 2), seen=turn), jnp.zeros_like(angle)


_turned.defvjp(_turned_forward, _turned_backward)


def _turned_edge(image: Float[Array, "h w c"], angle: Float[Array, ""]) -> Float[Array, "h w c"]:
    return _tents(image, angle, reach=(0, 1), seen=lambda row, column: (row, column), edge=True)


def _tents(
    image: Float[Array, "h w c"],
    angle: Array,
    *,
    reach: Sequence[int],
    seen: Callable,
    edge: bool = False,
) -> Float[Array, "h w c"]:
    """The turned image: each pixel a sum over those near the place that it comes from.

    The weight of a neighbour falls linearly to 0 at a distance of one pixel, along rows and
    columns as `seen` shows them. With `edge` a place outside is the nearest one inside.
    """
    size = image.shape[:2]
    row, column = (jnp.arange(n) - (n - 1) / 2 for n in size)
    places = _turn(row[:, None], column[None, :], angle)
    places = [place + (n - 1) / 2 for place, n in zip(places, size, strict=True)]
    if edge:
        places = [jnp.clip(place, 0, n - 1) for place, n in zip(places, size, strict=True)]
    total = jnp.zeros_like(image)
    for steps in itertools.product(reach, reach):
        near = [jnp.floor(place) + step for place, step in zip(places, steps, strict=True)]
        weight = 1.0
        for apart in seen(near[0] - places[0], near[1] - places[1]):
            weight *= jnp.maximum(1 - jnp.abs(apart), 0)
        for index, n in zip(near, size, strict=True):
            weight *= (index >= 0) & (index < n)
        row, column = (index.astype(int) for index in near)
        total += jnp.asarray(weight)[..., None] * image.at[row, column].get(mode="clip")
    return total


def _turn(row: Array, column: Array, angle: Array) -> tuple[Array, Array]:
    """Where a place of the turned image was before."""
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return cosine * row + sine * column, cosine * column - sine * row
