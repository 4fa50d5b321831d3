"""A method over a whole set of images: on all devices, into a store, and on after a stop."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxviz.data import ImageSet
from jaxviz.sweep import hosts, store
from jaxviz.sweep.devices import IMAGES, Computer, mesh_of, said_when_full, shapes_of
from jaxviz.sweep.layouts import batch_of, layouts_of
from jaxviz.sweep.methods import Asked
from jaxviz.sweep.parameters import checked, parameters_of, plain, positions_of
from jaxviz.sweep.pipeline import Masks, Prepare, computed_and_written
from jaxviz.sweep.rows import Rows, rows_of
from jaxviz.sweep.store import Store
from jaxviz.sweep.summary import Summary, mean_map, summary
from jaxviz.sweep.watching import Clock, Progress, finishing, journal
from jaxviz.sweep.zarr_arrays import Layout
from jaxviz.transform import as_argument

__all__ = ["sweep"]


def sweep(
    images: ImageSet,
    model: Callable,
    method: str,
    *,
    out: str | os.PathLike[str],
    prepare: Prepare,
    target: int | Literal["top", "label"] = "top",
    layer: str | None = None,
    window: int = 32,
    stride: int = 8,
    fill: float | Literal["mean"] = 0.0,
    curves: int = 0,
    randomized: Callable | None = None,
    masks: Masks | None = None,
    batch: int | None = None,
    memory: int | None = None,
    devices: Sequence[Any] | None = None,
    about: Mapping[str, str] | None = None,
    log: str | os.PathLike[str] | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> Summary:
    """Maps of all images of a set, in a store that survives a kill and that xarray opens.

    The same call goes on where another one was stopped, by whatever: the store is then the same, to
    the bit, as that of a run of one piece, on however many devices and machines of one kind. Only a
    device without memory for a whole batch takes it in turns, which may round differently. An image
    that cannot be read, or whose map is not finite, is noted with the reason and stops nothing.

    Args:
      images: the set, as `jv.data.open_images` gives it.
      model: a callable pytree, from inputs to logits. Its arrays are what a run that goes on is
        compared by; of a bare function there are none to compare.
      method: occlusion, saliency, guided, deconvnet, grad-cam or cam.
      out: the store, a Zarr group: a path, or an address as TensorStore takes it.
      prepare: one image, in [0, 1], to the model's input, as a card's `preprocess`; several threads
        call it.
      target: the class that the maps explain: "top", each image's most probable; "label", its own;
        or a number. Occlusion follows its probability, the other methods its logit.
      layer: for class activation maps, where they look.
      window: for occlusion, the side of the square in pixels.
      stride: for occlusion, from one position to the next.
      fill: for occlusion, the value of the square, in the model's input, or "mean", the mean colour
        of each image.
      curves: steps of the deletion and insertion curves (see `jv.removal_curves`); 0 for none.
      randomized: the same model with other weights, as `jv.randomized` makes it: each map is
        compared with this model's.
      masks: `masks(indices)` gives of some images of the set the pixels of the input that the
        object covers: a map's peak lies there, or not. No pixels around the object are counted
        for it, as they are in the paper (15 on each side).
      batch: how many images a device gets at one time, and are written at one time; by default what
        suits the method.
      memory: bytes that occlusion may take at one time, as in `jv.occlusion`. A run that goes on
        must agree in them, also where they are what the device has by default.
      devices: of this machine; by default all.
      about: what else a run that goes on must agree in, in words, as the model's name.
      log: file for a journal of JSON lines.
      watch: is called with the progress after each step.

    Returns:
      What the store holds now.

    Raises:
      OtherSweep: the store holds a sweep of another model or with other options; a `ValueError`.
      DeviceFull: a device's memory does not hold one image; a `ValueError`.
      ValueError: an option does not fit, no image can be read, or the set has images that the store
        does not know.
      OSError: the store, or the journal, cannot be written, or another process has failed; what is
        done is kept.
      KeyboardInterrupt: Ctrl-C, after the batches under way are written.

    Example:
      >>> import tempfile, numpy as np, jaxviz as jv
      >>> model = lambda x: x.mean((1, 2))
      >>> images = jv.data.shapes_images(5, size=8)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     out = f"{folder}/maps.zarr"
      ...     found = jv.sweep(images, model, "saliency", out=out, prepare=np.asarray)
      >>> found.counts["done"], found.mean_map.shape
      (5, (8, 8))

    References:
      The methods' own; Petsiuk, Das, Saenko, RISE, 2018, section 4.1 (curves); Zhang et al.,
      Top-down neural attention, 2016 (peaks); Adebayo et al., Sanity checks, 2018 (randomization).
    """
    place = os.fspath(out)
    with contextlib.ExitStack() as stack:
        with hosts.together("reading the images"):
            model = as_argument(model)
            randomized = None if randomized is None else as_argument(randomized)
            asked = plain(Asked(method, target, layer, window, stride, fill, curves))
            new = _new(
                place,
                images,
                model,
                randomized,
                asked=asked,
                prepare=prepare,
                masks=masks,
                batch=batch,
                memory=memory,
                devices=devices,
                about=about or {},
            )
        with hosts.together("making the store"):
            if hosts.is_first() and not new.made:
                store.create(
                    place,
                    new.layouts,
                    new.rows.names,
                    known=new.known,
                    parameters=new.parameters,
                    about={"versions": _versions()},
                )
        with hosts.together("opening the store"):
            kept = _opened(place)
            rows = rows_of(
                images, store.read_strings(kept, "image"), need_label=asked.target == "label"
            )
            if hosts.is_first():
                store.forget_reasons(kept)
            status = store.statuses(kept)
            note = stack.enter_context(journal(log))
            stopped = stack.enter_context(finishing())
        pending = [
            number
            for number in range(-(-len(kept) // kept.batch))
            if (status[number * kept.batch :][: kept.batch] == store.PENDING).any()
        ]
        with hosts.together("making the maps"), said_when_full():
            own = hosts.own_share(pending)
            mesh = mesh_of(devices or jax.local_devices(), len(own), method)
            note("begin", store=kept.place, images=len(kept), batches=len(own), devices=mesh.size)
            computer = Computer(
                model,
                randomized,
                asked=asked,
                mesh=mesh,
                batch=kept.batch,
                memory=memory,
                on_full=lambda turns: note("device full", turns=turns),
            )
            step = mesh.shape[IMAGES]
            groups = [own[i : i + step] for i in range(0, len(own), step)]
            places = [rows.places.get(name, -1) for name in rows.names]
            of_rows = None if masks is None else lambda some: masks([places[i] for i in some])
            clock = Clock(_images_in(own, kept), positions_of(asked, new.shape))
            same = _of_shape(prepare, new.shape)
            # Closed at once when `watch` raises, so that its threads end before the store is read.
            with contextlib.closing(
                computed_and_written(kept, rows, groups, computer, same, of_rows, stopped)
            ) as steps:
                for written in steps:
                    progress = clock.count(written.images, len(written.failures), computer.turns)
                    for image, (word, reason) in written.failures.items():
                        note(word, image=rows.names[image], reason=reason)
                    note("written", **progress._asdict())
                    if watch is not None:
                        watch(progress)
            if stopped():
                note("interrupted")
                raise KeyboardInterrupt
        with hosts.together("finishing the store"):
            status = store.statuses(kept)
            if hosts.is_first() and not (status == store.PENDING).any():
                store.finish(kept, {"mean_map": mean_map(kept, status)})
            note("end")
    return summary(kept)


class _New(NamedTuple):
    """What a store of the sweep is to hold.

    Attributes:
      rows: its images.
      shape: of the model's input.
      layouts: its arrays of numbers.
      known: those that are known before anything is computed.
      parameters: what a run that goes on must agree in.
      made: whether the store is there already.
    """

    rows: Rows
    shape: tuple[int, ...]
    layouts: dict[str, Layout]
    known: dict[str, np.ndarray]
    parameters: dict[str, Any]
    made: bool


def _new(
    place: str,
    images: ImageSet,
    model: Callable,
    randomized: Callable | None,
    *,
    asked: Asked,
    prepare: Prepare,
    masks: Masks | None,
    batch: int | None,
    memory: int | None,
    devices: Sequence[Any] | None,
    about: Mapping[str, str],
) -> _New:
    """The store as this call would make it; one that is there must agree."""
    rows = rows_of(images)
    example = _first_input(rows, prepare)
    checked(asked, example.shape, batch)
    if masks is not None and len(images):
        _check_masks(np.shape(masks([0])), (1, *example.shape[:2]))
    known = store.begun(place)
    size = batch_of(asked.method, batch, len(rows) if known is None else known["images"])
    agreed = parameters_of(
        asked,
        model,
        randomized,
        shape=example.shape,
        categories=images.categories,
        masks=masks is not None,
        batch=size,
        memory=memory,
        device=(devices or jax.local_devices())[0],
        about=about,
    )
    made = store.continued(place, agreed)
    x = jax.ShapeDtypeStruct((size, *example.shape), example.dtype)
    arrays, heat = shapes_of(model, randomized, x, asked=asked, memory=memory)
    _check_classes(asked, images, arrays["probabilities"].shape[1])
    layouts = layouts_of(
        arrays,
        heat,
        len(rows),
        size,
        method=asked.method,
        curves=asked.curves,
        masks=masks is not None,
    )
    shares = np.linspace(0, 1, asked.curves + 1, dtype=np.float32)
    labels_and_shares = {"label": rows.labels, "share": shares}
    return _New(rows, example.shape, layouts, labels_and_shares, agreed, made)


def _opened(place: str) -> Store:
    try:
        return store.open_store(place)
    except FileNotFoundError as error:
        if hosts.is_first():
            raise
        raise FileNotFoundError(
            f"{error} The first process has made it there: the place must be one that all "
            "processes reach."
        ) from error


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("jaxviz", "jax", "tensorstore")}


def _images_in(numbers: Sequence[int], kept: Store) -> int:
    return sum(min(kept.batch, len(kept) - number * kept.batch) for number in numbers)


def _first_input(rows: Rows, prepare: Prepare) -> np.ndarray:
    """The model's input for the first image that can be read, which tells the shape of all."""
    first: Exception | None = None
    for index in range(len(rows)):
        try:
            x = np.asarray(prepare(rows[index][0]))
        except (ValueError, OSError) as error:
            first = first or error
        else:
            return x[0] if x.ndim == 4 else x
    raise ValueError(f"none of the {len(rows):,} images can be read; the first: {first}") from first


def _of_shape(prepare: Prepare, shape: tuple[int, ...]) -> Prepare:
    """`prepare`, for which an image whose input has another shape is one that cannot be used."""

    def same(image: np.ndarray) -> np.ndarray:
        x = np.asarray(prepare(image))
        x = x[0] if x.ndim == 4 else x
        if x.shape != shape:
            raise ValueError(f"its input has the shape {x.shape}, and that of others is {shape}")
        return x

    return same


def _check_masks(given: tuple[int, ...], fitting: tuple[int, ...]) -> None:
    if given != fitting:
        raise ValueError(
            f"masks must give pixels of the model's input, {fitting} for one image; got {given}."
        )


def _check_classes(asked: Asked, images: ImageSet, classes: int) -> None:
    if isinstance(asked.target, str):
        # -1 stands for no label: such an image is a failure of its own.
        wrong = [label for label in np.unique(images.labels).tolist() if not -1 <= label < classes]
        if asked.target == "label" and wrong:
            raise ValueError(
                f"target 'label' needs labels from 0 to {classes - 1}, the model's classes; one is "
                f"{wrong[-1]}."
            )
    elif not 0 <= asked.target < classes:
        raise ValueError(f"target must be a class from 0 to {classes - 1}, got {asked.target}.")
