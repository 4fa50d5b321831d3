"""Gaussian blur."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from jaxviz.perturb.inputs import batch

__all__ = ["gaussian_blur"]


@jax.jit
def gaussian_blur(
    x: Float[ArrayLike, "n h w c"], sigma: float | Float[ArrayLike, ""]
) -> Float[Array, "n h w c"]:
    """Images blurred by a Gaussian: detail much finer than `sigma` is gone, the mean colours stay.

    The kernel is cut at four sigma, and the image is continued by its mirror image, as
    `scipy.ndimage.gaussian_filter` does by default. Another sigma needs no recompilation.

    Args:
      x: images, or a model's input.
      sigma: standard deviation in pixels, not negative; 0 changes nothing.

    Returns:
      Images of the same shape and type; NaN where sigma is negative.

    Raises:
      ValueError: `x` is not a batch of floating-point images.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> edge = jnp.array([0.0, 0.0, 1.0, 1.0]).reshape(1, 1, 4, 1)
      >>> [round(value, 2) for value in jv.gaussian_blur(edge, 1.0).ravel().tolist()]
      [0.06, 0.3, 0.7, 0.94]
    """
    x = batch(x)
    rows, columns = (_blurring(size, sigma).astype(x.dtype) for size in x.shape[1:3])
    return _product("vw,nhwc->nhvc", columns, _product("gh,nhwc->ngwc", rows, x))


def _product(axes: str, a: Array, b: Array) -> Array:
    # A device that rounds the factors of a product would lose half of the digits here.
    return jnp.einsum(axes, a, b, precision=jax.lax.Precision.HIGHEST)


def _blurring(size: int, sigma: ArrayLike) -> Float[Array, "to of"]:
    """The matrix that blurs one axis.

    A matrix has room for a kernel of any radius, so that sigma can be data; and a product with it
    is fast everywhere, forwards and backwards.
    """
    # Beyond twice the size everything has become the mean, to 1e-5; this bounds the number of
    # mirror images that a kernel can reach.
    sigma = jnp.clip(jnp.asarray(sigma, jnp.float32), None, 2.0 * size)
    radius = jnp.floor(4 * sigma + 0.5)
    to, of = jnp.arange(size)[:, None], jnp.arange(size)
    weights = jnp.zeros((size, size))
    for turn in range(-5, 6):
        # Each pixel is seen again and again: in place, and in the mirror at the border.
        for seen in (of + 2 * size * turn, 2 * size * turn - 1 - of):
            distance = jnp.abs(seen - to)
            weight = jnp.exp(-0.5 * (distance / jnp.maximum(sigma, 1e-3)) ** 2)
            weights += jnp.where(distance <= radius, weight, 0)
    return weights / weights.sum(1, keepdims=True)
