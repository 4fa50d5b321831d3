"""Multiplications counted by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxviz.transform.work import multiplications


def total(f, *args):
    program = jax.make_jaxpr(f)(*args)
    return sum(multiplications(equation) for equation in program.jaxpr.eqns)


def convolution(x, kernel, **options):
    options = {"window_strides": (1, 1), "padding": "VALID", **options}
    return lax.conv_general_dilated(
        x, kernel, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options
    )


@pytest.mark.parametrize(
    ("kernel", "options", "expected"),
    [
        ((3, 3, 4, 5), {}, 6 * 8 * 5 * 36),
        ((3, 3, 4, 5), {"window_strides": (2, 3)}, 3 * 3 * 5 * 36),
        ((3, 3, 1, 8), {"feature_group_count": 4}, 6 * 8 * 8 * 9),
        # Every second entry of what the kernel slides over is a zero between two others.
        (
            (2, 2, 4, 5),
            {"lhs_dilation": (2, 2), "padding": ((1, 1), (1, 1))},
            16 * 20 * 5 * 16 // 4,
        ),
    ],
)
def test_convolutions(kernel, options, expected):
    f = lambda x, kernel: convolution(x, kernel, **options)
    assert total(f, jnp.ones((1, 8, 10, 4)), jnp.ones(kernel)) == expected


def test_products_loops_and_calls():
    a, b = jnp.ones((2, 3)), jnp.ones((3, 3))
    assert total(lambda a, b: jnp.tanh(a @ b) @ b, a, b) == 36
    assert total(lambda a, b: lax.scan(lambda x, _: (x @ b, None), a, length=7)[0], a, b) == 7 * 18
    assert total(lambda a, b: jax.jit(lambda a: a @ b)(a), a, b) == 18
    assert total(jnp.tanh, a) == 0
