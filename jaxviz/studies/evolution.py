"""How features come about during training: what excites them most, and when they stay."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jaxviz.studies.strongest import Indexed, Strongest, none_seen, seen
from jaxviz.transform import as_argument, capture

__all__ = ["Comoments", "Evolved", "comoments", "evolution", "linear_cka", "settled"]


class Comoments(NamedTuple):
    """The means and the products of two sets of features over the same examples, in float64.

    Attributes:
      count: how many examples.
      x: the mean of each feature of the one.
      y: of the other.
      xx: the sum of the products of the one's features, their means taken away.
      xy: of the one's with the other's.
      yy: of the other's.
    """

    count: int
    x: Float[np.ndarray, " p"]
    y: Float[np.ndarray, " q"]
    xx: Float[np.ndarray, "p p"]
    xy: Float[np.ndarray, "p q"]
    yy: Float[np.ndarray, "q q"]


def comoments(
    x: Float[ArrayLike, "n p"], y: Float[ArrayLike, "n q"], before: Comoments | None = None
) -> Comoments:
    """What `linear_cka` needs to know of some examples, and of others before them.

    Examples may come in any number of parts: each is reduced around its own means, and what the
    means differ by is added, so that no large numbers cancel.

    Args:
      x: features of the examples.
      y: other features of the same examples.
      before: of the examples before these.

    Returns:
      `Comoments` of them all; its size does not depend on how many there are.

    Raises:
      ValueError: `x` and `y` have different numbers of examples, or none.

    Example:
      >>> import numpy as np
      >>> from jaxviz.studies import comoments
      >>> x = np.array([[0.0], [2.0], [4.0]])
      >>> found = comoments(x[1:], -x[1:], comoments(x[:1], -x[:1]))
      >>> found.x.item(), found.xx.item(), found.xy.item()
      (2.0, 8.0, -8.0)

    References:
      Chan, Golub, LeVeque, Algorithms for computing the sample variance, 1983.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or not len(a):
        raise ValueError(
            f"comoments needs (examples, features) twice, of the same examples, got {a.shape} and "
            f"{b.shape}."
        )
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = a - mean_a, b - mean_b
    now = Comoments(len(a), mean_a, mean_b, a.T @ a, a.T @ b, b.T @ b)
    if before is None:
        return now
    count = before.count + now.count
    shift_x, shift_y = now.x - before.x, now.y - before.y
    weight = before.count * now.count / count

    def summed(one: np.ndarray, other: np.ndarray, *shifts: np.ndarray) -> np.ndarray:
        return one + other + weight * np.outer(*shifts)

    return Comoments(
        count,
        before.x + shift_x * (now.count / count),
        before.y + shift_y * (now.count / count),
        summed(before.xx, now.xx, shift_x, shift_x),
        summed(before.xy, now.xy, shift_x, shift_y),
        summed(before.yy, now.yy, shift_y, shift_y),
    )


def linear_cka(found: Comoments) -> float:
    """How similar two sets of features are, whatever rotation or scale tells them apart.

    Args:
      found: as `comoments` gives it.

    Returns:
      Linear centred kernel alignment, from 0 to 1; 0 where one of them does not vary.

    Example:
      >>> import numpy as np
      >>> from jaxviz.studies import comoments, linear_cka
      >>> x = np.random.default_rng(0).normal(size=(50, 2))
      >>> turned = 3 * x @ np.array([[0.6, -0.8], [0.8, 0.6]]) + 1
      >>> round(linear_cka(comoments(x, turned)), 12)
      1.0

    References:
      Kornblith, Norouzi, Lee, Hinton, Similarity of neural network representations revisited,
      2019, section 3: HSIC of linear kernels, in its form with features.
    """
    both = np.sqrt((found.xx**2).sum() * (found.yy**2).sum())
    return float((found.xy**2).sum() / both) if both > 0 else 0.0


class Evolved(NamedTuple):
    """One checkpoint of a training run.

    Attributes:
      strongest: layer -> the strongest activation of each channel, over all images.
      similarity: layer -> its linear CKA with the end of training.
    """

    strongest: dict[str, Strongest]
    similarity: dict[str, float]


def evolution(
    model: Callable, final: Callable, batches: Iterable[Indexed], layers: Sequence[str]
) -> Evolved:
    """What a checkpoint's channels respond to most, and how near its layers are to the end.

    For the similarity the examples are all places of all images, and the features a layer's
    channels: so memory depends neither on the number of images nor on the size of the maps. The
    sums are in float64.

    Args:
      model: a callable pytree, at some time of its training.
      final: the same at the end.
      batches: of images, all of one shape, as `jaxviz.data.batches` gives them.
      layers: names of layers with places, (n, h, w, c).

    Returns:
      `Evolved`, in NumPy.

    Raises:
      ValueError: a layer is unknown or has no places, its values are not finite, or there is no
        batch.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> from jaxviz.studies import evolution
      >>> net = lambda w, x: jv.tap(jax.nn.relu(x @ w), "relu").mean((1, 2))
      >>> weights = jnp.ones((3, 2)), jnp.eye(3)[:, :2]
      >>> first, last = (jax.tree_util.Partial(net, w) for w in weights)
      >>> images = jv.data.shapes_images(4)
      >>> batches = jv.data.batches(images, 4, prepare=lambda image: image)
      >>> found = evolution(first, last, batches, ["relu"])
      >>> found.strongest["relu"].value.shape, 0 < found.similarity["relu"] < 1
      ((2, 1), True)

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 4,
      Fig. 4; Kornblith et al., Similarity of neural network representations revisited, 2019.
    """
    model, final, names = as_argument(model), as_argument(final), tuple(layers)
    state: dict[str, Strongest] = {}
    products: dict[str, Comoments] = {}
    for batch in batches:
        state = state or none_seen(model, batch.input, layers, count=1)
        state = seen(state, model, batch.input, batch.index)
        there = np.flatnonzero(np.asarray(batch.index) >= 0)
        now, then = (_captured(net, batch.input, layers=names) for net in (model, final))
        for name, *both in zip(names, now, then, strict=True):
            x, y = map(np.asarray, both)
            if not (np.isfinite(x[there]).all() and np.isfinite(y[there]).all()):
                raise ValueError(f"the values of '{name}' must be finite, and some are not.")
            # Image by image, so that no more than one image's maps are there in float64.
            for i in there:
                one, other = (values[i].reshape(-1, values.shape[-1]) for values in (x, y))
                products[name] = comoments(one, other, products.get(name))
    if not state:
        raise ValueError("evolution needs at least one batch of images, got none.")
    similarity = {name: linear_cka(products[name]) for name in names}
    return Evolved(jax.tree.map(np.asarray, state), similarity)


@functools.partial(jax.jit, static_argnames="layers")
def _captured(model: Callable, x: Array, *, layers: tuple[str, ...]) -> list[Array]:
    values = capture(model, x, layers)[1]
    return [values[name] for name in layers]


def settled(epochs: Sequence[float], similarity: Sequence[float], *, share: float = 0.95) -> float:
    """From which epoch on a layer stays within a share of its final value.

    Args:
      epochs: those that were looked at, in rising order.
      similarity: the layer's value at each of them, the final one last.
      share: of the final value.

    Returns:
      Where the value comes to the share for the last time, between two epochs by a straight line;
      the first epoch, if it is there from the beginning. NaN where the final value is 0: a layer
      that is dead at the end has no state to come near to.

    Raises:
      ValueError: the two are not equally long, or empty, the epochs do not rise, or the final
        value is negative.

    Example:
      >>> from jaxviz.studies import settled
      >>> round(settled([1, 2, 5, 10], [0.5, 0.9, 1.0, 1.0]), 6)
      3.5
    """
    at, values = np.asarray(epochs, float), np.asarray(similarity, float)
    rising = at.ndim == 1 and len(at) and (np.diff(at) > 0).all()
    if at.shape != values.shape or not rising or not values[-1] >= 0:
        raise ValueError(
            "settled needs a value for each of some rising epochs, the last not negative, got "
            f"{list(epochs)} and {values.tolist()}."
        )
    if values[-1] == 0:
        return float("nan")
    goal = share * values[-1]
    below = np.flatnonzero(values < goal)
    if not len(below):
        return float(at[0])
    i = below[-1]
    return float(at[i] + (at[i + 1] - at[i]) * (goal - values[i]) / (values[i + 1] - values[i]))
