"""Models as arguments of compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial

__all__ = ["as_argument"]


class _Assembled(NamedTuple):
    """Calls a model from its arrays, with the rest of it known to the compiler."""

    structure: Any
    rest: tuple[Any, ...]

    def __call__(self, arrays: list[jax.Array], x: Any) -> Any:
        remaining = iter(arrays)
        leaves = [next(remaining) if leaf is _ARRAY else leaf for leaf in self.rest]
        return jax.tree.unflatten(self.structure, leaves)(x)

    def __hash__(self) -> int:
        return hash((self.structure, self.rest))


_ARRAY = "an array"


def as_argument(model: Callable) -> Callable:
    """The model as a callable pytree of arrays only, so that `jax.jit` takes it as an argument.

    A Flax NNX module and `Partial(apply, params)` are such as they stand. An Equinox module may
    have functions among its leaves, and a bare function is a leaf itself; these become static.
    Arrays that a bare function closes over become constants of the compiled program: pass large
    ones through `jax.tree_util.Partial`.

    Args:
      model: a callable pytree, or any function.

    Returns:
      A callable pytree whose leaves are arrays.

    Raises:
      TypeError: the model cannot be called.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxviz.transform import as_argument
      >>> jax.jit(lambda model, x: model(x))(as_argument(jnp.sin), 0.0).item()
      0.0
    """
    if not callable(model):
        raise TypeError(
            f"model must be a callable pytree, got a {type(model).__name__}; for parameters and a "
            "function of them, use jax.tree_util.Partial(function, parameters)."
        )
    leaves, structure = jax.tree.flatten(model)
    is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
    if all(is_array):
        return model
    rest = tuple(_ARRAY if array else leaf for leaf, array in zip(leaves, is_array, strict=True))
    arrays = [leaf for leaf, array in zip(leaves, is_array, strict=True) if array]
    return Partial(_Assembled(structure, rest), arrays)
