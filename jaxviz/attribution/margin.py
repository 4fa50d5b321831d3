"""How far an image is from where its network's affine map ends."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from jaxviz.attribution.question import checked_images
from jaxviz.attribution.reconstruction import value_of
from jaxviz.transform import as_argument
from jaxviz.transform.affine import walls
from jaxviz.transform.memory import at_once, budget, in_batches

__all__ = ["RegionMargin", "region_margin"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RegionMargin:
    """How far each image can go along a direction before a gate of the network turns.

    Attributes:
      margin: the largest t up to which `x + t * direction` stays in the region of `x`; infinite
        where no gate turns.
      layer: the layer of the gate that turns there, as a place in `layers`; -1 if none turns.
      index: which of this layer's gates, flat, in the order of rows, columns and channels (for
        several arrays of gates one after the other); -1 if none turns.
      by_layer: the same t for the gates of each layer alone.
      layers: the layers that have gates, in the order of evaluation. A gate belongs to the first
        layer that is marked after it: the ReLU or the pooling itself in a port, "output" behind the
        last one.
      gates: how many gates each of these layers has, for one image: rectified units, or windows.
    """

    margin: Float[Array, " n"]
    layer: Int[Array, " n"]
    index: Int[Array, " n"]
    by_layer: Float[Array, "n layers"]
    layers: tuple[str, ...] = field(metadata={"static": True})
    gates: tuple[int, ...] = field(metadata={"static": True})

    def names(self) -> list[str]:
        """For each image the name of the layer whose gate turns; "" where none turns."""
        return [self.layers[i] if i >= 0 else "" for i in self.layer.tolist()]


def region_margin(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    direction: Float[ArrayLike, "*n h w c"],
    layer: str | None = None,
    *,
    memory: int | None = None,
) -> RegionMargin:
    """How far from each image, along a direction, the affine map of `jv.reconstruct` holds.

    Within the region what each gate compares is an affine function of the way gone, so that one
    forward-mode pass gives the exact distance at which the first one turns. Where a comparison is a
    tie already, as between equal entries of a max pooling, the margin may be zero.

    Args:
      model: a callable pytree; a piecewise-linear network.
      x: the model's input.
      direction: where to go, in the input's units, for all images or for each.
      layer: up to where gates count, as in `jv.reconstruct`; by default the model's output.
      memory: bytes that the values may take at one time, beside the weights; by default half of the
        device's memory, 256 MiB on a CPU. One image is always taken.

    Returns:
      The margins, in lengths of the direction, and the gates that set them.

    Raises:
      NotImplementedError: the model, up to `layer`, is not piecewise linear, or has gates in a
        `cond` or a `while_loop`.
      ValueError: `x` is no batch of images, or `direction` does not fit it.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(jax.nn.relu(x), "relu").sum((1, 2))
      >>> x = jnp.array([3.0, -4.0]).reshape(1, 1, 2, 1)
      >>> found = jv.region_margin(model, x, jnp.array([-2.0, 1.0]).reshape(1, 2, 1))
      >>> found.margin.tolist(), found.names(), found.index.tolist(), found.gates
      ([1.5], ['relu'], [0], (2,))
    """
    model, x, direction = as_argument(model), checked_images(x), jnp.asarray(direction)
    if direction.shape not in (x.shape, x.shape[1:]):
        raise ValueError(
            f"direction must have the shape of an image, {x.shape[1:]}, or of all, {x.shape}; got "
            f"{direction.shape}."
        )
    direction = jnp.broadcast_to(direction.astype(x.dtype), x.shape)
    return _region(model, x, direction, upto=layer, available=budget(memory))


@functools.partial(jax.jit, static_argnames=("upto", "available"))
def _region(model, x, direction, *, upto, available):
    def one(image_and_direction):
        image, direction = (array[None] for array in image_and_direction)
        gates, slopes = jax.jvp(
            walls(value_of(model, upto), image, last=upto or "output"), (image,), (direction,)
        )
        ways = {
            name: jnp.concatenate(
                [
                    _way(gate.wall, slope).min(-1).reshape(-1)
                    for gate, (_, slope) in zip(gates[name], slopes[name], strict=True)
                    if gate.wall.size
                ]
            )
            for name in gates
            if any(gate.wall.size for gate in gates[name])
        }
        nearest = jnp.stack([jnp.array(jnp.inf, x.dtype), *(way.min() for way in ways.values())])
        places = jnp.stack([jnp.array(-1), *(way.argmin() for way in ways.values())])
        # Before the layers stands what is infinitely far, so that it is taken if all others are.
        layer = jnp.argmin(nearest)
        return RegionMargin(
            nearest[layer],
            layer - 1,
            places[layer],
            nearest[1:],
            tuple(ways),
            tuple(way.size for way in ways.values()),
        )

    pair = (x, direction)
    program = jax.make_jaxpr(one)(jax.tree.map(lambda array: array[0], pair))
    return in_batches(jax.vmap(one), pair, at_once(program, available))


def _way(wall: Float[Array, "*shape"], slope: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """How far it is to a wall that falls at `slope`."""
    falls = slope < 0
    way = jnp.maximum(wall, 0) / jnp.where(falls, -slope, 1)
    return jnp.where(falls, way, jnp.where(jnp.isnan(slope), jnp.nan, jnp.inf))
