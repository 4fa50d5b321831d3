"""Training on sets of images: every image once an epoch, faults, resuming, named settings."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxviz.data import digits_images, image_arrays
from jaxviz.training import (
    SETTINGS,
    OtherRun,
    adamw,
    clip_filter_rms,
    epochs_saved,
    evaluate_on,
    restore,
    train_on,
    zeiler_fergus,
)


class Net(nnx.Module):
    """Every kind of state that a model may have: weights, batch statistics and dropout's keys."""

    def __init__(self, rngs, classes=10):
        self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.bn = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.fc = nnx.Linear(8 * 16, classes, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(jax.nn.relu(self.bn(self.conv(x))), (2, 2), (2, 2))
        return self.fc(self.dropout(x.reshape(len(x), -1)))


def arrays(model):
    def numbers(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    return [numbers(leaf) for leaf in jax.tree.leaves(nnx.state(model))]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def centred(image):
    return image - 0.5


DIGITS, TEST = digits_images("train"), digits_images("test")


# One for all, so that the runs share their compiled programs.
OPTIMIZER = adamw(66)


def run(model=None, images=DIGITS, test=TEST, *, key=0, **options):
    options = {"optimizer": OPTIMIZER, "prepare": centred, "epochs": 3, "batch": 64, **options}
    return train_on(model or Net(nnx.Rngs(0)), images, test, key=jax.random.key(key), **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    return run(checkpoints=folder), folder


def test_it_learns_digits(whole):
    trained, _ = whole
    losses = [line.loss for line in trained.record]
    assert losses[0] > losses[1] > losses[2]
    assert [line.step for line in trained.record] == [22, 44, 66]
    assert trained.record[-1].test_accuracy > 0.7
    # Counted image by image, without batches.
    x = np.stack([centred(TEST[i][0]) for i in range(len(TEST))])
    right = np.mean(np.asarray(trained.model(x)).argmax(-1) == TEST.labels)
    assert evaluate_on(trained.model, TEST, prepare=centred) == right
    assert trained.record[-1].test_accuracy == right


class Stopped(Exception):
    pass


def test_stopped_and_resumed_is_the_same_bit_for_bit(whole, tmp_path):
    trained, _ = whole

    def stop(line):
        raise Stopped

    with pytest.raises(Stopped):
        run(checkpoints=tmp_path, on_epoch=stop)
    seen = []
    # Another model of the same kind: what matters comes from the checkpoint.
    resumed = run(Net(nnx.Rngs(1)), checkpoints=tmp_path, on_epoch=seen.append)
    assert [line.epoch for line in seen] == [2, 3]
    assert same(resumed.model, trained.model)
    clocks = [[line._replace(seconds=0) for line in one.record] for one in (resumed, trained)]
    assert clocks[0] == clocks[1]


def test_other_runs_are_refused(whole):
    _, folder = whole
    shuffled = image_arrays(
        np.stack([DIGITS[i][0] for i in range(64)]), DIGITS.labels[:64], categories="0123456789"
    )
    relabelled = image_arrays(
        np.stack([DIGITS[i][0] for i in range(len(DIGITS))]),
        DIGITS.labels[::-1],
        categories="0123456789",
        names=DIGITS.names,
    )
    for options, argument in [
        ({"batch": 32}, "batch"),
        ({"key": 1}, "key"),
        ({"images": shuffled}, "images"),
        ({"images": relabelled}, "images"),
        ({"test": shuffled}, "test"),
        ({"also": {"settings": "zeiler-fergus"}}, "settings"),
    ]:
        with pytest.raises(OtherRun) as other:
            run(checkpoints=folder, **options)
        assert other.value.argument == argument


def test_as_many_checkpoints_as_are_wanted(whole, tmp_path):
    trained, folder = whole
    assert epochs_saved(folder) == [0, 1, 2, 3]
    kept = run(checkpoints=tmp_path, keep=2)
    assert epochs_saved(tmp_path) == [2, 3]
    assert same(kept.model, trained.model)
    assert same(restore(Net(nnx.Rngs(1)), tmp_path), trained.model)


class Watched:
    """Digits that note which of them are read."""

    def __init__(self, count, broken=()):
        self.categories, self.labels = DIGITS.categories, DIGITS.labels[:count]
        self.names, self.skipped = DIGITS.names[:count], ()
        self.broken, self.read = set(broken), []

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        self.read.append(index)
        if index in self.broken:
            raise ValueError("it is cut off")
        return DIGITS[index]


def test_an_epoch_is_every_image_once_in_an_order_of_its_own():
    images = Watched(24)
    run(images=images, epochs=3, batch=8)
    epochs = np.array(images.read).reshape(3, 24)
    # Threads may read the images of a batch in another order than they have in it.
    for order in epochs:
        assert sorted(order) == list(range(24))
    sets = [[frozenset(part) for part in order.reshape(3, 8)] for order in epochs]
    assert sets[0] != sets[1] != sets[2]
    again, other = Watched(24), Watched(24)
    run(images=again, epochs=1, batch=8)
    run(images=other, epochs=1, batch=8, key=1)
    first = [frozenset(part) for part in np.array(again.read).reshape(3, 8)]
    assert sets[0] == first
    assert first != [frozenset(part) for part in np.array(other.read).reshape(3, 8)]


def test_what_does_not_fill_a_batch_waits_for_other_epochs():
    images = Watched(10)
    run(images=images, epochs=8, batch=8)
    read = np.array(images.read).reshape(8, 8)
    assert all(len(set(order)) == 8 for order in read.tolist())
    assert set(read.ravel().tolist()) == set(range(10))


def test_a_broken_image_counts_for_nothing():
    class Linear(nnx.Module):
        def __init__(self):
            self.fc = nnx.Linear(192, 10, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.fc(x.reshape(len(x), -1))

    told = []
    images = Watched(8, broken=[2, 5])
    trained = run(
        Linear(),
        images=images,
        test=Watched(8, broken=[1]),
        epochs=1,
        batch=8,
        optimizer=optax.sgd(0.1),
        on_fault=lambda name, error: told.append((name, str(error))),
    )
    assert set(told) == {(f"digits-000{i}", "it is cut off") for i in (1, 2, 5)}
    # The step by hand, in float64, over the six images that there are.
    there = [0, 1, 3, 4, 6, 7]
    fc = Linear().fc
    x = np.stack([centred(DIGITS[i][0]).ravel() for i in there]).astype(float)
    logits = x @ np.asarray(fc.kernel[...], float)
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    chosen = np.eye(10)[DIGITS.labels[there]]
    loss = -np.log((chance * chosen).sum(1)).mean()
    kernel = np.asarray(fc.kernel[...], float) - 0.1 * x.T @ (chance - chosen) / 6
    assert trained.record[0].loss == pytest.approx(loss, rel=1e-5)
    assert trained.record[0].train_accuracy == np.mean(
        logits.argmax(1) == DIGITS.labels[there]
    ).astype(np.float32)
    # Float32 sums of some hundred products, around 1.
    np.testing.assert_allclose(trained.model.fc.kernel[...], kernel, atol=1e-6)
    with pytest.raises(ValueError, match=r"digits-000[25]: it is cut off"):
        run(images=images, epochs=1, batch=8)


def test_bad_arguments():
    with pytest.raises(ValueError, match="epochs of at least 1, not 0"):
        run(epochs=0)
    with pytest.raises(ValueError, match="as many images as a batch has, 2000, not 1437"):
        run(batch=2000)
    other = image_arrays(np.zeros((1, 8, 8, 3)), np.zeros(1, int), categories="ab")
    with pytest.raises(ValueError, match=r"same categories, not 10 \(0, 1, 2, \.\.\.\) and 2"):
        run(test=other)
    nothing = image_arrays(np.zeros((0, 8, 8, 3)), np.zeros(0, int), categories="ab")
    with pytest.raises(ValueError, match="at least one image that can be used"):
        evaluate_on(Net(nnx.Rngs(0)), nothing, prepare=centred)


def test_filters_are_clipped_as_a_loop_does_it():
    dice = np.random.default_rng(0)
    kernel, bias = dice.normal(size=(3, 3, 4, 6)) * np.linspace(0.02, 0.3, 6), dice.normal(size=6)
    change = 0.05 * dice.normal(size=kernel.shape)
    weights = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    updates = {"kernel": jnp.asarray(change, jnp.float32), "bias": jnp.ones(6)}
    clip = clip_filter_rms(0.1)
    found, _ = clip.update(updates, clip.init(weights), weights)
    moved, clipped = kernel + change, []
    for i in range(6):
        rms = np.sqrt((moved[..., i] ** 2).mean())
        clipped.append(rms > 0.1)
        expected = moved[..., i] * (0.1 / rms if rms > 0.1 else 1)
        # Single precision, of numbers below 1.
        after = np.asarray(weights["kernel"] + found["kernel"])[..., i]
        np.testing.assert_allclose(after, expected, atol=2e-7)
    assert 0 < sum(clipped) < 6
    # What is not clipped changes exactly as it would have.
    free = ~np.array(clipped)
    np.testing.assert_array_equal(found["kernel"][..., free], updates["kernel"][..., free])
    np.testing.assert_array_equal(found["bias"], updates["bias"])


def test_zeiler_and_ferguss_descent_is_sgd_with_momentum_and_clipping():
    assert SETTINGS["zeiler-fergus"].batch == 128
    dice = np.random.default_rng(1)
    kernel, velocity = 0.2 * dice.normal(size=(3, 3, 2, 4)), 0
    optimizer = SETTINGS["zeiler-fergus"].optimizer(100)
    weights = {"kernel": jnp.asarray(kernel, jnp.float32)}
    state = optimizer.init(weights)
    for _ in range(5):
        gradient = dice.normal(size=kernel.shape)
        change, state = optimizer.update(
            {"kernel": jnp.asarray(gradient, jnp.float32)}, state, weights
        )
        weights = optax.apply_updates(weights, change)
        velocity = 0.9 * velocity + gradient
        kernel = kernel - 0.01 * velocity
        kernel *= np.minimum(1, 0.1 / np.sqrt((kernel**2).mean((0, 1, 2))))
        np.testing.assert_allclose(weights["kernel"], kernel, atol=1e-6)
    with pytest.raises(ValueError, match="limit above 0, not 0"):
        zeiler_fergus(rms=0)
    with pytest.raises(ValueError, match="needs the weights"):
        clip_filter_rms().update(weights, optax.EmptyState())
