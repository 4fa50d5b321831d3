"""A low-pass filter in the Fourier domain."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from jaxviz.perturb.inputs import batch

__all__ = ["low_pass"]


@jax.jit
def low_pass(
    x: Float[ArrayLike, "n h w c"], *, cutoff: float | Float[ArrayLike, ""]
) -> Float[Array, "n h w c"]:
    """Images without their high spatial frequencies: a sharp cut in the Fourier domain.

    Waves of at most `cutoff` cycles per pixel, in whatever direction, are kept as they are, all
    others are removed. The image is taken to repeat beyond its borders, and edges ring. Another
    cutoff needs no recompilation.

    Args:
      x: images, or a model's input.
      cutoff: in cycles per pixel, so that a wave of p pixels is kept if 1 / p is not more. 0 leaves
        the mean colour; 0.5 is the finest pattern along a row or a column, and from 0.71 on, the
        finest along a diagonal, nothing is removed.

    Returns:
      Images of the same shape and type; of zeros where the cutoff is negative or NaN.

    Raises:
      ValueError: `x` is not a batch of floating-point images.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> stripes = jnp.array([1.0, 0.0] * 4).reshape(1, 1, 8, 1)
      >>> jv.low_pass(stripes, cutoff=0.4).ravel().tolist()
      [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    x = batch(x)
    h, w = x.shape[1:3]
    along, across = jnp.fft.fftfreq(h)[:, None], jnp.fft.rfftfreq(w)
    # The frequencies are rounded, and a cutoff that names one of them must keep it.
    kept = jnp.hypot(along, across) <= jnp.asarray(cutoff, jnp.float32) + 1e-6
    precision = jnp.promote_types(x.dtype, jnp.float32)
    waves = jnp.fft.rfft2(x.astype(precision), axes=(1, 2))
    kept_waves = jnp.where(kept[..., None], waves, 0)
    return jnp.fft.irfft2(kept_waves, s=(h, w), axes=(1, 2)).astype(x.dtype)
