"""A method over a whole set of images: on all devices, into a store, and on after a stop."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from jaxviz.data import ImageSet
from jaxviz.sweep import hosts, store
from jaxviz.sweep.devices import IMAGES, Computer, mesh_of, shapes_of
from jaxviz.sweep.layouts import batch_of, layouts_of
from jaxviz.sweep.methods import Asked
from jaxviz.sweep.parameters import checked, parameters_of, positions_of
from jaxviz.sweep.pipeline import Masks, Prepare, computed_and_written
from jaxviz.sweep.rows import Rows, rows_of
from jaxviz.sweep.store import Store
from jaxviz.sweep.summary import Summary, mean_map, summary
from jaxviz.sweep.watching import Clock, Progress, finishing, journal
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
    the bit, as that of a run of one piece, on however many devices and machines. An image that
    cannot be read, or whose map is not finite, is noted with the reason and stops nothing.

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
        object covers: a map's peak lies there, or not.
      batch: how many images a device gets at one time, and are written at one time; by default what
        suits the method.
      memory: bytes that occlusion may take at one time, as in `jv.occlusion`.
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
      OSError: the store, or the journal, cannot be written; what is done is kept.
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
    model = as_argument(model)
    randomized = None if randomized is None else as_argument(randomized)
    asked = Asked(method, target, layer, window, stride, fill, curves)
    kept, shape = _opened(
        os.fspath(out),
        images,
        model,
        randomized,
        asked=asked,
        prepare=prepare,
        masks=masks is not None,
        batch=batch,
        memory=memory,
        about=about or {},
    )
    rows = rows_of(images, store.read_strings(kept, "image"))
    if hosts.is_first():
        store.forget_reasons(kept)
    status = store.statuses(kept)
    hosts.together("the store is read")
    pending = [
        number
        for number in range(-(-len(kept) // kept.batch))
        if (status[number * kept.batch :][: kept.batch] == store.PENDING).any()
    ]
    with journal(log) as note, finishing() as stopped:
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
        groups = [own[i : i + mesh.shape[IMAGES]] for i in range(0, len(own), mesh.shape[IMAGES])]
        places = [rows.places.get(name, -1) for name in rows.names]
        of_rows = None if masks is None else lambda some: masks([places[i] for i in some])
        clock = Clock(_images_in(own, kept), positions_of(asked, shape))
        for written in computed_and_written(
            kept, rows, groups, computer, prepare, of_rows, stopped
        ):
            progress = clock.count(written.images, len(written.failures))
            for image, (word, reason) in written.failures.items():
                note(word, image=rows.names[image], reason=reason)
            note("written", **progress._asdict())
            if watch is not None:
                watch(progress)
        if stopped():
            note("interrupted")
            raise KeyboardInterrupt
        hosts.together("all is written")
        status = store.statuses(kept)
        if hosts.is_first() and not (status == store.PENDING).any():
            store.finish(kept, {"mean_map": mean_map(kept, status)})
        hosts.together("all is finished")
        note("end")
    return summary(kept)


def _opened(
    place: str,
    images: ImageSet,
    model: Callable,
    randomized: Callable | None,
    *,
    asked: Asked,
    prepare: Prepare,
    masks: bool,
    batch: int | None,
    memory: int | None,
    about: Mapping[str, str],
) -> tuple[Store, tuple[int, ...]]:
    """The store, made if it is not there, and the shape of the model's input."""
    rows = rows_of(images)
    example = _first_input(rows, prepare)
    checked(asked, example.shape, batch)
    known = store.begun(place)
    size = batch_of(asked.method, batch, len(rows) if known is None else known["images"])
    agreed = parameters_of(
        asked,
        model,
        randomized,
        shape=example.shape,
        masks=masks,
        batch=size,
        memory=memory,
        about=about,
    )
    made = store.continued(place, agreed)
    x = jax.ShapeDtypeStruct((size, *example.shape), example.dtype)
    arrays, heat = shapes_of(model, randomized, x, asked=asked, memory=memory)
    _check_classes(asked, images, arrays["probabilities"].shape[1])
    if hosts.is_first() and not made:
        shares = np.linspace(0, 1, asked.curves + 1, dtype=np.float32)
        store.create(
            place,
            layouts_of(
                arrays,
                heat,
                len(rows),
                size,
                method=asked.method,
                curves=asked.curves,
                masks=masks,
            ),
            rows.names,
            known={"label": rows.labels, "share": shares},
            parameters=agreed,
            about={"versions": _versions()},
        )
    hosts.together("the store is made")
    return store.open_store(place), example.shape


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


def _check_classes(asked: Asked, images: ImageSet, classes: int) -> None:
    if isinstance(asked.target, str):
        wrong = [label for label in np.unique(images.labels).tolist() if not 0 <= label < classes]
        if asked.target == "label" and wrong:
            raise ValueError(
                f"target 'label' needs labels from 0 to {classes - 1}, the model's classes; one is "
                f"{wrong[-1]}."
            )
    elif not 0 <= asked.target < classes:
        raise ValueError(f"target must be a class from 0 to {classes - 1}, got {asked.target}.")
