"""A score for each image, as a value that adds, multiplies and is differentiated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Float, Int

from jaxviz.transform import as_argument, capture

__all__ = ["Objective", "score"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Objective:
    """A score for each image, from a model's output and the values of some layers.

    Objectives add, subtract, multiply and take powers, with each other and with numbers. The
    class, channel or position that one speaks of is data, not a part of the program, so that
    another one needs no recompilation; one that the model does not have scores NaN.

    Attributes:
      measure: `measure(output, taps)` gives one number for each image. The arrays that it holds
        have an axis in front: of length 1, for all images alike, or with an entry for each image.
      layers: the layers whose values `measure` reads from `taps`.
      joint: whether an image's score depends on the other images of its batch, which then stay
        together.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> rather = jv.objectives.logit(0) - 0.5 * jv.objectives.logit(1)
      >>> rather(jnp.array([[3.0, 2.0], [0.0, 4.0]]), {}).tolist()
      [2.0, -2.0]
    """

    measure: Partial
    layers: tuple[str, ...] = field(default=(), metadata={"static": True})
    joint: bool = field(default=False, metadata={"static": True})

    def __call__(self, output: Any, taps: Mapping[str, Array]) -> Float[Array, " n"]:
        """The scores of a batch."""
        return self.measure(output, taps)

    @property
    def images(self) -> int:
        """For how many images it has parameters of its own; 1 speaks of any number."""
        counts = {len(leaf) for leaf in jax.tree.leaves(self.measure)} - {1}
        if len(counts) > 1:
            raise ValueError(
                "the parts of an objective must speak of one image or of equally many, got "
                f"{' and '.join(map(str, sorted(counts)))}."
            )
        return counts.pop() if counts else 1

    def of(self, images: Int[ArrayLike, "*m"]) -> Objective:
        """The objective of one image of the batch, or of some, for a batch of these alone."""
        which = jnp.atleast_1d(jnp.asarray(images))
        return jax.tree.map(lambda leaf: leaf[which] if len(leaf) > 1 else leaf, self)

    def __add__(self, other: Objective | ArrayLike) -> Objective:
        return _combined(_sum, self, other)

    def __mul__(self, other: Objective | ArrayLike) -> Objective:
        return _combined(_product, self, other)

    def __pow__(self, power: ArrayLike) -> Objective:
        return _combined(_power, self, power)

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Objective | ArrayLike) -> Objective:
        return self + (-1.0 * other)

    def __rsub__(self, other: ArrayLike) -> Objective:
        return -self + other

    __radd__ = __add__
    __rmul__ = __mul__


def _combined(rule: Callable, a: Objective, b: Objective | ArrayLike) -> Objective:
    if not isinstance(b, Objective):
        return replace(a, measure=Partial(rule, a, jnp.atleast_1d(jnp.asarray(b, float))))
    layers = tuple(dict.fromkeys(a.layers + b.layers))
    return Objective(Partial(rule, a, b), layers, a.joint or b.joint)


def _value(part: Objective | Array, output: Any, taps: Mapping[str, Array]) -> Array:
    return part(output, taps) if isinstance(part, Objective) else part


def _sum(a, b, output, taps):
    return _value(a, output, taps) + _value(b, output, taps)


def _product(a, b, output, taps):
    return _value(a, output, taps) * _value(b, output, taps)


def _power(a, b, output, taps):
    return _value(a, output, taps) ** b


def score(
    model: Callable, x: Float[Array, "n ..."], objective: Objective
) -> tuple[Any, Float[Array, " n"]]:
    """As `model(x)`, with the objective's scores beside the output.

    Args:
      model: a callable pytree.
      x: its input.
      objective: what to score; only the layers that it reads are kept.

    Returns:
      `(output, scores)`.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> output, scores = jv.objectives.score(jnp.tanh, jnp.zeros((2, 3)), jv.objectives.logit(1))
      >>> scores.tolist()
      [0.0, 0.0]
    """
    output, taps = capture(as_argument(model), x, objective.layers)
    return output, objective(output, taps)
