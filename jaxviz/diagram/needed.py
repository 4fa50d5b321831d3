"""Packages and programs that only some formats need."""

from __future__ import annotations

import importlib
import shutil
from types import ModuleType

__all__ = ["package", "program"]


def package(name: str, installed: str, purpose: str) -> ModuleType:
    """The package `name`, or a sentence about how to get it.

    Args:
      name: as it is imported.
      installed: as pip calls it.
      purpose: what needs it, the start of the sentence.

    Returns:
      The module.

    Raises:
      ImportError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name.partition(".")[0]:
            raise
        raise ImportError(
            f"{purpose} needs the package {installed}; pip install 'jaxviz[diagram]' brings it."
        ) from error


def program(name: str, debian: str, purpose: str) -> str:
    """The path of the program `name`, or a sentence about how to get it.

    Args:
      name: of the command.
      debian: the packages of Debian that have it.
      purpose: what needs it, the start of the sentence.

    Returns:
      A path.

    Raises:
      ImportError: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise ImportError(
            f"{purpose} needs the program {name}; on Debian, apt-get install {debian} brings it."
        )
    return found
