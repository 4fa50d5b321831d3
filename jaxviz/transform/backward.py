"""Pull-back rules of ReLU: the gradient, the deconvnet's, guided backpropagation's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core

from jaxviz.transform.interpret import Rules, evaluate, interpret, trace

__all__ = ["RELU_RULES", "backward"]

PullBack = Callable[[jax.Array, jax.Array], jax.Array]


def _redirected(x: jax.Array, g: jax.Array) -> jax.Array:
    gradient = jnp.where(x > 0, g, 0)
    silent = jnp.all(gradient == 0, range(1, x.ndim), keepdims=True)
    return jnp.where(silent, jax.nn.relu(g), gradient)


# How the signal `g` that comes back to a ReLU goes on, where the ReLU saw `x`.
RELU_RULES: dict[str, PullBack] = {
    # Zeiler & Fergus 2014, section 2.1: rectify the backward signal, whatever the forward sign.
    "deconvnet": lambda x, g: jax.nn.relu(g),
    # Springenberg et al. 2015, section 3.4: the deconvnet's rule and the gradient's at once.
    "guided": lambda x, g: jnp.where(x > 0, jax.nn.relu(g), 0),
    # Olah, Mordvintsev, Schubert 2017: where a ReLU lets nothing of an image's signal through, the
    # part that would switch it on passes.
    "redirected": _redirected,
}

# These go on being gradients where the model has other nonlinearities.
_FOR_ANY_MODEL = frozenset({"redirected"})


def backward(f: Callable, rule: str | PullBack) -> Callable:
    """As `f`, but in its derivative every ReLU pulls back by `rule`.

    `jax.vjp(backward(model, "deconvnet"), x)` projects back as a deconvnet does: max pooling
    routes to its argmax, convolutions and dense layers are transposed, biases drop out, and an
    inference batch norm is scaled by its affine map. `f` may be written in any framework: ReLUs
    are found in its jaxpr, whether they are `jax.nn.relu`, `relu6` (whose upper bound keeps its
    gradient), `jnp.maximum(x, 0)`, `jnp.clip(x, 0, b)`, `jnp.where(x > 0, x, 0)` or `x * (x > 0)`.
    Normalisation by powers, roots and quotients keeps its gradient (our choice).

    The derivative is a custom VJP, so reverse mode and `jax.vmap` work, `jax.jvp` does not.
    Differentiating once more, say with respect to the weights, gives the true derivative of the
    projection.

    Args:
      f: a function of arrays, or a model.
      rule: `"gradient"`, `"deconvnet"`, `"guided"`, `"redirected"`, or a function `(x, g) -> g` of
        what the ReLU saw and of the signal that comes back to it. Redirected is the gradient,
        except that an image whose signal a ReLU stops altogether gets the part of it that raises
        what the ReLU saw: so an ascent finds its way to a unit that is off. The first axis is that
        of the images; other nonlinearities keep their gradient.

    Returns:
      A function with the values of `f`.

    Raises:
      ValueError: the rule's name is unknown.
      NotImplementedError: when called, if `f` has another nonlinearity than ReLU (GELU, SiLU,
        leaky ReLU, ...), for which the rules but `"redirected"` are not defined. The message names
        it and the layer.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxviz.transform import backward
      >>> f = lambda x: jnp.sum(jnp.array([1.0, -1.0, 2.0]) * jax.nn.relu(x))
      >>> x = jnp.array([1.0, 1.0, -1.0])
      >>> jax.grad(f)(x).tolist(), jax.grad(backward(f, "deconvnet"))(x).tolist()
      ([1.0, -1.0, 0.0], [1.0, 0.0, 2.0])
      >>> jax.grad(backward(f, "guided"))(x).tolist()
      [1.0, 0.0, 0.0]

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 2.1.
      Springenberg et al., Striving for simplicity: the all convolutional net, 2015, section 3.4.
      Olah, Mordvintsev, Schubert, Feature visualization, 2017: the redirected gradient.
    """
    if rule == "gradient":
        return f
    strict = rule not in _FOR_ANY_MODEL
    if isinstance(rule, str):
        if rule not in RELU_RULES:
            known = ", ".join(["gradient", *RELU_RULES])
            raise ValueError(f"unknown rule '{rule}'; choose one of: {known}.")
        rule = RELU_RULES[rule]
    relu = _relu_with(rule)

    def with_rule(*args: Any) -> Any:
        program, structure = trace(f, *args)
        inputs = [_Known(leaf, varies=True) for leaf in jax.tree.leaves(args)]
        outputs, _ = interpret(program, inputs, _rules(relu, strict))
        return jax.tree.unflatten(structure, [known.value for known in outputs])

    return with_rule


@functools.cache
def _relu_with(pull_back: PullBack) -> Callable[[jax.Array], jax.Array]:
    @jax.custom_vjp
    def relu(x):
        return jax.nn.relu(x)

    def forward(x):
        return jax.nn.relu(x), x

    relu.defvjp(forward, lambda x, g: (pull_back(x, g),))
    return relu


class _Sign(NamedTuple):
    """A comparison with zero: of which value, and whether it is true above zero."""

    of: object
    above: bool


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Known:
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
    # The same object for values that are equal; None where control flow joins.
    identity: object = field(default_factory=object, metadata={"static": True})


def _constant(array: Any) -> _Known:
    known = not isinstance(array, Tracer) and np.size(array) == 1
    return _Known(array, constant=np.asarray(array, float).item() if known else None)


_KEEP = frozenset(
    "name convert_element_type copy reduce_precision sharding_constraint pvary pcast".split()
)
_RESHAPE = frozenset("broadcast_in_dim reshape squeeze".split())
_COMPARE = {"gt": True, "ge": True, "lt": False, "le": False}
_KEEP_KIND = frozenset("add sub mul div neg sqrt reduce_sum broadcast_in_dim reshape".split())
# Elementwise functions that activations are made of, and that no rule is defined for. Powers, roots
# and quotients are missing on purpose: normalisation layers are made of them.
_REFUSED = frozenset(
    "abs acos acosh asin asinh atan atan2 atanh ceil cos cosh digamma erf erf_inv erfc exp exp2 "
    "expm1 floor lgamma log log1p logistic round sign sin sinh tan tanh".split()
)


def _rules(relu: Callable[[jax.Array], jax.Array], strict: bool) -> Rules:
    """The rules of one walk; they remember the last layer met, to name it in an error."""
    last_layer = ["the input"]

    def refuse(what: str) -> None:
        if not strict:
            return
        raise NotImplementedError(
            f"this back-projection is defined for ReLU networks only, and the model computes "
            f"{what} after {last_layer[0]}; use the gradient rule (`jv.saliency`) instead."
        )

    def replaced(equation, operands, found):
        primitive = equation.primitive.name
        if primitive == "name":
            last_layer[0] = f"layer '{equation.params['name']}'"
        if not any(operand.varies for operand in operands):
            return None
        if primitive in _REFUSED:
            refuse(f"'{primitive}'")
            return None
        rectified = _rectified(primitive, operands, refuse)
        if rectified is None:
            return None
        output = relu(rectified.value)
        if primitive == "clamp":
            return [_Known(jnp.minimum(output, operands[2].value), varies=True, kind="capped")]
        return [_Known(output, varies=True)]

    return Rules(
        rule=replaced,
        enters=lambda program: True,
        otherwise=_as_it_stands,
        constant=_constant,
        settle=lambda known: _Known(known.value, varies=True, identity=None),
        resume=lambda known: _Known(known.value, varies=True),
        array=lambda known: known.value,
    )


def _rectified(
    primitive: str, operands: Sequence[_Known], refuse: Callable[[str], None]
) -> _Known | None:
    """The value whose positive part an equation takes, or None."""
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


def _compared_with_zero(a: _Known, b: _Known) -> _Known | None:
    return a if b.constant == 0 else b if a.constant == 0 else None


def _as_it_stands(equation: core.JaxprEqn, operands: Sequence[_Known]) -> list[_Known]:
    outputs = evaluate(equation, *(operand.value for operand in operands))
    primitive = equation.primitive.name
    if primitive in _KEEP:
        return [replace(operands[0], value=outputs[0])]
    constant, sign, kind = None, None, None
    if primitive in _RESHAPE:
        constant = operands[0].constant
    elif primitive in _COMPARE:
        x = _compared_with_zero(*operands)
        if x is not None:
            sign = _Sign(x.identity, above=_COMPARE[primitive] == (x is operands[0]))
    elif primitive == "min":
        kind = "capped"
    elif primitive in ("square", "integer_pow") or (
        primitive == "mul" and operands[0].identity is operands[1].identity
    ):
        kind = "squared"
    if primitive in _KEEP_KIND:
        kind = kind or next((operand.kind for operand in operands if operand.kind), None)
    varies = any(operand.varies for operand in operands)
    return [_Known(output, varies, constant, sign, kind) for output in outputs]
