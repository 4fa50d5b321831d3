"""What to show in place of a part of an image."""

from __future__ import annotations

import jax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxviz.perturb.inputs import batch

__all__ = ["noise"]


def noise(key: PRNGKeyArray, x: Float[ArrayLike, "n h w c"]) -> Float[Array, "n h w c"]:
    """Gaussian noise with each image's own mean colour and contrast, and none of its content.

    Args:
      key: randomness.
      x: images, or a model's input.

    Returns:
      Noise of the same shape and type: every value is drawn by itself from the normal distribution
      that has the mean and the standard deviation of its image's channel.

    Raises:
      ValueError: `x` is not a batch of floating-point images.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> x = jax.random.uniform(jax.random.key(0), (1, 64, 64, 3))
      >>> fill = jv.noise(jax.random.key(1), x)
      >>> maps = jv.occlusion(lambda x: x.mean((1, 2)), x, 0, window=(16, 16), fill=fill)

    References:
      Dabkowski & Gal, Real time image saliency for black box classifiers, 2017, section 4.1.
    """
    x = batch(x)
    mean, deviation = x.mean((1, 2), keepdims=True), x.std((1, 2), keepdims=True)
    return mean + deviation * jax.random.normal(key, x.shape, x.dtype)
