"""Arrays of numbers as Zarr (format 3) describes them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Layout", "metadata"]


class Layout(NamedTuple):
    """An array of the store.

    Attributes:
      dtype: of its numbers.
      shape: of the array.
      axes: the names of its axes.
      piece: the chunk that can be read alone.
      together: the chunk that is written at one time, of pieces; None where it is the piece.
      attributes: what else to say of it.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    piece: tuple[int, ...]
    together: tuple[int, ...] | None = None
    attributes: Mapping[str, Any] = MappingProxyType({})

    @property
    def fill(self) -> Any:
        """What stands where nothing was written: no number, or none that could be meant."""
        kind = np.dtype(self.dtype).kind
        return "NaN" if kind == "f" else -1 if kind == "i" else 0


def metadata(layout: Layout) -> dict[str, Any]:
    """What TensorStore's driver `zarr3` is to be told of an array.

    Pieces are compressed one by one; where several are written at one time, they are in one file
    with an index of where each begins.
    """
    order: list[dict[str, Any]] = [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "zstd", "configuration": {"level": 1}},
    ]
    outer = layout.piece if layout.together is None else layout.together
    if layout.together is not None:
        index = [order[0], {"name": "crc32c"}]
        shards = {"chunk_shape": list(layout.piece), "codecs": order, "index_codecs": index}
        order = [{"name": "sharding_indexed", "configuration": shards}]
    return {
        "shape": list(layout.shape),
        "data_type": np.dtype(layout.dtype).name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(outer)}},
        "fill_value": layout.fill,
        "codecs": order,
        "dimension_names": list(layout.axes),
        "attributes": dict(layout.attributes),
    }
