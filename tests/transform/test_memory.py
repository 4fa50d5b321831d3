"""Batches that a budget bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxviz.transform.memory import at_once, budget, in_batches


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 9])
def test_batches_give_what_the_whole_gives(batch):
    items = {"a": jnp.arange(5.0), "b": jnp.arange(10).reshape(5, 2)}

    def f(items):
        # Of the last value there is nothing, as of the frames of an ascent that keeps none.
        return items["a"] + items["b"].sum(1), jnp.zeros((len(items["a"]), 0, 3))

    found, nothing = in_batches(f, items, batch)
    assert np.array_equal(found, f(items)[0])
    assert nothing.shape == (5, 0, 3)


def test_what_fits_at_once():
    # Two arrays of 4,000 bytes are there at one time, and scratch for as much again.
    program = jax.make_jaxpr(lambda x: jnp.sin(x) + 1)(jnp.zeros(1000))
    assert [at_once(program, memory) for memory in (1, 16_000, 31_999, 32_000)] == [1, 1, 1, 2]
    assert budget(123) == 123
