"""`jaxviz train`: the shapes nets from scratch, as the packaged weights were made."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import time
from typing import Annotated, Any

import tyro

__all__ = ["train"]

FRESH_COUNT, FRESH_SEED = 2000, 2024
"""The images that the finished net is tested on: how many, and the seed of their key."""

OPTIONS = {
    "epochs": "--epochs",
    "steps_per_epoch": "--steps",
    "batch": "--batch",
    "test_count": "--test-count",
    "key": "--seed",
}
"""The option behind each argument of `jaxviz.training.train`."""


def train(
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = "shapes-residual",
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-train",
    epochs: int = 6,
    steps: int = 100,
    batch: int = 64,
    test_count: int = 1000,
    seed: int = 0,
) -> None:
    """Trains a net on the endless shapes set; started again, it goes on after its last epoch.

    With the defaults this is the run that made the packaged weights, bit for bit.

    Example: jaxviz train --model shapes-residual --out trained

    Args:
      model: shapes-plain, shapes-residual or shapes-dense.
      out: Folder for the weights, their record, the learning curve and a checkpoint of every
        epoch.
      epochs: How many epochs; each ends in a test and a checkpoint.
      steps: Optimizer steps in an epoch.
      batch: Images in a step.
      test_count: Fresh images in the test after each epoch.
      seed: Of the first weights and of the images.
    """
    import jax
    from flax import nnx

    import ports
    from jaxviz import report, training
    from jaxviz.cli import inputs
    from jaxviz.cli.mistakes import Mistake
    from jaxviz.cli.progress import progress

    card = inputs.checked_card(model)
    if not model.startswith("shapes-"):
        nets = ", ".join(name for name in ports.names() if name.startswith("shapes-"))
        raise Mistake(f"--model must be a net for the shapes set ({nets}), not {model}")
    for name, number in (
        ("epochs", epochs),
        ("steps", steps),
        ("batch", batch),
        ("test-count", test_count),
    ):
        if number < 1:
            raise Mistake(f"--{name} must be at least 1, not {number}")
    inputs.checked_seed(seed)
    folder = report.check_writable(out)
    checkpoints = folder / "checkpoints"
    source = training.ShapesSource(mean=card.mean[0], std=card.std[0], size=card.input_size)
    net = ports.new(model, rngs=nnx.Rngs(seed))
    whole = not checkpoints.exists()
    with progress(epochs) as step:
        step("compiling, first epoch")
        start_cpu = time.process_time()
        try:
            trained = training.train(
                net,
                source,
                key=jax.random.key(seed),
                epochs=epochs,
                steps_per_epoch=steps,
                batch=batch,
                test_count=test_count,
                checkpoints=checkpoints,
                on_epoch=lambda done: step(
                    f"epoch {done.epoch}: loss {done.loss:.3f}, "
                    f"test {100 * done.test_accuracy:.1f}%"
                ),
            )
        except training.OtherRun as other:
            option = OPTIONS[other.argument]
            was = "" if option == "--seed" else f" {other.before}"
            raise Mistake(
                f"{out} holds a run with another {option}{was}; give the options of that run to "
                "go on with it, or another --out"
            ) from other
        except training.OtherModel as other:
            raise Mistake(f"{out} holds a run of another --model than {model}") from other
        cpu_seconds = time.process_time() - start_cpu
    accuracy = training.evaluate(
        trained.model, source, key=jax.random.key(FRESH_SEED), count=FRESH_COUNT
    )
    record = trained.record
    weights = folder / f"{model}.safetensors"
    ports.save(trained.model, weights)
    described: dict[str, Any] = {
        "model": model,
        "parameters": card.parameters,
        "command": f"jaxviz train --model {model} --epochs {epochs} --steps {steps} "
        f"--batch {batch} --test-count {test_count} --seed {seed}",
        "seed": seed,
        "epochs": epochs,
        "steps": epochs * steps,
        "batch": batch,
        "optimizer": "jaxviz.training.adamw",
        "fresh_images": {"count": FRESH_COUNT, "key": FRESH_SEED, "accuracy": accuracy},
        "wall_clock_seconds": round(sum(line.seconds for line in record), 1),
        # Of a run in several goes, the processor time of the earlier ones is not known.
        "cpu_seconds": round(cpu_seconds, 1) if whole else None,
        "machine": f"{os.cpu_count()} CPU cores ({platform.machine()}), {jax.default_backend()}",
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
        "curve": [line._asdict() for line in record],
    }
    report.write_file(folder / f"{model}.json", json.dumps(described, indent=2) + "\n")
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([record[0]._fields, *record])
    report.write_file(folder / "learning.csv", table.getvalue())
    chart = report.line_chart(
        [line.epoch for line in record],
        {
            "training batches": [line.train_accuracy for line in record],
            "fresh images": [line.test_accuracy for line in record],
        },
        across="epoch",
        up="fraction right",
        title=f"{model} on the shapes set",
    )
    report.write_file(folder / "learning.png", report.png_bytes(chart))
    print(
        f"wrote {weights}, its record, learning.csv, learning.png and {epochs} checkpoints to "
        f"{out}; {100 * accuracy:.1f}% of {FRESH_COUNT:,} fresh images are right"
    )
