"""Where the images of a training run come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxviz.data import shapes

__all__ = ["ShapesSource", "Source"]

Source = Callable[[PRNGKeyArray, int], tuple[Float[Array, "n h w c"], Int[Array, " n"]]]
"""`source(key, count)` gives `count` model inputs and their classes, and can be jitted."""


@dataclass(frozen=True)
class ShapesSource:
    """The shapes set, normalised as a model wants it: a `Source`.

    Args:
      mean: subtracted from images in [0, 1]; one number, or one for each channel.
      std: then divides them; likewise.
      size: height and width of the images, in pixels.

    Example:
      >>> import jax
      >>> source = ShapesSource(mean=0.5, std=0.25, size=16)
      >>> image, label = source(jax.random.key(0), 2)
      >>> image.shape, label.shape
      ((2, 16, 16, 3), (2,))
    """

    mean: float | tuple[float, ...] = 0.5
    std: float | tuple[float, ...] = 0.25
    size: int = 64

    def __call__(
        self, key: PRNGKeyArray, count: int
    ) -> tuple[Float[Array, "n h w 3"], Int[Array, " n"]]:
        """Renders `count` images."""
        drawn = shapes(key, count, size=self.size)
        mean, std = (jnp.asarray(value, jnp.float32) for value in (self.mean, self.std))
        return (drawn.image - mean) / std, drawn.label
