import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


class Server:
    """A process that is ready to do sweeps in forks of itself."""

    def __init__(self, cache, log):
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parents[1])}
        self.cache, self.log, self.child = cache, log, None
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(HERE / "small_sweep.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                bufsize=0,
                env=environment,
            )
        assert self.process.stdout.readline() == b"ready\n", log.read_text()

    def begin(self, out, **task):
        """Begins a sweep; its process's number."""
        usual = {
            "images": 24,
            "size": 16,
            "model": "linear",
            "method": "saliency",
            "options": {"batch": 2},
            "devices": 1,
            "processes": 1,
            "process": 0,
            "port": 0,
            "pause": 0.0,
        }
        task = {**usual, **task, "out": str(out), "cache": str(self.cache)}
        self.process.stdin.write(json.dumps(task).encode() + b"\n")
        self.child = self.said(60)
        return self.child

    def status(self, seconds=300):
        """How the sweep ended: 0, or as `os.waitpid` says it. It has so many seconds."""
        return self.said(seconds)

    def said(self, seconds):
        # Nothing waits in a buffer, which `select` would not see: there is none.
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            if self.child:
                os.kill(self.child, signal.SIGKILL)
                self.process.stdout.readline()
            raise TimeoutError(f"nothing for {seconds} s; {self.log.read_text()}")
        return int(self.process.stdout.readline())

    def do(self, out, **task):
        """A whole sweep."""
        self.begin(out, **task)
        assert self.status() == 0, self.log.read_text()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """`servers(count)`: processes that do sweeps."""
    folder = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as stack:
        open_ones = []

        def at_least(count):
            while len(open_ones) < count:
                server = Server(folder / "cache", folder / f"{len(open_ones)}.log")
                stack.callback(server.close)
                open_ones.append(server)
            return open_ones[:count]

        yield at_least


@pytest.fixture(scope="session")
def server(servers):
    return servers(1)[0]


def files(folder):
    """Every file below a folder with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }
