"""A model's program as one list of operations on what comes from its input.

Calls are opened, what depends on weights alone is set aside, and every operation knows the weights
that it reads and the names that its result was tapped with.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.extend.core import primitives

from jaxviz.transform.interpret import opened
from jaxviz.transform.taps import tapped_program_of
from jaxviz.transform.work import multiplications

__all__ = ["CALLS", "Operation", "Program", "Weight", "read_program"]


class Weight(NamedTuple):
    """A value that does not depend on the model's input.

    Attributes:
      leaves: the model's arrays that it is made of, by their place.
      made_by: the primitives that made it of them.
      scalars: the numbers written into the program that took part.
      value: the number itself, where it is one that is written into the program.
      shape: of the array.
    """

    leaves: frozenset[int] = frozenset()
    made_by: frozenset[str] = frozenset()
    scalars: tuple[float, ...] = ()
    value: float | None = None
    shape: tuple[int, ...] = ()


class Operation(NamedTuple):
    """One equation on values that depend on the model's input.

    Attributes:
      name: of its primitive, or of the function of `CALLS` that it calls.
      operands: places of the operations that it reads, and weights.
      inputs: the shapes of its operands.
      shape: of its first result.
      parameters: of its primitive.
      multiplications: of its convolutions and products.
      taps: the names that its result was tapped with, and the same as `jaxviz.layers` lists them.
    """

    name: str
    operands: tuple[int | Weight, ...]
    inputs: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    parameters: Mapping[str, Any]
    multiplications: int
    taps: list[tuple[str, str]]

    @property
    def sources(self) -> list[int]:
        """The operations that it reads, in order."""
        return [operand for operand in self.operands if isinstance(operand, int)]

    @property
    def weights(self) -> list[Weight]:
        """The weights that it reads, in order."""
        return [operand for operand in self.operands if isinstance(operand, Weight)]


class Program(NamedTuple):
    """What a model computes.

    Attributes:
      operations: in the order of evaluation; the first is the input, named "input".
      outputs: places of the operations whose results the model returns.
      sizes: how many trainable numbers each of the model's arrays holds.
    """

    operations: list[Operation]
    outputs: list[int]
    sizes: list[int]


CALLS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "leaky ReLU",
    "elu": "ELU",
    "selu": "SELU",
    "celu": "CELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "swish": "SiLU",
    "mish": "Mish",
    "hard_sigmoid": "hard sigmoid",
    "hard_silu": "hard swish",
    "hard_swish": "hard swish",
    "hard_tanh": "hard tanh",
    "sigmoid": "sigmoid",
    "log_sigmoid": "log sigmoid",
    "softplus": "softplus",
    "soft_sign": "softsign",
    "softmax": "softmax",
    "log_softmax": "log softmax",
}
"""Functions of `jax.nn` that are one layer, and its kind."""

_OPENED = {
    primitives.jit_p: "jaxpr",
    primitives.remat_p: "jaxpr",
    primitives.custom_jvp_call_p: "call_jaxpr",
    primitives.custom_vjp_call_p: "call_jaxpr",
}


def read_program(model: Callable, x: Any) -> Program:
    """The operations of `model(x)`; nothing is computed.

    Args:
      model: a callable pytree; `jax.ShapeDtypeStruct` may stand for its arrays.
      x: its input, one array, or a `jax.ShapeDtypeStruct` of it.

    Returns:
      A `Program`.

    Raises:
      TypeError: the input is no single array.
    """
    if len(jax.tree.leaves(x)) != 1:
        count = len(jax.tree.leaves(x))
        raise TypeError(f"x must be one array, and {type(x).__name__} holds {count}.")
    if not callable(model):
        raise TypeError(f"model must be a callable pytree, got a {type(model).__name__}.")
    leaves, structure = jax.tree.flatten(model)
    is_array = [hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in leaves]

    def assembled(arrays: Sequence[Any]) -> Any:
        remaining = iter(arrays)
        whole = [
            next(remaining) if array else leaf for array, leaf in zip(is_array, leaves, strict=True)
        ]
        return jax.tree.unflatten(structure, whole)

    arrays = [leaf for leaf, array in zip(leaves, is_array, strict=True) if array]
    program, _ = tapped_program_of(assembled, arrays, x)
    trained = [kept for kept, array in zip(_trained(model), is_array, strict=True) if array]
    sizes = [
        math.prod(array.shape) if kept and jnp.issubdtype(array.dtype, jnp.inexact) else 0
        for kept, array in zip(trained, arrays, strict=True)
    ]
    walk = _Walk()
    (given,) = jax.tree.leaves(x)
    walk.operations.append(Operation("input", (), (), tuple(given.shape), {}, 0, []))
    inputs = [
        Weight(leaves=frozenset([place]), shape=tuple(array.shape))
        for place, array in enumerate(arrays)
    ]
    outputs = walk.program(program, [*inputs, 0])
    return Program(walk.operations, [value for value in outputs if isinstance(value, int)], sizes)


def _trained(model: Any) -> Iterable[bool]:
    """Of each leaf of the model whether it is trained, and no statistic, count or random state.

    Flax says so itself: by the type of an NNX variable, by the collection of a Linen one. An
    Equinox model keeps its statistics in a `State`. All other arrays count.
    """
    trained: tuple[type, ...] = ()
    known: tuple[type, ...] = ()
    # Who has a model of a framework has imported it; the others need not wait for it.
    if "flax.nnx" in sys.modules:
        from flax import nnx

        trained, known = (nnx.Param,), (nnx.Variable,)
    if "equinox" in sys.modules:
        import equinox

        known = (*known, equinox.nn.State)

    def visit(node: Any, inside: bool) -> list[bool]:
        if isinstance(node, known):
            return [inside and isinstance(node, trained)] * len(jax.tree.leaves(node))
        if isinstance(node, Mapping) and "params" in node:
            # JAX flattens mappings in the order of their sorted keys.
            children = [(node[key], key == "params") for key in sorted(node)]
        else:
            children = [(child, True) for child in _children(node)]
            if len(children) == 1 and children[0][0] is node:
                return [inside]
        return [kept for child, also in children for kept in visit(child, inside and also)]

    return visit(model, True)


def _children(node: Any) -> list[Any]:
    """The subtrees right below a node of a pytree; the node itself where it is a leaf."""
    return jax.tree.leaves(node, is_leaf=lambda below: below is not node)


class _Walk:
    """Collects the operations of a program and of the programs that it calls."""

    def __init__(self):
        self.operations: list[Operation] = []
        self.taken: set[str] = set()

    def program(self, program: Any, inputs: Sequence[int | Weight]) -> list[int | Weight]:
        jaxpr, constants = opened(program)
        values: dict[Any, int | Weight] = {}
        for variable, constant in zip(jaxpr.constvars, constants, strict=True):
            values[variable] = _constant(constant)
        values.update(zip(jaxpr.invars, inputs, strict=True))

        def read(variable: Any) -> int | Weight:
            if isinstance(variable, core.Literal):
                return _constant(variable.val)
            return values[variable]

        for equation in jaxpr.eqns:
            operands = [read(variable) for variable in equation.invars]
            values.update(zip(equation.outvars, self.equation(equation, operands), strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def equation(
        self, equation: core.JaxprEqn, operands: Sequence[int | Weight]
    ) -> list[int | Weight]:
        name, parameters = equation.primitive.name, equation.params
        called = parameters.get("name") if equation.primitive in _OPENED else None
        depends = any(isinstance(operand, int) for operand in operands)
        if name == "name":
            (value,) = operands
            if isinstance(value, int):
                self.tap(value, parameters["name"])
            return [value]
        whole = depends and len(equation.outvars) == 1 and called in CALLS
        if equation.primitive in _OPENED and not whole:
            return self.program(parameters[_OPENED[equation.primitive]], operands)
        if not depends:
            return [_combined(name, operands, _shape(out)) for out in equation.outvars]
        self.operations.append(
            Operation(
                str(called) if whole else name,
                tuple(operands),
                tuple(_shape(variable) for variable in equation.invars),
                _shape(equation.outvars[0]),
                {} if whole else parameters,
                multiplications(equation),
                [],
            )
        )
        return [len(self.operations) - 1] * len(equation.outvars)

    def tap(self, place: int, name: str) -> None:
        candidate, count = name, 0
        while candidate in self.taken:
            count += 1
            candidate = f"{name}_{count}"
        self.taken.add(candidate)
        self.operations[place].taps.append((name, candidate))


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(getattr(variable.aval, "shape", ()))


def _constant(value: Any) -> Weight:
    if np.ndim(value) == 0 and not isinstance(value, jax.Array):
        number = np.asarray(value)
        if number.dtype.kind in "biuf":
            # As it was written: 1e-4 and not the nearest number of 32 bits in all its digits.
            written = float(str(number)) if number.dtype.kind == "f" else float(number)
            return Weight(scalars=(written,), value=written)
    return Weight(shape=tuple(np.shape(value)))


# What keeps the one number that an array is full of.
_COPYING = ("broadcast_in_dim", "reshape", "convert_element_type", "squeeze", "copy")


def _combined(name: str, operands: Sequence[Any], shape: tuple[int, ...]) -> Weight:
    kept = operands[0].value if name in _COPYING and operands else None
    return Weight(
        frozenset().union(*(operand.leaves for operand in operands)),
        frozenset([name]).union(*(operand.made_by for operand in operands)),
        tuple(scalar for operand in operands for scalar in operand.scalars),
        kept,
        shape,
    )
