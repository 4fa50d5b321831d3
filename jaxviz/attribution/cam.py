"""Where a layer sees the target: class activation maps, and their gradient-weighted kind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import ArrayLike, Float, Int

from jaxviz.attribution.question import asked
from jaxviz.synthesis.objectives import Objective
from jaxviz.transform import capture, edit, fast_pullbacks
from jaxviz.transform.affine import LINEAR, LINEAR_IN_EACH
from jaxviz.transform.interpret import trace

__all__ = ["cam", "grad_cam"]


def grad_cam(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    target: Objective | int | Int[ArrayLike, " n"],
    *,
    layer: str,
    relu: bool = True,
) -> Float[jax.Array, "n rows cols"]:
    """Where a layer's activations speak for the target, weighted by its mean gradient.

    Args:
      model: a callable pytree.
      x: the model's input.
      target: a class, a class for each image, or an objective.
      layer: a layer of shape (n, rows, cols, channels); usually the last such.
      relu: whether to keep only what speaks for the target, as the paper does.

    Returns:
      The map, of the layer's size; in the units of target times activation / gradient.

    Raises:
      ValueError: the layer is unknown or has no positions; `x` or `target` does not fit the model.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(x, "conv").mean((1, 2)) * jnp.array([1.0, 4.0])
      >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2)
      >>> jv.grad_cam(model, x, target=1, layer="conv").tolist()
      [[[4.0, 8.0]]]

    References:
      Selvaraju et al., Grad-CAM, 2017, section 3.
    """
    return _grad_cam(*asked(model, x, target), layer=layer, relu=relu)


@functools.partial(jax.jit, static_argnames=("layer", "relu"))
def _grad_cam(model, x, objective, *, layer, relu):
    head, values = _above(model, x, objective, layer)
    weights = jax.grad(lambda values: jnp.sum(fast_pullbacks(head)(values)))(values).mean((1, 2))
    heat = jnp.einsum("nrck,nk->nrc", values, weights)
    return jax.nn.relu(heat) if relu else heat


def cam(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    target: Objective | int | Int[ArrayLike, " n"],
    *,
    layer: str,
) -> Float[jax.Array, "n rows cols"]:
    """What each position of a layer adds to the target, where all above the layer is linear.

    For global average pooling and a dense layer this is the class activation map, the features
    weighted by the class's row of the dense layer: its mean over the positions, plus the bias, is
    the logit.

    Args:
      model: a callable pytree.
      x: the model's input.
      target: a class, a class for each image, or a linear objective.
      layer: a layer of shape (n, rows, cols, channels) with nothing but linear operations above.

    Returns:
      The map, of the layer's size, signed; in units of the target.

    Raises:
      ValueError: something above the layer is not linear (use `grad_cam`); the layer is unknown or
        has no positions; `x` or `target` does not fit the model.

    Example:
      >>> import jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(x, "conv").mean((1, 2)) @ jnp.array([[1.0, -1.0]]) + 0.5
      >>> x = jnp.array([1.0, 3.0]).reshape(1, 1, 2, 1)
      >>> jv.cam(model, x, target=1, layer="conv").tolist(), model(x)[0, 1].item()
      ([[[-1.0, -3.0]]], -1.5)

    References:
      Zhou et al., Learning deep features for discriminative localization, 2016, section 2.
    """
    return _cam(*asked(model, x, target), layer=layer)


@functools.partial(jax.jit, static_argnames="layer")
def _cam(model, x, objective, *, layer):
    head, values = _above(model, x, objective, layer)
    _require_linear(head, values, layer)
    gradient = jax.grad(lambda values: jnp.sum(head(values)))(values)
    positions = values.shape[1] * values.shape[2]
    return positions * jnp.sum(gradient * values, -1)


def _above(model, x, objective, layer) -> tuple[Callable, jax.Array]:
    """The part of the model above a layer as a function of its values, and these values."""
    values = capture(model, x, [layer])[1][layer]
    if values.ndim != 4:
        raise ValueError(
            f"layer '{layer}' has shape {values.shape}, and a map needs (n, rows, cols, channels); "
            "choose a layer before the pooling or flattening."
        )

    def head(values):
        replaced = edit(model, {layer: lambda _: values})
        return objective(*capture(replaced, x, objective.layers))

    return head, values


def _require_linear(head: Callable, values: jax.Array, layer: str) -> None:
    def varying(program: core.Jaxpr, inputs: Sequence[bool]) -> list[bool]:
        """Which outputs vary with the layer's values, each of them linearly."""
        varies = dict(zip(program.invars, inputs, strict=True))
        for equation in program.eqns:
            operands = [isinstance(v, core.Var) and varies.get(v, False) for v in equation.invars]
            primitive = equation.primitive.name
            inner = list(core.jaxprs_in_params(equation.params))
            if not any(operands):
                outputs = [False] * len(equation.outvars)
            elif len(inner) == 1 and len(inner[0].invars) == len(equation.invars):
                outputs = varying(inner[0], operands)
            elif (
                primitive in LINEAR
                or (primitive in LINEAR_IN_EACH and sum(operands) == 1)
                or (primitive == "div" and not operands[1])
            ):
                outputs = [True] * len(equation.outvars)
            else:
                raise ValueError(
                    f"what lies above layer '{layer}' is not linear: it computes '{primitive}'; "
                    "use `jv.grad_cam`, or the layer just before the global average pooling."
                )
            varies.update(zip(equation.outvars, outputs, strict=True))
        return [isinstance(v, core.Var) and varies.get(v, False) for v in program.outvars]

    varying(trace(head, values)[0].jaxpr, [True])
