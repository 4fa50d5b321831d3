"""The runs of `jaxviz train`: on the endless shapes set, and on a set of images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax import nnx

import ports
from jaxviz import data, training
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import Step
from jaxviz.cli.usable_images import places, usable

__all__ = ["How", "Run", "Sets", "on_images", "on_shapes", "opened"]


class How(NamedTuple):
    """What all runs have in common.

    Attributes:
      card: the port's.
      epochs: how many.
      batch: images in a step.
      settings: the name of the optimizer's settings.
      seed: of all randomness.
      checkpoints: where they go.
    """

    card: Any
    epochs: int
    batch: int
    settings: str
    seed: int
    checkpoints: Path


class Run(NamedTuple):
    """A finished run.

    Attributes:
      trained: the model and its record.
      facts: what it was tested on in the end, for the record.
      title: what it learned, "... on the shapes set".
      tested: what the test images are, for the chart.
      words: how good it is, the end of a sentence.
      skipped: the images that could not be used, and why.
    """

    trained: training.Trained
    facts: dict[str, Any]
    title: str
    tested: str
    words: str
    skipped: list[tuple[str, str]]


def _told(step: Step):
    return lambda done: step(
        f"epoch {done.epoch}: loss {done.loss:.3f}, test {100 * done.test_accuracy:.1f}%"
    )


def _also(how: How) -> dict[str, Any]:
    # The default has no name there, as in the checkpoints of runs before there were others.
    return {"settings": None if how.settings == "adamw" else how.settings}


def on_shapes(how: How, steps: int, test_count: int, fresh: tuple[int, int], step: Step) -> Run:
    """Trains a net on the endless shapes set.

    Args:
      how: the run.
      steps: optimizer steps in an epoch.
      test_count: images of the test after each epoch.
      fresh: how many images the finished net is tested on, and the seed of their key.
      step: shows progress.

    Returns:
      `Run`.
    """
    card, shapes_net = how.card, how.card.name.startswith("shapes-")
    source = training.ShapesSource(
        mean=card.mean[0] if shapes_net else card.mean,
        std=card.std[0] if shapes_net else card.std,
        size=card.input_size,
    )
    trained = training.train(
        ports.new(card.name, rngs=nnx.Rngs(how.seed), num_classes=len(data.SHAPE_NAMES)),
        source,
        key=jax.random.key(how.seed),
        epochs=how.epochs,
        steps_per_epoch=steps,
        batch=how.batch,
        optimizer=training.SETTINGS[how.settings].optimizer(how.epochs * steps),
        test_count=test_count,
        checkpoints=how.checkpoints,
        also=_also(how),
        on_epoch=_told(step),
    )
    count, seed = fresh
    right = training.evaluate(trained.model, source, key=jax.random.key(seed), count=count)
    return Run(
        trained,
        {"fresh_images": {"count": count, "key": seed, "accuracy": right}},
        f"{card.name} on the shapes set",
        "fresh images",
        f"{100 * right:.1f}% of {count:,} fresh images are right",
        [],
    )


class Sets(NamedTuple):
    """What a run learns from and is tested on, all of it usable.

    Attributes:
      spec: what it learns from, in the user's words.
      images: that.
      test: what it is tested on.
      pixels: digests of the pixels of either, as `jaxviz.training.train_on` takes them in `also`.
      skipped: the images that are left out, and why.
    """

    spec: str
    images: data.ImageSet
    test: data.ImageSet
    pixels: dict[str, str | None]
    skipped: list[tuple[str, str]]


def opened(
    spec: str,
    test_spec: str | None,
    *,
    prepare: Callable[[Any], Any],
    seed: int,
    strict: bool,
) -> Sets:
    """The set to learn from and the one to be tested on, checked.

    Args:
      spec: as `jaxviz.data.open_images` takes it.
      test_spec: likewise, or None: a fifth of each class is held out.
      prepare: makes a model's input of an image, as a card's `preprocess`.
      seed: of what is held out.
      strict: whether an image that cannot be used is an error; otherwise it is left out.

    Returns:
      `Sets`.

    Raises:
      Mistake: the two do not go together, or there is an image that cannot be used, and `strict`.
      ValueError, OSError, ImportError: a set that cannot be used.
    """
    # `usable` decodes every image.
    images = data.open_images(spec, check=False)
    if test_spec is None:
        every = usable(images, prepare, strict=strict)
        # The epochs' orders come from the same key, folded with 1 and more.
        key = jax.random.fold_in(jax.random.key(seed), 0)
        pixels = {"images_pixels": every.pixels, "test_pixels": None}
        return Sets(spec, *data.held_out(key, every.images), pixels, every.skipped)
    # Another seed, since the pictures of a smaller number are the first ones of a larger.
    test = data.open_images(test_spec, check=False, seed=1)
    if test.categories != images.categories:
        other = sorted(set(images.categories) ^ set(test.categories))
        raise Mistake(
            f"--test-data must have the classes of --data, and {', '.join(other[:3])} "
            f"{'is' if len(other) == 1 else 'are'} in one of them only"
        )
    if _ids(images) & _ids(test):
        raise Mistake(f"--test-data must have other images than --data; {test_spec} shares some")
    learned, tested = (usable(one, prepare, strict=strict) for one in (images, test))
    return Sets(
        spec,
        learned.images,
        tested.images,
        {"images_pixels": learned.pixels, "test_pixels": tested.pixels},
        learned.skipped + tested.skipped,
    )


def _ids(images: data.ImageSet) -> set[str]:
    """What tells images of two sets apart: their files, whatever links lead there, or names."""
    where = places(images)
    return {*(map(os.path.realpath, where) if isinstance(images, data.ImageFolder) else where)}


def on_images(how: How, sets: Sets, step: Step) -> Run:
    """Trains a net on a set of images.

    Args:
      how: the run.
      sets: what it learns from and is tested on.
      step: shows progress.

    Returns:
      `Run`.

    Raises:
      Mistake: there are fewer images than a batch has.
      ValueError: an image that could be used before cannot be used any more.
    """
    spec, images, test, pixels, skipped = sets
    if len(images) < how.batch:
        raise Mistake(
            f"--batch must be at most {len(images)}, the number of images to learn from, "
            f"not {how.batch}"
        )
    trained = training.train_on(
        ports.new(how.card.name, rngs=nnx.Rngs(how.seed), num_classes=len(images.categories)),
        images,
        test,
        key=jax.random.key(how.seed),
        prepare=how.card.preprocess,
        epochs=how.epochs,
        batch=how.batch,
        optimizer=training.SETTINGS[how.settings].optimizer(
            how.epochs * (len(images) // how.batch)
        ),
        checkpoints=how.checkpoints,
        also=_also(how) | pixels,
        on_epoch=_told(step),
    )
    right = trained.record[-1].test_accuracy
    return Run(
        trained,
        {
            "data": spec,
            "categories": images.categories,
            "images": len(images),
            "test_images": {"count": len(test), "accuracy": right},
            "skipped": len(skipped),
        },
        f"{how.card.name} on {Path(spec).name or spec}",
        "test images",
        f"{100 * right:.1f}% of {len(test):,} test images are right",
        skipped,
    )
