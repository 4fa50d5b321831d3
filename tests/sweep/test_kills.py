"""A sweep that is killed, at any moment, and begun again, ends as one that nobody disturbed."""

import os
import random
import signal
import time
from pathlib import Path

from .conftest import files

KILLS = int(os.environ.get("JAXVIZ_KILLS", 10))
IMAGES = int(os.environ.get("JAXVIZ_KILLED_IMAGES", 80))


def committed(out):
    return len(list(Path(out).glob("status/c/*")))


def test_kills_leave_no_trace(server, tmp_path):
    task = {"images": IMAGES, "options": {"batch": 2}}
    server.do(tmp_path / "undisturbed", **task)
    out, chance = tmp_path / "killed", random.Random(4711)
    kills = early = 0
    while kills < KILLS:
        before = committed(out)
        child = server.begin(out, **task, pause=0.005)
        if chance.random() < 0.3:
            # At the beginning: while the store is made, or read.
            time.sleep(chance.uniform(0, 0.5))
            early += 1
        else:
            enough = before + max(1, IMAGES // 2 // (2 * KILLS))
            deadline = time.monotonic() + 60
            while committed(out) < enough and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        assert server.status() == signal.SIGKILL, "it was over before it could be killed"
        kills += 1
    assert 0 < early < KILLS
    assert 0 < committed(out) < IMAGES // 2
    server.do(out, **task)
    assert files(out) == files(tmp_path / "undisturbed")
