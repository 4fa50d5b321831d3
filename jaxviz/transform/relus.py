"""Which layers of a model are outputs of its ReLUs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
from jax.extend import core

from jaxviz.transform.interpret import Rules, evaluate, interpret
from jaxviz.transform.rectifiers import Known, as_it_stands, known_constant, rectified_value
from jaxviz.transform.taps import tapped_program

__all__ = ["relu_layers"]


def relu_layers(model: Callable, x: Any) -> dict[str, jax.ShapeDtypeStruct]:
    """The layers of a model that are what a ReLU gives: its features, none of them negative.

    A ReLU is found in the jaxpr, in every spelling that `jaxviz.transform.backward` knows. Of
    several names for one value (a block's last ReLU, and the block) the first is listed. Nothing is
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

    def found(x: Any) -> OrderedDict[str, Known]:
        program, _ = tapped_program(model, x)
        inputs = [Known(leaf, varies=True) for leaf in jax.tree.leaves(x)]
        return interpret(program, inputs, _RULES)[1]

    values = jax.eval_shape(found, x)
    return {
        name: jax.ShapeDtypeStruct(known.value.shape, known.value.dtype)
        for name, known in values.items()
        if known.rectified
    }


def _rule(equation: core.JaxprEqn, operands: Sequence[Known], found: Any) -> list[Known] | None:
    primitive = equation.primitive.name
    if primitive == "name":
        found[found.numbered(equation.params["name"])] = operands[0]
        # What is tapped once more is the same layer under another name.
        return [replace(operands[0], rectified=False)]
    if not any(operand.varies for operand in operands):
        return None
    if rectified_value(primitive, operands, refuse=lambda what: None) is None:
        return None
    (output,) = evaluate(equation, *(operand.value for operand in operands))
    return [Known(output, varies=True, rectified=True)]


_RULES = Rules(
    rule=_rule,
    enters=lambda program: True,
    otherwise=as_it_stands,
    constant=known_constant,
    settle=lambda known: Known(known.value, varies=True, identity=None),
    resume=lambda known: Known(known.value, varies=True),
    array=lambda known: known.value,
)
