"""A sweep as it goes: how far it is, a journal of what happened, and an orderly end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

__all__ = ["Clock", "Progress", "finishing", "journal"]


class Progress(NamedTuple):
    """How far a sweep is.

    Attributes:
      total: images of the set that fall to this process and were not done before.
      done: those of them that are done or have failed.
      failed: those that cannot be read, or whose map is not finite.
      images_per_second: since the first batch, in which programs were compiled; 0 before.
      positions_per_second: the same for the positions of an occluder; 0 where there is none.
      seconds_left: at that speed; None before it is known.
      turns: in how many turns a device takes its batch; more than 1 after it had too little memory.
    """

    total: int
    done: int
    failed: int
    images_per_second: float
    positions_per_second: float
    seconds_left: float | None
    turns: int = 1

    def words(self) -> str:
        """It in words.

        Example:
          >>> Progress(500, 100, 2, 12.5, 2812.5, 32.0).words()
          '100 of 500 images, 12.5 images/s, 2,812 positions/s, 0:32 left, 2 failed'
        """
        parts = [f"{self.done:,} of {self.total:,} images"]
        if self.images_per_second:
            parts.append(f"{self.images_per_second:.3g} images/s")
        if self.positions_per_second:
            parts.append(f"{self.positions_per_second:,.0f} positions/s")
        if self.seconds_left is not None:
            minutes, seconds = divmod(round(self.seconds_left), 60)
            hours, minutes = divmod(minutes, 60)
            parts.append(f"{hours}:{minutes:02}:{seconds:02} left" if hours else "")
            parts[-1] = parts[-1] or f"{minutes}:{seconds:02} left"
        return ", ".join(parts + ([f"{self.failed:,} failed"] if self.failed else []))


class Clock:
    """Counts images, and knows how fast they come."""

    def __init__(self, total: int, positions: int):
        self._total, self._positions = total, positions
        self._done = self._failed = 0
        # When the first batch was done, and how many images were done then.
        self._first: tuple[float, int] | None = None

    def count(self, images: int, failed: int, turns: int = 1) -> Progress:
        """Some more images are done, so many of them failed; a device takes a batch in turns."""
        self._done += images
        self._failed += failed
        now = time.perf_counter()
        if self._first is None:
            self._first = now, self._done
        elapsed, since = now - self._first[0], self._done - self._first[1]
        speed = since / elapsed if since and elapsed else 0.0
        left = (self._total - self._done) / speed if speed else None
        positions = speed * self._positions
        return Progress(self._total, self._done, self._failed, speed, positions, left, turns)


Note = Callable[..., None]
"""`note(event, **facts)` writes a line of the journal."""


@contextlib.contextmanager
def journal(path: str | os.PathLike[str] | None) -> Iterator[Note]:
    """A journal of JSON lines, added to those that are there: what happened, and when.

    Args:
      path: the file, or None for no journal.

    Yields:
      `note`.
    """
    if path is None:
        yield lambda event, **facts: None
        return
    with open(path, "a", encoding="utf-8") as file:

        def note(event: str, **facts: Any) -> None:
            moment = datetime.now(UTC).isoformat(timespec="milliseconds")
            file.write(json.dumps({"time": moment, "event": event, **facts}) + "\n")
            file.flush()

        yield note


@contextlib.contextmanager
def finishing() -> Iterator[Callable[[], bool]]:
    """Lets Ctrl-C wait until the caller has finished what it is at; a second one does not wait.

    Yields:
      A function that says whether Ctrl-C was pressed. Outside the main thread it never is: there
      Python does not hear of it.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.getsignal(signal.SIGINT)

    def press(number: int, _frame: Any) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
