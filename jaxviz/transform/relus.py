"""Which layers of a model are outputs of its ReLUs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.extend import core

from jaxviz.transform.interpret import Rules, calls_any, evaluate, interpret
from jaxviz.transform.taps import tapped_program

__all__ = ["relu_layers"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Value:
    """An array of the program, and whether it is a ReLU's output, or the number 0."""

    array: jax.Array
    rectified: bool = field(default=False, metadata={"static": True})
    zero: bool = field(default=False, metadata={"static": True})


def relu_layers(model: Callable, x: Any) -> dict[str, jax.ShapeDtypeStruct]:
    """The layers of a model that are what a ReLU gives: its features, none of them negative.

    A ReLU is found in the jaxpr, as `jax.nn.relu` or as the maximum of a value and 0. Of several
    names for one value (a block's last ReLU, and the block) the first is listed. Nothing is
    computed.

    Args:
      model: a callable pytree.
      x: its input, or a `jax.ShapeDtypeStruct` of it.

    Returns:
      Layer name -> shape and dtype, in the order of evaluation, as `jaxviz.layers` names them.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> from jaxviz.transform import relu_layers
      >>> def model(x):
      ...     x = jv.tap(jax.nn.relu(jv.tap(2 * x, "double")), "relu")
      ...     return jv.tap(jv.tap(x, "block") + 1, "plus one")
      >>> list(relu_layers(model, jnp.ones((1, 3))))
      ['relu']
    """

    def found(x: Any) -> OrderedDict[str, _Value]:
        program, _ = tapped_program(model, x)
        return interpret(program, [_Value(leaf) for leaf in jax.tree.leaves(x)], _RULES)[1]

    values = jax.eval_shape(found, x)
    return {
        name: jax.ShapeDtypeStruct(value.array.shape, value.array.dtype)
        for name, value in values.items()
        if value.rectified
    }


def _rule(equation: core.JaxprEqn, operands: Sequence[_Value], found: Any) -> list[_Value] | None:
    primitive = equation.primitive.name
    if primitive == "max" and any(operand.zero for operand in operands):
        (output,) = evaluate(equation, *(operand.array for operand in operands))
        return [_Value(output, rectified=True)]
    if primitive == "name":
        found[found.numbered(equation.params["name"])] = operands[0]
        # What is tapped once more is the same layer under another name.
        return [replace(operands[0], rectified=False)]
    return None


def _otherwise(equation: core.JaxprEqn, operands: Sequence[_Value]) -> list[_Value]:
    outputs = evaluate(equation, *(operand.array for operand in operands))
    zero = equation.primitive.name == "convert_element_type" and operands[0].zero
    return [_Value(output, zero=zero) for output in outputs]


def _constant(array: Any) -> _Value:
    known = not isinstance(array, Tracer) and np.size(array) == 1
    return _Value(array, zero=known and not np.asarray(array).any())


_RULES = Rules(
    rule=_rule,
    enters=lambda program: calls_any(
        program, lambda inner: inner.primitive.name in ("max", "name")
    ),
    otherwise=_otherwise,
    constant=_constant,
    settle=lambda value: _Value(value.array),
    array=lambda value: value.array,
)
