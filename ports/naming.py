"""The one rule between a model's variables and a torchvision checkpoint.

The ports name their attributes as torchvision does, so a variable's path, joined with dots, is the
tensor's name but for its last word; and a tensor's layout follows from its rank.

>>> torch_name(("layer1", "0", "bn1", "mean"))
'layer1.0.bn1.running_mean'
>>> to_torch_layout(np.zeros((3, 3, 16, 32))).shape
(32, 16, 3, 3)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np
from flax import nnx

__all__ = [
    "filled",
    "from_torch_layout",
    "tensors",
    "to_torch_layout",
    "torch_name",
    "torch_names",
    "variables",
]

Model = TypeVar("Model", bound=nnx.Module)

_LAST_WORD = {
    "kernel": "weight",
    "scale": "weight",
    "mean": "running_mean",
    "var": "running_var",
}


def torch_name(path: Sequence[object]) -> str:
    """The name in a torchvision checkpoint of the variable at `path` of a model."""
    *where, last = map(str, path)
    return ".".join([*where, _LAST_WORD.get(last, last)])


def to_torch_layout(array: np.ndarray) -> np.ndarray:
    """A view in torch's layout: HWIO to OIHW, (inputs, outputs) to (outputs, inputs)."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def from_torch_layout(array: np.ndarray) -> np.ndarray:
    """The inverse of `to_torch_layout`, again a view."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def variables(model: nnx.Module) -> dict[tuple[object, ...], nnx.Variable]:
    """The parameters and batch statistics of `model`, by path."""
    state = nnx.state(model, (nnx.Param, nnx.BatchStat))
    return {tuple(path): variable for path, variable in nnx.to_flat_state(state)}


def torch_names(model: nnx.Module) -> dict[str, tuple[int, ...]]:
    """Name and shape, in torch's layout, of each tensor that a checkpoint of `model` holds."""
    expected = {}
    for path, variable in variables(model).items():
        shape = tuple(variable.get_value().shape)
        expected[torch_name(path)] = (
            (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]
        )
    return expected


def tensors(model: nnx.Module) -> dict[str, np.ndarray]:
    """The weights of `model` as a torchvision checkpoint has them: names, layout, float32."""
    return {
        torch_name(path): to_torch_layout(np.asarray(variable.get_value(), np.float32))
        for path, variable in variables(model).items()
    }


def filled(model: Model, checkpoint: Mapping[str, np.ndarray]) -> Model:
    """`model`, whose variables may be abstract, with the values of `checkpoint`.

    Args:
        model: what to fill; it is not changed.
        checkpoint: arrays by torch name, in torch's layout, complete and of the right shapes.

    Returns:
        A model of the same structure with float32 arrays on the default device.
    """
    graph, state = nnx.split(model)
    filled_in = []
    for path, variable in nnx.to_flat_state(state):
        array = from_torch_layout(checkpoint[torch_name(path)])
        value = jax.numpy.asarray(np.ascontiguousarray(array, np.float32))
        filled_in.append((path, variable.replace(value)))
    return nnx.merge(graph, nnx.from_flat_state(filled_in))
