"""Every number is the phase of a wave; its strength is given."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxviz.synthesis.images.colours import ROOT, correlated, decorrelated
from jaxviz.synthesis.images.parameterization import Parameterization, checked, rows_and_columns
from jaxviz.synthesis.images.waves import falling

__all__ = ["maco", "spectrum"]


def maco(
    size: int | tuple[int, int],
    *,
    magnitude: Float[ArrayLike, "h m 3"] | None = None,
    decorrelate: bool = True,
) -> Parameterization:
    """Phases alone: every wave keeps the strength that it has in photographs, and only moves.

    So an ascent cannot make an image stronger, and no detail stronger than it is in photographs;
    it can only choose where things are. The parameters are angles: do not let them decay.

    Args:
      size: rows and columns of the image, or one number for both, in pixels.
      magnitude: the strength of each wave, as `spectrum` finds it in images of this size; by
        default one that falls with frequency, around mid-grey, with a standard deviation of 0.2
        (our choice).
      decorrelate: as given to `spectrum`.

    Returns:
      A parameterization, cut to [0, 1]. A given image keeps its phases and takes the magnitudes;
      one that has these magnitudes comes back to 1e-4. The mean colour is the magnitude's.

    Raises:
      ValueError: the size is not positive; the magnitude is not of this size.

    Example:
      >>> import jax, jaxviz as jv
      >>> photographs = jax.random.uniform(jax.random.key(0), (8, 16, 16, 3))
      >>> image = jv.images.maco(16, magnitude=jv.images.spectrum(photographs))
      >>> image.decode(image.init(jax.random.key(1), 2)).shape
      (2, 16, 16, 3)

    References:
      Fel et al., Unlocking feature visualization for deeper networks with MAgnitude Constrained
      Optimization, 2023.
    """
    rows, columns = rows_and_columns(size)
    shape = (rows, columns // 2 + 1, 3)
    if magnitude is None:
        magnitude = _photographic(rows, columns, decorrelate)
    magnitude = np.asarray(magnitude, np.float32)
    if magnitude.shape != shape:
        raise ValueError(
            f"magnitude must have shape {shape} for an image of {rows} x {columns}, as spectrum "
            f"gives it for images of this size; got {magnitude.shape}."
        )
    return _maco(rows, columns, magnitude.tobytes(), decorrelate)


def _photographic(rows: int, columns: int, decorrelate: bool) -> Float[np.ndarray, "h m 3"]:
    """Strengths of the waves of an image around mid-grey that falls off as photographs do."""
    mixing = ROOT if decorrelate else np.eye(3)
    deviation = 0.2 / np.sqrt(np.mean(np.sum(mixing**2, 1)))
    # The sum of squares of the waves is that of the pixels, times their number.
    magnitude = deviation * np.sqrt(rows * columns) * falling(rows, columns, 1.0)
    magnitude = np.repeat(magnitude, 3, -1)
    magnitude[0, 0] = rows * columns * (np.linalg.inv(mixing) @ np.full(3, 0.5))
    return magnitude


# By the magnitude's bytes, so that the same one gives the same static argument again.
@functools.cache
def _maco(rows: int, columns: int, strengths: bytes, decorrelate: bool) -> Parameterization:
    magnitude = np.frombuffer(strengths, np.float32).reshape(rows, columns // 2 + 1, 3)
    mean = np.zeros(magnitude.shape, bool)
    mean[0, 0] = True
    # A wave and its mirror image have opposite phases. In these columns both are there, and the
    # first speaks for the second.
    second = np.zeros(magnitude.shape, bool)
    second[rows // 2 + 1 :, [0, -1] if columns % 2 == 0 else [0]] = True

    def init(key: PRNGKeyArray, count: int) -> Array:
        return jax.random.uniform(key, (count, *magnitude.shape), minval=-np.pi, maxval=np.pi)

    def decode(phase: Array) -> Array:
        phase = jnp.where(second, -jnp.roll(phase[:, ::-1], 1, axis=1), phase)
        phase = jnp.where(mean, 0, phase)
        waves = magnitude * lax.complex(jnp.cos(phase), jnp.sin(phase))
        values = jnp.fft.irfft2(waves, (rows, columns), (1, 2))
        return jnp.clip(correlated(values) if decorrelate else values, 0, 1)

    def encode(images: Float[ArrayLike, "n h w 3"]) -> Array:
        values = checked(images, rows, columns)
        values = decorrelated(values) if decorrelate else values
        return jnp.angle(jnp.fft.rfft2(values, axes=(1, 2)))

    return Parameterization(init, decode, encode)


def spectrum(
    images: Float[ArrayLike, "n h w 3"], *, decorrelate: bool = True
) -> Float[Array, "h m 3"]:
    """The mean strength of each wave in a set of images: `|rfft2|`, for `maco`.

    Args:
      images: images of one size, in [0, 1].
      decorrelate: of lightness and two contrasts of colour, and not of red, green and blue.

    Returns:
      Magnitudes. At frequency 0, which is the mean colour, the coefficient itself is averaged, so
      that its sign is kept.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> wave = jnp.array([0.75, 0.25, 0.75, 0.25]).reshape(1, 1, 4, 1) * jnp.ones(3)
      >>> jv.images.spectrum(wave, decorrelate=False)[0, :, 0].tolist()
      [2.0, 0.0, 1.0]

    References:
      Fel et al., Unlocking feature visualization for deeper networks with MAgnitude Constrained
      Optimization, 2023, section 3.
    """
    values = jnp.asarray(images, float)
    waves = jnp.fft.rfft2(decorrelated(values) if decorrelate else values, axes=(1, 2))
    return jnp.abs(waves).mean(0).at[0, 0].set(waves[:, 0, 0].real.mean(0))
