"""ONNX: the model with its weights, for Netron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxviz.diagram.needed import package
from jaxviz.transform.interpret import Rules, evaluate, interpret, trace

__all__ = ["onnx"]

_OPSET = 21
_LARGEST = 2**31
"""Bytes that a file of protocol buffers can hold."""


def onnx(model: Callable, x: Any, *, title: str) -> bytes:
    """The model as an ONNX file, which Netron draws and ONNX Runtime computes.

    What depends on weights alone is computed, so that a batch normalisation becomes a product and a
    sum; the weights are stored in the file.

    Args:
      model: a callable pytree with real weights, from one array to one.
      x: its input, or a `jax.ShapeDtypeStruct` of it.
      title: the model's name.

    Returns:
      The bytes of the file.

    Raises:
      ImportError: the package jax2onnx is not installed.
      ValueError: the model has shapes in place of weights, more weights than a file can hold, or
        several outputs.
      NotImplementedError: jax2onnx has no rule for something that the model does.
    """
    jax2onnx = package("jax2onnx", "jax2onnx", "the format onnx")
    leaves = jax.tree.leaves(model)
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
        raise ValueError("the format onnx holds the weights, and the model has only their shapes.")
    size = sum(leaf.nbytes for leaf in leaves if isinstance(leaf, jax.Array))
    if size >= _LARGEST:
        raise ValueError(f"an ONNX file holds less than 2 GiB of weights, the model has {size:,}.")
    given = jax.ShapeDtypeStruct(x.shape, x.dtype)
    # Traced here: while it converts, jax2onnx has other functions in Flax's and JAX's place.
    program, structure = trace(model, given)
    if structure.num_leaves != 1:
        count = structure.num_leaves
        raise ValueError(f"the format onnx needs a model of one output, and {title} has {count}.")
    rules = Rules(rule=_rule, enters=lambda inner: True)
    try:
        found = jax2onnx.to_onnx(
            lambda x: interpret(program, [x], rules)[0][0], [given], model_name=title, opset=_OPSET
        )
    except NotImplementedError as error:
        raise NotImplementedError(f"jax2onnx cannot write {title}: {error}") from error
    return found.SerializeToString()


def _rule(equation: Any, operands: Sequence[Any], found: Any) -> Sequence[Any] | None:
    """What is better said in another way: see each case."""
    name, p = equation.primitive.name, equation.params
    if name == "name":  # a layer's name is no operation
        return operands
    if not any(isinstance(operand, Tracer) for operand in operands):
        with jax.ensure_compile_time_eval():
            return evaluate(equation, *operands)
    if name == "jit" and p["name"] == "relu":
        return [jax.nn.relu(*operands)]  # not Max with 0
    if name == "dot_general" and _at_every_place(equation):
        return [_convolution(*operands)]
    spread = (*p.get("base_dilation", ()), *p.get("window_dilation", ()))
    if name == "reduce_window_max" and set(spread) == {1} and 1 <= len(_pooled_axes(p)) <= 3:
        return [_max_pool(operands[0], p)]
    return None


def _at_every_place(equation: Any) -> bool:
    """Whether a matrix multiplies the channels of an image: a 1x1 convolution, not Einsum."""
    image, matrix = (len(variable.aval.shape) for variable in equation.invars)
    return (image, matrix) == (4, 2) and equation.params["dimension_numbers"] == (
        ((3,), (0,)),
        ((), ()),
    )


def _convolution(x: Any, matrix: Any) -> Any:
    names = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, matrix[None, None], (1, 1), "VALID", dimension_numbers=names
    )


def _pooled_axes(p: dict[str, Any]) -> list[int]:
    """The axes that windows of a pooling extend along."""
    sizes = zip(p["window_dimensions"], p["window_strides"], strict=True)
    return [axis for axis, (window, stride) in enumerate(sizes) if window > 1 or stride > 1]


def _max_pool(x: Any, p: dict[str, Any]) -> Any:
    """By Flax's function, which jax2onnx makes one node of.

    Its rule for the primitive has the batch and the channels as axes of the window, and ONNX
    Runtime has no pooling over more than three.
    """
    from flax import nnx

    if any(any(pair) for pair in p["padding"]):
        lowest = jnp.array(-jnp.inf, x.dtype)
        x = jax.lax.pad(x, lowest, [(low, high, 0) for low, high in p["padding"]])
    axes = _pooled_axes(p)
    window = tuple(p["window_dimensions"][axis] for axis in axes)
    strides = tuple(p["window_strides"][axis] for axis in axes)
    if axes == [1, 2] and x.ndim == 4:
        return nnx.max_pool(x, window_shape=window, strides=strides, padding="VALID")
    # All other axes are brought to the front, as one batch of maps of one channel.
    others = [axis for axis in range(x.ndim) if axis not in axes]
    order = [*others, *axes]
    maps = x.transpose(order).reshape(-1, *(x.shape[axis] for axis in axes), 1)
    pooled = nnx.max_pool(maps, window_shape=window, strides=strides, padding="VALID")
    sizes = [*(x.shape[axis] for axis in others), *pooled.shape[1:-1]]
    return pooled.reshape(sizes).transpose([order.index(axis) for axis in range(x.ndim)])
