"""What a network computes at an image, as the one affine map that it is there."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core
from jaxtyping import Array, ArrayLike, Float, Int

from jaxviz.attribution.question import checked_images
from jaxviz.transform import as_argument, capture, fast_pullbacks, gated
from jaxviz.transform.hoist import hoist
from jaxviz.transform.interpret import trace
from jaxviz.transform.memory import array_bytes, budget, in_batches, live_bytes, with_scratch

__all__ = ["AffineModel", "reconstruct", "value_of"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AffineModel:
    """For each image an affine map of images: what the network is, as long as no gate turns.

    Attributes:
      weights: one image for each output: what each input value adds to it.
      bias: what the output is without any input.
      outputs: which entries of the logits, or of a layer's value, these are: their places in the
        order of rows, columns and channels.
      shape: of the whole value for one image. Where nothing was left out, the map's result is that
        value once it is reshaped: `affine(x).reshape(-1, *affine.shape)`.
    """

    weights: Float[Array, "n k h w c"]
    bias: Float[Array, "n k"]
    outputs: Int[Array, " k"]
    shape: tuple[int, ...] = field(metadata={"static": True})

    def __call__(self, x: Float[ArrayLike, "n h w c"]) -> Float[Array, "n k"]:
        """The outputs for other images, or the same ones, each under its own map.

        Args:
          x: as many images as there are maps.

        Returns:
          `weights . x + bias`.

        Raises:
          ValueError: `x` has another shape than the images of the maps.
        """
        x = self._checked(x)
        return jnp.einsum("nkhwc,nhwc->nk", self.weights, x, precision="highest") + self.bias

    def contributions(self, x: Float[ArrayLike, "n h w c"]) -> Float[Array, "n k h w c"]:
        """What each input value adds to each output; their sum and the bias are the output.

        Args:
          x: as for the call.

        Returns:
          `weights * x`.

        Raises:
          ValueError: as the call.
        """
        return self.weights * self._checked(x)[:, None]

    def _checked(self, x: Float[ArrayLike, "n h w c"]) -> Float[Array, "n h w c"]:
        x, weights = jnp.asarray(x), self.weights
        if x.shape != (weights.shape[0], *weights.shape[2:]):
            raise ValueError(
                f"x must have one image for each map, {(weights.shape[0], *weights.shape[2:])}; "
                f"got {x.shape}."
            )
        return x

    def difference(self, i: int, j: int) -> Float[Array, "n h w c"]:
        """What each input value adds to output `i` beyond what it adds to output `j`.

        Args:
          i: an entry of `outputs`: a class.
          j: another one.

        Returns:
          The difference of the two weight images.

        Raises:
          ValueError: one of them was not reconstructed.
        """
        first, second = self._position(i), self._position(j)
        return self.weights[:, first] - self.weights[:, second]

    def _position(self, output: int) -> Any:
        found = self.outputs == output
        if not isinstance(found, Tracer) and not found.any():
            some = ", ".join(map(str, self.outputs[:10].tolist()))
            more = ", ..." if len(self.outputs) > 10 else ""
            raise ValueError(f"output {output} was not reconstructed; there are {some}{more}.")
        return jnp.argmax(found)


def reconstruct(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    layer: str | None = None,
    *,
    outputs: Sequence[int] | Sequence[tuple[int, ...]] | Int[ArrayLike, "k ..."] | None = None,
    memory: int | None = None,
) -> AffineModel:
    """Which pixels, with which sign, a network adds up: its exact affine map at each image.

    One pass fixes which ReLUs are on and which entry each max pooling takes; with these fixed (see
    `jaxviz.transform.gated`) the network is affine. Its weights are read out by basis outputs
    through its transpose or by basis images through itself, whichever are fewer, and laid out as
    one image for each output. The bias is the fixed network's answer to an image of zeros, and no
    remainder: that weights and bias give the network's output is a finding. Each image is a batch
    of its own; a model that mixes the images of a batch is another one then.

    Args:
      model: a callable pytree; a piecewise-linear network, as of convolutions, ReLUs, max or
        average poolings, inference batch norms, dense layers, residual and dense connections.
      x: the model's input.
      layer: whose value to reconstruct; by default the model's output.
      outputs: which of its entries: classes; for a layer places in its flattened value or tuples,
        (row, column, channel); by default all.
      memory: bytes that reading out may take at one time, beside the weights and the result; by
        default half of the device's memory, 256 MiB on a CPU. One image and one basis vector are
        always taken.

    Returns:
      The maps, one for each image. Those of a layer's entries are rows of its flattened value.

    Raises:
      NotImplementedError: the model is not piecewise linear below `layer`; the message names what
        it computes, and where.
      ValueError: the layer or an output is unknown, or `x` is no batch of images.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jax.nn.relu(x + 1).sum((1, 2)) @ jnp.array([[1.0, -2.0]])
      >>> x = jnp.array([3.0, -4.0]).reshape(1, 1, 2, 1)
      >>> affine = jv.reconstruct(model, x)
      >>> affine.weights[0, 1].ravel().tolist(), affine.bias.tolist()
      ([-2.0, 0.0], [[1.0, -2.0]])
      >>> affine(x).tolist(), model(x).tolist()
      ([[4.0, -8.0]], [[4.0, -8.0]])

    References:
      A method to visualize deep convolutional networks based on model reconstruction, JEIT, doi
      10.11999/JEIT180916: the gates as prior information, read-out by orthonormal vectors, weights
      as images, and table 1.
    """
    model, x = as_argument(model), checked_images(x)
    # Tracing is kept from one call to the next, as compilation is.
    value = _value.eval_shape(model, x[:1], layer=layer)
    if not (hasattr(value, "shape") and value.shape[:1] == (1,)):
        raise ValueError(
            f"the {'layer' if layer else 'output'} must have one entry for each image, and for one "
            f"image it is {jax.tree.map(lambda leaf: leaf.shape, value)}."
        )
    chosen = _chosen(outputs, value.shape[1:])
    available = budget(memory)
    return _reconstruct(model, x, chosen, layer=layer, available=available)


def _chosen(outputs: Any, shape: tuple[int, ...]) -> Int[Array, " k"]:
    """The flat places of the entries that the user means."""
    count = math.prod(shape)
    if outputs is None:
        return jnp.arange(count)
    if isinstance(outputs, Tracer) and outputs.ndim == 1:
        return outputs
    if isinstance(outputs, Tracer):
        return jnp.ravel_multi_index(tuple(outputs.T), shape, mode="clip")
    entries = np.asarray(outputs)
    tuples = entries.ndim == 2 and entries.shape[1] == len(shape)
    if not (np.issubdtype(entries.dtype, np.integer) and entries.size) or not (
        entries.ndim == 1 or tuples
    ):
        raise ValueError(
            f"outputs must list at least one place, an int or {len(shape)} ints each, of a value "
            f"of shape {shape}; got {outputs}."
        )
    limits = shape if tuples else (count,)
    wrong = ((entries < 0) | (entries >= np.array(limits))).reshape(len(entries), -1).any(1)
    if wrong.any():
        raise ValueError(
            f"unknown output {entries[wrong][0].tolist()}; they go from 0 to "
            f"{', '.join(str(limit - 1) for limit in limits)}."
        )
    return jnp.asarray(np.ravel_multi_index(tuple(entries.T), shape) if tuples else entries)


def value_of(model: Callable, layer: str | None) -> Callable:
    """The function whose affine maps are wanted: the model, or the part up to a layer."""
    if layer is None:
        return model
    return lambda x: capture(model, x, [layer])[1][layer]


@functools.partial(jax.jit, static_argnames="layer")
def _value(model: Callable, x: Array, *, layer: str | None) -> Any:
    return value_of(model, layer)(x)


@functools.partial(jax.jit, static_argnames=("layer", "available"))
def _reconstruct(model, x, chosen, *, layer, available):
    _, h, w, c = x.shape
    shape = _value.eval_shape(model, x[:1], layer=layer).shape[1:]
    by_rows = len(chosen) <= h * w * c
    basis = chosen if by_rows else jnp.arange(h * w * c)

    def answer_and_weights(image, place):
        """The fixed network's answer to zeros, and its weights in one place of the basis."""
        fixed = gated(value_of(model, layer), image[None])

        def values(moved):
            return fixed(moved[None]).reshape(-1)

        return (_row if by_rows else _column)(values, jnp.zeros_like(image), place)

    program, structure = trace(answer_and_weights, x[0], basis[0])

    def at(image):
        """As above, for one image: what all places share, the gates among it, is computed once."""
        flat = core.jaxpr_as_fun(program)
        return hoist(lambda place: jax.tree.unflatten(structure, flat(image, place)), basis[0])

    # Bytes for an image and one place; for what all places share, and for each of them.
    alone, read = with_scratch(live_bytes(program)), at(x[0])
    reading = jax.make_jaxpr(lambda place: read(place)[1])(basis[0])
    weights = {id(leaf) for leaf in jax.tree.leaves(model)}
    shared = array_bytes(value for value in reading.consts if id(value) not in weights)
    each = with_scratch(live_bytes(reading))
    together = max((available - shared) // each, 1)
    images = max(available // max(alone, shared + len(basis) * each), 1)

    def read_out(image):
        read = at(image)
        bias, _ = read(basis[0])
        own = (lambda row: row) if by_rows else (lambda column: column[chosen])
        weights = in_batches(jax.vmap(lambda place: own(read(place)[1])), basis, together)
        if not by_rows:
            weights = weights.T
        return weights.reshape(len(chosen), h, w, c), bias[chosen]

    weights, bias = in_batches(jax.vmap(read_out), x, images)
    return AffineModel(weights, bias, chosen, shape)


def _row(
    values: Callable, zeros: Float[Array, "h w c"], place: Int[Array, ""]
) -> tuple[Float[Array, " outputs"], Float[Array, "h w c"]]:
    """What is there without input, and what one output takes of each input value.

    A basis output goes through the transpose.
    """
    answer, pull_back = jax.vjp(fast_pullbacks(values), zeros)
    return answer, pull_back(_basis(answer, place))[0]


def _column(
    values: Callable, zeros: Float[Array, "h w c"], place: Int[Array, ""]
) -> tuple[Float[Array, " outputs"], Float[Array, " outputs"]]:
    """What is there without input, and what one input value gives to each output.

    A basis image goes through the linear part.
    """
    answer, push = jax.linearize(values, zeros)
    return answer, push(_basis(zeros, place))


def _basis(like: Array, place: Int[Array, ""]) -> Array:
    return (jnp.arange(like.size) == place).astype(like.dtype).reshape(like.shape)
