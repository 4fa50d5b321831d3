"""`jaxviz study ablation`: nets without some of their layers, or with wider ones, trained anew."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import numpy as np
import tyro
from jaxtyping import PRNGKeyArray

import jaxviz as jv
from jaxviz import report
from jaxviz.cli import study_ablation_page as study_page
from jaxviz.cli import trained_files, usable_images, variants
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.studies import VARIANTS, Ablated, Variant, depth_claim
from jaxviz.studies import ablation as trained_anew

__all__ = ["ablation"]

SIZE = 64
"""Height and width of the nets' input, in pixels."""

TEST_SHARE = 1 / 3


def ablation(
    *,
    variant: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="CHANGES")
    ] = (),
    data: Annotated[str, tyro.conf.arg(metavar="SET")] = "shapes",
    images: int = 4500,
    seeds: int = 3,
    epochs: int = 8,
    settings: Literal["adamw", "zeiler-fergus"] = "adamw",
    strict: bool = False,
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-ablation",
) -> None:
    """Trains a small net without some of its layers, or with wider ones: which layers count?

    The net has seven numbered layers, as Zeiler and Fergus's: convolutions 1 to 5, dense 6 and 7.
    Started again, the study goes on where it was stopped.

    Example: jaxviz study ablation --variant "drop: [3, 4]" --variant "width: {6: 1024}"

    Args:
      variant: Changes, as "drop: [3, 4], width: {6: 256}"; give it once for each variant. The net
        with all layers always comes first. By default seven lines of the paper's table.
      data: What the nets learn: shapes, digits, tfds:NAME:SPLIT, or a folder with a folder of
        images for each class.
      images: How many images of it at most; a third of each class is for the test. Of digits, these
        come from digits:test, so that no hand is in both.
      seeds: How many training runs of each variant.
      epochs: Of each run.
      settings: The optimizer and the batch, as for `jaxviz train`.
      strict: Fail at an image that cannot be used; by default such images are skipped and listed.
      out: Folder for the page, numbers.json, the tables as CSV, and the checkpoints.
    """
    start = time.perf_counter()
    folder = report.check_writable(out)
    for name, number, least in (("images", images, 10), ("seeds", seeds, 1), ("epochs", epochs, 1)):
        if number < least:
            raise Mistake(f"--{name} must be at least {least}, not {number}")
    chosen = [Variant(), *map(variants.parsed, variant)] if variant else VARIANTS
    if len(set(chosen)) < len(chosen):
        raise Mistake("each --variant must be another one, and other than all layers")
    from jaxviz import training

    how = training.SETTINGS[settings]
    with progress(1 + len(chosen) * seeds) as step:
        step("images")
        learned, test, pixels, skipped = _images(data, images, strict)
        if len(learned) < how.batch:
            # Where the set has no more, more of it cannot be asked for.
            few = len(learned) + len(test) + len(skipped) < images
            raise Mistake(
                f"{'--data' if few else '--images'} must leave a batch of {how.batch} to learn "
                f"from, not {len(learned)}"
            )
        try:
            found = trained_anew(
                chosen,
                learned,
                test,
                seeds=seeds,
                epochs=epochs,
                settings=how,
                checkpoints=folder / "checkpoints",
                also={"settings": settings, "pixels": pixels},
                on_run=lambda variant, seed: step(f"{variant}, seed {seed}"),
            )
        except training.OtherRun as other:
            raise Mistake(
                f"{out} holds a study with other --data, --images, --epochs or --settings; give "
                "those of that study to go on with it, or another --out"
            ) from other
    seconds = time.perf_counter() - start
    facts = {
        "data": data,
        "images": len(learned),
        "test_images": len(test),
        "skipped": len(skipped),
        "seeds": seeds,
        "epochs": epochs,
        "batch": how.batch,
        "settings": settings,
    }
    footer = (
        f"Made by jaxviz study ablation with JAX {jax.__version__} on {jax.default_backend()} in "
        f"{seconds:.0f} s. numbers.json, variants.csv and runs.csv lie beside this page."
    )
    page = study_page.page(found, facts, footer=footer)
    tables = study_page.tables(found)
    if skipped:
        tables["skipped"] = report.Table(["image", "reason"], [list(one) for one in skipped])
    else:
        # The list of an earlier go would be about other files.
        (folder / "skipped.csv").unlink(missing_ok=True)
    files = report.write_run(folder, page, numbers=_numbers(found, facts), tables=tables)
    for line in trained_files.skipped_lines(skipped, folder):
        print(line)
    worst = max(found, key=lambda one: one.test_error.mean)
    print(
        f"wrote {len(files)} files about {len(found)} variants, {seeds} runs of each, to {out} in "
        f"{seconds:.0f} s; worst: {worst.variant}; open {Path(out) / 'index.html'}"
    )


class _Held(NamedTuple):
    """Images held in memory, as the nets take them but for the normalisation."""

    learned: jv.data.ImageArrays
    test: jv.data.ImageArrays
    pixels: list[str]
    skipped: list[tuple[str, str]]


def _images(spec: str, most: int, strict: bool) -> _Held:
    import ports

    key, part_key = jax.random.split(jax.random.key(0))
    if spec in ("digits", "digits:all"):
        test_most = round(most * TEST_SHARE)
        learned = _some(part_key, jv.data.open_images("digits:train"), most - test_most)
        test = _some(key, jv.data.open_images("digits:test"), test_most)
    else:
        named = f"shapes:{most}" if spec == "shapes" else spec
        images = _some(part_key, jv.data.open_images(named, check=False), most)
        learned, test = jv.data.held_out(key, images, TEST_SHARE)
    # The images of all these nets are prepared alike, and once.
    card = ports.card("shapes-plain")._replace(input_size=SIZE, resize=SIZE)
    sets = [usable_images.usable(one, card.to_display, strict=strict) for one in (learned, test)]

    def held(part: jv.data.Part) -> jv.data.ImageArrays:
        shown = np.concatenate([card.to_display(part[i][0]) for i in range(len(part))])
        return jv.data.image_arrays(
            shown, part.labels, categories=part.categories, names=part.names
        )

    learned_images, test_images = (held(one.images) for one in sets)
    return _Held(
        learned_images,
        test_images,
        [one.pixels for one in sets],
        [line for one in sets for line in one.skipped],
    )


def _some(key: PRNGKeyArray, images: jv.data.ImageSet, most: int) -> jv.data.ImageSet:
    if len(images) <= most:
        return images
    return jv.data.part(
        images, np.sort(np.asarray(jax.random.permutation(key, len(images)))[:most])
    )


def _numbers(found: list[Ablated], facts: dict[str, Any]) -> dict[str, Any]:
    claim = depth_claim(found)
    return {
        **facts,
        "variants": [
            {
                "variant": str(one.variant),
                "drop": one.variant.drop,
                "width": {str(number): width for number, width in one.variant.width},
                "parameters": one.parameters,
                "train_error": one.train_error._asdict(),
                "test_error": one.test_error._asdict(),
                "runs": [
                    {
                        "train_error": float(train.mean()),
                        "test_error": float(test.mean()),
                        "curve": [line._asdict() for line in record],
                    }
                    for train, test, record in zip(
                        one.train_wrong, one.test_wrong, one.records, strict=True
                    )
                ],
            }
            for one in found
        ],
        "claim": claim
        and {
            "text": claim.text,
            "verdict": claim.verdict,
            "comparisons": [
                {"words": one.words, "outcome": one.outcome} for one in claim.comparisons
            ],
        },
    }
