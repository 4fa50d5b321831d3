"""Linear probes: what a linear classifier reads out of a layer that stays as it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float, Int

from jaxviz.studies.batches import in_batches
from jaxviz.transform import as_argument, capture

__all__ = ["PIXELS", "Probes", "fit_probes", "pooled_features"]

PIXELS = "pixels"
"""The name of the input itself among the layers: what any layer is to be held against."""


def pooled_features(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    layers: Sequence[str],
    *,
    grid: int = 4,
    memory: int | None = None,
) -> dict[str, Float[np.ndarray, "n features"]]:
    """The features of all layers from one pass, feature maps averaged over the cells of a grid.

    Args:
      model: a callable pytree.
      x: its input.
      layers: names of layers.
      grid: rows and columns of the grid, as torch's adaptive average pooling lays it out; maps
        that are smaller stay as they are.
      memory: bytes for the activations of a batch; see `jaxviz.studies.in_batches`.

    Returns:
      Layer -> features; the first are `"pixels"`, the input itself, pooled alike.

    Raises:
      ValueError: a layer is unknown, or `grid` is not positive.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(jv.tap(2 * x, "double").mean((1, 2)), "means")
      >>> found = pooled_features(model, jnp.ones((5, 8, 8, 3)), ["double", "means"], grid=2)
      >>> {layer: values.shape for layer, values in found.items()}
      {'pixels': (5, 12), 'double': (5, 12), 'means': (5, 3)}
    """
    if grid < 1:
        raise ValueError(f"grid must be at least 1, got {grid}.")
    found = in_batches(
        functools.partial(_pooled, layers=tuple(layers), grid=grid),
        as_argument(model),
        np.asarray(x),
        memory=memory,
    )
    # A pytree of dictionaries comes back in alphabetical order.
    return {layer: found[layer] for layer in (PIXELS, *layers)}


@functools.partial(jax.jit, static_argnames=("layers", "grid"))
def _pooled(model: Any, x: Array, *, layers: tuple[str, ...], grid: int) -> dict[str, Array]:
    values = {PIXELS: x} | capture(model, x, layers)[1]
    return {layer: _cells(value, grid) for layer, value in values.items()}


def _cells(value: Float[Array, "n ..."], grid: int) -> Float[Array, "n features"]:
    if value.ndim == 4:
        rows, columns = (_averaging(size, grid) for size in value.shape[1:3])
        value = jnp.einsum("gh,vw,nhwc->ngvc", rows, columns, value)
    return value.reshape(len(value), -1)


def _averaging(size: int, grid: int) -> Float[np.ndarray, "cells size"]:
    cells = min(grid, size)
    first = np.arange(cells)[:, None] * size // cells
    end = -(-(np.arange(cells)[:, None] + 1) * size // cells)
    of = np.arange(size)
    inside = (of >= first) & (of < end)
    return (inside / (end - first)).astype(np.float32)


TOLERANCE = 1e-4
"""A descent ends where no entry of the gradient is larger."""


class Probes(NamedTuple):
    """Linear classifiers of some layers' features, for each strength of the penalty.

    Attributes:
      penalties: the strengths.
      logits: by layer, what each classifier says of all images that were given.
      gradient: by layer, the largest entry of the objective's gradient where the descent ended: 0
        at the optimum.
      steps: by layer, how many steps it took.
    """

    penalties: tuple[float, ...]
    logits: dict[str, Float[np.ndarray, "penalties n classes"]]
    gradient: dict[str, Float[np.ndarray, " penalties"]]
    steps: dict[str, Int[np.ndarray, " penalties"]]


def fit_probes(
    features: Mapping[str, Float[ArrayLike, "n features"]],
    label: Int[ArrayLike, " n"],
    *,
    train: Int[ArrayLike, " m"],
    classes: int,
    penalties: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0),
    steps: int = 300,
) -> Probes:
    """Logistic regression from each layer's features, trained on some of the images.

    Features are standardised by their mean and deviation in the training images. A classifier
    minimises the mean cross-entropy of these plus half the penalty times the squares of its
    weights, its biases free; this has one optimum, which L-BFGS finds. Layers and penalties are
    trained together, in one compiled program: features are first turned onto the directions in
    which the training images differ, which changes neither the optimum nor what it says, and makes
    all layers equally wide.

    Args:
      features: by layer, as `pooled_features` gives them.
      label: the class of each image.
      train: which images to train on.
      classes: how many classes there are.
      penalties: the strengths of the penalty; scikit-learn's `C` is 1 over one times the number of
        training images.
      steps: how many steps of descent there are at most.

    Returns:
      `Probes`.

    Raises:
      ValueError: features and labels are not as many, or there are no training images or penalties.

    Example:
      >>> label = np.arange(30) % 3
      >>> features = {"ones": np.ones((30, 2)), "classes": np.eye(3)[label]}
      >>> probes = fit_probes(features, label, train=np.arange(15), classes=3, penalties=[1e-2])
      >>> answers = {layer: logits[0].argmax(-1) for layer, logits in probes.logits.items()}
      >>> [round(float((answer == label)[15:].mean()), 2) for answer in answers.values()]
      [0.33, 1.0]

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, sections 5.2 and
      5.3. D. C. Liu, J. Nocedal, On the limited memory BFGS method, 1989.
    """
    classes_of, chosen = np.asarray(label), np.asarray(train)
    for layer, values in features.items():
        if np.ndim(values) != 2 or np.shape(values)[0] != len(classes_of):
            raise ValueError(
                f"features of '{layer}' must be ({len(classes_of)}, features) for as many labels, "
                f"got {np.shape(values)}."
            )
    if not (features and chosen.size and len(penalties)):
        raise ValueError(
            "fit_probes needs features of a layer, a training image and a penalty; got "
            f"{len(features)}, {chosen.size} and {len(penalties)}."
        )
    turned = np.stack([_turned(np.asarray(values, float), chosen) for values in features.values()])
    strengths = jnp.asarray(penalties, jnp.float32)
    weights, bias, gradient, taken = _descend(
        jnp.asarray(turned[:, chosen]), jnp.asarray(classes_of[chosen]), strengths, classes, steps
    )
    logits = np.einsum("lnd,lpdk->lpnk", turned, weights) + np.asarray(bias)[:, :, None]
    names = list(features)
    return Probes(
        tuple(float(p) for p in penalties),
        dict(zip(names, logits, strict=True)),
        dict(zip(names, np.asarray(gradient), strict=True)),
        dict(zip(names, np.asarray(taken), strict=True)),
    )


def _turned(values: Float[np.ndarray, "n d"], train: np.ndarray) -> Float[np.ndarray, "n m"]:
    """Standardised features in the basis of the training images' differences, zeros to fill."""
    mean, deviation = values[train].mean(0), values[train].std(0)
    # What is constant but for rounding says nothing, and must not be blown up.
    told = deviation > 1e-6 * (np.abs(mean) + deviation.max(initial=0))
    scaled = np.where(told, (values - mean) / np.where(told, deviation, 1), 0)
    _, _, basis = np.linalg.svd(scaled[train], full_matrices=False)
    found = scaled @ basis.T
    return np.pad(found, ((0, 0), (0, len(train) - found.shape[1]))).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("classes", "steps"))
def _descend(x, label, penalties, classes: int, steps: int):
    """Weights, biases, gradients and steps of all layers (first axis) and penalties (second)."""
    solver = optax.lbfgs()

    def one(x: Float[Array, "m d"], penalty: Float[Array, ""]):
        def objective(weights: tuple[Array, Array]) -> Float[Array, ""]:
            kernel, bias = weights
            losses = optax.softmax_cross_entropy_with_integer_labels(x @ kernel + bias, label)
            return losses.mean() + penalty / 2 * (kernel**2).sum()

        value_and_grad = optax.value_and_grad_from_state(objective)

        def largest(gradient: Any) -> Float[Array, ""]:
            kernel, bias = gradient
            return jnp.maximum(jnp.abs(kernel).max(), jnp.abs(bias).max())

        def step(carry):
            weights, state, taken, _ = carry
            value, grad = value_and_grad(weights, state=state)
            change, state = solver.update(
                grad, state, weights, value=value, grad=grad, value_fn=objective
            )
            weights = optax.apply_updates(weights, change)
            left = largest(optax.tree.get(state, "grad"))
            return weights, state, taken + 1, left

        start = jnp.zeros((x.shape[1], classes)), jnp.zeros(classes)
        weights: Any
        weights, _, taken, _ = jax.lax.while_loop(
            lambda carry: (carry[2] < steps) & (carry[3] > TOLERANCE),
            step,
            (start, solver.init(start), 0, jnp.inf),
        )
        return *weights, largest(jax.grad(objective)(weights)), taken

    # One after the other: each then stops at its own optimum, and searches only its own lines.
    def by_penalty(x: Float[Array, "m d"]):
        return jax.lax.map(lambda penalty: one(x, penalty), penalties)

    return jax.lax.map(by_penalty, x)
