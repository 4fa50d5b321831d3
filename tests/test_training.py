"""Training: it learns, it is a pure function of its arguments, and it resumes to the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxviz.training import OtherRun, ShapesSource, epochs_saved, evaluate, restore, train


class Net(nnx.Module):
    """Every kind of state that a model may have: weights, batch statistics and dropout's keys."""

    def __init__(self, rngs, width=8):
        self.conv = nnx.Conv(1, width, (3, 3), rngs=rngs)
        self.bn = nnx.BatchNorm(width, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(width, width, rngs=rngs), nnx.Dropout(0.1, rngs=rngs)])
        self.fc = nnx.Linear(width, 2, rngs=rngs)

    def __call__(self, x):
        x = jax.nn.relu(self.bn(self.conv(x))).mean((1, 2))
        for layer in self.layers:
            x = layer(x)
        return self.fc(x)


def stripes(key, count):
    """Noise with vertical or horizontal stripes in it: the source need not be the shapes set."""
    label_key, noise_key = jax.random.split(key)
    label = jax.random.randint(label_key, (count,), 0, 2)
    wave = jnp.sin(jnp.arange(8) * jnp.pi)[:, None] + jnp.cos(jnp.arange(8) * jnp.pi)[:, None]
    picture = jnp.where(label[:, None, None] == 0, wave, wave.T) + jnp.zeros((8, 8))
    return (picture + 0.3 * jax.random.normal(noise_key, (count, 8, 8)))[..., None], label


RUN = {"epochs": 3, "steps_per_epoch": 25, "batch": 16, "test_count": 64}


def fresh():
    return Net(nnx.Rngs(0))


def arrays(model):
    def numbers(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    return [numbers(leaf) for leaf in jax.tree.leaves(nnx.state(model))]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def without_time(record):
    return [line._replace(seconds=0.0) for line in record]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run with checkpoints."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    seen = []
    model = fresh()
    before = arrays(model)
    trained = train(
        model, stripes, key=jax.random.key(5), checkpoints=folder, on_epoch=seen.append, **RUN
    )
    return model, before, trained, folder, seen


def test_it_learns(whole):
    *_, trained, _, seen = whole
    losses = [line.loss for line in trained.record]
    assert losses[0] > losses[1] > losses[2]
    assert trained.record[-1].test_accuracy > 0.9
    assert evaluate(trained.model, stripes, key=jax.random.key(99), count=500) > 0.9
    assert [line.epoch for line in trained.record] == [1, 2, 3]
    assert [line.step for line in trained.record] == [25, 50, 75]
    assert seen == trained.record


def test_the_given_model_is_left_alone(whole):
    model, before, *_ = whole
    assert all(np.array_equal(a, b) for a, b in zip(before, arrays(model), strict=True))
    assert not model.bn.use_running_average


def test_the_result_is_in_evaluation_mode(whole):
    _, _, trained, *_ = whole
    x, _ = stripes(jax.random.key(1), 4)
    together = trained.model(x)
    alone = jnp.concatenate([trained.model(x[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


class Stopped(Exception):
    pass


def test_stopped_and_resumed_is_the_same_bit_for_bit(whole, tmp_path):
    _, _, trained, *_ = whole

    def stop(line):
        raise Stopped

    with pytest.raises(Stopped):
        train(fresh(), stripes, key=jax.random.key(5), checkpoints=tmp_path, on_epoch=stop, **RUN)
    assert epochs_saved(tmp_path) == [0, 1]
    seen = []
    # Another model of the same kind: what matters comes from the checkpoint.
    resumed = train(
        Net(nnx.Rngs(1)),
        stripes,
        key=jax.random.key(5),
        checkpoints=tmp_path,
        on_epoch=seen.append,
        **RUN,
    )
    assert [line.epoch for line in seen] == [2, 3]
    assert same(resumed.model, trained.model)
    assert without_time(resumed.record) == without_time(trained.record)


def test_a_finished_run_is_only_read(whole):
    _, _, trained, folder, _ = whole
    seen = []
    again = train(
        fresh(), stripes, key=jax.random.key(5), checkpoints=folder, on_epoch=seen.append, **RUN
    )
    assert seen == []
    assert same(again.model, trained.model)
    assert again.record == trained.record


def test_checkpoints_of_another_run_are_refused(whole):
    *_, folder, _ = whole
    with pytest.raises(OtherRun, match=r"a run with batch=16, and this one has batch=8") as other:
        train(fresh(), stripes, key=jax.random.key(5), checkpoints=folder, **{**RUN, "batch": 8})
    assert (other.value.argument, other.value.before, other.value.now) == ("batch", 16, 8)
    with pytest.raises(ValueError, match="a run with key="):
        train(fresh(), stripes, key=jax.random.key(6), checkpoints=folder, **RUN)
    with pytest.raises(ValueError, match=r"bn\.bias has shape \[8\] there, and \[4\]"):
        train(Net(nnx.Rngs(0), 4), stripes, key=jax.random.key(5), checkpoints=folder, **RUN)


def test_every_epoch_can_be_restored(whole):
    _, before, trained, folder, _ = whole
    assert epochs_saved(folder) == [0, 1, 2, 3]
    other = Net(nnx.Rngs(1))
    untrained = restore(other, folder, epoch=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, arrays(untrained), strict=True))
    assert same(restore(other, folder), trained.model)
    key = jax.random.key(99)
    accuracies = [
        evaluate(restore(other, folder, epoch=epoch), stripes, key=key, count=200)
        for epoch in (0, 3)
    ]
    assert accuracies[1] > accuracies[0] + 0.2


def test_what_cannot_be_restored(whole, tmp_path):
    *_, folder, _ = whole
    with pytest.raises(ValueError, match=r"no epoch 7; it has \[0, 1, 2, 3\]"):
        restore(fresh(), folder, epoch=7)
    with pytest.raises(FileNotFoundError, match="no checkpoints"):
        restore(fresh(), tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no checkpoints"):
        epochs_saved(tmp_path)
    assert not (tmp_path / "nowhere").exists()


def test_another_optimizer():
    trained = train(
        fresh(), stripes, key=jax.random.key(0), optimizer=optax.sgd(0.0), **{**RUN, "epochs": 1}
    )
    kernel = trained.model.fc.kernel[...]
    np.testing.assert_array_equal(kernel, fresh().fc.kernel[...])


def test_evaluate_counts_every_image_once():
    def source(key, count):
        return jnp.ones((count, 1, 1, 1)), jnp.zeros(count, jnp.int32)

    sizes = []

    def model(x):
        sizes.append(len(x))
        return jnp.stack([x[:, 0, 0, 0], -x[:, 0, 0, 0]], -1)

    accuracy = evaluate(
        jax.tree_util.Partial(model), source, key=jax.random.key(0), count=25, batch=10
    )
    assert accuracy == 1
    assert sizes == [10, 5]  # traced once for each size, though three batches are run


def test_bad_numbers():
    for name in RUN:
        with pytest.raises(ValueError, match=f"{name} of at least 1"):
            train(fresh(), stripes, key=jax.random.key(0), **{**RUN, name: 0})
    with pytest.raises(ValueError, match="count=0"):
        evaluate(fresh(), stripes, key=jax.random.key(0), count=0)


def test_shapes_are_normalised():
    image, label = ShapesSource(mean=0.5, std=0.25, size=16)(jax.random.key(0), 64)
    assert image.shape == (64, 16, 16, 3)
    assert float(image.min()) >= -2
    assert float(image.max()) <= 2
    assert set(np.asarray(label)) == set(range(10))
