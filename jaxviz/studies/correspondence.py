"""Whether a network puts the same part of different images in correspondence."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

from jaxviz.studies.batches import in_batches
from jaxviz.transform import as_argument, capture

__all__ = ["Correspondence", "correspondence", "random_boxes"]


class Correspondence(NamedTuple):
    """How alike the changes are that covering a part brings about in different images.

    Attributes:
      distance: for each part and two images, the share of the layer's units whose change has not
        the same sign in both: 0 where all change alike.
      changed: for each part, the share of the units that change at all, the mean over the images.
    """

    distance: Float[np.ndarray, "parts n n"]
    changed: Float[np.ndarray, " parts"]

    @property
    def pairs(self) -> Float[np.ndarray, "parts pairs"]:
        """The distances of all pairs of different images, each pair once."""
        return self.distance[:, *np.triu_indices(self.distance.shape[1], 1)]

    @property
    def mean(self) -> Float[np.ndarray, " parts"]:
        """The paper's measure, over all pairs of different images: lower is more alike."""
        return self.pairs.mean(1)

    @property
    def std(self) -> Float[np.ndarray, " parts"]:
        """The standard deviation over the pairs."""
        return self.pairs.std(1)


def correspondence(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    boxes: Int[ArrayLike, "n parts 4"],
    *,
    layers: Sequence[str],
    fill: float = 0.0,
    memory: int | None = None,
) -> dict[str, Correspondence]:
    """Whether covering the same part of different images changes a layer in the same way.

    With a part covered, features change by `e = f(x) - f(covered x)`. Where the network relates a
    part of one object to that of another, the signs of `e` agree from image to image more than
    those for places taken at random. The measure is the paper's, the Hamming distance of two
    images' `sign(e)` summed over all pairs, but divided by the number of units and of pairs, so
    that it is a share. A unit that does not change has the sign 0, which differs from both others:
    where few units change, most agree by that alone, so hold shares only against those of boxes as
    large in the same layer.

    Args:
      model: a callable pytree.
      x: its input, at least two images.
      boxes: of each image the same parts: top, left, bottom, right in pixels, the last two
        exclusive.
      layers: names of layers.
      fill: what covers, in the input's units; 0 is the mean colour where a card normalises by it.
      memory: bytes for the activations of a batch; see `jaxviz.studies.in_batches`.

    Returns:
      Layer -> `Correspondence`.

    Raises:
      ValueError: fewer than two images, boxes that do not fit them, or an unknown layer.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(x.mean((1, 2)), "means")
      >>> x = jnp.stack([jnp.full((4, 4, 2), 1.0), jnp.full((4, 4, 2), 2.0)])
      >>> x = x.at[1, 2:, 2:, 0].set(-1.0)  # the corner of the second image is another thing
      >>> boxes = [[[0, 0, 2, 2], [2, 2, 4, 4]]] * 2
      >>> correspondence(model, x, boxes, layers=["means"])["means"].mean.tolist()
      [0.0, 0.5]

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 4.3 and
      table 1. The division is our choice.
    """
    images, places = np.asarray(x), np.asarray(boxes)
    if images.ndim != 4 or len(images) < 2:
        raise ValueError(f"x must be at least two images (n, h, w, c), got shape {images.shape}.")
    _check(places, images.shape)
    signs = in_batches(
        functools.partial(_signs, layers=tuple(layers), fill=jnp.asarray(fill, images.dtype)),
        as_argument(model),
        (images, places.astype(np.int32)),
        memory=memory,
    )
    return {
        layer: Correspondence(
            np.stack([_apart(signs[layer][:, part]) for part in range(places.shape[1])]),
            (signs[layer] != 0).mean((0, 2)),
        )
        for layer in layers
    }


def _check(boxes: np.ndarray, shape: tuple[int, ...]) -> None:
    n, h, w, _ = shape
    whole = np.issubdtype(boxes.dtype, np.integer)
    if not whole or boxes.ndim != 3 or boxes.shape[::2] != (n, 4) or not boxes.size:
        raise ValueError(
            f"boxes must be ints of shape ({n}, parts, 4) for {n} images; got {boxes.dtype} "
            f"{boxes.shape}."
        )
    top, left, bottom, right = np.moveaxis(boxes, -1, 0)
    wrong = (top < 0) | (left < 0) | (bottom > h) | (right > w) | (top >= bottom) | (left >= right)
    if wrong.any():
        raise ValueError(
            f"box {boxes[wrong][0].tolist()} (top, left, bottom, right) must lie in the image of "
            f"{h} x {w} pixels and hold at least one."
        )


@functools.partial(jax.jit, static_argnames="layers")
def _signs(model: Any, asked, *, layers: tuple[str, ...], fill: Array) -> dict[str, Array]:
    """For each layer the signs of the changes, (n, parts, units)."""
    x, boxes = asked
    row, column = (jnp.arange(size) for size in x.shape[1:3])

    def features(box: Int[Array, "n 4"]) -> dict[str, Array]:
        top, left, bottom, right = (side[:, None] for side in box.T)
        rows, columns = (row >= top) & (row < bottom), (column >= left) & (column < right)
        covered = jnp.where((rows[:, :, None] & columns[:, None])[..., None], fill, x)
        return capture(model, covered, layers)[1]

    def change(box: Int[Array, "n 4"]) -> dict[str, Array]:
        return jax.tree.map(lambda value: value.reshape(len(x), -1), features(box))

    # The whole images are a part that is empty: what a box does not reach is then computed by the
    # same instructions, and does not differ by a rounding error that would have a sign.
    parts = jnp.concatenate([jnp.zeros_like(boxes[:, :1]), boxes], 1)
    values = jax.lax.map(change, parts.swapaxes(0, 1))
    return jax.tree.map(
        lambda value: jnp.sign(value[0] - value[1:]).astype(jnp.int8).swapaxes(0, 1), values
    )


@jax.jit
def _shares(signs: Int[Array, "n units"]) -> Float[Array, "n n"]:
    return jax.lax.map(lambda own: (own != signs).mean(-1), signs)


def _apart(signs: Int[np.ndarray, "n units"]) -> Float[np.ndarray, "n n"]:
    return np.asarray(_shares(jnp.asarray(signs)))


def random_boxes(
    key: PRNGKeyArray,
    boxes: Int[ArrayLike, "n parts 4"],
    *,
    size: tuple[int, int],
    masks: Bool[ArrayLike, "n h w"] | None = None,
) -> Int[np.ndarray, "n parts 4"]:
    """Boxes as large as given ones, each at a random place: the control.

    Args:
      key: randomness.
      boxes: top, left, bottom, right.
      size: rows and columns of the images.
      masks: the object of each image; boxes are then around its pixels, moved into the image where
        they would leave it. Without them they are anywhere in the image.

    Returns:
      Boxes inside the images.

    Example:
      >>> import jax
      >>> moved = random_boxes(jax.random.key(0), [[[0, 0, 3, 2]]], size=(8, 8))
      >>> (moved[..., 2:] - moved[..., :2]).tolist()
      [[[3, 2]]]
    """
    given = np.asarray(boxes)
    extent = given[..., 2:] - given[..., :2]
    room = np.array(size) - extent
    if masks is None:
        corner = np.asarray(jax.random.randint(key, extent.shape, 0, room + 1))
    else:
        inside = np.asarray(masks, bool).reshape(len(given), 1, -1)
        lots = np.asarray(jax.random.uniform(key, (*given.shape[:2], inside.shape[-1])))
        pixel = np.where(inside, lots, -1).argmax(-1)
        centre = np.stack(np.unravel_index(pixel, size), -1)
        corner = np.clip(centre - extent // 2, 0, room)
    return np.concatenate([corner, corner + extent], -1)
