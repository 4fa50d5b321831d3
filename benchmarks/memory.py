"""`python -m benchmarks.memory`: what an occlusion sweep adds to the process at most (Linux)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

import jaxviz as jv
import ports
from benchmarks.record import keep
from jaxviz.attribution.occlusion import grid_of

__all__ = ["count_peak_from_here", "mebibytes"]


def mebibytes(field: str) -> float:
    """A figure of this process, as the kernel counts it."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def count_peak_from_here() -> None:
    """Lets `mebibytes("VmHWM")` be the peak from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def run(
    model: str = "vgg16",
    size: int = 224,
    window: int = 26,
    stride: int = 2,
    budget: int = 1024,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None,
) -> None:
    """Runs one sweep and reads what its run adds to the process, weights and program not counted.

    Args:
      model: name of a port.
      size: side of the image in pixels.
      window: side of the occluder.
      stride: from one position to the next.
      budget: in MiB.
      out: where to write the figures, with the device and the versions.
    """
    network = ports.load(model, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, size, size, 3))
    jax.block_until_ready((jax.tree.leaves(network), x))
    options: dict[str, Any] = {"window": (window, window), "stride": (stride, stride)}
    positions = len(grid_of((size, size), **options).boxes)
    sweep = jax.jit(lambda network, x: jv.occlusion(network, x, 3, memory=budget << 20, **options))
    compiled = sweep.lower(network, x).compile()
    before = mebibytes("VmRSS")
    count_peak_from_here()
    jax.block_until_ready(compiled(network, x))
    added = mebibytes("VmHWM") - before
    print(f"{model}, {positions} positions: {added:.0f} MiB added, of a budget of {budget} MiB")
    keep(out, {"model": model, "positions": positions, "budget": budget, "added": round(added)})


if __name__ == "__main__":
    tyro.cli(run)
