"""What skip connections do to features: answers to shuffled images, and active features by layer.

All numbers are given image by image, so that whoever asks can take means and errors over images or
over training runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

from jaxviz.perturb import grid_shuffle_blur, shuffle_patches
from jaxviz.studies.batches import in_batches
from jaxviz.studies.inputs import checked
from jaxviz.transform import as_argument, capture

__all__ = [
    "Answers",
    "Features",
    "Peaks",
    "active_features",
    "answers",
    "answers_under",
    "last_of_each_size",
    "layer_peaks",
    "patches",
    "pixels",
    "relative_fall",
]

Perturbation = Callable[[PRNGKeyArray, Array, int], Array]
"""`perturb(key, x, size)`: images that lack something, more of it or less for another `size`."""


class Answers(NamedTuple):
    """What a model says of images whose classes are known.

    Attributes:
      right: whether the class is the most probable one.
      probability: that of the class.
    """

    right: Bool[np.ndarray, "*sizes n"]
    probability: Float[np.ndarray, "*sizes n"]


def pixels(key: PRNGKeyArray, x: Float[Array, "n h w c"], size: int) -> Float[Array, "n h w c"]:
    """Grid-shuffled images with cells of `size` pixels: detail is lost, the contour stays.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> pixels(jax.random.key(0), jnp.ones((1, 4, 4, 3)), 2).shape
      (1, 4, 4, 3)
    """
    return grid_shuffle_blur(key, x, cell=size)


def patches(key: PRNGKeyArray, x: Float[Array, "n h w c"], size: int) -> Float[Array, "n h w c"]:
    """Images with their patches of `size` pixels in another order: the contour is lost.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> patches(jax.random.key(0), jnp.ones((1, 4, 4, 3)), 2).shape
      (1, 4, 4, 3)
    """
    return shuffle_patches(key, x, patch=size)


@jax.jit
def _answered(model: Callable, asked: tuple[Array, Array]) -> tuple[Array, Array]:
    x, label = asked
    logits = model(x)
    probability = jax.nn.softmax(logits)[jnp.arange(len(x)), label]
    return logits.argmax(-1) == label, probability


def answers(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    label: Int[ArrayLike, " n"],
    *,
    memory: int | None = None,
) -> Answers:
    """What a model says of images whose classes are known.

    Args:
      model: a callable pytree; its output are logits.
      x: its input.
      label: the class of each image.
      memory: bytes for the activations of a batch; see `jaxviz.studies.batches.in_batches`.

    Returns:
      `Answers`, one for each image.

    Example:
      >>> import jax.numpy as jnp
      >>> told = answers(lambda x: x.mean((1, 2)), jnp.ones((2, 4, 4, 2)), jnp.array([0, 1]))
      >>> told.right.tolist(), told.probability.tolist()
      ([True, False], [0.5, 0.5])
    """
    return Answers(*in_batches(_answered, as_argument(model), checked(x, label), memory=memory))


def answers_under(
    key: PRNGKeyArray,
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    label: Int[ArrayLike, " n"],
    *,
    sizes: Sequence[int],
    perturb: Perturbation = pixels,
    memory: int | None = None,
) -> Answers:
    """What a model says of images without their detail, or without their contour.

    Image i is perturbed with `fold_in(key, i)`, so that every model is asked about the same
    pictures, whatever its batches.

    Args:
      key: randomness.
      model: a callable pytree; its output are logits.
      x: its input. A shuffle of the normalised input is that of the image, normalised.
      label: the class of each image.
      sizes: in pixels, of cells or patches.
      perturb: `pixels`, `patches`, or a function `(key, x, size)` of one's own.
      memory: bytes for the activations of a batch.

    Returns:
      `Answers` with an axis for the sizes in front.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: x.mean((1, 2))
      >>> x = jax.random.normal(jax.random.key(0), (3, 8, 8, 2))
      >>> told = answers_under(jax.random.key(1), model, x, jnp.zeros(3, int), sizes=[2, 4])
      >>> told.right.shape
      (2, 3)

    References:
      Guo, Zhang, Wang, Exploring the impact of skip connection structures on the deep neural
      networks feature extraction based on feature visualization, Computer Engineering 51(4), 2025.
    """
    inputs, classes = checked(x, label)
    model = as_argument(model)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(len(inputs)))
    found = [
        in_batches(
            functools.partial(_perturbed_answers, perturb=perturb, size=size),
            model,
            (keys, inputs, classes),
            memory=memory,
        )
        for size in sizes
    ]
    return Answers(*(np.stack(parts) for parts in zip(*found, strict=True)))


def _perturbed_answers(
    model: Callable, asked: tuple[Array, Array, Array], *, perturb: Perturbation, size: int
) -> tuple[Array, Array]:
    # Two programs, so that the model is compiled once for all sizes.
    keys, x, label = asked
    return _answered(model, (_perturbed(keys, x, perturb=perturb, size=size), label))


@functools.partial(jax.jit, static_argnames=("perturb", "size"))
def _perturbed(keys: Array, x: Array, *, perturb: Perturbation, size: int) -> Array:
    return jax.vmap(lambda key, image: perturb(key, image[None], size)[0])(keys, x)


def relative_fall(whole: Answers, perturbed: Answers) -> Answers:
    """By how much a perturbation of several sizes lowers what a model says, as a fraction.

    Args:
      whole: the answers to the images as they are.
      perturbed: those under the perturbation, at each size.

    Returns:
      For each image the fall of `right` and of `probability`, the mean over the sizes, each
      divided by the mean over all whole images: 0 is no fall, and a model that is never right
      any more has 1 on average.

    Example:
      >>> whole = Answers(np.array([1.0, 1.0]), np.array([0.8, 0.8]))
      >>> less = Answers(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.8, 0.4], [0.4, 0.4]]))
      >>> fall = relative_fall(whole, less)
      >>> fall.right.tolist(), fall.probability.round(3).tolist()
      ([0.5, 1.0], [0.25, 0.5])
    """
    fallen = []
    for before, after in zip(whole, perturbed, strict=True):
        before, after = np.asarray(before, float), np.asarray(after, float)
        fallen.append((before - after.mean(0)) / (before.mean() or 1.0))
    return Answers(*fallen)


class Peaks(NamedTuple):
    """What a layer comes to in each image.

    Attributes:
      peak: the largest activation of each channel over all positions.
      square: the mean square over positions and channels.
    """

    peak: Float[np.ndarray, "n c"]
    square: Float[np.ndarray, " n"]


@functools.partial(jax.jit, static_argnames="layers")
def _peaks(model: Callable, x: Array, *, layers: tuple[str, ...]) -> list[tuple[Array, Array]]:
    values = capture(model, x, layers)[1]
    return [(values[name].max((1, 2)), jnp.mean(values[name] ** 2, (1, 2, 3))) for name in layers]


def layer_peaks(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    layers: Sequence[str],
    *,
    memory: int | None = None,
) -> dict[str, Peaks]:
    """How far each channel of some layers rises in each image.

    Args:
      model: a callable pytree.
      x: its input.
      layers: names of layers with positions, (n, h, w, c); `jaxviz.transform.relu_layers` lists
        those behind a ReLU.
      memory: bytes for the activations of a batch.

    Returns:
      Layer -> `Peaks`.

    Raises:
      ValueError: a layer is unknown.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(x, "layer").mean((1, 2))
      >>> x = jnp.arange(8.0).reshape(1, 2, 2, 2)
      >>> layer_peaks(model, x, ["layer"])["layer"].peak.tolist()
      [[6.0, 7.0]]
    """
    names = tuple(layers)
    found = in_batches(
        lambda model, x: _peaks(model, x, layers=names),
        as_argument(model),
        np.asarray(x),
        memory=memory,
    )
    return {name: Peaks(*both) for name, both in zip(names, found, strict=True)}


def last_of_each_size(layers: Mapping[str, jax.ShapeDtypeStruct]) -> list[str]:
    """The stages of a network: the last layer at each number of positions.

    Args:
      layers: names and shapes in the order of evaluation; those without positions are passed over.

    Returns:
      Names, from the largest maps to the smallest.

    Example:
      >>> shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, "float32")
      >>> large, small = shape(1, 8, 8, 3), shape(1, 4, 4, 5)
      >>> last_of_each_size({"a": large, "b": large, "c": small})
      ['b', 'c']
    """
    found: dict[tuple[int, ...], str] = {}
    for name, value in layers.items():
        if len(value.shape) == 4 and value.shape[1] * value.shape[2] > 1:
            found[value.shape[1:3]] = name
    return list(found.values())


class Features(NamedTuple):
    """The active features of a layer, in each image.

    Attributes:
      count: how many channels are active.
      fraction: the same as a part of all channels.
      strength: the mean peak of the active channels, over the root mean square of the layer over
        all images, positions and channels: free of the layer's scale. 0 where none is active.
      value: the mean peak of the active channels itself.
    """

    count: Int[np.ndarray, " n"]
    fraction: Float[np.ndarray, " n"]
    strength: Float[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]


def active_features(peaks: Peaks, *, threshold: float = 0.2) -> Features:
    """Which channels of a layer are active in an image, and how strongly.

    A channel is active where its peak over all positions is at least `threshold` times that of the
    layer's strongest channel in the same image. Neither number changes when the whole layer is
    multiplied by a constant.

    Args:
      peaks: of one layer, as `layer_peaks` gives them.
      threshold: a fraction, above 0 and at most 1.

    Returns:
      `Features`, one for each image.

    Raises:
      ValueError: the threshold is none.

    Example:
      >>> peaks = Peaks(np.array([[4.0, 1.0, 0.5, 2.0]]), np.array([4.0]))
      >>> found = active_features(peaks, threshold=0.25)
      >>> found.count.tolist(), found.value.round(2).tolist(), found.strength.round(2).tolist()
      ([3], [2.33], [1.17])
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}.")
    peak = np.asarray(peaks.peak, float)
    strongest = peak.max(1, keepdims=True)
    active = (peak >= threshold * strongest) & (strongest > 0)
    count = active.sum(1)
    value = np.where(active, peak, 0).sum(1) / np.maximum(count, 1)
    scale = np.sqrt(np.mean(np.asarray(peaks.square, float)))
    strength = value / scale if scale > 0 else np.zeros_like(value)
    return Features(count, count / peak.shape[1], strength, value)
