"""A training run killed with SIGKILL ends with the same bits as one that is left alone.

`JAXVIZ_KILLS=20 pytest tests/test_killed_training.py` kills it twenty times instead of twice.
"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

PROGRAM = """
import sys
import jax
import numpy as np
from flax import nnx
from jaxviz.data import image_arrays
from jaxviz.training import train_on

class Net(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.bn = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.fc = nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x):
        x = jax.nn.relu(self.bn(self.conv(x))).mean((1, 2))
        return self.fc(self.dropout(x))

dice = np.random.default_rng(0)
images = image_arrays(dice.random((64, 8, 8, 3)), dice.integers(0, 2, 64), categories="ab")
trained = train_on(
    Net(nnx.Rngs(0)),
    images,
    images,
    key=jax.random.key(3),
    prepare=lambda image: image - 0.5,
    epochs=int(sys.argv[2]),
    batch=16,
    checkpoints=sys.argv[1] + "/checkpoints",
)
leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(trained.model, nnx.Not(nnx.RngState))))
np.savez(sys.argv[1] + "/partial.npz", *leaves)
import os
os.rename(sys.argv[1] + "/partial.npz", sys.argv[1] + "/weights.npz")
"""
KILLS = int(os.environ.get("JAXVIZ_KILLS", "2"))
EPOCHS = 6 * KILLS


def start(folder):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(EPOCHS)], stderr=subprocess.PIPE, text=True
    )


def entries(folder):
    """What lies among the checkpoints, whole or half-written."""
    try:
        return set(os.listdir(folder / "checkpoints"))
    except FileNotFoundError:
        return set()


def kill_in_the_midst(folder, delay):
    """Kills a run some time after it began to write a checkpoint that was not there before."""
    before, running = entries(folder), start(folder)
    deadline = time.monotonic() + 120
    while not entries(folder) - before:
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < deadline, "nothing is written"
        time.sleep(0.002)
    time.sleep(delay)
    assert running.poll() is None, "it was done before it could be killed"
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL


def weights(folder):
    with np.load(folder / "weights.npz") as found:
        return [found[name] for name in sorted(found.files)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_killed_and_started_again_is_the_same_bit_for_bit(tmp_path):
    undisturbed = start(tmp_path / "undisturbed")
    for delay in np.random.default_rng(0).uniform(0, 0.3, KILLS):
        kill_in_the_midst(tmp_path / "killed", delay)
    last = start(tmp_path / "killed")
    for running in (undisturbed, last):
        _, said = running.communicate(timeout=300)
        assert running.returncode == 0, said
    alone, killed = weights(tmp_path / "undisturbed"), weights(tmp_path / "killed")
    assert len(alone) == len(killed) > 6
    for one, other in zip(alone, killed, strict=True):
        np.testing.assert_array_equal(one, other)
