"""How a ReLU is recognised in a jaxpr, however it was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer
from jax.extend import core

from jaxviz.transform.interpret import evaluate

__all__ = ["Known", "as_it_stands", "known_constant", "rectified_value"]


class _Sign(NamedTuple):
    """A comparison with zero: of which value, and whether it is true above zero."""

    of: object
    above: bool


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Known:
    """An array of the program, and what is known about it without computing it."""

    value: jax.Array
    # It depends on the function's input.
    varies: bool = field(default=False, metadata={"static": True})
    # The one number that all its entries are, where that is known.
    constant: float | None = field(default=None, metadata={"static": True})
    # Its comparison with zero, if it is one.
    sign: _Sign | None = field(default=None, metadata={"static": True})
    # "capped": min(·, constant); "squared": a square; both up to sums, scale and shift.
    kind: str | None = field(default=None, metadata={"static": True})
    # It is what a ReLU gives, and no more has been done to it than capping it.
    rectified: bool = field(default=False, metadata={"static": True})
    # The same object for values that are equal; None where control flow joins.
    identity: object = field(default_factory=object, metadata={"static": True})


def known_constant(array: Any) -> Known:
    """What is known about a constant of the program."""
    known = not isinstance(array, Tracer) and np.size(array) == 1
    return Known(array, constant=np.asarray(array, float).item() if known else None)


_KEEP = frozenset(
    "name convert_element_type copy reduce_precision sharding_constraint pvary pcast".split()
)
_RESHAPE = frozenset("broadcast_in_dim reshape squeeze".split())
_COMPARE = {"gt": True, "ge": True, "lt": False, "le": False}
_KEEP_KIND = frozenset("add sub mul div neg sqrt reduce_sum broadcast_in_dim reshape".split())


def rectified_value(
    primitive: str, operands: Sequence[Known], refuse: Callable[[str], None]
) -> Known | None:
    """The value whose positive part an equation takes, or None.

    Args:
      primitive: the equation's.
      operands: what is known about them; one of them varies.
      refuse: is told, in words, of a nonlinearity that looks like a ReLU and is none.
    """
    if primitive in ("max", "min"):
        varying = [operand for operand in operands if operand.varies]
        bound = next((o.constant for o in operands if not o.varies), None)
        # A variance or a norm is kept from rounding to zero or below.
        if primitive == "max" and len(varying) == 1 and varying[0].kind == "squared":
            return None
        if primitive == "max" and bound == 0:
            return varying[0]
        # The upper bound of a relu6.
        if primitive == "min" and bound is not None and bound > 0:
            return None
        return refuse(f"'{primitive}' of an activation and something else than 0")
    if primitive == "clamp" and operands[0].constant == 0:
        return operands[1]
    if primitive == "mul":
        a, b = operands
        for x, gate in ((a, b), (b, a)):
            if gate.sign == _Sign(x.identity, above=True):
                return x
        if a.varies and b.varies and any(x.sign or x.kind == "capped" for x in operands):
            return refuse("a product with a gate, as in hard-swish")
    if primitive == "select_n" and operands[0].varies:
        sign, cases = operands[0].sign, operands[1:]
        if sign is not None and len(cases) == 2:
            below, above = cases if sign.above else cases[::-1]
            if below.constant == 0 and above.identity is sign.of:
                return above
        return refuse("a choice by an activation's value, as in a leaky ReLU")
    return None


def _compared_with_zero(a: Known, b: Known) -> Known | None:
    return a if b.constant == 0 else b if a.constant == 0 else None


def as_it_stands(equation: core.JaxprEqn, operands: Sequence[Known]) -> list[Known]:
    """Evaluates an equation that is no ReLU, and keeps what is known of its operands."""
    outputs = evaluate(equation, *(operand.value for operand in operands))
    primitive = equation.primitive.name
    if primitive in _KEEP:
        return [replace(operands[0], value=outputs[0])]
    constant, sign, kind, rectified = None, None, None, False
    if primitive in _RESHAPE:
        constant = operands[0].constant
    elif primitive in _COMPARE:
        x = _compared_with_zero(*operands)
        if x is not None:
            sign = _Sign(x.identity, above=_COMPARE[primitive] == (x is operands[0]))
    elif primitive == "min":
        kind = "capped"
        rectified = any(operand.rectified for operand in operands)
    elif primitive in ("square", "integer_pow") or (
        primitive == "mul" and operands[0].identity is operands[1].identity
    ):
        kind = "squared"
    if primitive in _KEEP_KIND:
        kind = kind or next((operand.kind for operand in operands if operand.kind), None)
    varies = any(operand.varies for operand in operands)
    return [Known(output, varies, constant, sign, kind, rectified) for output in outputs]
