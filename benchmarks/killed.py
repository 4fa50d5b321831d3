"""`python -m benchmarks.killed --out DIR`: `jaxviz train`, killed at random moments.

It trains a shapes net on the bundled digits in a process of its own, kills that process with
SIGKILL so many times, lets it finish, and compares the weights with those of a run left alone,
byte for byte. The record in `benchmarks/results/killed.json` says when each kill came.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax

from jaxviz import report
from jaxviz.training import epochs_saved

PROGRAM = "import sys; from jaxviz.cli import main; sys.exit(main())"


def command(out: Path, epochs: int) -> list[str]:
    options = ["--model", "shapes-plain", "--data", "digits", "--epochs", str(epochs)]
    return [sys.executable, "-c", PROGRAM, "train", *options, "--batch", "16", "--out", str(out)]


def digest(out: Path) -> str:
    return hashlib.sha256((out / "shapes-plain.safetensors").read_bytes()).hexdigest()


def curve(out: Path) -> list[dict[str, str]]:
    """The learning curve, without the time that it took."""
    with (out / "learning.csv").open() as file:
        return [line | {"seconds": ""} for line in csv.DictReader(file)]


def saved(out: Path) -> int:
    try:
        return epochs_saved(out / "checkpoints")[-1]
    except FileNotFoundError:
        return -1


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.killed")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="a new folder for the runs")
    given = parser.parse_args(words)
    if given.out.exists():
        # Its checkpoints would leave nothing to kill.
        raise SystemExit(f"--out must be a new folder, and {given.out} exists")
    given.out.mkdir(parents=True)
    alone, killed = given.out / "undisturbed", given.out / "killed"
    start = time.monotonic()
    subprocess.run(command(alone, given.epochs), check=True, capture_output=True)
    whole = time.monotonic() - start
    dice, kills = random.Random(given.seed), []
    # Up to twice the time that a start and an epoch take: in the import, in the compilation, in the
    # steps, in the writing of a checkpoint.
    longest = 2 * (whole / given.epochs + 15)
    while len(kills) < given.kills:
        running = subprocess.Popen(command(killed, given.epochs), stdout=subprocess.DEVNULL)
        delay = dice.uniform(0, longest)
        try:
            running.wait(delay)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
            kills.append({"after_seconds": round(delay, 2), "last_epoch_saved": saved(killed)})
            print(kills[-1], flush=True)
        else:
            if running.returncode:
                raise SystemExit(f"a run failed after {len(kills)} kills")
            raise SystemExit(f"the run was done after {len(kills)} kills: give more --epochs")
    subprocess.run(command(killed, given.epochs), check=True, capture_output=True)
    record = {
        "command": "jaxviz " + shlex.join(command(Path("DIR"), given.epochs)[3:]),
        "kills": kills,
        "undisturbed": digest(alone),
        "killed": digest(killed),
        "same_bytes": digest(alone) == digest(killed),
        "same_curve": curve(alone) == curve(killed),
        "jax": jax.__version__,
    }
    file = Path(__file__).parent / "results" / "killed.json"
    report.write_file(file, json.dumps(record, indent=1) + "\n")
    same = record["same_bytes"], record["same_curve"]
    print(f"{len(kills)} kills; the same bytes: {same[0]}, curve: {same[1]}; wrote {file}")
    if not all(same):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
