"""The strongest activations of each channel over any number of images, in one pass.

What is kept of the images seen so far is a few numbers for each channel, on the device, so that a
set may have any size, and a pass may be stopped and taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Int

from jaxviz.attribution import deconvnet
from jaxviz.synthesis.objectives import neuron
from jaxviz.transform import as_argument, capture

__all__ = ["Indexed", "Strongest", "none_seen", "seen", "strongest", "unit_projections"]


class Indexed(Protocol):
    """A batch of images that are numbered, as `jaxviz.data.batches` gives them."""

    @property
    def index(self) -> Any:
        """The number of the image in each place; -1 where there is none."""
        ...

    @property
    def input(self) -> Any:
        """The model's input (n, h, w, c)."""
        ...


class Strongest(NamedTuple):
    """The strongest activations of each channel of a layer, the strongest first.

    Attributes:
      value: the activations; minus infinity where there were too few images.
      image: the number of the image of each; -1 where there is none.
      row: where in the layer's map it is.
      col: likewise. Of equal activations in an image the first is taken, in reading order.
    """

    value: Float[Array | np.ndarray, "c k"]
    image: Int[Array | np.ndarray, "c k"]
    row: Int[Array | np.ndarray, "c k"]
    col: Int[Array | np.ndarray, "c k"]


def none_seen(
    model: Callable, x: Any, layers: Sequence[str], *, count: int = 9
) -> dict[str, Strongest]:
    """What is known of the strongest activations before the first image.

    Args:
      model: a callable pytree.
      x: its input, or a `jax.ShapeDtypeStruct` of it.
      layers: names of layers with places, (n, h, w, c).
      count: how many activations are kept of each channel.

    Returns:
      Layer -> `Strongest`, for `seen`.

    Raises:
      ValueError: a layer is unknown or has no places, or `count` is below 1.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> from jaxviz.studies import none_seen
      >>> model = lambda x: jv.tap(x, "layer").mean((1, 2))
      >>> none_seen(model, jnp.ones((1, 2, 2, 3)), ["layer"])["layer"].value.shape
      (3, 9)
    """
    if count < 1:
        raise ValueError(f"none_seen needs a count of at least 1, got {count}.")
    shapes = jax.eval_shape(lambda x: capture(as_argument(model), x, layers)[1], x)
    for name, shape in shapes.items():
        if len(shape.shape) != 4:
            raise ValueError(
                "the strongest activations need layers of shape (n, h, w, c); "
                f"'{name}' has {shape.shape}."
            )
    # Arrays of their own: jit would see one array given four times as that.
    return {
        name: Strongest(
            jnp.full((shape.shape[-1], count), -jnp.inf, shape.dtype),
            *(jnp.full((shape.shape[-1], count), -1, jnp.int32) for _ in range(3)),
        )
        for name, shape in shapes.items()
    }


@jax.jit
def seen(
    state: Mapping[str, Strongest],
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    index: Int[ArrayLike, " n"],
) -> dict[str, Strongest]:
    """The strongest activations, when some more images have been seen: one compiled step.

    Args:
      state: what is known of the images before, as `none_seen` or this function gives it.
      model: a callable pytree of arrays; `jaxviz.transform.as_argument` makes one of any model.
      x: the next images, as the model takes them.
      index: their numbers, each image once and in rising order over all calls, so that of equal
        activations the one in the image with the lower number comes first; -1 leaves a place out.

    Returns:
      As `state`. An activation that is NaN counts as infinite.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> from jaxviz.studies import none_seen, seen
      >>> model = jax.tree_util.Partial(lambda x: jv.tap(x, "layer").mean((1, 2)))
      >>> x = jnp.arange(12.0).reshape(3, 2, 2, 1)
      >>> state = seen(none_seen(model, x, ["layer"], count=2), model, x, jnp.arange(3))
      >>> state["layer"].value.tolist(), state["layer"].image.tolist()
      ([[11.0, 7.0]], [[2, 1]])
    """
    x, index = jnp.asarray(x), jnp.asarray(index, jnp.int32)
    values = capture(model, x, tuple(state))[1]
    return {name: _merged(best, values[name], index) for name, best in state.items()}


def _merged(best: Strongest, values: Float[Array, "n h w c"], index: Array) -> Strongest:
    n, h, w, c = values.shape
    flat = values.reshape(n, h * w, c)
    peak = flat.max(1)
    # Two plain reductions; XLA's argmax takes a CPU far longer.
    place = jnp.arange(h * w, dtype=jnp.int32)[None, :, None]
    place = jnp.where(flat == peak[:, None], place, h * w - 1).min(1)
    peak = jnp.where(jnp.isnan(peak), jnp.inf, peak)
    peak = jnp.where((index >= 0)[:, None], peak, -jnp.inf)
    # Of equal values top_k takes the first: those of the images before.
    value, which = lax.top_k(jnp.concatenate([best.value, peak.T], 1), best.value.shape[1])

    def taken(before: Any, now: Array) -> Array:
        return jnp.take_along_axis(jnp.concatenate([before, now], 1), which, 1)

    numbers = jnp.broadcast_to(index, (c, n))
    row, col = place.T // w, place.T % w
    return Strongest(value, taken(best.image, numbers), taken(best.row, row), taken(best.col, col))


def strongest(
    model: Callable, batches: Iterable[Indexed], layers: Sequence[str], *, count: int = 9
) -> dict[str, Strongest]:
    """The strongest activations of each channel of some layers over a set of images.

    All layers are read in one pass, and memory does not grow with the number of images. `none_seen`
    and `seen` are the same in steps, for a pass that is to be saved on its way.

    Args:
      model: a callable pytree.
      batches: of the images, all of one shape, as `jaxviz.data.batches` gives them.
      layers: names of layers with places, (n, h, w, c).
      count: how many activations of each channel, at most one for each image.

    Returns:
      Layer -> `Strongest`, in NumPy.

    Raises:
      ValueError: a layer is unknown or has no places, or there is no batch.

    Example:
      >>> import jaxviz as jv
      >>> from jaxviz.studies import strongest
      >>> model = lambda x: jv.tap(x, "layer").mean((1, 2))
      >>> images = jv.data.shapes_images(5)
      >>> top = strongest(model, jv.data.batches(images, 2, prepare=lambda image: image), ["layer"])
      >>> top["layer"].value.shape, top["layer"].image[0, 5:].tolist()
      ((3, 9), [-1, -1, -1, -1])

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 4,
      Fig. 2.
    """
    model = as_argument(model)
    state: dict[str, Strongest] = {}
    for batch in batches:
        state = state or none_seen(model, batch.input, layers, count=count)
        state = seen(state, model, batch.input, batch.index)
    if not state:
        raise ValueError("strongest needs at least one batch of images, got none.")
    return jax.tree.map(np.asarray, state)


def unit_projections(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    layer: str,
    *,
    channel: int | Int[ArrayLike, " n"],
    row: int | Int[ArrayLike, " n"],
    col: int | Int[ArrayLike, " n"],
) -> Float[Array, "n h w c"]:
    """What in each image one activation responds to: its deconvnet projection, its value kept.

    Channels and places are data, so that all units of a layer share one program.

    Args:
      model: a callable pytree; a ReLU network.
      x: its input.
      layer: a layer's name.
      channel: of the activation, or of that of each image.
      row: where in the layer's map it is.
      col: likewise.

    Returns:
      Projections of the input's shape, zero outside of the unit's receptive field.

    Raises:
      ValueError: the layer is unknown.
      NotImplementedError: the model has nonlinearities that the deconvnet is not defined for.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> from jaxviz.studies import unit_projections
      >>> model = lambda x: jv.tap(jax.nn.relu(2 * x), "relu").sum((1, 2))
      >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
      >>> unit_projections(model, x, "relu", channel=0, row=1, col=0).ravel().tolist()
      [0.0, 0.0, 8.0, 0.0]

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 2.1.
    """
    # The derivative of half a square is the activation itself.
    return deconvnet(model, x, 0.5 * neuron(layer, channel, row, col) ** 2)
