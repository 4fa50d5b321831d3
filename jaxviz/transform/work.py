"""How much an equation computes."""

from __future__ import annotations

import math
from typing import Any

from jax.extend import core

from jaxviz.transform.interpret import opened

__all__ = ["multiplications"]


def multiplications(equation: core.JaxprEqn) -> int:
    """The multiplications of an equation's convolutions and products, those inside of it included.

    A loop counts with its turns, if their number is known, and a choice with all of its branches.

    Args:
      equation: of a jaxpr.

    Returns:
      A number; 0 for elementwise work.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxviz.transform.work import multiplications
      >>> program = jax.make_jaxpr(lambda a, b: a @ b)(jnp.ones((2, 3)), jnp.ones((3, 5)))
      >>> multiplications(program.eqns[0])
      30
    """
    p, inputs = equation.params, [_shape(variable) for variable in equation.invars]
    if equation.primitive.name == "conv_general_dilated":
        channels = inputs[1][p["dimension_numbers"].rhs_spec[0]]
        each = math.prod(inputs[1]) // max(channels, 1)
        # Between the entries of an input that is spread out lie zeros.
        return _entries(equation) * each // math.prod(p["lhs_dilation"])
    if equation.primitive.name == "dot_general":
        (contracting, _), _ = p["dimension_numbers"]
        return _entries(equation) * math.prod(inputs[0][axis] for axis in contracting)
    inner = sum(
        multiplications(own)
        for program in core.jaxprs_in_params(p)
        for own in opened(program)[0].eqns
    )
    return p.get("length", 1) * inner


def _shape(variable: Any) -> tuple[int, ...]:
    return getattr(variable.aval, "shape", ())


def _entries(equation: core.JaxprEqn) -> int:
    return math.prod(_shape(equation.outvars[0]))
