"""Makes the packaged weights and their records: `python ports/weights/train_shapes.py NAME...`."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path

import jax
from flax import nnx

import ports
from jaxviz.training import ShapesSource, evaluate, train
from ports.shapes import MEAN, STD, ShapesDense, ShapesPlain, ShapesResidual

NETS = {
    "shapes-plain": ShapesPlain,
    "shapes-residual": ShapesResidual,
    "shapes-dense": ShapesDense,
}
SEED, TEST_SEED = 0, 2024
EPOCHS, STEPS_PER_EPOCH, BATCH = 6, 100, 64


def main(names: list[str]) -> None:
    """Trains each net, and writes its weights and its record beside this file."""
    for name in names:
        source = ShapesSource(mean=MEAN[0], std=STD[0])
        start, start_cpu = time.perf_counter(), time.process_time()
        trained = train(
            NETS[name](rngs=nnx.Rngs(SEED)),
            source,
            key=jax.random.key(SEED),
            epochs=EPOCHS,
            steps_per_epoch=STEPS_PER_EPOCH,
            batch=BATCH,
            on_epoch=lambda line: print(line, flush=True),
        )
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
        accuracy = evaluate(trained.model, source, key=jax.random.key(TEST_SEED), count=2000)
        folder = Path(__file__).parent
        ports.save(trained.model, folder / f"{name}.safetensors")
        weights = jax.tree.leaves(nnx.state(trained.model, nnx.Param))
        record = {
            "model": name,
            "parameters": sum(weight.size for weight in weights),
            "command": f"python ports/weights/train_shapes.py {name}",
            "seed": SEED,
            "epochs": EPOCHS,
            "steps": EPOCHS * STEPS_PER_EPOCH,
            "batch": BATCH,
            "optimizer": "jaxviz.training.adamw",
            "fresh_images": {"count": 2000, "key": TEST_SEED, "accuracy": accuracy},
            "wall_clock_seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "machine": f"{os.cpu_count()} CPU cores ({platform.machine()}), shared with other work",
            "versions": {"python": platform.python_version(), "jax": jax.__version__},
            "curve": [line._asdict() for line in trained.record],
        }
        (folder / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
        print(f"{name}: {accuracy:.2%} of 2,000 fresh images, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(NETS))
