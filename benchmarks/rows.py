"""`python -m benchmarks.rows`: a process's peak while it reads out a network's rows (Linux)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import tyro

import jaxviz as jv
import ports
from benchmarks.memory import count_peak_from_here, mebibytes
from benchmarks.record import keep


def run(
    model: str = "vgg16",
    size: int = 224,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None,
) -> None:
    """Reads out a weight image for each class, and reads the process's peak, all of it counted.

    Args:
      model: name of a port.
      size: side of the image in pixels.
      out: where to write the figures, with the device and the versions.
    """
    network = ports.load(model, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, size, size, 3))
    jax.block_until_ready((jax.tree.leaves(network), x))
    before = mebibytes("VmRSS")
    count_peak_from_here()
    start = time.perf_counter()
    affine = jax.block_until_ready(jv.reconstruct(network, x))
    seconds = time.perf_counter() - start
    peak = mebibytes("VmHWM")
    logits = network(x)
    error = float(jnp.abs(affine(x) - logits).max() / jnp.abs(logits).max())
    rows = affine.weights.shape[1]
    result = affine.weights.nbytes / 2**20
    print(
        f"{model}, {rows} rows at {size} x {size}: peak {peak:.0f} MiB, of which {before:.0f} were "
        f"there before and {result:.0f} are the result; {seconds:.0f} s with compilation; logits "
        f"differ by {error:.1e} of the largest"
    )
    figures = {"model": model, "size": size, "rows": rows, "peak": round(peak), "error": error}
    keep(out, figures | {"before": round(before), "seconds": round(seconds, 1)})


if __name__ == "__main__":
    tyro.cli(run)
