"""Pull-back rules of ReLU: the gradient, the deconvnet's, guided backpropagation's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxviz.transform.interpret import Rules, interpret, trace
from jaxviz.transform.rectifiers import Known, as_it_stands, known_constant, rectified_value

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
        inputs = [Known(leaf, varies=True) for leaf in jax.tree.leaves(args)]
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
        rectified = rectified_value(primitive, operands, refuse)
        if rectified is None:
            return None
        output = relu(rectified.value)
        if primitive == "clamp":
            return [Known(jnp.minimum(output, operands[2].value), varies=True, kind="capped")]
        return [Known(output, varies=True)]

    return Rules(
        rule=replaced,
        enters=lambda program: True,
        otherwise=as_it_stands,
        constant=known_constant,
        settle=lambda known: Known(known.value, varies=True, identity=None),
        resume=lambda known: Known(known.value, varies=True),
        array=lambda known: known.value,
    )
