"""Layers by name: marking values inside a model, listing, reading and editing them."""

from __future__ import annotations

import contextlib
import difflib
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
from jax.ad_checkpoint import checkpoint_name
from jax.extend import core

from jaxviz.transform.interpret import Rules, calls_any, evaluate, interpret, trace

__all__ = ["capture", "edit", "layers", "tap", "tapped_program"]

Value = TypeVar("Value")


def tap(x: Value, name: str) -> Value:
    """Marks `x` as the layer `name`; the value is unchanged, and marking it costs nothing.

    It is JAX's own `checkpoint_name`, so it goes through `jit`, `grad` and `vmap`, and the same
    names serve the policies of `jax.checkpoint`.

    Args:
      x: an array inside a model.
      name: the layer's name, once in a forward pass; a name met again is listed as `name_1`.

    Returns:
      `x`, to be used from here on: `x = tap(x, "relu")`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> def model(x):
      ...     x = jv.tap(jax.nn.relu(x), "relu")
      ...     return x.sum(-1)
      >>> jv.capture(model, jnp.array([[-1.0, 2.0]]), ["relu"])[1]["relu"].tolist()
      [[0.0, 2.0]]
    """
    return checkpoint_name(x, name)


def layers(model: Callable, x: Any) -> dict[str, jax.ShapeDtypeStruct]:
    """The layers of a model by name, with their shapes; nothing is computed.

    Taps give the names. A Flax NNX or Linen model without taps gets the paths of its modules, each
    naming the module's output (`"conv1"`, `"blocks.0.bn"`).

    Args:
      model: a callable pytree.
      x: its input, or a `jax.ShapeDtypeStruct` of it.

    Returns:
      Layer name -> shape and dtype, in the order of evaluation.

    Raises:
      NotImplementedError: a tap lies in a while loop or in one branch of a cond, where it has no
        single value.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> jv.layers(lambda x: jv.tap(2 * x, "double"), jnp.ones((1, 3)))
      {'double': ShapeDtypeStruct(shape=(1, 3), dtype=float32)}
    """
    shapes = jax.eval_shape(lambda x: _walk(model, x, lambda name: True)[1], x)
    return {name: jax.ShapeDtypeStruct(s.shape, s.dtype) for name, s in shapes.items()}


def capture(model: Callable, x: Any, names: Sequence[str]) -> tuple[Any, dict[str, jax.Array]]:
    """As `model(x)`, with the values of the layers `names` beside the output.

    Under `jit` only what the used results need is computed.

    Args:
      model: a callable pytree.
      x: its input.
      names: layer names, as `layers` lists them.

    Returns:
      `(output, {name: value})`. A layer inside `lax.scan` has the loop's axis in front.

    Raises:
      ValueError: a name is not a layer; the message has the nearest ones.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(2 * x, "double") + 1
      >>> output, values = jv.capture(model, jnp.ones(2), ["double"])
      >>> output.tolist(), values["double"].tolist()
      ([3.0, 3.0], [2.0, 2.0])
    """
    output, found = _walk(model, x, _may_become(names))
    _check(names, found, model, x)
    return output, {name: found[name] for name in names}


def edit(model: Callable, edits: Mapping[str, Callable[[jax.Array], jax.Array]]) -> Callable:
    """As `model`, but the values of some layers are changed on their way.

    Zeroing channels (ablation), adding a perturbation to differentiate with respect to it
    (Grad-CAM), or replacing an activation are all edits.

    Args:
      model: a callable pytree.
      edits: layer name -> function of the layer's value, to a value of the same shape and dtype.

    Returns:
      A function of the model's input.

    Raises:
      ValueError: when called, if a name is not a layer, or an edit changes the shape or dtype.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(2 * x, "double") + 1
      >>> jv.edit(model, {"double": jnp.zeros_like})(jnp.ones(2)).tolist()
      [1.0, 1.0]
    """

    def edited(x: Any) -> Any:
        output, found = _walk(model, x, _may_become(tuple(edits)), edits)
        _check(tuple(edits), found, model, x)
        return output

    return edited


def _may_become(names: Sequence[str]) -> Callable[[str], bool]:
    """Whether a tap's name is one of `names` once it is numbered: `relu` may become `relu_1`."""
    return lambda tapped: any(f"{name}_".startswith(f"{tapped}_") for name in names)


def _check(names: Sequence[str], found: Mapping[str, Any], model: Callable, x: Any) -> None:
    unknown = next((name for name in names if name not in found), None)
    if unknown is not None:
        known = list(layers(model, x))
        near = difflib.get_close_matches(unknown, known, n=3, cutoff=0.4)
        nearest = f"nearest: {', '.join(near)}" if near else f"the model has {len(known)} layers"
        raise ValueError(f"unknown layer '{unknown}'; {nearest}; `jv.layers(model, x)` lists all.")


def _walk(
    model: Callable,
    x: Any,
    wanted: Callable[[str], bool],
    edits: Mapping[str, Callable[[jax.Array], jax.Array]] | None = None,
) -> tuple[Any, dict[str, jax.Array]]:
    """The model's output, and the wanted layers' values after their edits."""
    edits = edits or {}

    def concerned(equation: core.JaxprEqn) -> bool:
        return _is_tap(equation) and wanted(equation.params["name"])

    def rule(equation, operands, found):
        if not concerned(equation):
            return None
        name, (value,) = found.numbered(equation.params["name"]), operands
        if name in edits:
            before, value = value, edits[name](value)
            if (value.shape, value.dtype) != (before.shape, before.dtype):
                raise ValueError(
                    f"an edit must keep its layer's shape and dtype; the edit of '{name}' makes "
                    f"{value.shape} {value.dtype} of {before.shape} {before.dtype}."
                )
        found[name] = value
        return evaluate(equation, value)

    program, structure = tapped_program(model, x)
    rules = Rules(rule=rule, enters=lambda inner: calls_any(inner, concerned))
    outputs, found = interpret(program, jax.tree.leaves(x), rules)
    return jax.tree.unflatten(structure, outputs), found


def _is_tap(equation: core.JaxprEqn) -> bool:
    return equation.primitive.name == "name"


def _copied(model: Callable) -> Callable:
    # State that a module changes on its way (batch statistics, random counts) changes in the copy,
    # and is dropped with it.
    return jax.tree.map(lambda leaf: leaf, model)


def tapped_program(model: Callable, x: Any) -> tuple[core.ClosedJaxpr, Any]:
    """A model's program, with its taps or, where it has none, with its modules' outputs tapped."""
    return tapped_program_of(lambda _: _copied(model), (), x)


def tapped_program_of(
    model_of: Callable[[Any], Callable], weights: Any, x: Any
) -> tuple[core.ClosedJaxpr, Any]:
    """The program of `model_of(weights)(x)`, tapped by its modules' paths if by nothing else.

    Args:
      model_of: makes the model of its arrays.
      weights: the arrays, which become the program's first inputs.
      x: the model's input.

    Returns:
      `(program, structure)`, as `trace`.
    """
    program, structure = trace(lambda weights, x: model_of(weights)(x), weights, x)
    if calls_any(program, _is_tap):
        return program, structure
    return trace(lambda weights, x: _with_module_paths(model_of(weights), x), weights, x)


def _with_module_paths(model: Callable, x: Any) -> Any:
    """`model(x)` with every Flax module's output tapped under the module's path."""
    with contextlib.ExitStack() as stack:
        # Who has a Flax module has imported Flax; the others need not wait for it.
        if "flax.linen" in sys.modules:
            from flax import linen

            stack.enter_context(linen.intercept_methods(_tap_linen_call))
        if "flax.nnx" in sys.modules:
            model = _tap_nnx_calls(model)
        return model(x)


def _tap_output(output: Any, path: Sequence[Any]) -> Any:
    if path and isinstance(output, jax.Array):
        return tap(output, ".".join(map(str, path)))
    return output


def _tap_linen_call(call, args, kwargs, context):
    output = call(*args, **kwargs)
    return _tap_output(output, context.module.path if context.method_name == "__call__" else ())


def _tap_nnx_calls(model: Callable) -> Callable:
    from flax import nnx

    def named(node):
        if not isinstance(node, nnx.Module):
            return node
        copy: nnx.Module = jax.tree.map(lambda leaf: leaf, node)
        for path, module in list(nnx.iter_modules(copy)):
            if callable(module):
                object.__setattr__(module, "_jaxviz_path", path)
                object.__setattr__(module, "__class__", _with_tapped_call(type(module)))
        return copy

    return jax.tree.map(named, model, is_leaf=lambda node: isinstance(node, nnx.Module))


@functools.cache
def _with_tapped_call(module: type) -> type:
    def call(self, *args, **kwargs):
        return _tap_output(module.__call__(self, *args, **kwargs), self._jaxviz_path)

    return type(module.__name__, (module,), {"__call__": call})
