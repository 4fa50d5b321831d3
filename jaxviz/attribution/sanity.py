"""Whether a map has to do with what the model has learnt: another model, and how alike maps are."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxviz.transform import as_argument

__all__ = ["randomized", "rank_correlation"]


def randomized(key: PRNGKeyArray, model: Callable) -> Callable:
    """The model with the numbers of each weight array shuffled: it has learnt nothing, then.

    Every array keeps its values, and so its scale. A map that looks the same for this model shows
    the image, or the architecture, and not what the model has learnt.

    Args:
      key: a random key.
      model: a callable pytree.

    Returns:
      A model of the same structure; integers and keys among its arrays stay as they are.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> from jax.tree_util import Partial
      >>> model = Partial(lambda w, x: x @ w, jnp.arange(6.0).reshape(3, 2))
      >>> shuffled = jv.randomized(jax.random.key(0), model)
      >>> sorted(shuffled.args[0].ravel().tolist())
      [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]

    References:
      Adebayo et al., Sanity checks for saliency maps, 2018, section 4: the end of the cascading
      randomization, with all layers random. They draw new weights; a shuffle needs no knowledge of
      how the model was initialized.
    """
    leaves, structure = jax.tree.flatten(as_argument(model))
    shuffled = [
        jax.random.permutation(jax.random.fold_in(key, i), leaf.reshape(-1)).reshape(leaf.shape)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
        else leaf
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, shuffled)


@jax.jit
def rank_correlation(
    a: Float[ArrayLike, "n ..."], b: Float[ArrayLike, "n ..."]
) -> Float[Array, " n"]:
    """How alike two maps order their entries: Spearman's rank correlation, for each image.

    Args:
      a: maps.
      b: as many, of the same shape.

    Returns:
      From -1 (the other way round) to 1 (the same order); equal entries share their mean rank. NaN
      where one of the maps is constant.

    Raises:
      ValueError: the shapes differ.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> a = jnp.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
      >>> b = jnp.array([[1.0, 10.0, 100.0], [3.0, 2.0, 1.0]])
      >>> jv.rank_correlation(a, b).round(3).tolist()
      [1.0, -1.0]

    References:
      Adebayo et al., Sanity checks for saliency maps, 2018, section 3.
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"two maps must have one shape, got {a.shape} and {b.shape}.")
    first, second = (jax.vmap(_centred_ranks)(map.reshape(len(map), -1)) for map in (a, b))
    return (first * second).sum(1) / jnp.sqrt((first**2).sum(1) * (second**2).sum(1))


def _centred_ranks(values: Float[Array, " m"]) -> Float[Array, " m"]:
    """From -1/2 to 1/2, whatever their number, so that sums of squares stay small."""
    ordered = jnp.sort(values)
    below, upto = (jnp.searchsorted(ordered, values, side) for side in ("left", "right"))
    return (below + upto) / (2 * values.size) - 0.5
