"""What every perturbation asks of its input."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float


def batch(x: Float[ArrayLike, "n h w c"]) -> Float[Array, "n h w c"]:
    """`x` as an array, refused where it is not a batch of floating-point images."""
    x = jnp.asarray(x)
    if x.ndim != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"x must be floating-point images of shape (n, h, w, c), got {x.dtype} of {x.shape}."
        )
    return x
