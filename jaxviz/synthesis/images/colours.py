"""Colours as photographs have them: three numbers that vary by themselves, and what they make."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["ROOT", "correlated", "decorrelated"]

# A root of the correlation of red, green and blue over ImageNet, as lucid publishes it
# (`color_correlation_svd_sqrt` in lucid/optvis/param/color.py, 2018), over its longest column.
ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
ROOT = ROOT / np.linalg.norm(ROOT, axis=0).max()


def correlated(values: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """Red, green and blue of lightness and two contrasts of colour, which are independent."""
    return _mixed(values, ROOT)


def decorrelated(values: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """Lightness and two contrasts of colour, from red, green and blue."""
    return _mixed(values, np.linalg.inv(ROOT))


def _mixed(values: Array, matrix: np.ndarray) -> Array:
    return jnp.matmul(values, matrix.T.astype(np.float32), precision=jax.lax.Precision.HIGHEST)
