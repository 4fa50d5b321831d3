"""Images that a small network paints."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxviz.synthesis.images.parameterization import Parameterization, rows_and_columns

__all__ = ["arctan", "cppn"]


@functools.cache
def cppn(
    size: int | tuple[int, int], *, width: int = 24, depth: int = 8, deviation: float = 0.5
) -> Parameterization:
    """A small network from a pixel's place to its colour: smooth shapes with sharp outlines.

    Nothing in the parameters speaks of pixels, so that the same parameters also give the image at
    another size: `cppn(1024, ...).decode(parameters)`.

    Args:
      size: rows and columns of the image, or one number for both, in pixels. The longer side spans
        the same coordinates whatever the size.
      width: hidden units of each layer.
      depth: hidden layers.
      deviation: standard deviation of the random start's colours before the sigmoid, about.

    Returns:
      A parameterization, which cannot start from a given image.

    Raises:
      ValueError: the size, `width` or `depth` is not positive.

    Example:
      >>> import jax, jaxviz as jv
      >>> parameters = jv.images.cppn(8).init(jax.random.key(0), 2)
      >>> jv.images.cppn((20, 30)).decode(parameters).shape
      (2, 20, 30, 3)

    References:
      Stanley, Compositional pattern producing networks, 2007.
      Mordvintsev, Pezzotti, Schubert, Olah, Differentiable image parameterizations, 2018, section
      "Compositional pattern producing networks": the activation.
    """
    rows, columns = rows_and_columns(size)
    if min(width, depth) < 1:
        raise ValueError(f"width and depth must be positive, got {width} and {depth}.")
    places = _places(rows, columns)
    sizes = [2, *[width] * depth, 3]

    def init(key: PRNGKeyArray, count: int) -> list[dict[str, Array]]:
        layers = []
        for i, own in enumerate(jax.random.split(key, depth + 1)):
            inputs = sizes[i] if i == 0 else 2 * sizes[i]
            spread = (deviation if i == depth else 1.0) / math.sqrt(inputs)
            weights = spread * jax.random.normal(own, (count, inputs, sizes[i + 1]))
            layers.append({"weights": weights, "bias": jnp.zeros((count, 1, sizes[i + 1]))})
        return layers

    def decode(layers: list[dict[str, Array]]) -> Array:
        values = jnp.asarray(places)
        for layer in layers[:-1]:
            values = _activation(values @ layer["weights"] + layer["bias"])
        colours = values @ layers[-1]["weights"] + layers[-1]["bias"]
        return jax.nn.sigmoid(colours).reshape(-1, rows, columns, 3)

    return Parameterization(init, decode)


def _places(rows: int, columns: int) -> Float[np.ndarray, "pixels 2"]:
    """Each pixel's coordinates; along the longer side their variance is 1."""
    longer = max(rows, columns)
    row, column = np.mgrid[:rows, :columns]
    places = np.stack([row - (rows - 1) / 2, column - (columns - 1) / 2], -1)
    return (places * 2 * math.sqrt(3) / longer).reshape(-1, 2).astype(np.float32)


def _activation(values: Array) -> Array:
    # An odd and an even function, so that both edges and blobs come easily; both over their root
    # mean square for normal values, so that depth neither fades nor blows up.
    bent = arctan(values)
    return jnp.concatenate([bent / 0.67, bent**2 / 0.6], -1)


@jax.custom_jvp
def arctan(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """As `jnp.arctan`, to 5e-7."""
    # XLA on a CPU computes one arctangent at a time, which would be nine tenths of an image's cost.
    # Halving the angle three times brings the tangent below 0.2, where five terms of the series do.
    for _ in range(3):
        x = x / (1 + jnp.sqrt(1 + x**2))
    square = x**2
    return 8 * x * (1 - square * (1 / 3 - square * (1 / 5 - square * (1 / 7 - square / 9))))


@arctan.defjvp
def _arctan_tangent(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    return arctan(x), tangent / (1 + x**2)
