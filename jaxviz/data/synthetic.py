"""An endless set of pictures of simple shapes, each with the region that the object covers.

The whole picture is drawn by array code on the device: an outline is a signed distance function
(negative inside, in pixels), so that an edge is smooth and a mask is exact at any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

__all__ = ["SHAPE_NAMES", "Shapes", "outline_distance", "shapes"]

Plane = Float[Array, "h w"]


class _Points(NamedTuple):
    """Pixel centres seen from the object: its centre at the origin, its radius 1, upright."""

    x: Plane
    y: Plane
    radius: Plane
    angle: Plane

    def folded(self, times: int) -> tuple[Plane, Plane]:
        """The points, all turned and mirrored into one of `times` equal sectors around +x."""
        sector = 2 * math.pi / times
        angle = jnp.mod(self.angle + sector / 2, sector) - sector / 2
        return self.radius * jnp.cos(angle), self.radius * jnp.abs(jnp.sin(angle))


def _disc(x: Plane, y: Plane, radius: float) -> Plane:
    return jnp.hypot(x, y) - radius


def _box(x: Plane, y: Plane, half_width: float, half_height: float) -> Plane:
    across, along = jnp.abs(x) - half_width, jnp.abs(y) - half_height
    outside = jnp.hypot(jnp.maximum(across, 0), jnp.maximum(along, 0))
    return outside + jnp.minimum(jnp.maximum(across, along), 0)


def _star(at: _Points, points: int, outer: float, inner: float) -> Plane:
    # One straight edge, from a tip to the notch beside it, stands for all of them. With
    # inner = outer * cos(pi / points) the notch lies on a straight side: a regular polygon.
    x, y = at.folded(points)
    notch_x, notch_y = inner * math.cos(math.pi / points), inner * math.sin(math.pi / points)
    length = math.hypot(notch_x - outer, notch_y)
    return ((x - outer) * notch_y - y * (notch_x - outer)) / length


def _circle(at: _Points) -> Plane:
    return at.radius - 0.86


def _square(at: _Points) -> Plane:
    return _box(at.x, at.y, 0.7, 0.7)


def _triangle(at: _Points) -> Plane:
    return _star(at, 3, 1.0, 0.5)


def _five_pointed(at: _Points) -> Plane:
    return _star(at, 5, 1.0, 0.46)


def _ring(at: _Points) -> Plane:
    return jnp.abs(at.radius - 0.68) - 0.27


def _cross(at: _Points) -> Plane:
    return jnp.minimum(_box(at.x, at.y, 0.95, 0.3), _box(at.x, at.y, 0.3, 0.95))


def _crescent(at: _Points) -> Plane:
    return jnp.maximum(at.radius - 0.95, -_disc(at.x - 0.5, at.y, 0.72))


def _heart(at: _Points) -> Plane:
    # Two lobes, and the wedge between their outer tangents, which meet in the tip below.
    across, down = jnp.abs(at.x), at.y
    aside, above, lobe, tip = 0.44, 0.3, 0.48, 0.93
    slope = math.asin(lobe / math.hypot(aside, tip + above)) + math.atan2(aside, tip + above)
    wedge = across * math.cos(slope) + (down - tip) * math.sin(slope)
    touching = lobe * math.sin(slope) - above
    below = jnp.maximum(wedge, touching - down)
    # The last disc fills the gap between the lobes and the wedge.
    discs = jnp.minimum(_disc(across - aside, down + above, lobe), at.radius - aside)
    return jnp.minimum(discs, below)


def _arrow(at: _Points) -> Plane:
    head = jnp.maximum(-(at.x - 0.05), (at.x - 0.97) * 0.66 + jnp.abs(at.y) * 0.75)
    return jnp.minimum(head, _box(at.x + 0.38, at.y, 0.52, 0.27))


def _flower(at: _Points) -> Plane:
    x, y = at.folded(5)
    return jnp.minimum(_disc(x - 0.6, y, 0.37), at.radius - 0.5)


_OUTLINES: dict[str, Callable[[_Points], Plane]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _five_pointed,
    "ring": _ring,
    "cross": _cross,
    "crescent": _crescent,
    "heart": _heart,
    "arrow": _arrow,
    "flower": _flower,
}

SHAPE_NAMES: tuple[str, ...] = tuple(_OUTLINES)
"""The ten classes, in the order of their labels."""


def _pixel_centres(size: int) -> tuple[Plane, Plane]:
    # In 64ths of the picture's side, so that another size shows the same scene.
    line = (jnp.arange(size, dtype=jnp.float32) + 0.5) * (64 / size)
    row, column = jnp.meshgrid(line, line, indexing="ij")
    return row, column


def outline_distance(
    label: Int[Array, ""] | int,
    *,
    centre: Float[Array, " 2"],
    radius: Float[Array, ""] | float,
    angle: Float[Array, ""] | float = 0.0,
    size: int = 64,
) -> Float[Array, "size size"]:
    """How far each pixel's centre lies outside an object's outline; negative inside.

    Near the outline it is the distance; farther away only its sign is exact for some classes.

    Args:
      label: which shape, an index into `SHAPE_NAMES`.
      centre: row and column of the object's centre, in 64ths of the picture's side.
      radius: of the circle around the object, in the same unit.
      angle: by which the object is turned, in radians.
      size: height and width of the result, in pixels.

    Returns:
      The distances, in 64ths of the picture's side.

    Example:
      >>> import jax.numpy as jnp
      >>> ring = outline_distance(SHAPE_NAMES.index("ring"), centre=jnp.full(2, 32.0), radius=20.0)
      >>> bool(ring[32, 32] < 0), bool(ring[32, 45] < 0)  # the hole, the ring
      (False, True)
    """
    row, column = _pixel_centres(size)
    down, right = (row - centre[0]) / radius, (column - centre[1]) / radius
    x = right * jnp.cos(angle) + down * jnp.sin(angle)
    y = down * jnp.cos(angle) - right * jnp.sin(angle)
    at = _Points(x, y, jnp.hypot(x, y), jnp.arctan2(y, x))
    # Under vmap a switch would compute every branch as well, so all outlines are drawn outright.
    return jnp.stack([outline(at) for outline in _OUTLINES.values()])[label] * radius


def _rgb(hue: Array, saturation: Array, value: Array) -> Float[Array, " 3"]:
    turn = jnp.mod(hue * 6 + jnp.array([5.0, 3.0, 1.0], jnp.float32), 6)
    return value * (1 - saturation * jnp.clip(jnp.minimum(turn, 4 - turn), 0, 1))


def _luminance(rgb: Float[Array, " 3"]) -> Float[Array, ""]:
    return jnp.dot(rgb, jnp.array([0.299, 0.587, 0.114], jnp.float32))


def _between(dice: Iterator[Array], low: float, high: float) -> Float[Array, ""]:
    """The next random number, in a range."""
    return low + (high - low) * next(dice)


def _one_of(dice: Iterator[Array], count: int) -> Int[Array, ""]:
    """The next random number, as a choice."""
    return jnp.minimum(jnp.int32(next(dice) * count), count - 1)


def _texture(dice: Iterator[Array], noise: Float[Array, " 336"], size: int) -> Plane:
    """One of five patterns between 0 and 1: a slope, stripes, waves, a weave or clouds."""
    row, column = _pixel_centres(size)
    angle, pitch = _between(dice, 0, 2 * math.pi), _between(dice, 0.45, 1.1)
    slope = (column - 32) * jnp.cos(angle) + (row - 32) * jnp.sin(angle)
    across = row * jnp.cos(angle) - column * jnp.sin(angle)
    phase = slope * pitch + _between(dice, 0, 2 * math.pi)
    # Noise of three grains, the finer the fainter.
    grids = [noise[:16].reshape(4, 4), noise[16:80].reshape(8, 8), noise[80:].reshape(16, 16)]
    clouds = [jax.image.resize(grid, (size, size), "cubic") for grid in grids]
    patterns = [
        0.5 + slope / 80,
        0.5 + 0.5 * jnp.sin(phase),
        0.5 + 0.5 * jnp.sin(phase + 1.6 * jnp.sin(across * 0.25)),
        0.5 + 0.5 * jnp.sin(phase) * jnp.sin(across * pitch),
        0.5 + (clouds[0] + clouds[1] / 2 + clouds[2] / 4),
    ]
    return jnp.stack(patterns)[_one_of(dice, len(patterns))]


def _paint(canvas: Array, distance: Plane, colour: Array) -> Float[Array, "h w 3"]:
    """Lays a colour over the canvas inside an outline, its edge smoothed over one pixel."""
    pixel = 64 / canvas.shape[0]
    cover = jnp.clip(0.5 - distance / pixel, 0, 1)[..., None]
    return canvas * (1 - cover) + jnp.broadcast_to(colour, canvas.shape) * cover


def _distractor(
    numbers: Float[Array, " 8"], hue: Array, size: int
) -> tuple[Plane, Float[Array, " 3"]]:
    """Outline and colour of a blob, a bar or a long line: capsules, and none of the classes."""
    dice = iter(numbers)
    row, column = _pixel_centres(size)
    angle = _between(dice, 0, math.pi)
    down, right = row - _between(dice, 0, 64), column - _between(dice, 0, 64)
    along = right * jnp.cos(angle) + down * jnp.sin(angle)
    across = down * jnp.cos(angle) - right * jnp.sin(angle)
    kind, stretch = _one_of(dice, 3), _between(dice, 0.7, 1.3)
    half_length = jnp.array([1.8, 5.0, 30.0], jnp.float32)[kind] * stretch
    thickness = jnp.array([2.2, 1.2, 0.6], jnp.float32)[kind] * stretch
    distance = jnp.hypot(jnp.maximum(jnp.abs(along) - half_length, 0), across) - thickness
    # Far from the object's hue, so that an object lying over it keeps its outline.
    colour = _rgb(hue + _between(dice, 0.25, 0.75), _between(dice, 0.3, 0.8), jnp.float32(0.7))
    hidden = next(dice) < 0.4
    return jnp.where(hidden, jnp.float32(64), distance), colour


def _draw(key: PRNGKeyArray, size: int) -> Shapes:
    """Draws one picture: a textured ground, then distractors, then the object over them all."""
    # Two draws make the whole picture, since every call of jax.random takes XLA half a second to
    # compile. The dtype is named, so that 64-bit numbers, where enabled, change no picture.
    scene_key, grain_key = jax.random.split(key)
    numbers = jax.random.uniform(scene_key, (48 + 336,), jnp.float32)
    grain = jax.random.uniform(grain_key, (size, size, 1), jnp.float32) - 0.5
    dice = iter(numbers[:16])
    label = _one_of(dice, len(SHAPE_NAMES))

    hue = next(dice)
    colour = _rgb(hue, _between(dice, 0.6, 0.95), _between(dice, 0.45, 1.0))
    # The ground differs in brightness and in hue, so that every object stands out.
    brightness = next(dice)
    dark_ground, bright_ground = 0.12 + 0.16 * brightness, 0.74 + 0.18 * brightness
    ground_value = jnp.where(_luminance(colour) > 0.45, dark_ground, bright_ground)
    ground_hue, ground_saturation = hue + _between(dice, 0.2, 0.8), _between(dice, 0.05, 0.45)
    low = _rgb(ground_hue, ground_saturation, ground_value - 0.08)
    high = _rgb(ground_hue + _between(dice, -0.1, 0.1), ground_saturation, ground_value + 0.1)
    texture = _texture(dice, numbers[48:] - 0.5, size)[..., None]
    canvas = low[None, None] * (1 - texture) + high[None, None] * texture

    distractors = jax.vmap(partial(_distractor, hue=hue, size=size))
    distances, colours = distractors(numbers[16:48].reshape(4, 8))
    for distance, distractor_colour in zip(distances, colours, strict=True):
        canvas = _paint(canvas, distance, distractor_colour)

    radius = _between(dice, 11, 20)
    centre = radius + 1 + jnp.stack([next(dice), next(dice)]) * (62 - 2 * radius)
    angle = _between(dice, 0, 2 * math.pi)
    distance = outline_distance(label, centre=centre, radius=radius, angle=angle, size=size)
    row, column = _pixel_centres(size)
    light = 1 - 0.14 * ((row - centre[0]) + (column - centre[1])) / radius
    canvas = _paint(canvas, distance, colour[None, None] * light[..., None])

    return Shapes(jnp.clip(canvas + 0.05 * grain, 0, 1), label, distance < 0)


class Shapes(NamedTuple):
    """Pictures of shapes.

    Attributes:
      image: float32 in [0, 1], RGB.
      label: the class, an index into `SHAPE_NAMES`.
      mask: the pixels whose centre the object covers (of a ring, without its hole).
    """

    image: Float[Array, "*n size size 3"]
    label: Int[Array, "*n"]
    mask: Bool[Array, "*n size size"]


@partial(jax.jit, static_argnames=("count", "size"))
def _draw_many(key: PRNGKeyArray, count: int, size: int) -> Shapes:
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(count))
    # In batches, so that a call for thousands of pictures needs little memory besides its result.
    return jax.lax.map(partial(_draw, size=size), keys, batch_size=min(count, 128))


def shapes(key: PRNGKeyArray, count: int, *, size: int = 64) -> Shapes:
    """Draws pictures of one shape each, a pure function of the key.

    The object has a random class, colour, size, place and rotation; it lies whole inside the
    picture, over a textured ground and a few blobs, bars and lines, and nothing hides it. The
    pictures of a smaller `count` are the first ones of a larger.

    Args:
      key: a JAX random key.
      count: how many pictures.
      size: height and width, in pixels; the scene does not depend on it, but for its grain.

    Returns:
      `Shapes`: images (count, size, size, 3) in [0, 1], labels (count,), masks (count, size, size).

    Raises:
      ValueError: `count` or `size` is below 1.

    Example:
      >>> import jax
      >>> drawn = shapes(jax.random.key(0), 3)
      >>> drawn.image.shape, drawn.mask.shape
      ((3, 64, 64, 3), (3, 64, 64))
      >>> [SHAPE_NAMES[label] for label in drawn.label]  # doctest: +SKIP
      ['heart', 'star', 'circle']

    References:
      Signed distances of plane figures: I. Quilez, "2D distance functions",
      iquilezles.org/articles/distfunctions2d.
    """
    if count < 1 or size < 1:
        raise ValueError(f"shapes needs a count and a size of at least 1, not {count=}, {size=}.")
    return _draw_many(key, count, size)
