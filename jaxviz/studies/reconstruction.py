"""A network rebuilt as affine maps: its logits, what its weights look like, where they end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxviz.attribution import AffineModel, RegionMargin, reconstruct, region_margin
from jaxviz.studies.batches import in_batches
from jaxviz.transform import as_argument

__all__ = ["OctaveShares", "Reconstruction", "octave_shares", "reconstruction"]


class OctaveShares(NamedTuple):
    """How an image's energy is spread over spatial frequencies.

    Attributes:
      shares: of each octave, the finest first; octave i holds more than `0.25 / 2**i` and up to
        `0.5 / 2**i` cycles a pixel, the first also what is finer, along diagonals.
      constant: of what has no frequency, the mean.
    """

    shares: Float[Array, "*b octaves"]
    constant: Float[Array, "*b"]


def octave_shares(images: Float[ArrayLike, "*b h w c"]) -> OctaveShares:
    """The shares of the squared values that lie in each octave of spatial frequency.

    Args:
      images: signed or not, of any unit; an image of zeros has shares of zero.

    Returns:
      Shares that add up to one with the constant part.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxviz.studies import octave_shares
      >>> stripes = jnp.tile(jnp.array([1.0, -1.0]), (8, 4))[..., None]  # a period of two pixels
      >>> octave_shares(stripes).shares.tolist(), octave_shares(stripes + 1).constant.item()
      ([1.0, 0.0, 0.0], 0.5)
    """
    images = jnp.asarray(images)
    *_, h, w, _ = images.shape
    power = (jnp.abs(jnp.fft.fft2(images, axes=(-3, -2))) ** 2).sum(-1)
    frequency = jnp.hypot(*jnp.meshgrid(jnp.fft.fftfreq(h), jnp.fft.fftfreq(w), indexing="ij"))
    count = math.floor(math.log2(max(h, w) / 2)) + 1
    octave = jnp.clip(jnp.floor(jnp.log2(0.5 / frequency)), 0, count)
    among = octave == jnp.arange(count + 1)[:, None, None]
    total = power.sum((-2, -1))
    shares = jnp.einsum("...hw,ohw->...o", power, among.astype(power.dtype))
    shares = shares / jnp.where(total > 0, total, 1)[..., None]
    return OctaveShares(shares[..., :-1], shares[..., -1])


class Reconstruction(NamedTuple):
    """What the study finds.

    Attributes:
      network: the network's logits of the chosen classes.
      rebuilt: the same from the maps' weights and biases alone.
      affine: the maps.
      weights: the spectrum of each weight image.
      images: the spectrum of each input.
      across: a random direction of length 1 for each image.
      toward: the direction of length 1 that raises the first class against the second fastest; a
        single class, by itself.
      margin_across: how far each image may go along `across`.
      margin_toward: how far along `toward`.
    """

    network: Float[Array, "n k"]
    rebuilt: Float[Array, "n k"]
    affine: AffineModel
    weights: OctaveShares
    images: OctaveShares
    across: Float[Array, "n h w c"]
    toward: Float[Array, "n h w c"]
    margin_across: RegionMargin
    margin_toward: RegionMargin

    @property
    def error(self) -> float:
        """The largest difference between the two models, relative to the largest logit."""
        largest = jnp.abs(self.network).max()
        difference = jnp.abs(self.rebuilt - self.network).max()
        return float(difference / jnp.where(largest > 0, largest, 1))


def reconstruction(
    key: PRNGKeyArray, model: Callable, x: Float[ArrayLike, "n h w c"], classes: Sequence[int]
) -> Reconstruction:
    """Rebuilds a network at some images, and compares, measures and bounds what comes out.

    Args:
      key: draws the random directions.
      model: a callable pytree; a piecewise-linear network with logits (n, classes).
      x: the model's input.
      classes: whose logits to rebuild, at least one.

    Returns:
      Numbers for a table, for pictures and for charts.

    Raises:
      NotImplementedError: the model is not piecewise linear.
      ValueError: a class is unknown, or `x` is no batch of images.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxviz.studies import reconstruction
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2)) @ jnp.array([[1.0, -1.0]])
      >>> found = reconstruction(jax.random.key(0), model, jnp.ones((1, 4, 4, 1)), [0, 1])
      >>> found.network.tolist(), found.error, found.margin_toward.margin.tolist()
      ([[16.0, -16.0]], 0.0, [inf])

    References:
      A method to visualize deep convolutional networks based on model reconstruction, JEIT, doi
      10.11999/JEIT180916, table 1: logits of both models for images of two classes.
    """
    affine = reconstruct(model, x, outputs=classes)
    x = jnp.asarray(x)
    across = _of_length_1(jax.random.normal(key, x.shape, x.dtype))
    first, *others = classes
    toward = affine.difference(first, others[0]) if others else affine.weights[:, 0]
    toward = _of_length_1(toward)
    return Reconstruction(
        network=jnp.asarray(in_batches(_logits, as_argument(model), x))[:, jnp.asarray(classes)],
        rebuilt=affine(x),
        affine=affine,
        weights=octave_shares(affine.weights),
        images=octave_shares(x),
        across=across,
        toward=toward,
        margin_across=region_margin(model, x, across),
        margin_toward=region_margin(model, x, toward),
    )


def _of_length_1(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    length = jnp.sqrt((images**2).sum((1, 2, 3), keepdims=True))
    return images / jnp.where(length > 0, length, 1)


@jax.jit
def _logits(model: Any, x: Array) -> Array:
    return model(x)
