"""ONNX: the model with its weights, for Netron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxviz.diagram.needed import package
from jaxviz.transform.interpret import Rules, calls_any, interpret, trace

__all__ = ["onnx"]

_OPSET = 21
_LARGEST = 2**31
"""Bytes that a file of protocol buffers can hold."""


def onnx(model: Callable, x: Any, *, title: str) -> bytes:
    """The model as an ONNX file, which Netron draws and ONNX Runtime computes.

    Args:
      model: a callable pytree with real weights.
      x: its input, or a `jax.ShapeDtypeStruct` of it.
      title: the model's name.

    Returns:
      The bytes of the file.

    Raises:
      ImportError: the package jax2onnx is not installed.
      ValueError: the model has shapes in place of weights, or more weights than a file can hold.
      NotImplementedError: jax2onnx has no rule for something that the model does.
    """
    jax2onnx = package("jax2onnx", "jax2onnx", "the format onnx")
    leaves = jax.tree.leaves(model)
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
        raise ValueError("the format onnx holds the weights, and the model has only their shapes.")
    size = sum(leaf.nbytes for leaf in leaves if hasattr(leaf, "nbytes"))
    if size >= _LARGEST:
        raise ValueError(f"an ONNX file holds less than 2 GiB of weights, the model has {size:,}.")
    given = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), x)
    return jax2onnx.to_onnx(
        _untapped(model), [given], model_name=title, opset=_OPSET
    ).SerializeToString()


def _untapped(model: Callable) -> Callable:
    """The model without the names of its layers, which ONNX has no operation for."""

    def rule(equation, operands, found):
        return operands if equation.primitive.name == "name" else None

    def inner(program):
        return calls_any(program, lambda equation: equation.primitive.name == "name")

    def bare(x):
        program, structure = trace(model, x)
        outputs, _ = interpret(program, jax.tree.leaves(x), Rules(rule=rule, enters=inner))
        return jax.tree.unflatten(structure, outputs)

    return bare
