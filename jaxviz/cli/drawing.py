"""Images that excite units most, as arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, UInt8

import jaxviz as jv
from jaxviz import report
from jaxviz.cli.inputs import Port
from jaxviz.cli.mistakes import Mistake
from jaxviz.transform.memory import at_once

__all__ = [
    "IMAGES",
    "Drawing",
    "Drawn",
    "checked",
    "draw",
    "goal_of",
    "most_at_once",
    "start_of",
    "units_at_once",
]

IMAGES = ("laplacian_pyramid", "gaussian_pyramid", "fourier", "pixel", "cppn", "maco")
"""What an image may be made of: the parameterizations of `jaxviz.images`."""

FRAMES = 24
MOST_AT_ONCE = 64


class Drawing(NamedTuple):
    """How images are drawn, whatever the units.

    Attributes:
      layer: whose channels the units are; None where they are classes.
      size: side of the images, in pixels.
      steps: of gradient ascent.
      seed: of the first image and of the transforms.
      image: one of `IMAGES`.
      start: what to start from, in [0, 1]; None is noise.
      views: how many times an image is moved about and looked at in a step.
      region: the layer whose class activation map confines the ascent, or None.
      frames: whether to keep the images on the way too.
      memory: bytes that may be taken at one time; None takes jaxviz's default.
    """

    layer: str | None
    size: int
    steps: int
    seed: int = 0
    image: str = IMAGES[0]
    start: float | Float[np.ndarray, "size size 3"] | None = None
    views: int = 1
    region: str | None = None
    frames: bool = False
    memory: int | None = None

    @property
    def kept(self) -> list[int]:
        """After which steps an image is kept, the last one always."""
        every = -(-self.steps // FRAMES)
        return [*range(every, self.steps, every), self.steps]


class Drawn(NamedTuple):
    """What has become of one unit, or, with an axis in front, of several.

    Attributes:
      image: in [0, 1].
      score: the activation that it reaches, a mean over the map, or the logit.
      dead: whether the score stood still, so that the image shows its start.
      trace: the score at every step, of the image as the transforms show it.
      frames: the images after the steps `Drawing.kept`, as bytes; the last one alone where the
        others were not asked for.
    """

    image: Float[np.ndarray, "*k h w 3"]
    score: Float[np.ndarray, "*k"]
    dead: Bool[np.ndarray, "*k"]
    trace: Float[np.ndarray, "*k steps"]
    frames: UInt8[np.ndarray, "*k frames h w 3"]

    def of(self, index: int) -> Drawn:
        """One of several."""
        return Drawn(*(values[index] for values in self))


def goal_of(layer: str | None, units: Int[np.ndarray, " k"] | Array) -> jv.objectives.Objective:
    """What is raised: the mean of a channel's map, or a class's logit."""
    which = jnp.asarray(units)
    return jv.objectives.logit(which) if layer is None else jv.objectives.channel(layer, which)


def draw(port: Port, units: Sequence[int] | Int[np.ndarray, " k"], how: Drawing) -> Drawn:
    """An image that maximizes each of some units.

    An image's randomness comes from the seed and the unit's number alone, so that it is the same,
    to rounding, whichever units are drawn together.

    Args:
      port: the model and its card.
      units: channels of the layer, or classes.
      how: how to draw them.

    Returns:
      `Drawn`, with an axis for the units in front.

    Raises:
      ValueError: the memory does not hold one image, or the layer is unknown.

    Example:
      >>> from jaxviz.cli import inputs
      >>> port = inputs.load_port("shapes-plain", "shapes")
      >>> drawn = draw(port, [3], Drawing("layer1", size=16, steps=2))
      >>> drawn.image.shape, drawn.trace.shape
      ((1, 16, 16, 3), (1, 2))
    """
    which = np.asarray(units)
    found = _ascend(port, which, how)
    scores = _scores(port.model, port.card.normalize(found.image), goal_of(how.layer, which))
    on_the_way = found.frames[:, : len(how.kept) - 1]
    frames = [*np.moveaxis(np.asarray(on_the_way), 1, 0), np.asarray(found.image)]
    return Drawn(
        np.asarray(found.image),
        np.asarray(scores),
        np.asarray(found.dead),
        np.asarray(found.trace.score),
        report.to_uint8(np.stack(frames, 1)),
    )


def _ascend(port: Port, units: Int[np.ndarray, " k"], how: Drawing) -> jv.Maximized:
    key = jax.random.key(how.seed)
    return jv.maximize(
        port.model,
        goal_of(how.layer, units),
        key=jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.asarray(units)),
        image=getattr(jv.images, how.image)(how.size),
        preprocess=port.card.normalize,
        optimizer=_optimizer(how.image),
        steps=how.steps,
        start=how.start,
        views=how.views,
        region=None if how.region is None else jv.cam_region(how.region),
        keep_every=-(-how.steps // FRAMES) if how.frames else None,
        memory=how.memory,
    )


@functools.cache
def _optimizer(image: str) -> optax.GradientTransformation | None:
    # A network's weights and a wave's phase are no pixels: a decay makes no sense for them, and
    # steps as long as those of pixels overshoot. Both rates brought the classes of the shapes nets
    # highest, out of a few.
    rates = {"cppn": 0.0025, "maco": 0.2}
    return optax.adam(rates[image]) if image in rates else None


@jax.jit
def _scores(model: Any, x: Array, goal: jv.objectives.Objective) -> Array:
    return jv.objectives.score(model, x, goal)[1]


def start_of(given: str, card: Any, size: int) -> float | Float[np.ndarray, "size size 3"] | None:
    """What an ascent starts from: "noise", "grey", or an image file, cut to a square.

    Args:
      given: what the user wrote.
      card: the model's, whose way of cutting is used.
      size: side of the image, in pixels.

    Returns:
      None for noise, a number, or an image in [0, 1].

    Raises:
      Mistake, ValueError, OSError: a file that is not there or cannot be used.

    Example:
      >>> start_of("grey", None, 64)
      0.5
    """
    if given in ("noise", "grey"):
        return None if given == "noise" else 0.5
    image = jv.data.load_image(given)
    try:
        return card._replace(input_size=size, resize=size).to_display(image)[0]
    except ValueError as error:
        raise Mistake(f"{given}: {error}") from error


def checked(port: Port, how: Drawing) -> Drawing:
    """`how`, if the model can be asked so: traced, and not yet computed."""
    x = jax.ShapeDtypeStruct((1, how.size, how.size, 3), jnp.float32)
    try:
        jv.layers(port.model, x)
    except (TypeError, ValueError) as error:
        raise Mistake(f"--size {how.size} does not suit {port.name}: {error}") from error
    jax.eval_shape(lambda: _ascend(port, np.zeros(1, int), how).image)
    return how


def units_at_once(port: Port, how: Drawing) -> int:
    """How many units are drawn together: about as many as the memory holds."""

    goal = goal_of(how.layer, np.zeros(1, int))

    def total(x: Array) -> Array:
        return jv.objectives.score(port.model, x, goal)[1].sum()

    return most_at_once(jax.grad(total), (how.views, how.size, how.size, 3), how.memory)


def most_at_once(f: Callable, shape: tuple[int, ...], memory: int | None) -> int:
    """How many inputs of a shape `f` may have at one time, within the memory: 1 to 64."""
    program = jax.make_jaxpr(f)(jax.ShapeDtypeStruct(shape, jnp.float32))
    return min(at_once(program, memory), MOST_AT_ONCE)
