"""Every number is the strength of a wave, and reaches all pixels."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxviz.synthesis.images.colours import correlated, decorrelated
from jaxviz.synthesis.images.parameterization import (
    Parameterization,
    checked,
    logits,
    rows_and_columns,
)

__all__ = ["falling", "fourier"]


@functools.cache
def fourier(
    size: int | tuple[int, int],
    *,
    decay: float = 1.0,
    deviation: float = 0.5,
    decorrelate: bool = True,
) -> Parameterization:
    """Fourier coefficients, weaker at high frequencies as photographs' are; then a sigmoid.

    The same steepest ascent in other coordinates: low frequencies, and changes of all colours
    together, move faster, as much as they vary more between photographs.

    Args:
      size: rows and columns of the image, or one number for both, in pixels.
      decay: amplitudes fall with the frequency to this power; 0 makes all alike.
      deviation: standard deviation of the random start, before its colours are mixed and the
        sigmoid.
      decorrelate: the coefficients are those of lightness and two contrasts of colour, which vary
        by themselves in photographs, and not of red, green and blue.

    Returns:
      A parameterization; a given image comes back to 1e-5.

    Raises:
      ValueError: the size is not positive.

    Example:
      >>> import jax, jaxviz as jv
      >>> image = jv.images.fourier((9, 16))
      >>> image.decode(image.init(jax.random.key(0), 2)).shape
      (2, 9, 16, 3)

    References:
      Olah, Mordvintsev, Schubert, Feature visualization, 2017, section "Preconditioning and
      parameterization".
    """
    rows, columns = rows_and_columns(size)
    scale = falling(rows, columns, decay)

    def init(key: PRNGKeyArray, count: int) -> Array:
        # Real and imaginary parts share a wave's variance.
        shape = (count, 2, rows, columns // 2 + 1, 3)
        return deviation * np.float32(np.sqrt(0.5)) * jax.random.normal(key, shape)

    def decode(coefficients: Array) -> Array:
        waves = scale * lax.complex(coefficients[:, 0], coefficients[:, 1])
        values = _from_waves(waves, rows, columns)
        return jax.nn.sigmoid(correlated(values) if decorrelate else values)

    def encode(images: Float[ArrayLike, "n h w 3"]) -> Array:
        values = logits(checked(images, rows, columns))
        waves = _waves(decorrelated(values) if decorrelate else values) / scale
        return jnp.stack([waves.real, waves.imag], 1)

    return Parameterization(init, decode, encode)


def _waves(values: Array) -> Array:
    return jnp.fft.rfft2(values, axes=(1, 2), norm="ortho")


def _from_waves(waves: ArrayLike, rows: int, columns: int) -> Array:
    return jnp.fft.irfft2(waves, (rows, columns), (1, 2), norm="ortho")


def falling(rows: int, columns: int, decay: float) -> Float[np.ndarray, "h m 1"]:
    """Amplitudes that fall with frequency, of a root mean square of 1 over all frequencies."""
    row, column = np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)
    # The mean has no frequency; it counts as the longest wave that fits.
    frequency = np.maximum(np.hypot(row, column), 1 / max(rows, columns))
    amplitude = frequency**-decay
    amplitude = amplitude / np.sqrt(np.mean(amplitude**2))
    return amplitude[:, : columns // 2 + 1, None].astype(np.float32)
