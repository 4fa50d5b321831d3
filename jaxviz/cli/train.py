"""`jaxviz train`: the shapes nets from scratch."""

from __future__ import annotations

import csv
import io
from typing import Annotated

import tyro

__all__ = ["train"]


def train(
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = "shapes-residual",
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-train",
    epochs: int = 20,
    steps: int = 100,
    batch: int = 64,
    test_count: int = 1000,
    seed: int = 0,
) -> None:
    """Trains a net on the endless shapes set; started again, it goes on after its last epoch.

    Example: jaxviz train --model shapes-residual --out trained --epochs 20

    Args:
      model: shapes-plain, shapes-residual or shapes-dense.
      out: Folder for the weights, the learning curve and a checkpoint of every epoch.
      epochs: How many epochs; each ends in a test and a checkpoint.
      steps: Optimizer steps in an epoch.
      batch: Images in a step.
      test_count: Fresh images in the test after each epoch.
      seed: Of the first weights and of the images.
    """
    import jax

    import ports
    from jaxviz import report, training
    from jaxviz.cli import inputs
    from jaxviz.cli.mistakes import Mistake
    from jaxviz.cli.progress import progress

    card = inputs.checked_card(model)
    if not model.startswith("shapes-"):
        nets = ", ".join(name for name in ports.names() if name.startswith("shapes-"))
        raise Mistake(f"--model must be a net for the shapes set ({nets}), not {model}")
    for name, number in (("epochs", epochs), ("steps", steps), ("batch", batch)):
        if number < 1:
            raise Mistake(f"--{name} must be at least 1, not {number}")
    if test_count < 1:
        raise Mistake(f"--test-count must be at least 1, not {test_count}")
    folder = report.check_writable(out)
    model_key, data_key = jax.random.split(jax.random.key(seed))
    with progress(epochs) as step:
        step("compiling, first epoch")
        trained = training.train(
            ports.load(model, key=model_key),
            training.ShapesSource(mean=card.mean[0], std=card.std[0], size=card.input_size),
            key=data_key,
            epochs=epochs,
            steps_per_epoch=steps,
            batch=batch,
            test_count=test_count,
            checkpoints=folder / "checkpoints",
            on_epoch=lambda done: step(
                f"epoch {done.epoch}: loss {done.loss:.3f}, test {100 * done.test_accuracy:.1f}%"
            ),
        )
    record = trained.record
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([record[0]._fields, *record])
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
    report.write_file(folder / "learning.csv", table.getvalue())
    report.write_file(folder / "learning.png", report.png_bytes(chart))
    weights = folder / f"{model}.safetensors"
    ports.save(trained.model, weights)
    print(
        f"wrote {weights}, learning.csv, learning.png and {len(record)} checkpoints to {out}; "
        f"{100 * record[-1].test_accuracy:.1f}% of {test_count} fresh images are right"
    )
