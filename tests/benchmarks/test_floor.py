"""The floor of an occlusion sweep against counting what changes, position by position."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jaxviz as jv
from benchmarks.floor import work
from benchmarks.similarity import ssim


class Net(nnx.Module):
    """Convolutions of several kinds, pooling, a shortcut, a dense layer."""

    def __init__(self, rngs):
        self.conv1 = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(4, 6, (4, 2), strides=(2, 1), padding=((1, 2), (0, 0)), rngs=rngs)
        self.conv3 = nnx.Conv(6, 6, (3, 3), kernel_dilation=2, feature_group_count=2, rngs=rngs)
        self.head = nnx.Linear(6, 5, rngs=rngs)

    def __call__(self, x):
        x = jv.tap(self.conv1(x), "conv1")
        x = nnx.max_pool(jnp.sin(x), (2, 2), (2, 2))
        y = jv.tap(self.conv2(x), "conv2")
        y = y + jv.tap(self.conv3(jnp.cos(y)), "conv3")
        return jv.tap(self.head(y.mean((1, 2))), "head")


# Multiplications that make one entry.
PRICE = {"conv1": 9 * 3, "conv2": 8 * 4, "conv3": 9 * 3, "head": 6}


def test_the_floor_counts_what_changes():
    with jax.enable_x64(True):
        model = Net(nnx.Rngs(0))
        x = jax.random.normal(jax.random.key(0), (1, 22, 26, 3), jnp.float64)
        rows, columns, window = range(0, 19, 3), range(0, 23, 2), (4, 3)
        capture = jax.jit(lambda x: jv.capture(model, x, list(PRICE))[1])
        before = capture(x)
        other = jax.random.normal(jax.random.key(1), x.shape, jnp.float64)
        changed = []
        for row in rows:
            for column in columns:
                here = np.s_[:, row : row + window[0], column : column + window[1]]
                after = capture(x.at[here].set(other[here]))
                changed.append(
                    sum(
                        # A max pooling may keep another maximum: what *can* change is counted, as
                        # the box around what did.
                        price * box(np.asarray(before[name] != after[name]))
                        for name, price in PRICE.items()
                    )
                )
        counted = work(model, x, window=window, starts=(rows, columns))
        dense = sum(PRICE[name] * values.size for name, values in before.items())
    assert counted.dense == dense
    assert np.isclose(counted.reached, np.mean(changed), rtol=1e-12)
    assert np.isclose(counted.floor, dense / np.mean(changed))


def box(changed):
    """Entries of the smallest box that holds all that changed, with all channels."""
    sides = [
        np.flatnonzero(changed.any(tuple(set(range(changed.ndim)) - {axis})))
        for axis in range(changed.ndim)
    ]
    return np.prod([side[-1] - side[0] + 1 for side in sides])


def test_alike_maps_have_an_ssim_of_1_and_others_less():
    rng = np.random.default_rng(0)
    truth = np.add.outer(np.sin(np.arange(20)), np.cos(np.arange(24)))
    assert ssim(truth, truth) == 1
    noisy = [ssim(truth + s * rng.normal(size=truth.shape), truth) for s in (0.01, 0.1, 1)]
    assert 1 > noisy[0] > 0.99 > noisy[1] > noisy[2]
    # Against the formula on a single window.
    a, b = rng.normal(size=(2, 7, 7))
    c1, c2 = ((k * np.ptp(b)) ** 2 for k in (0.01, 0.03))
    (va, cov), (_, vb) = np.cov(a.ravel(), b.ravel())
    expected = (2 * a.mean() * b.mean() + c1) * (2 * cov + c2)
    expected /= (a.mean() ** 2 + b.mean() ** 2 + c1) * (va + vb + c2)
    assert np.isclose(ssim(a, b), expected)
