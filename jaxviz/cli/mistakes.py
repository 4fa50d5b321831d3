"""A user's mistake is one clear sentence; a bug keeps its traceback."""

from __future__ import annotations

import difflib
import dis
from collections.abc import Sequence
from types import TracebackType

__all__ = ["Mistake", "one_sentence", "unknown"]


class Mistake(Exception):
    """What the user gave cannot be used; the message is the sentence to show."""


def unknown(what: str, given: str, known: Sequence[str], *, lists: str) -> Mistake:
    """The mistake of a name that nothing has, with the nearest names that something has.

    Args:
      what: the kind of thing, for example "layer".
      given: what the user wrote.
      known: what could have been written.
      lists: how to see all of it, the end of a sentence.

    Returns:
      An exception to raise.

    Example:
      >>> known = ["features.29", "features.30", "classifier.1"]
      >>> print(unknown("layer", "features.31", known, lists="`jaxviz layers` lists all"))
      unknown layer 'features.31'; nearest: features.30, features.29; `jaxviz layers` lists all
    """
    lower = {name.lower(): name for name in reversed(known)}
    near = difflib.get_close_matches(given.lower(), lower, n=3, cutoff=0.5)
    inside = [name for name in lower if given and given.lower() in name and name not in near]
    nearest = [lower[name] for name in [*near, *inside][:3]]
    hint = f"nearest: {', '.join(nearest)}; " if nearest else ""
    return Mistake(f"unknown {what} '{given}'; {hint}{lists}")


def _raised_by_us(traceback: TracebackType | None) -> bool:
    """Whether a `raise` statement of jaxviz's own or of a port's is where it came from.

    An error from C, of NumPy or of `int("x")`, has our frame innermost too, but no `raise` there.
    """
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    ours = str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("jaxviz", "ports")
    return ours and frame.f_code.co_code[traceback.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def one_sentence(error: BaseException) -> str | None:
    """The sentence to show for an error that the user can mend, else None.

    These are mistakes, whatever the system says about files, and the requirements that jaxviz and
    its ports check and state themselves, by a `raise`. A `ValueError` from anywhere else is a bug.

    Args:
      error: what was raised.

    Returns:
      One line without the end of line, or None.

    Example:
      >>> one_sentence(FileNotFoundError(2, "No such file or directory", "photo.jpg"))
      'photo.jpg: No such file or directory'
      >>> one_sentence(KeyError("photo.jpg")) is None
      True
    """
    stated = isinstance(error, (ValueError, NotImplementedError, ImportError))
    ours = stated and _raised_by_us(error.__traceback__) and str(error)
    if not (isinstance(error, (Mistake, OSError)) or ours):
        return None
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split())
