"""A network's first convolution: its filters, those that are dead, and what its stride folds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jaxtyping import Array, ArrayLike, Bool, Float

from jaxviz.studies.batches import in_batches
from jaxviz.transform import as_argument, capture, relu_layers
from jaxviz.transform.interpret import Rules, calls_any, evaluate, interpret, trace

__all__ = ["FirstLayer", "aliasing", "first_convolution", "first_layer"]

DEAD = 0.01
"""A filter is dead whose peak is below this fraction of the strongest filter's."""


def first_convolution(
    model: Callable, x: Float[ArrayLike, "n h w c"]
) -> tuple[Float[Array, "rows columns c filters"], tuple[int, int]]:
    """The kernel and the stride of a model's first convolution, read from its program.

    Args:
      model: a callable pytree.
      x: its input.

    Returns:
      `(kernel, stride)`: filters last, and rows and columns from one place to the next.

    Raises:
      ValueError: the model has no convolution of two axes.

    Example:
      >>> import jax, jax.numpy as jnp, ports
      >>> model = ports.load("shapes-plain", weights="shapes")
      >>> kernel, stride = first_convolution(model, jnp.zeros((1, 64, 64, 3)))
      >>> kernel.shape, stride
      ((5, 5, 3, 16), (1, 1))
    """
    strides: list[tuple[int, int]] = []

    def rule(equation: core.JaxprEqn, operands: Any, found: Any) -> Any:
        if not _is_convolution(equation) or "kernel" in found.taken.union(found):
            return None
        # Filters, their channels, then the axes of the image.
        spec = equation.params["dimension_numbers"].rhs_spec
        found["kernel"] = operands[1].transpose(*spec[2:], spec[1], spec[0])
        strides.append(tuple(equation.params["window_strides"]))
        return evaluate(equation, *operands)

    rules = Rules(rule=rule, enters=lambda inner: calls_any(inner, _is_convolution))

    def kernel(model: Callable, x: Array) -> dict[str, Array]:
        program, _ = trace(lambda model, x: model(x), model, x)
        return dict(interpret(program, jax.tree.leaves((model, x)), rules)[1])

    found = jax.jit(kernel)(as_argument(model), jnp.asarray(x)[:1])
    if "kernel" not in found:
        raise ValueError("the model must have a convolution of two axes, and has none.")
    return found["kernel"], strides[0]


def _is_convolution(equation: core.JaxprEqn) -> bool:
    name = equation.primitive.name
    return name == "conv_general_dilated" and len(equation.params["window_strides"]) == 2


def aliasing(
    kernel: Float[ArrayLike, "rows columns c filters"],
    x: Float[ArrayLike, "n h w c"],
    *,
    stride: tuple[int, int],
    memory: int | None = None,
) -> Float[np.ndarray, " filters"]:
    """How much of each filter's response a stride folds onto other frequencies.

    A map that is read at every s-th place holds waves of up to 1 / (2 s) cycles a pixel; what is
    finer comes out as a coarser wave that is not in the image. Here all places are read, and the
    power above that limit, of rows or of columns, is set against all power but the mean's.

    Args:
      kernel: filters last, as `first_convolution` gives it.
      x: the model's input, larger than the filters.
      stride: rows and columns from one place to the next.
      memory: bytes for the responses of a batch; see `jaxviz.studies.in_batches`.

    Returns:
      A share for each filter, over all images: 0 where nothing is folded, and always where the
      stride is 1. 0 for a filter that does not respond.

    Example:
      >>> import jax.numpy as jnp
      >>> kernel = jnp.ones((1, 1, 1, 1))
      >>> stripes = jnp.tile(jnp.array([1.0, -1.0]), (1, 16, 8))[..., None]
      >>> aliasing(kernel, stripes, stride=(2, 2)).round(2).tolist()
      [1.0]
      >>> aliasing(kernel, stripes, stride=(1, 1)).tolist()
      [0.0]
    """
    power = in_batches(
        functools.partial(_folded, stride=stride),
        jax.tree_util.Partial(_responses, jnp.asarray(kernel)),
        np.asarray(x),
        memory=memory,
    ).sum(0, dtype=float)
    return power[0] / np.where(power[1] > 0, power[1], 1)


def _responses(kernel: Array, x: Float[Array, "n h w c"]) -> Float[Array, "n r s filters"]:
    """What the filters say at all places where they lie inside the image."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@functools.partial(jax.jit, static_argnames="stride")
def _folded(filters: Callable, x: Array, *, stride: tuple[int, int]) -> Float[Array, "n 2 filters"]:
    response = filters(x)
    response -= response.mean((1, 2), keepdims=True)
    # A border that does not fit the one across would look like fine waves.
    rows, columns = (jnp.hanning(size + 2)[1:-1] for size in response.shape[1:3])
    response *= (rows[:, None] * columns)[..., None]
    power = jnp.abs(jnp.fft.fft2(response, axes=(1, 2))) ** 2
    down, across = (jnp.abs(jnp.fft.fftfreq(size)) for size in response.shape[1:3])
    # A wave at the limit itself is held; the frequencies are rounded.
    fine = [f > 0.5 / step + 1e-6 for f, step in zip((down, across), stride, strict=True)]
    beyond = fine[0][:, None] | fine[1]
    return jnp.stack([(power * beyond[..., None]).sum((1, 2)), power.sum((1, 2))], 1)


class FirstLayer(NamedTuple):
    """The first convolution of a network, and what it does with some images.

    Attributes:
      kernel: filters last.
      stride: rows and columns from one place to the next.
      peak: the largest value of each filter's map behind the first ReLU, over all images.
      folded: of each filter, see `aliasing`.
    """

    kernel: Float[np.ndarray, "rows columns c filters"]
    stride: tuple[int, int]
    peak: Float[np.ndarray, " filters"]
    folded: Float[np.ndarray, " filters"]

    @property
    def dead(self) -> Bool[np.ndarray, " filters"]:
        """Filters whose peak is below a hundredth of the strongest filter's."""
        return self.peak <= DEAD * self.peak.max()

    @property
    def rms(self) -> Float[np.ndarray, " filters"]:
        """The root mean square of each filter's weights."""
        return np.sqrt((self.kernel.astype(float) ** 2).mean((0, 1, 2)))


def first_layer(
    model: Callable, x: Float[ArrayLike, "n h w c"], *, memory: int | None = None
) -> FirstLayer:
    """The first convolution of a network, and what it does with some images.

    Args:
      model: a callable pytree, whose first convolution a ReLU follows.
      x: its input.
      memory: bytes for the activations of a batch; see `jaxviz.studies.in_batches`.

    Returns:
      `FirstLayer`.

    Raises:
      ValueError: the model has no convolution, or no ReLU with as many maps as that has filters.

    Example:
      >>> import jax, ports
      >>> model = ports.load("shapes-plain", weights="shapes")
      >>> x = jax.random.normal(jax.random.key(0), (4, 64, 64, 3))
      >>> found = first_layer(model, x)
      >>> found.stride, int(found.dead.sum()), float(found.folded.max())
      ((1, 1), 0, 0.0)

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 4.1 and
      figure 6: dead features and aliasing in the first two layers. Both numbers are our choice.
    """
    images = np.asarray(x)
    kernel, stride = first_convolution(model, images[:1])
    relus = relu_layers(model, jax.ShapeDtypeStruct(images[:1].shape, images.dtype))
    filters = kernel.shape[-1]
    name = next((of for of, s in relus.items() if len(s.shape) == 4), None)
    if name is None or relus[name].shape[-1] != filters:
        raise ValueError(
            f"the first ReLU must have a map for each of the {filters} filters of the first "
            f"convolution; the model has {'none' if name is None else relus[name].shape}."
        )
    peak = in_batches(
        functools.partial(_peaks, layer=name), as_argument(model), images, memory=memory
    ).max(0)
    folded = aliasing(kernel, images, stride=stride, memory=memory)
    return FirstLayer(np.asarray(kernel), stride, peak, folded)


@functools.partial(jax.jit, static_argnames="layer")
def _peaks(model: Any, x: Array, *, layer: str) -> Float[Array, "n filters"]:
    return capture(model, x, [layer])[1][layer].max((1, 2))
