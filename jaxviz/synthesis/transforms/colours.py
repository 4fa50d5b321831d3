"""Brightness, contrast and saturation."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxviz.synthesis.transforms.placement import Transform

__all__ = ["adjust_colours", "colour_jitter"]


@functools.cache
def colour_jitter(
    *, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0
) -> Transform:
    """Changes the colours of every image, each by factors of its own, around 1.

    Args:
      brightness: the largest change of its factor, either way, in [0, 1].
      contrast: likewise.
      saturation: likewise.

    Returns:
      A function of a key and images in [0, 1].

    Raises:
      ValueError: a change is not in [0, 1].

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> brighter = jv.transforms.colour_jitter(brightness=0.5)
      >>> shown = brighter(jax.random.key(0), jnp.full((2, 4, 4, 3), 0.5))
      >>> bool((shown >= 0.25).all() & (shown <= 0.75).all() & (shown[0] != shown[1]).all())
      True

    References:
      Buslaev et al. and torchvision call it color jitter; Chen et al., A simple framework for
      contrastive learning of visual representations, 2020, appendix A.
    """
    changes = (brightness, contrast, saturation)
    if not all(0 <= change <= 1 for change in changes):
        raise ValueError(f"brightness, contrast and saturation must be in [0, 1], got {changes}.")

    def jittered(key: PRNGKeyArray, images: jax.Array) -> jax.Array:
        draws = jax.random.uniform(key, (3, len(images)), minval=-1, maxval=1)
        factors = 1 + jnp.array(changes)[:, None] * draws
        return adjust_colours(
            images, brightness=factors[0], contrast=factors[1], saturation=factors[2]
        )

    return jittered


def adjust_colours(
    images: Float[Array, "n h w 3"],
    *,
    brightness: float | Float[ArrayLike, "*n"] = 1.0,
    contrast: float | Float[ArrayLike, "*n"] = 1.0,
    saturation: float | Float[ArrayLike, "*n"] = 1.0,
) -> Float[Array, "n h w 3"]:
    """Images of another brightness, contrast and saturation, in this order.

    The result is not cut to [0, 1], so that every pixel keeps its gradient.

    Args:
      images: images in [0, 1], RGB.
      brightness: multiplies every value; a factor, or one for each image.
      contrast: multiplies the distance from the image's mean lightness.
      saturation: multiplies the distance from the pixel's own grey.

    Returns:
      Images of the same shape.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> red = jnp.array([1.0, 0.0, 0.0]).reshape(1, 1, 1, 3)
      >>> grey = jv.transforms.adjust_colours(red, saturation=0.0)
      >>> [round(value, 3) for value in grey.ravel().tolist()]
      [0.299, 0.299, 0.299]
    """
    brightness, contrast, saturation = (
        jnp.asarray(factor).reshape(-1, 1, 1, 1) for factor in (brightness, contrast, saturation)
    )
    images = images * brightness
    mean = _grey(images).mean((1, 2), keepdims=True)
    images = mean + contrast * (images - mean)
    grey = _grey(images)
    return grey + saturation * (images - grey)


def _grey(images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 1"]:
    """Lightness as ITU-R BT.601 defines it."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return jnp.sum(images * weights, -1, keepdims=True)
