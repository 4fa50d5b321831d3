"""`jaxviz train`: a net from scratch, on the endless shapes set or on a set of images."""

from __future__ import annotations

import shlex
import time
from typing import Annotated, Literal

import tyro

__all__ = ["train"]

FRESH_COUNT, FRESH_SEED = 2000, 2024
"""The images that a net of the endless set is tested on: how many, and the seed of their key."""

STEPS, TEST_COUNT = 100, 1000
"""Of an epoch of the endless set, where nothing else is asked for."""

OPTIONS = {
    "epochs": "--epochs",
    "steps_per_epoch": "--steps",
    "batch": "--batch",
    "test_count": "--test-count",
    "key": "--seed",
    "images": "--data",
    "test": "--test-data",
    "images_pixels": "--data",
    "test_pixels": "--test-data",
    "settings": "--settings",
}
"""The option behind each argument of `jaxviz.training.train` and `train_on`."""


def train(
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = "shapes-residual",
    data: Annotated[str, tyro.conf.arg(metavar="SET")] = "shapes",
    test_data: Annotated[str | None, tyro.conf.arg(metavar="SET")] = None,
    settings: Literal["adamw", "zeiler-fergus"] = "adamw",
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-train",
    epochs: int = 6,
    steps: int | None = None,
    batch: int | None = None,
    test_count: int | None = None,
    seed: int = 0,
    strict: bool = False,
) -> None:
    """Trains a net from scratch; started again, it goes on after its last epoch.

    With the defaults this is the run that made the packaged weights: bit for bit on the machine
    that made them, to rounding on others.

    Example: jaxviz train --model shapes-plain --data digits --epochs 20 --out trained

    Args:
      model: A port; `jaxviz layers` lists all.
      data: What it learns: the endless shapes set; shapes:500 for so many images of it; digits;
        tfds:NAME:SPLIT; or a folder with a folder of images for each class.
      test_data: What it is tested on after each epoch, named likewise; by default a fifth of each
        class of the data is held out.
      settings: The optimizer and the batch: AdamW, 64; or SGD as Zeiler and Fergus had it, with
        momentum, filters clipped to an RMS of 0.1, 128 (without their dropout, which the ports do
        not have).
      out: Folder for the weights, their record, the learning curve and a checkpoint of every
        epoch.
      epochs: How many epochs; each ends in a test and a checkpoint.
      steps: Optimizer steps in an epoch of the endless set, 100; of another set it is all images.
      batch: Images in a step.
      test_count: Images of the endless set in the test after each epoch, 1000.
      seed: Of the first weights, of the endless set's images, of the order of another set's.
      strict: Fail at an image that cannot be used; by default such images are skipped and listed.
    """
    from jaxviz import report, training
    from jaxviz.cli import inputs, trained_files, training_runs
    from jaxviz.cli.mistakes import Mistake
    from jaxviz.cli.progress import progress

    card = inputs.checked_card(model)
    numbers = {"epochs": epochs, "steps": steps, "batch": batch, "test-count": test_count}
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise Mistake(f"--{name} must be at least 1, not {number}")
    endless = data == "shapes"
    for option, given in (("--steps", steps), ("--test-count", test_count)):
        if given is not None and not endless:
            raise Mistake(f"{option} is for the endless set; an epoch of {data} is all its images")
    if endless and test_data is not None:
        raise Mistake("--test-data is for other sets; the endless one is tested on fresh images")
    inputs.checked_seed(seed)
    folder = report.check_writable(out)
    how = training_runs.How(
        card,
        epochs=epochs,
        batch=batch or training.SETTINGS[settings].batch,
        settings=settings,
        seed=seed,
        checkpoints=folder / "checkpoints",
    )
    whole = not how.checkpoints.exists()
    with progress(epochs + (not endless)) as step:
        try:
            if endless:
                step("compiling, first epoch")
                start = time.process_time()
                run = training_runs.on_shapes(
                    how, steps or STEPS, test_count or TEST_COUNT, (FRESH_COUNT, FRESH_SEED), step
                )
            else:
                step(f"opening {data}")
                sets = training_runs.opened(
                    data, test_data, prepare=card.preprocess, seed=seed, strict=strict
                )
                step("compiling, first epoch")
                start = time.process_time()
                run = training_runs.on_images(how, sets, step)
        except training.OtherRun as other:
            option = OPTIONS[other.argument]
            # Digests say nothing to a reader.
            told = isinstance(other.before, int | str) and not option.endswith("data")
            raise Mistake(
                f"{out} holds a run with another {option}{f' {other.before}' if told else ''}; "
                "give the options of that run to go on with it, or another --out"
            ) from other
        except training.OtherModel as other:
            raise Mistake(f"{out} holds a run of another --model than {model}") from other
        # Of a run in several goes, the processor time of the earlier ones is not known.
        cpu_seconds = round(time.process_time() - start, 1) if whole else None
    options = {
        "--model": model,
        "--data": None if endless else data,
        "--test-data": test_data,
        "--settings": None if settings == "adamw" else settings,
        "--epochs": epochs,
        "--steps": (steps or STEPS) if endless else None,
        "--batch": how.batch,
        "--test-count": (test_count or TEST_COUNT) if endless else None,
        "--seed": seed,
    }
    given = " ".join(
        f"{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None
    )
    command = f"jaxviz train {given}{' --strict' if strict else ''}"
    weights = trained_files.write(folder, how, run, command=command, cpu_seconds=cpu_seconds)
    for line in trained_files.skipped_lines(run.skipped, folder):
        print(line)
    print(
        f"wrote {weights}, its record, learning.csv, learning.png and {epochs} checkpoints to "
        f"{out}; {run.words}"
    )
