"""The gates of a piecewise-linear function: where each lets go on, and how far it is from turning.

A gate is whatever chooses between linear pieces: a ReLU in any spelling, a bound, a comparison, the
maximum of a window. It is read at one input, and a second input goes the same way through it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import Array, Bool, Float

from jaxviz.transform.switches import cuts, switches, taken

__all__ = ["GATES", "Gate", "Value"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Value:
    """A value of a program at two inputs.

    Attributes:
      at: at the input that fixes the gates.
      moved: at the other input, with these gates; None where it is the same for every input.
      refused: why there is no such value, if there is none.
    """

    at: Array
    moved: Array | None = None
    refused: str | None = field(default=None, metadata={"static": True})

    @property
    def varies(self) -> bool:
        """Whether it depends on the other input."""
        return self.moved is not None or self.refused is not None

    @property
    def latest(self) -> Array:
        """It at the other input."""
        return self.at if self.moved is None else self.moved


class Gate(NamedTuple):
    """The walls of an array of gates: none turns as long as its walls are not below zero.

    Attributes:
      wall: at the input that fixes the gates.
      moved: at the other input; an affine function of it.
    """

    wall: Float[Array, "*shape walls"]
    moved: Float[Array, "*shape walls"]


Rule = Callable[
    [core.JaxprEqn, Sequence[Value], Array], tuple[Array | None, Callable[[], Gate]] | None
]
"""`rule(equation, operands, result)` gives the result at the other input, None where it is the
same, and the walls when they are asked for; or None where no rule can be given."""


def _farther(a: Value, b: Value, sign: int) -> tuple[Value, Callable[[], Gate]]:
    """The larger of two values (sign 1) or the smaller one (-1).

    At a tie it is the one that does not vary, so that a ReLU is off at zero.
    """
    beyond = jnp.greater if sign > 0 else jnp.less
    first = beyond(a.at, b.at) if a.varies else ~beyond(b.at, a.at)

    def pick(a, b):
        return jnp.where(first, a, b)

    def wall(a, b):
        return jnp.where(first, sign * (a - b), sign * (b - a))[..., None]

    chosen = Value(pick(a.at, b.at), pick(a.latest, b.latest))
    return chosen, lambda: Gate(wall(a.at, b.at), wall(a.latest, b.latest))


def _extreme(sign: int) -> Rule:
    def rule(equation, operands, result):
        a, b = operands
        chosen, gate = _farther(a, b, sign)
        return chosen.moved, gate

    return rule


def _clamp(equation, operands, result):
    low, x, high = operands
    raised, lower = _farther(x, low, 1)
    bounded, upper = _farther(raised, high, -1)

    def gate():
        return Gate(*(jnp.concatenate(sides, -1) for sides in zip(lower(), upper(), strict=True)))

    return bounded.moved, gate


def _compare(equation, operands, result):
    a, b = operands
    above = result if equation.primitive.name in ("gt", "ge") else ~result

    def wall(a, b):
        return jnp.where(above, a - b, b - a)[..., None]

    return None, lambda: Gate(wall(a.at, b.at), wall(a.latest, b.latest))


def _size(x: Value) -> Callable[[Array], Array]:
    """|x| for an x of the same sign as `x.at`."""
    return lambda value: jnp.where(x.at >= 0, value, -value)


def _abs(equation, operands, result):
    (x,) = operands
    size = _size(x)
    moved = size(x.latest)
    return moved, lambda: Gate(result[..., None], moved[..., None])


def _sign(equation, operands, result):
    (x,) = operands

    def walls(value):
        # Zero has a wall on either side.
        size = jnp.where(x.at >= 0, value, -value)
        return jnp.stack([size, jnp.where(x.at == 0, -size, size)], -1)

    return None, lambda: Gate(walls(x.at), walls(x.latest))


def _beside(winner: Bool[Array, "*shape"], wall: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The walls between a winner and the others. Beside itself it has none, whatever rounds."""
    return jnp.where(winner, 1, wall)


def _reduced(sign: int) -> Rule:
    """The largest or the smallest entry along some axes: the first of equal ones."""

    def rule(equation, operands, result):
        (x,) = operands
        axes = equation.params["axes"]
        count = math.prod(x.at.shape[axis] for axis in axes)

        def listed(array):
            """The entries among which one is taken, along the last axis."""
            last = tuple(range(array.ndim - len(axes), array.ndim))
            return jnp.moveaxis(array, axes, last).reshape(*result.shape, count)

        among, moved = listed(x.at), listed(x.latest)
        winner = jnp.argmax(sign * among, -1, keepdims=True) == jnp.arange(count)
        taken = jnp.where(winner, moved, 0).sum(-1)
        return taken, lambda: Gate(
            _beside(winner, sign * (result[..., None] - among)),
            _beside(winner, sign * (taken[..., None] - moved)),
        )

    return rule


def _pooled(sign: int) -> Rule:
    def rule(equation, operands, result):
        p = equation.params
        if set(p["base_dilation"]) != {1}:
            return None
        (x,) = operands
        largest = sign * result
        routes: list[Bool[Array, ...]] = switches(sign * x.at, largest, p)
        moved = taken(x.latest, routes, p)

        def gate():
            # What lies in the padding is infinitely far below, and stays there.
            at, other = (jnp.stack([*cuts(sign * v, p, -jnp.inf)], -1) for v in (x.at, x.latest))
            own = jnp.stack(routes, -1)
            return Gate(
                _beside(own, largest[..., None] - at), _beside(own, sign * moved[..., None] - other)
            )

        return moved, gate

    return rule


GATES: dict[str, Rule] = {
    "max": _extreme(1),
    "min": _extreme(-1),
    "clamp": _clamp,
    "abs": _abs,
    "sign": _sign,
    **dict.fromkeys(("gt", "ge", "lt", "le"), _compare),
    "reduce_max": _reduced(1),
    "reduce_min": _reduced(-1),
    "reduce_window_max": _pooled(1),
    "reduce_window_min": _pooled(-1),
}
