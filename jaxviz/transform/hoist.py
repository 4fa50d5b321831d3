"""What a loop's body computes anew each time although it never changes, computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import core

from jaxviz.transform.interpret import evaluate, opened, trace

__all__ = ["hoist", "needed"]

# Cheap to make and large to keep: a compiler fuses them with what reads them.
_MADE_WHERE_READ = {"broadcast_in_dim", "iota"}


def hoist(f: Callable, *examples: Any) -> Callable:
    """As `f`, but what does not depend on its arguments is computed here, once.

    A loop computes what its body closes over before it starts, but whatever the body makes of that
    again at every turn.

    Args:
      f: a function of pytrees of arrays; what it closes over counts as known.
      *examples: arguments, or `jax.ShapeDtypeStruct` in their place.

    Returns:
      A function of arguments of these shapes.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxviz.transform.hoist import hoist
      >>> weights = jnp.ones((100, 100))
      >>> f = lambda x: x @ (weights @ weights)
      >>> jax.make_jaxpr(hoist(f, jnp.ones(100)))(jnp.ones(100)).pretty_print().count("dot_general")
      1
    """
    program, structure = trace(f, *examples)
    jaxpr, constants = opened(program)
    known: dict[core.Var, Any] = dict(zip(jaxpr.constvars, constants, strict=True))
    at_hand: dict[core.Var, Any] = {}
    later = []
    for equation in jaxpr.eqns:
        variables = [v for v in equation.invars if not isinstance(v, core.Literal)]
        if equation.effects or not all(v in known or v in at_hand for v in variables):
            later.append(equation)
            continue
        made = _made(equation, known | at_hand)
        if equation.primitive.name in _MADE_WHERE_READ or not any(v in known for v in variables):
            later.append(equation)
            at_hand |= made
        else:
            known |= made

    later = needed(later, jaxpr.outvars)

    def rest(*args: Any) -> Any:
        values = known | dict(zip(jaxpr.invars, jax.tree.leaves(args), strict=True))
        for equation in later:
            values |= _made(equation, values)
        outputs = [_read(values, v) for v in jaxpr.outvars]
        return jax.tree.unflatten(structure, outputs)

    return rest


def needed(equations: Sequence[core.JaxprEqn], outputs: Any) -> list[core.JaxprEqn]:
    """The equations that the outputs depend on: a compiler drops the others, and what they read."""
    read = {variable for variable in outputs if isinstance(variable, core.Var)}
    kept = []
    for equation in reversed(equations):
        if equation.effects or not read.isdisjoint(equation.outvars):
            kept.append(equation)
            read.update(v for v in equation.invars if isinstance(v, core.Var))
    return kept[::-1]


def _read(values: dict[core.Var, Any], variable: core.Var | core.Literal) -> Any:
    return variable.val if isinstance(variable, core.Literal) else values[variable]


def _made(equation: core.JaxprEqn, values: dict[core.Var, Any]) -> dict[core.Var, Any]:
    outputs = evaluate(equation, *(_read(values, v) for v in equation.invars))
    return dict(zip(equation.outvars, outputs, strict=True))
