"""What a loop knows before it starts is computed there, and nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from jaxviz.transform.hoist import hoist

WEIGHTS = jax.random.normal(jax.random.key(0), (5, 5))
X = jnp.arange(5.0)


def primitives(program):
    """Of all equations, with those of the programs inside."""
    for equation in getattr(program, "jaxpr", program).eqns:
        yield equation.primitive.name
        for inner in jaxprs_in_params(equation.params):
            yield from primitives(inner)


def in_the_loop(f, xs):
    """The primitives that a scan of `f` computes at every turn."""
    program = jax.make_jaxpr(lambda xs: jax.lax.scan(lambda _, x: (None, f(x)), None, xs))(xs)
    (loop,) = [e for e in program.jaxpr.eqns if e.primitive.name == "scan"]
    return list(primitives(loop.params["jaxpr"]))


def test_what_is_known_is_computed_before_the_loop():
    f = lambda x: jnp.tanh(x @ jnp.exp(WEIGHTS @ WEIGHTS))
    xs = jnp.ones((3, 5))
    hoisted = hoist(f, X)
    before, after = in_the_loop(f, xs), in_the_loop(hoisted, xs)
    assert [before.count(p) for p in ("dot_general", "exp", "tanh")] == [2, 1, 1]
    assert [after.count(p) for p in ("dot_general", "exp", "tanh")] == [1, 0, 1]
    np.testing.assert_allclose(hoisted(X), f(X), rtol=1e-6)


def test_broadcasts_are_made_where_they_are_read():
    bias = jnp.ones(5)
    f = lambda x: x + jnp.broadcast_to(2 * bias, (1000, 5)) + jnp.arange(1000.0)[:, None]
    found = in_the_loop(hoist(f, X), jnp.ones((3, 5)))
    assert found.count("broadcast_in_dim") >= 2
    assert found.count("iota") == 1
    assert "mul" not in found
    np.testing.assert_array_equal(hoist(f, X)(X), f(X))


@pytest.mark.parametrize("example", [True, False])
def test_arguments_and_results_are_pytrees(example):
    f = lambda a, b: {"sum": a["x"] + b[0] * WEIGHTS.sum(), "same": b, "known": 2 * WEIGHTS}
    args = {"x": X, "unused": jnp.zeros(2)}, (jnp.float32(3), jnp.int32(4))
    examples = args if example else jax.eval_shape(lambda *args: args, *args)
    found, expected = hoist(f, *examples)(*args), f(*args)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_results_are_arrays_of_the_types_that_f_returns():
    f = lambda x: (x, 1.0, 2, WEIGHTS, np.float32(3), jnp.zeros(2))
    found, expected = hoist(f, X)(X), jax.jit(f)(X)
    assert [a.dtype for a in found] == [a.dtype for a in expected]


def test_under_jit_grad_and_vmap():
    @jax.jit
    def both(weights, xs):
        f = lambda x: jax.nn.relu(x @ (weights @ weights)).sum()
        return jax.vmap(jax.grad(hoist(f, xs[0])))(xs), jax.vmap(jax.grad(f))(xs)

    found, expected = both(WEIGHTS, jax.random.normal(jax.random.key(1), (3, 5)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_custom_derivatives_and_control_flow_are_kept():
    f = lambda x: jax.lax.cond(x[0] > 0, jax.nn.relu, jnp.tanh, WEIGHTS @ WEIGHTS @ (x - x))
    np.testing.assert_array_equal(
        jax.grad(lambda x: hoist(f, X)(x).sum())(X), jax.grad(lambda x: f(x).sum())(X)
    )


def test_a_callback_runs_where_it_is_called():
    seen = []

    def f(x):
        jax.debug.callback(lambda: seen.append(1))
        return x + 1

    hoisted = hoist(f, 1.0)
    jax.effects_barrier()
    assert not seen
    assert hoisted(1.0) == 2
    jax.effects_barrier()
    assert seen == [1]
