"""What the ports trained on ImageNet share: how images are normalised, and the classes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["MEAN", "STD", "categories"]

MEAN = (0.485, 0.456, 0.406)
"""An input is (image - MEAN) / STD, of an image in [0, 1], for each channel."""
STD = (0.229, 0.224, 0.225)


@cache
def categories() -> tuple[str, ...]:
    """The names of the 1000 classes, in the order of the logits."""
    file = Path(__file__).with_name("imagenet_categories.txt")
    return tuple(file.read_text(encoding="utf-8").splitlines())
