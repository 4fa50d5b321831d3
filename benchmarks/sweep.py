"""`python -m benchmarks.sweep`: what a sweep costs beyond its method, and how much memory it takes.

`overhead` times sweeps of photographs in files beside the method alone, in turns; `memory` reads a
process's peak after a sweep of so many images.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from PIL import Image
from rich.console import Console
from rich.table import Table

import jaxviz as jv
import ports
from benchmarks.memory import mebibytes
from benchmarks.record import keep
from jaxviz.attribution.occlusion import grid_of

Out = Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")]


def _photographs(folder: Path, count: int) -> jv.data.ImageSet:
    """JPEG files as a camera's, 500 x 375, with something to decode in them."""
    random = np.random.default_rng(0)
    (folder / "photos").mkdir(parents=True)
    for i in range(count):
        small = Image.fromarray(random.integers(0, 256, (47, 63, 3), np.uint8))
        small.resize((500, 375), Image.Resampling.BICUBIC).save(folder / "photos" / f"{i:05}.jpg")
    return jv.data.image_folder(folder, check=False)


def _prepare(card: Any):
    mean, std = (np.asarray(values, np.float32) for values in (card.mean, card.std))
    return lambda image: (card.to_display(image)[0] - mean) / std


def _now() -> np.ndarray:
    """The time, and what this process has had of the processors, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def _compared(
    name: str,
    *,
    method: str,
    images: int,
    batch: int,
    window: int,
    stride: int,
    rounds: int,
) -> dict[str, Any]:
    """Seconds for an image, in sweeps and without, in turns."""
    model, card = ports.load(name, key=jax.random.key(0)), ports.card(name)
    side, device, prepare = card.input_size, jax.local_devices()[0], _prepare(card)
    occluder: dict[str, Any] = {"window": (window, window), "stride": (stride, stride)}
    target = 0

    def alone(x: jax.Array) -> Any:
        if method == "saliency":
            return np.asarray(jv.saliency(model, x, target))
        maps = jv.occlusion(model, x, jv.objectives.probability(target), **occluder)
        return np.asarray(maps.score), np.asarray(maps.drop), np.asarray(maps.label)

    with tempfile.TemporaryDirectory() as folder:
        photos = _photographs(Path(folder) / "images", images)

        def sweeping(count: int) -> np.ndarray:
            """What a sweep of the first so many photographs takes."""
            begun = _now()
            jv.sweep(
                jv.data.image_folder(f"{folder}/images", per_class=count, check=False),
                model,
                method,
                out=tempfile.mkdtemp(dir=folder),
                prepare=prepare,
                target=target,
                window=window,
                stride=stride,
                batch=batch,
                devices=[device],
            )
            return _now() - begun

        x = np.stack([prepare(photos[i][0]) for i in range(images)])
        batches = [jax.device_put(x[i : i + batch], device) for i in range(0, images, batch)]
        sweeping(batch)
        alone(batches[0])
        ours, bare = [], []
        for _ in range(rounds):
            ours.append((sweeping(images) - sweeping(batch)) / (images - batch))
            begun = _now()
            for some in batches[1:]:
                alone(some)
            bare.append((_now() - begun) / (images - batch))
    positions = len(grid_of((side, side), **occluder).boxes) if method == "occlusion" else 0
    middle, middle_bare = np.median(ours, 0), np.median(bare, 0)
    more = np.median(np.array(ours) / np.array(bare), 0) - 1
    return {
        "model": name,
        "positions": positions,
        "sweep": middle[0],
        "alone": middle_bare[0],
        "overhead": more[0],
        "sweep_processor": middle[1],
        "alone_processor": middle_bare[1],
        "overhead_processor": more[1],
        "images_per_second": 1 / middle[0],
        "positions_per_second": positions / middle[0],
    }


def overhead(
    models: tuple[str, ...] = ("vgg16", "resnet50"),
    method: str = "occlusion",
    images: int = 12,
    batch: int = 2,
    window: int = 32,
    stride: int = 32,
    rounds: int = 3,
    out: Out = None,
) -> None:
    """Times a sweep of photographs in files, and the method alone on the same inputs in memory.

    Both explain one class; the sweep also gives probabilities. The method alone gets batches of the
    same size, ready on the device, and its results are taken to the host. Of the sweeps the
    difference counts between one of all images and one of a single batch: neither compilation nor
    the making of the store. "more" is time, "more work" what the processors did, which other
    programs on the machine do not change.

    Args:
      models: names of ports, with random weights.
      method: occlusion or saliency.
      images: how many photographs.
      batch: how many a device gets at one time.
      window: side of the occluder.
      stride: from one position to the next.
      rounds: how often each runs.
      out: where to write the figures, with the device and the versions.
    """
    options = {"method": method, "window": window, "stride": stride, "batch": batch}
    rows = [_compared(name, images=images, rounds=rounds, **options) for name in models]
    table = Table("model", "sweep", "alone", "more", "more work", "images/s", "positions/s")
    for row in rows:
        table.add_row(
            row["model"],
            f"{1e3 * row['sweep']:.1f} ms",
            f"{1e3 * row['alone']:.1f} ms",
            f"{100 * row['overhead']:.1f} %",
            f"{100 * row['overhead_processor']:.1f} %",
            f"{row['images_per_second']:.3g}",
            f"{row['positions_per_second']:,.0f}",
        )
    Console().print(table)
    keep(out, {**options, "images": images, "rounds": rounds, "rows": rows})


def memory(count: int = 100, out: Out = None) -> None:
    """The peak of this process in a sweep of the shapes set, saliency on shapes-plain.

    Args:
      count: how many images.
      out: where to write the figure, with the device and the versions.
    """
    model, card = ports.load("shapes-plain", weights="shapes"), ports.card("shapes-plain")
    with tempfile.TemporaryDirectory() as folder:
        jv.sweep(
            jv.data.shapes_images(count),
            model,
            "saliency",
            out=f"{folder}/maps.zarr",
            prepare=_prepare(card),
        )
    peak = mebibytes("VmHWM")
    print(f"{count:,} images: the process took {peak:.0f} MiB at most")
    keep(out, {"count": count, "peak": round(peak)})


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"overhead": overhead, "memory": memory})
