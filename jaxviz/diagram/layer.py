"""A layer while it is put together of operations."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Layer"]


@dataclasses.dataclass(eq=False)
class Layer:
    """A layer while it is put together.

    Attributes:
      kind: what it does.
      sources: the layers that it reads.
      shape: of what it puts out, channels last.
      settings: kernel, stride and so on.
      leaves: the model's arrays that it reads.
      multiplications: of its convolutions and products.
      name: the one it was tapped with.
      blocks: the blocks whose last layer it is, from the inside out.
      steps: what was done with weights, and the number where it was one: ("mul", 0.5).
      made_by: the primitives that made those weights of the model's arrays.
      scalars: the numbers that took part in that.
    """

    kind: str
    sources: list[Layer]
    shape: tuple[int, ...]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    leaves: set[int] = dataclasses.field(default_factory=set)
    multiplications: int = 0
    name: str | None = None
    blocks: list[str] = dataclasses.field(default_factory=list)
    steps: list[tuple[str, float | None]] = dataclasses.field(default_factory=list)
    made_by: set[str] = dataclasses.field(default_factory=set)
    scalars: list[float] = dataclasses.field(default_factory=list)
