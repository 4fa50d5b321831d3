"""Deep dream: what a layer sees in a photograph, amplified from large shapes to small ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxviz.synthesis.ascent import maximize, unchanged
from jaxviz.synthesis.gradients import normalize_gradient
from jaxviz.synthesis.images import pixel
from jaxviz.synthesis.objectives import Objective
from jaxviz.synthesis.transforms import Transform, jitter

__all__ = ["deep_dream"]


@functools.cache
def _default_optimizer() -> optax.GradientTransformation:
    return optax.chain(normalize_gradient(), optax.sgd(0.1))


def deep_dream(
    model: Callable,
    objective: Objective,
    image: Float[ArrayLike, "n h w 3"],
    *,
    key: PRNGKeyArray,
    preprocess: Callable[[Float[Array, "n h w 3"]], Float[Array, "n h w c"]] = unchanged,
    octaves: int = 4,
    ratio: float = 1.4,
    steps: int = 10,
    optimizer: optax.GradientTransformation | None = None,
    transforms: Sequence[Transform] = (jitter(32),),
    memory: int | None = None,
) -> Float[Array, "n h w 3"]:
    """Images in which what an objective sees has grown, at several scales.

    The image is made small, raised by a few steps of ascent, made larger together with what was
    added, raised again, and so on up to its own size: so shapes of all sizes appear. The model sees
    images of as many sizes as there are octaves, and a program is compiled for each.

    Args:
      model: a callable pytree that takes images of several sizes, at least up to the objective's
        layers.
      objective: what to raise, usually `jv.objectives.layer(name)`.
      image: photographs to start from, in [0, 1].
      key: randomness of the transforms.
      preprocess: makes the model's input of images in [0, 1]: a card's `normalize`.
      octaves: how many sizes.
      ratio: from one size to the next, above 1.
      steps: of ascent at each size.
      optimizer: any optax optimizer; by default gradients of unit RMS and steps of 0.1 before the
        sigmoid.
      transforms: random changes before each look, in order.
      memory: as in `jv.maximize`.

    Returns:
      Images in [0, 1].

    Raises:
      ValueError: `octaves` < 1 or `ratio` <= 1, the smallest size is empty, or as in `jv.maximize`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(x[..., :1], "red")
      >>> photograph = jnp.full((1, 16, 16, 3), 0.5)
      >>> dream = jv.deep_dream(
      ...     model, jv.objectives.channel("red", 0), photograph, key=jax.random.key(0), octaves=2
      ... )
      >>> bool(dream[..., 0].mean() > 0.8), bool(jnp.allclose(dream[..., 1:], 0.5, atol=1e-5))
      (True, True)

    References:
      Mordvintsev, Olah, Tyka, Inceptionism: going deeper into neural networks, 2015.
    """
    image = jnp.asarray(image, float)
    if image.ndim != 4 or image.shape[-1] != 3:
        raise ValueError(f"image must be a batch of shape (n, h, w, 3), got {image.shape}.")
    if octaves < 1 or ratio <= 1:
        raise ValueError(
            f"octaves must be at least 1 and ratio above 1, got {octaves} and {ratio}."
        )
    n = max(len(image), objective.images)
    if {len(image), objective.images} - {1, n}:
        raise ValueError(
            f"image must hold one image or as many as objectives, {objective.images}; got "
            f"{len(image)}."
        )
    image = jnp.broadcast_to(image, (n, *image.shape[1:]))
    _, rows, columns, _ = image.shape
    sizes = [
        (round(rows / ratio**octave), round(columns / ratio**octave))
        for octave in reversed(range(octaves))
    ]
    if min(sizes[0]) < 1:
        raise ValueError(
            f"octaves must leave at least one pixel: {octaves} of them, {ratio} apart, are too "
            f"many for {rows} x {columns}."
        )
    dream = before = jnp.zeros((n, *sizes[0], 3))
    for size, own in zip(sizes, jax.random.split(key, octaves), strict=True):
        shape = (n, *size, 3)
        added = jax.image.resize(dream - before, shape, "linear")
        before = jax.image.resize(image, shape, "linear")
        dream = maximize(
            model,
            objective,
            key=own,
            image=pixel(size),
            preprocess=preprocess,
            optimizer=_default_optimizer() if optimizer is None else optimizer,
            transforms=transforms,
            steps=steps,
            start=jnp.clip(before + added, 0, 1),
            memory=memory,
        ).image
    return dream
