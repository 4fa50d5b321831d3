"""Arrays of strings as Zarr keeps them, which TensorStore has no type for: names and reasons.

Zarr-python and xarray read them as arrays of strings (data type `string`, codec `vlen-utf8`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

__all__ = ["as_text", "decoded", "encoded", "metadata"]

_NUMBER = struct.Struct("<I")


def metadata(count: int, piece: int, axis: str) -> dict[str, Any]:
    """What the `zarr.json` of an array of strings says.

    Args:
      count: how many strings.
      piece: how many of them a chunk holds.
      axis: the name of the array's axis.
    """
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [count],
        "data_type": "string",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [piece]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "",
        "codecs": [{"name": "vlen-utf8", "configuration": {}}],
        "dimension_names": [axis],
        "attributes": {},
    }


def as_text(string: str) -> str:
    """The string as it is kept: a file's name may have bytes that are no text, shown as such.

    Example:
      >>> as_text("a\\udcff.png") == "a\\\\udcff.png"
      True
    """
    return string.encode("utf-8", "backslashreplace").decode()


def encoded(strings: Sequence[str]) -> bytes:
    """A chunk of strings: their number, and then of each its length in bytes and its UTF-8.

    Example:
      >>> encoded(["é"])
      b'\\x01\\x00\\x00\\x00\\x02\\x00\\x00\\x00\\xc3\\xa9'
    """
    texts = [as_text(string).encode() for string in strings]
    return _NUMBER.pack(len(texts)) + b"".join(_NUMBER.pack(len(text)) + text for text in texts)


def decoded(chunk: bytes) -> list[str]:
    """The strings of a chunk.

    Example:
      >>> decoded(encoded(["a", "", "é"]))
      ['a', '', 'é']
    """
    strings, at = [], _NUMBER.size
    for _ in range(_NUMBER.unpack_from(chunk)[0]):
        length = _NUMBER.unpack_from(chunk, at)[0]
        at += _NUMBER.size
        strings.append(chunk[at : at + length].decode())
        at += length
    return strings
