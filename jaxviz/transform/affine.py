"""The exact affine function that a piecewise-linear network is around one input."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.extend.core import primitives

from jaxviz.transform.gates import GATES, Gate, Value
from jaxviz.transform.hoist import needed
from jaxviz.transform.interpret import Rules, evaluate, interpret, opened
from jaxviz.transform.taps import tapped_program

__all__ = ["LINEAR", "LINEAR_IN_EACH", "gated", "walls"]

# Linear in all of their floating-point operands at once; indices and conditions are whole numbers.
LINEAR = frozenset(
    "add add_any broadcast_in_dim concatenate convert_element_type copy copy_p cumsum "
    "dynamic_slice dynamic_update_slice expand_dims gather name neg optimization_barrier pad pcast "
    "pvary reduce_precision reduce_sum reduce_window_sum reshape rev scatter scatter-add "
    "scatter_add select_n sharding_constraint slice split squeeze sub tile transpose".split()
)
# Linear in one operand while the other is kept.
LINEAR_IN_EACH = frozenset("conv_general_dilated dot_general mul".split())


def gated(f: Callable, x: Any) -> Callable:
    """As `f`, but every gate goes the way that it goes at `x`: an affine function.

    A gate is a ReLU, a maximum, a bound, a comparison, or the choice of a max pooling; a
    piecewise-linear network has no other nonlinearity. So `gated(f, x)` is the piece of `f` on
    which `x` lies, continued to all inputs: it equals `f` as long as no gate turns. It keeps the
    layers of `f` (for `jv.capture` and `jv.edit`). It follows the values of `f`, whatever
    derivatives `f` declares for itself (`custom_jvp`, `custom_vjp`, `stop_gradient`). A ReLU at
    exactly zero is off, and of equal entries a max pooling takes the first.

    The gates are read anew by each call; `jax.vmap` over the argument, or `jax.linearize`, shares
    one reading.

    Args:
      f: a function of one array, or pytree of arrays; or a model.
      x: the input that fixes the gates.

    Returns:
      A function of inputs like `x`. When called, it raises `ValueError` if the input has another
      shape or dtype than `x`, and `NotImplementedError` if `f` is not piecewise linear, with the
      first operation that is not and its layer.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxviz.transform import gated
      >>> f = lambda x: jnp.sum(jnp.array([1.0, 2.0, 4.0]) * jax.nn.relu(x)) + 0.5
      >>> piece = gated(f, jnp.array([1.0, -1.0, 3.0]))
      >>> piece(jnp.array([1.0, 1.0, -1.0])).item(), jax.grad(piece)(jnp.zeros(3)).tolist()
      (-2.5, [1.0, 0.0, 4.0])

    References:
      A method to visualize deep convolutional networks based on model reconstruction, JEIT, doi
      10.11999/JEIT180916: the gates as "prior information" of the reconstruction.
    """
    return lambda moved: _walk(f, x, moved, record=False)[0]


def walls(
    f: Callable, x: Any, *, last: str = "output"
) -> Callable[[Any], OrderedDict[str, list[Gate]]]:
    """The walls of the region around `x` in which `f` is affine, as functions of another input.

    Args:
      f: as for `gated`.
      x: the input that fixes the gates.
      last: the layer of the gates behind the last one that is marked.

    Returns:
      A function of inputs like `x`: layer -> its gates, in the order of evaluation. A gate belongs
      to the first layer that is marked after it, which in a port is the ReLU or the pooling itself;
      those behind the last one belong to `last`. It raises as `gated` does, and
      `NotImplementedError` where gates lie in a `cond` or a `while_loop`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> from jaxviz.transform.affine import walls
      >>> f = lambda x: jv.tap(jax.nn.relu(x), "relu").sum()
      >>> (gate,) = walls(f, jnp.array([2.0, -1.0]))(jnp.array([-1.0, -3.0]))["relu"]
      >>> gate.wall.ravel().tolist(), gate.moved.ravel().tolist()
      ([2.0, 1.0], [-1.0, 3.0])
    """

    def at(moved: Any) -> OrderedDict[str, list[Gate]]:
        layers: OrderedDict[str, list[Gate]] = OrderedDict()
        waiting = []
        for name, gate in _walk(f, x, moved, record=True)[1].items():
            if gate is not None:
                waiting.append(gate)
            elif waiting:
                layers[name], waiting = waiting, []
        if waiting:
            layers[last] = waiting
        return layers

    return at


def _walk(f: Callable, x: Any, moved: Any, *, record: bool) -> tuple[Any, OrderedDict[str, Any]]:
    """The gated function's value; and, if they are to be recorded, its gates and layers by name."""
    fixed, given = (
        jax.tree.map(lambda leaf: f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}", inputs)
        for inputs in (x, moved)
    )
    if fixed != given:
        raise ValueError(
            f"the input must be like the one that fixes the gates, {fixed}; got {given}."
        )
    program, structure = tapped_program(f, x)
    if record:  # what no output needs has no gate that counts
        jaxpr, constants = opened(program)
        jaxpr = jaxpr.replace(eqns=needed(jaxpr.eqns, jaxpr.outvars))
        program = core.ClosedJaxpr(jaxpr, constants)
    inputs = [
        Value(at, other) if _is_floating(at) else Value(at)
        for at, other in zip(jax.tree.leaves(x), jax.tree.leaves(moved), strict=True)
    ]
    outputs, found = interpret(program, inputs, _rules(record))
    values = [_asked_for(value).latest for value in outputs]
    return jax.tree.unflatten(structure, values), found


def _asked_for(value: Value) -> Value:
    """The value, if it could be computed. One that is not asked for need not be."""
    if value.refused is not None:
        raise NotImplementedError(value.refused)
    return value


def _is_floating(array: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(array), jnp.floating)


def _settle(value: Value) -> Value:
    _asked_for(value)
    return Value(value.at, value.latest) if _is_floating(value.at) else Value(value.at)


_LINEAR_AT_ITS_BEST = LINEAR | LINEAR_IN_EACH | {"div", "stop_gradient"}
# No layer has this name.
_GATE = "\0"
_CUSTOM = (primitives.custom_jvp_call_p, primitives.custom_vjp_call_p)
_UNRECORDED = (primitives.cond_p, primitives.while_p)


def _rules(record: bool) -> Rules:
    """The rules of one walk; they remember the last layer met, to name it in an error."""
    last_layer = ["the input"]

    def refusal(what: str) -> str:
        return (
            "an exact affine model is defined for piecewise-linear networks only, and this one "
            f"computes {what} after {last_layer[0]}."
        )

    def rule(equation, operands, found):
        primitive = equation.primitive.name
        if primitive == "name":
            last_layer[0] = f"layer '{equation.params['name']}'"
            if record:
                found[found.numbered(equation.params["name"])] = None
        if not any(operand.varies for operand in operands):
            return [*map(Value, evaluate(equation, *(operand.at for operand in operands)))]
        if equation.primitive in _CUSTOM:
            # What the function computes counts, not what it declares to be its derivative.
            taken = found.taken.union(found)
            outputs, inner = interpret(equation.params["call_jaxpr"], operands, rules, taken)
            found.update(inner)
            return outputs
        if record and equation.primitive in _UNRECORDED:
            raise NotImplementedError(
                f"the gates inside of '{primitive}' after {last_layer[0]} are not the same for "
                "every input, so their distance is not known."
            )
        refused = next((operand.refused for operand in operands if operand.refused), None)
        if primitive in GATES and refused is None:
            (result,) = _at(equation, operands)
            passed = GATES[primitive](equation, operands, result)
            if passed is not None:
                moved, gate = passed
                if record:
                    found[found.numbered(_GATE)] = gate()
                return [Value(result, moved)]
        elif primitive in _LINEAR_AT_ITS_BEST:
            refused = refused or _nonlinear(equation, operands, refusal)
            results = _at(equation, operands)
            if refused is None:
                return [*map(Value, results, _again(equation, operands))]
            return [Value(result, refused=refused) for result in results]
        return None

    def otherwise(equation, operands):
        # Nothing is known of how it varies, so that nothing is assumed.
        before = next((operand.refused for operand in operands if operand.refused), None)
        refused = before or refusal(f"'{equation.primitive.name}'")
        return [Value(result, refused=refused) for result in _at(equation, operands)]

    rules = Rules(
        rule=rule,
        enters=lambda program: True,
        otherwise=otherwise,
        constant=Value,
        settle=_settle,
        array=lambda value: value.at,
    )
    return rules


def _nonlinear(
    equation: core.JaxprEqn, operands: Sequence[Value], refusal: Callable[[str], str]
) -> str | None:
    """Why an equation that is linear at its best is not: its operands, or its result's type."""
    primitive = equation.primitive.name
    if primitive in LINEAR_IN_EACH and all(operand.varies for operand in operands):
        return refusal(f"'{primitive}' of two values that both depend on the input")
    if primitive == "div" and operands[1].varies:
        return refusal("'div' by a value that depends on the input")
    dtype = getattr(equation.outvars[0].aval, "dtype", None)
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        return refusal(f"'{primitive}' to {dtype}")
    return None


def _at(equation: core.JaxprEqn, operands: Sequence[Value]) -> Sequence[Any]:
    # The layers are those of the other input: names that were there twice would be numbered.
    if equation.primitive.name == "name":
        return [operands[0].at]
    return evaluate(equation, *(operand.at for operand in operands))


def _again(equation: core.JaxprEqn, operands: Sequence[Value]) -> Sequence[Any]:
    """The results of a linear equation at the other input."""
    # A value whose gradient is stopped is that value all the same.
    if equation.primitive.name == "stop_gradient":
        return [operands[0].latest]
    return evaluate(equation, *(operand.latest for operand in operands))
