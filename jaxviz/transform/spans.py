"""Which part of an axis an edit can reach: interval arithmetic, known while tracing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

__all__ = ["Span", "Spans", "Window", "joined", "windows"]


class Window(NamedTuple):
    """A piece of an axis, of one length for all places of the edit; it may leave the axis.

    Attributes:
      side: which coordinate of the edit's place moves it: 0 its row, 1 its column.
      start: where it begins, for each place.
      size: its length.
    """

    side: int
    start: Int[np.ndarray, " places"]
    size: int

    def inputs(
        self, *, window: int = 1, stride: int = 1, pad: int = 0, dilation: int = 1
    ) -> Window:
        """What sliding windows read to compute this piece of their results."""
        size = (self.size - 1) * stride + (window - 1) * dilation + 1
        return self._replace(start=self.start * stride - pad, size=size)


class Span(NamedTuple):
    """What edits can reach along one axis of a value: an interval for each place of the edit.

    Attributes:
      side: which coordinate of the edit's place moves it: 0 its row, 1 its column.
      low: the first index that can change.
      high: one past the last one.
      extent: the length of the axis.
    """

    side: int
    low: Int[np.ndarray, " places"]
    high: Int[np.ndarray, " places"]
    extent: int

    @property
    def window(self) -> Window:
        """The shortest piece that holds the intervals and stays inside the axis."""
        size = max(int((self.high - self.low).max()), 1)
        return Window(self.side, np.minimum(self.low, self.extent - size), size)

    def through(
        self, extent: int, *, window: int = 1, stride: int = 1, pad: int = 0, dilation: int = 1
    ) -> Span:
        """What they reach of sliding windows' results: the windows that overlap the interval.

        Args:
          extent: how many windows there are.
          window: how many entries each reads.
          stride: from one window to the next.
          pad: how far before the axis the first window starts; negative if after.
          dilation: from one entry that a window reads to the next.
        """
        first = -((self.low + pad - (window - 1) * dilation) // -stride)
        last = (self.high - 1 + pad) // stride
        low = np.clip(first, 0, extent)
        return self._replace(low=low, high=np.clip(last + 1, low, extent), extent=extent)

    def joined(self, other: Span) -> Span:
        """The smallest span that holds both."""
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return self._replace(low=low, high=high)

    def within(self, reach: float) -> Span:
        """Cut around its middle to a share of the axis; 1 cuts nothing."""
        surplus = np.maximum(self.high - self.low - max(round(reach * self.extent), 1), 0)
        return self._replace(low=self.low + surplus // 2, high=self.high - (surplus + 1) // 2)


Spans = Mapping[int, Span]
"""Spans by axis. An axis that is not there is reached as a whole."""


def joined(several: Iterable[Spans]) -> Spans:
    """The smallest spans that hold all of these."""
    result, *others = several
    for spans in others:
        result = {
            axis: span.joined(spans[axis])
            for axis, span in result.items()
            if axis in spans and spans[axis].side == span.side
        }
    return result


def windows(spans: Spans) -> dict[int, Window]:
    """The spans' windows by axis, but for those that hold all of their axis."""
    found = {axis: (span.window, span.extent) for axis, span in spans.items()}
    return {axis: window for axis, (window, extent) in found.items() if window.size < extent}
