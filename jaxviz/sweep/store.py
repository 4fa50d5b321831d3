"""The results of a sweep: one Zarr group (format 3) that TensorStore writes, here or in a bucket.

An image counts as done when its status says so, and its status is written after its data are on the
disk. What is written at one time are the images of one batch, always the same ones, so that a batch
that was cut off in the middle is written again as a whole, and nothing is there twice.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxviz.sweep import strings, zarr_arrays
from jaxviz.sweep.zarr_arrays import Layout

__all__ = [
    "DONE",
    "MEANINGS",
    "NOT_FINITE",
    "PENDING",
    "UNREADABLE",
    "OtherSweep",
    "Store",
    "begun",
    "continued",
    "create",
    "finish",
    "forget_reasons",
    "open_store",
    "read",
    "read_strings",
    "statuses",
    "write",
]

PENDING, DONE, UNREADABLE, NOT_FINITE = range(4)
"""What an image's status may be."""

MEANINGS = ("pending", "done", "unreadable", "not_finite")
"""The words for them, in the order of their numbers."""

_KEY = "jaxviz_sweep"


class OtherSweep(ValueError):
    """The store holds a sweep of other images, of another model or with other options."""


class Store(NamedTuple):
    """An open store.

    Attributes:
      place: the path or address of the group.
      files: TensorStore's view of its files.
      arrays: its arrays of numbers.
      about: what the group's attributes say of the sweep.
    """

    place: str
    files: Any
    arrays: Mapping[str, Any]
    about: Mapping[str, Any]

    @property
    def batch(self) -> int:
        """How many images are written at one time."""
        return self.about["parameters"]["batch"]

    def __len__(self) -> int:
        """How many images there are, done or not."""
        return self.arrays["status"].shape[0]


def _kvstore(place: str, inside: str = "") -> Any:
    if "://" in place:
        return f"{place.rstrip('/')}/{inside}"
    return {"driver": "file", "path": f"{os.path.abspath(place)}/{inside}"}


@contextlib.contextmanager
def _said_plainly(place: str) -> Iterator[None]:
    """What TensorStore has to say of a disk or a bucket, as an `OSError` of one sentence."""
    try:
        yield
    except OSError:
        raise
    except ValueError as error:
        # TensorStore begins what comes from a disk or a bucket with a code, as NOT_FOUND; another
        # error, or a place outside of an array, is a bug.
        if not re.match(r"(?!OUT_OF_RANGE)[A-Z_]+: |Parsing spec from url: ", str(error)):
            raise
        if re.search(r"No space left|quota exceeded|OS error 28\b", str(error), re.IGNORECASE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place) from error
        first = str(error).split(" [")[0].strip()
        raise OSError(f"{place} cannot be read or written: {first}") from error


def begun(place: str) -> Mapping[str, Any] | None:
    """What a store says of its sweep, or None where there is none yet.

    Raises:
      OSError: there is something else, or the place cannot be read.
    """
    import tensorstore as ts

    with _said_plainly(place):
        if "://" not in place and Path(place).exists() and not Path(place).is_dir():
            raise NotADirectoryError(f"{place} is a file; a store is a folder.")
        files = ts.KvStore.open(_kvstore(place)).result()
        found = files.read("zarr.json").result()
        if found.state == "value":
            try:
                attributes = json.loads(found.value).get("attributes", {})
            except json.JSONDecodeError as error:
                raise OSError(f"{place}/zarr.json is not JSON: {error}; it is damaged.") from error
            if _KEY in attributes:
                return attributes[_KEY]
            raise OSError(f"{place} is a Zarr store, and none of a sweep; give another place.")
        # Nothing but what TensorStore leaves of a file that it was writing when it was killed.
        keys = [key.decode() for key in files.list().result()]
    if any(not key.endswith(".__lock") for key in keys):
        raise OSError(f"{place} is there already, and is no store of a sweep; give another place.")
    return None


def create(
    place: str,
    layouts: Mapping[str, Layout],
    names: Sequence[str],
    *,
    known: Mapping[str, np.ndarray],
    parameters: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    """Makes the group and its arrays, all images pending; again, if that was cut off before.

    Args:
      place: a path, or an address as TensorStore takes it (`gs://`, `s3://`).
      layouts: the arrays of numbers.
      names: of the images.
      known: arrays that are known before anything is computed.
      parameters: what a run that goes on must agree in.
      about: what else to note of the sweep.

    Raises:
      OSError: it cannot be written.
    """
    import tensorstore as ts

    with _said_plainly(place):
        files = ts.KvStore.open(_kvstore(place)).result()
        group = {"zarr_format": 3, "node_type": "group"}
        noted = {
            "state": "being made",
            "images": len(names),
            "parameters": dict(parameters),
            **about,
        }
        # First of all, so that what is cut off from here on is known for ours.
        files.write("zarr.json", _json({**group, "attributes": {_KEY: noted}})).result()
        for name, layout in layouts.items():
            spec = {
                "driver": "zarr3",
                "kvstore": _kvstore(place, f"{name}/"),
                "metadata": zarr_arrays.metadata(layout),
            }
            array = ts.open(spec, create=True, delete_existing=True).result()
            if name in known:
                array.write(known[name]).result()
        for name, piece in (("image", len(names)), ("reason", 1)):
            described = strings.metadata(len(names), piece, "image")
            files.write(f"{name}/zarr.json", _json(described)).result()
        files.write("image/c/0", strings.encoded(names)).result()
        # All metadata in one place: one request opens the store, in a bucket too.
        members = sorted([*layouts, "image", "reason"])
        described = {
            name: json.loads(files.read(f"{name}/zarr.json").result().value) for name in members
        }
        noted["state"] = "made"
        whole = {
            **group,
            "attributes": {_KEY: noted},
            "consolidated_metadata": {
                "kind": "inline",
                "must_understand": False,
                "metadata": described,
            },
        }
        files.write("zarr.json", _json(whole)).result()


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def continued(place: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a store of a sweep with these parameters is there already.

    Raises:
      OtherSweep: it is there, with others; all that differ are named.
      OSError: there is something else.
    """
    about = begun(place)
    if about is None:
        return False
    before = about["parameters"]
    other = [
        f"{name} {before.get(name, 'not given')} (now {parameters.get(name, 'not given')})"
        for name in dict.fromkeys([*parameters, *before])
        if before.get(name) != parameters.get(name)
    ]
    if other:
        raise OtherSweep(
            f"{place} holds a sweep with {', '.join(other)}; give the options of that sweep to go "
            "on with it, or another place."
        )
    return about["state"] == "made"


def open_store(place: str) -> Store:
    """Opens a store of a sweep.

    Raises:
      OSError: there is none, or it cannot be read.
    """
    import tensorstore as ts

    about = begun(place)
    if about is None or about["state"] != "made":
        raise FileNotFoundError(f"There is no store of a sweep at {place}.")
    with _said_plainly(place):
        files = ts.KvStore.open(_kvstore(place)).result()
        group = json.loads(files.read("zarr.json").result().value)
        opening = {
            name: ts.open({"driver": "zarr3", "kvstore": _kvstore(place, f"{name}/")}, open=True)
            for name, described in group["consolidated_metadata"]["metadata"].items()
            if described["data_type"] != "string"
        }
        arrays = {name: future.result() for name, future in opening.items()}
    return Store(place, files, arrays, about)


def statuses(store: Store) -> UInt8[np.ndarray, " n"]:
    """The status of every image."""
    with _said_plainly(store.place):
        return store.arrays["status"].read().result()


def read(store: Store, name: str, place: Any = ...) -> np.ndarray:
    """An array of the store, or a part of it."""
    with _said_plainly(store.place):
        return store.arrays[name][place].read().result()


def read_strings(store: Store, name: str, number: int = 0) -> list[str]:
    """A chunk of an array of strings; of one that nothing was written to, an empty string."""
    with _said_plainly(store.place):
        found = store.files.read(f"{name}/c/{number}").result()
    return strings.decoded(found.value) if found.state == "value" else [""]


def write(
    store: Store,
    number: int,
    arrays: Mapping[str, np.ndarray],
    status: UInt8[np.ndarray, " m"],
    *,
    of_batch: Mapping[str, np.ndarray],
    reasons: Mapping[int, str],
) -> None:
    """Writes a batch of images, and returns when it is on the disk.

    Args:
      store: where to.
      number: of the batch: it holds the images from `number * store.batch` on.
      arrays: by name, with the images in front.
      status: of its images.
      of_batch: what arrays with one entry for each batch get.
      reasons: of images that are not done, by their numbers in the set, what is wrong with them.

    Raises:
      OSError: it cannot be written; the images stay pending.
    """
    first = number * store.batch
    images = slice(first, first + len(status))
    with _said_plainly(store.place):
        writing = [store.arrays[name][images].write(values) for name, values in arrays.items()]
        writing += [store.arrays[name][number].write(one) for name, one in of_batch.items()]
        writing += [
            store.files.write(f"reason/c/{image}", strings.encoded([reason]))
            for image, reason in reasons.items()
        ]
        for future in writing:
            future.result()
        store.arrays["status"][images].write(status).result()


def forget_reasons(store: Store) -> None:
    """Removes the reasons of images that are pending: those of a batch that was cut off."""
    import tensorstore as ts

    pending = statuses(store) == PENDING
    with _said_plainly(store.place):
        reasons = ts.KvStore.KeyRange("reason/c/", "reason/c0")
        for key in store.files.list(reasons).result():
            part = re.fullmatch(r"reason/c/(\d+)", key.decode())
            if part and pending[int(part[1])]:
                store.files.write(key, None).result()


def finish(store: Store, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes whole arrays, those of all images together."""
    with _said_plainly(store.place):
        for name, values in arrays.items():
            store.arrays[name].write(values).result()
