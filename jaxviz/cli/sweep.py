"""`jaxviz sweep`: a method over a whole set of images, into a store."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from jaxtyping import Bool, Float

import jaxviz as jv
from jaxviz import report
from jaxviz.cli import choose, inputs, maps, sweep_page
from jaxviz.cli.mistakes import Mistake, unknown
from jaxviz.cli.progress import counted
from jaxviz.sweep import DeviceFull, Progress, Summary, hosts
from jaxviz.sweep.methods import METHODS

__all__ = ["sweep"]


def sweep(
    data: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[DATA]")] = None,
    *,
    method: Annotated[str, tyro.conf.arg(metavar="METHOD")] = "occlusion",
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    out: Annotated[str | None, tyro.conf.arg(metavar="STORE")] = None,
    target: Annotated[str, tyro.conf.arg(metavar="top|label|CLASS")] = "top",
    layer: Annotated[str | None, tyro.conf.arg(metavar="LAYER")] = None,
    window: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    stride: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    fill: Annotated[str, tyro.conf.arg(metavar="NUMBER|mean")] = "0",
    curves: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 0,
    sanity: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    seed: int = 0,
    batch: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None,
    memory: Annotated[int | None, tyro.conf.arg(metavar="MIB")] = None,
    page: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None,
    log: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    distributed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None,
    processes: Annotated[int | None, tyro.conf.arg(metavar="COUNT")] = None,
    process: Annotated[int | None, tyro.conf.arg(metavar="NUMBER")] = None,
    status: Annotated[str | None, tyro.conf.arg(metavar="STORE")] = None,
) -> None:
    """Makes the maps of all images of a set, on all devices, and keeps them in a Zarr store.

    Started again after it was stopped, or killed, the same command goes on with the images that are
    missing. Images that cannot be used are noted with the reason, and stop nothing.

    Example: jaxviz sweep shapes:500 --model shapes-plain --out maps.zarr

    Args:
      data: Folder of folders of images, shapes:COUNT, digits, or tfds:NAME:SPLIT.
      method: occlusion, saliency, guided, deconvnet, grad-cam or cam.
      model: A port; `jaxviz layers` lists them.
      weights: As for `jaxviz explain`.
      out: The store: a path, or an address, gs://... or s3://...
      target: The class to explain: each image's most probable, its label, or one by number or name.
      layer: Where class activation maps look; by default the last layer with positions.
      window: Side of the occluding square; by default a seventh of the input's.
      stride: Step of the occluding square; by default half the window.
      fill: Value of the occluding square in the model's input, or "mean", as for `jaxviz explain`.
      curves: Steps of deletion and insertion curves of each map; 0 for none.
      sanity: Also compare each map with that of a model with shuffled weights.
      seed: Of the shuffled weights.
      batch: Images that a device gets, and that are written, at one time.
      memory: MiB that occlusion may take at one time; by default 256, on a GPU half of its memory.
      page: Folder for the summary page; by default beside the store, as maps-page.
      log: Journal of JSON lines; by default beside the store, as maps.jsonl. Of several processes
        each has its own, maps-0.jsonl.
      distributed: Work with the other processes of a SLURM, GKE or Open MPI job, or of a TPU pod.
      coordinator: Address of the first of several processes, where nothing tells them of each
        other.
      processes: How many processes there are.
      process: Which of them this one is, from 0.
      status: Say how far the sweep of a store is, and do nothing else.
    """
    if status is not None:
        _tell(status)
        return
    if data is None or model is None or out is None:
        missing = {"DATA": data, "--model": model, "--out": out}
        lacks = " and ".join(name for name, value in missing.items() if value is None)
        raise Mistake(f"sweep needs {lacks}, or --status STORE")
    method = method.replace("_", "-")
    if method not in METHODS:
        raise unknown("method", method, [*METHODS], lists=f"--method takes {', '.join(METHODS)}")
    for name, number in (("batch", batch), ("memory", memory)):
        if number is not None and number < 1:
            raise Mistake(f"--{name} must be at least 1, not {number}")
    inputs.checked_seed(seed)
    inputs.checked_card(model)
    _meet(distributed, coordinator, processes, process)
    first = jax.process_index() == 0
    page, log = _beside(out, page, log)
    with hosts.together("looking where to write"):
        report.check_writable(page)
        if "://" not in out:
            report.check_writable(out)

    start = time.perf_counter()
    with hosts.together("reading the model and the list of images"):
        port = inputs.load_port(model, weights)
        images = jv.data.open_images(data, check=False)
        options: dict[str, Any] = {"target": _target(target, port, images)}
        if method == "occlusion":
            occluder = maps.checked_occluder(port.card.input_size, window, stride, fill)
            # A sweep computes every position: `coarse` is not for it.
            options |= {name: getattr(occluder, name) for name in METHODS[method].options}
        elif METHODS[method].options:
            options["layer"] = inputs.layer_with_places(port, layer)
    with _going_on(out), counted() as shown:
        found = jv.sweep(
            images,
            port.model,
            method,
            out=out,
            prepare=_prepare(port.card),
            curves=curves,
            randomized=jv.randomized(jax.random.key(seed), port.model) if sanity else None,
            masks=_masks(images, port.card),
            batch=batch,
            memory=None if memory is None else memory << 20,
            about={"data": _name_of(data), "model": port.name, "weights": port.weights},
            log=log,
            watch=_watch(shown if first else None),
            **options,
        )
    if not first:
        return
    sweep_page.write(page, found, port, images)
    seconds = time.perf_counter() - start
    print(f"{_words(found)}, in {seconds:.0f} s, to {out}; open {Path(page) / 'index.html'}")


def _meet(
    distributed: bool, coordinator: str | None, processes: int | None, process: int | None
) -> None:
    """Makes the processes of one sweep known to each other, before JAX looks for devices."""
    if coordinator is None and processes is None and process is None:
        if distributed:
            _initialize()
        return
    if coordinator is None or processes is None or process is None:
        raise Mistake("--coordinator, --processes and --process must be given together, or none")
    if not 0 <= process < processes:
        raise Mistake(f"--process must be from 0 to {processes - 1}, not {process}")
    host, _, number = coordinator.rpartition(":")
    if not (host and number.isdecimal() and 0 < int(number) < 65536):
        raise Mistake(f"--coordinator must be HOST:PORT, as first-machine:1234, not {coordinator}")
    _initialize(coordinator, processes, process)


def _initialize(*arguments: Any) -> None:
    try:
        jax.distributed.initialize(*arguments)
    except (ValueError, RuntimeError) as error:  # as JAX says that it lacks a fact, or an answer
        said = str(error).strip().partition("\n")[0]
        raise Mistake(f"the processes do not find each other: {said}") from error


def _watch(shown: Callable[[Progress], None] | None) -> Callable[[Progress], None]:
    """Shows the progress, if it is to be shown, and in any case that a device was full."""
    turns = 1

    def watch(progress: Progress) -> None:
        nonlocal turns
        if progress.turns > turns:
            turns = progress.turns
            print(
                f"jaxviz: a device has too little memory for a batch, and takes it in {turns} "
                "turns from here on; the last bits of the results may depend on that",
                file=sys.stderr,
            )
        if shown is not None:
            shown(progress)

    return watch


def _beside(out: str, page: str | None, log: str | None) -> tuple[str, str]:
    """Where page and journal go: beside a store on this machine, here for one in a bucket."""
    place = out.rstrip("/")
    name = place.rpartition("/")[2] if "://" in place else place
    stem = name.removesuffix(".zarr")
    index, count = jax.process_index(), jax.process_count()
    given = Path(log or f"{stem}.jsonl")
    # Every process has a journal of its own.
    own = given if count == 1 else given.with_stem(f"{given.stem}-{index}")
    return page or f"{stem}-page", str(own)


def _target(given: str, port: inputs.Port, images: jv.data.ImageSet) -> Any:
    if given == "label" and len(images.categories) != port.classes:
        raise Mistake(
            f"--target label needs a set with the model's {port.classes} classes, and this one has "
            f"{len(images.categories)}"
        )
    if given in ("top", "label"):
        return given
    return choose.class_index(given, categories=port.card.categories, count=port.classes)


def _prepare(card: Any) -> Callable[[Float[np.ndarray, "h w 3"]], Float[np.ndarray, "s s 3"]]:
    """As the card's `preprocess`, without the device, which has other things to do."""
    mean, std = (np.asarray(values, np.float32) for values in (card.mean, card.std))
    return lambda image: (card.to_display(image)[0] - mean) / std


def _masks(images: jv.data.ImageSet, card: Any) -> Any:
    """Where the objects are in the model's inputs, if the set knows it."""
    masks_of = getattr(images, "masks", None)
    if masks_of is None:
        return None

    def masks(indices: Sequence[int]) -> Bool[np.ndarray, "n s s"]:
        shown = [np.repeat(mask[..., None], 3, -1).astype(np.float32) for mask in masks_of(indices)]
        return card.to_display(shown)[..., 0] > 0.5

    return masks


def _name_of(data: str) -> str:
    """The set in words that do not change when a folder is moved."""
    return f"folder {Path(data).resolve().name}" if Path(data).is_dir() else data


@contextlib.contextmanager
def _going_on(out: str) -> Iterator[None]:
    """Says after a stop what is done, and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, OSError, DeviceFull):
        with contextlib.suppress(OSError):
            counts = jv.sweep_status(out).counts
            done = sum(counts.values()) - counts["pending"]
            print(
                f"jaxviz: stopped with {done:,} of {sum(counts.values()):,} images done; the same "
                "command goes on with the others",
                file=sys.stderr,
            )
        raise


def _words(found: Summary) -> str:
    failed = len(found.failures)
    more = f" and {failed:,} failure{'s' if failed > 1 else ''}" if failed else ""
    return f"{found.counts['done']:,} images{more}"


def _tell(place: str) -> None:
    """How far a sweep is, on the terminal."""
    found = jv.sweep_status(place)
    parameters = found.about["parameters"]
    for name, value in {**parameters, **found.about["versions"]}.items():
        print(f"{name:>20}  {value}")
    for word, count in found.counts.items():
        print(f"{word.replace('_', ' '):>20}  {count:,}")
    for name, scores in found.scores.items():
        if len(scores):
            print(f"{name.replace('_', ' '):>20}  {np.nanmean(scores):.4f} (mean)")
    for failure in found.failures:
        print(f"{failure.status.replace('_', ' '):>20}  {failure.image}: {failure.reason}")
    total = sum(found.counts.values())
    left = f"{found.counts['pending']:,} of {total:,} images are pending"
    print(f"{'all images are done' if found.complete else left}; wrote nothing")
