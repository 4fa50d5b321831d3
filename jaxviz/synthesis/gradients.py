"""What an ascent does with its gradient, as optax transformations."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from jaxviz.perturb import gaussian_blur
from jaxviz.synthesis.images import from_laplacian_levels, laplacian_levels

__all__ = ["blur_every", "normalize_gradient", "pyramid_scale"]

NORMS = ("rms", "l2", "std")


@functools.cache
def normalize_gradient(norm: str = "rms") -> optax.GradientTransformation:
    """Divides each image's gradient by its own norm, so that a step is as long for every image.

    The images of a batch, the first axis of every array, are normalised apart from each other; an
    image's parameters in several arrays together.

    Args:
      norm: `"rms"`, the root of the mean square over an image's parameters; `"l2"`, the root of
        their sum; or `"std"`, their standard deviation, with the mean left in.

    Returns:
      An optax transformation, to be chained before any optimizer.

    Raises:
      ValueError: the norm is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxviz.synthesis import normalize_gradient
      >>> unit = normalize_gradient("l2")
      >>> gradient = jnp.array([[0.0, 2.0], [0.0, 1e-3]])
      >>> unit.update(gradient, unit.init(gradient))[0].tolist()
      [[0.0, 1.0], [0.0, 1.0]]

    References:
      Tao, Fu, Zhu, Wang, Deep visualization based on the spatial pyramid decomposition, 2017.
    """
    if norm not in NORMS:
        raise ValueError(f"unknown norm '{norm}'; choose one of: {', '.join(NORMS)}.")

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return _normalized(updates, norm), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _normalized(updates: Any, norm: str) -> Any:
    # Divided by the largest entry first, whose square does not underflow. An image whose gradient
    # is zero stays where it is.
    largest = [jnp.abs(leaf).max(range(1, leaf.ndim)) for leaf in jax.tree.leaves(updates)]
    scaled = _divided(updates, functools.reduce(jnp.maximum, largest))
    lengths = gradient_norm(scaled, norm)
    # Equal entries deviate from their mean by rounding alone.
    return _divided(scaled, jnp.where(lengths > 1e-6, lengths, 0))


def _divided(updates: Any, lengths: jax.Array) -> Any:
    """Each image's arrays over its length; as they are where that is zero."""
    safe = jnp.where(lengths > 0, lengths, 1)
    return jax.tree.map(lambda leaf: leaf / safe.reshape(-1, *(1,) * (leaf.ndim - 1)), updates)


def gradient_norm(gradient: Any, norm: str = "l2") -> jax.Array:
    """Each image's norm, over all arrays of a tree."""
    leaves = jax.tree.leaves(gradient)
    size = sum(leaf[0].size for leaf in leaves)
    if norm == "std":
        mean = jnp.asarray(sum(jnp.sum(leaf, range(1, leaf.ndim)) for leaf in leaves)) / size
        leaves = [leaf - mean.reshape(-1, *(1,) * (leaf.ndim - 1)) for leaf in leaves]
    total = sum(jnp.sum(leaf**2, range(1, leaf.ndim)) for leaf in leaves)
    return jnp.sqrt(total if norm == "l2" else total / size)


def pyramid_scale(
    gains: Sequence[float], *, normalize: bool = True
) -> optax.GradientTransformation:
    """Scales each octave of the gradient of images by a gain of its own.

    The gradient is taken apart into the levels of a Laplacian pyramid, and put together again with
    each level times its gain. So an ascent raises low frequencies, whatever the parameterization
    that it moves, as long as its arrays are images: pixels, or the levels of a pyramid.

    Args:
      gains: one number for each level, finest first; the last is that of all coarser frequencies.
      normalize: whether each level of each image is first brought to a root mean square of 1, so
        that the gains say how strong the levels are, and not how much stronger they become.

    Returns:
      An optax transformation, to be chained before any optimizer.

    Raises:
      ValueError: there are no gains; at the first use, where a parameter is not an image, or has
        fewer octaves than there are gains.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> coarse = jv.pyramid_scale([0.0, 0.0, 1.0], normalize=False)
      >>> gradient = jax.random.normal(jax.random.key(0), (1, 16, 16, 3))
      >>> smooth, _ = coarse.update(gradient, coarse.init(gradient))
      >>> bool(jnp.abs(jnp.diff(smooth, axis=1)).mean() < 0.2 * jnp.abs(jnp.diff(gradient)).mean())
      True

    References:
      Tao, Fu, Zhu, Wang, Deep visualization based on the spatial pyramid decomposition, 2017.
      Burt & Adelson, The Laplacian pyramid as a compact image code, 1983.
    """
    if not len(gains):
        raise ValueError("pyramid_scale needs at least one gain, got none.")
    return _pyramid_scale(tuple(float(gain) for gain in gains), normalize)


@functools.cache
def _pyramid_scale(gains: tuple[float, ...], normalize: bool) -> optax.GradientTransformation:
    def scaled(gradient: jax.Array) -> jax.Array:
        gradient = _image_shaped("pyramid_scale", gradient)
        if normalize:
            # Levels that hold nothing but rounding are not to be raised to 1.
            levels = laplacian_levels(_normalized(gradient, "rms"), len(gains))
            levels = [_divided(level, gradient_norm(level, "rms") + 1e-5) for level in levels]
        else:
            levels = laplacian_levels(gradient, len(gains))
        return from_laplacian_levels(
            [gain * level for gain, level in zip(gains, levels, strict=True)]
        )

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(scaled, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _image_shaped(name: str, leaf: jax.Array) -> jax.Array:
    if leaf.ndim != 4:
        raise ValueError(
            f"{name} needs parameters of shape (n, h, w, c), such as those of pixel or "
            f"laplacian_pyramid; got {leaf.shape}."
        )
    return leaf


class BlurEveryState(NamedTuple):
    """How many steps have been taken."""

    count: Int[Array, ""]


@functools.cache
def blur_every(k: int, sigma: float) -> optax.GradientTransformation:
    """Blurs the images every `k` steps: detail stays only where the ascent renews it.

    It acts on what a step makes of the parameters, and so comes last in a chain. Their arrays are
    images: pixels before the sigmoid, or the levels of a pyramid, each blurred by pixels of its
    own.

    Args:
      k: the number of steps from one blurring to the next, at least 1.
      sigma: standard deviation of the Gaussian, in pixels, not negative.

    Returns:
      An optax transformation, to be chained after an optimizer.

    Raises:
      ValueError: `k` or `sigma` is out of range; at the first use, where a parameter is not an
        image.

    Example:
      >>> import jax.numpy as jnp, optax, jaxviz as jv
      >>> optimizer = optax.chain(optax.sgd(0.1), jv.blur_every(2, 1.0))
      >>> image = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2].set(1.0)
      >>> state = optimizer.init(image)
      >>> for step in range(2):
      ...     updates, state = optimizer.update(jnp.zeros_like(image), state, image)
      ...     image = optax.apply_updates(image, updates)
      ...     print(round(image.max().item(), 2))
      1.0
      0.16

    References:
      Yosinski, Clune, Nguyen, Fuchs, Lipson, Understanding neural networks through deep
      visualization, 2015, section 3.
    """
    if k < 1 or sigma < 0:
        raise ValueError(f"k must be at least 1 and sigma not negative, got {k} and {sigma}.")

    def blurring(update: jax.Array, parameter: jax.Array) -> jax.Array:
        moved = _image_shaped("blur_every", parameter) + update
        return gaussian_blur(moved, sigma) - parameter

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("blur_every needs the parameters: update(updates, state, params).")
        count = state.count + 1
        updates = jax.lax.cond(
            count % k == 0,
            lambda: jax.tree.map(blurring, updates, params),
            lambda: updates,
        )
        return updates, BlurEveryState(count)

    return optax.GradientTransformation(lambda params: BlurEveryState(jnp.zeros((), int)), update)
