"""Model cards: what a model expects of an image, its classes, where its weights come from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from PIL import Image

from ports import imagenet, shapes
from ports.registry import BRANCH, entry

__all__ = ["Card", "card"]

# The classes of `jaxviz.data.shapes`, in the order of their labels.
_SHAPES = (
    *("circle", "square", "triangle", "star", "ring"),
    *("cross", "crescent", "heart", "arrow", "flower"),
)

# A resized image may not be longer than this many times its shorter side.
_LONGEST = 100

Images = Float[np.ndarray, "h w 3"] | Float[np.ndarray, "n h w 3"]


class Card(NamedTuple):
    """What there is to know of a model beside its code.

    Images are float32 RGB in [0, 1], channels last; inputs are what the model takes.

    Attributes:
        name: the model's name.
        input_size: side of the square input, in pixels.
        resize: shorter side that an image is resized to before the centre is cropped, in pixels.
            The newer torchvision weights (version 2) want 232: `card._replace(resize=232)`.
        mean, std: an input is (image - mean) / std, for each channel.
        interpolation: how images are resized.
        categories: name of each class; empty where there are no public weights.
        source: where the weights come from, in a sentence.
        licence: licence of the weights, by its SPDX name.
        parameters: number of trainable numbers.
    """

    name: str
    input_size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    categories: tuple[str, ...]
    source: str
    licence: str
    parameters: int

    def preprocess(self, images: Images | Sequence[Images]) -> Float[np.ndarray, "n s s 3"]:
        """The model's input for one image or several, as torchvision prepares it.

        Args:
            images: one image (h, w, 3), a batch (n, h, w, 3), or a sequence of images of any
                sizes; values in [0, 1].

        Returns:
            A batch of inputs: resized, cropped and normalised.

        Raises:
            ValueError: an array of another shape, or values outside [0, 1], NaN or infinite.

        Example:
            >>> card("vgg16").preprocess(np.full((480, 640, 3), 0.5)).shape
            (1, 224, 224, 3)
        """
        return np.asarray(self.normalize(jnp.asarray(self.to_display(images))))

    def to_display(self, images: Images | Sequence[Images]) -> Float[np.ndarray, "n s s 3"]:
        """As `preprocess`, without normalisation: the part of each image that the model sees.

        The images go through 8 bits a value, as torchvision's do when they come from a file; so the
        result is torchvision's exactly. Values between the 256 levels are rounded to the nearest.
        """
        batch = list(images) if isinstance(images, list | tuple) else [np.asarray(images)]
        if len(batch) == 1 and np.ndim(batch[0]) == 4:
            batch = list(np.asarray(batch[0]))
        if not batch:
            raise ValueError("preprocess needs at least one image and received none.")
        return np.stack([self._cropped(np.asarray(image)) for image in batch])

    def normalize(self, images: Float[Array, "*n h w 3"]) -> Float[Array, "*n h w 3"]:
        """(images - mean) / std: a differentiable function of images that have the right size."""
        mean, std = (jnp.asarray(v, images.dtype) for v in (self.mean, self.std))
        return (images - mean) / std

    def place(self, box: Sequence[int], *, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Where a box of an image lies in the model's input.

        Args:
            box: top, left, bottom and right in pixels of the image, the last two exclusive.
            size: height and width of the image.

        Returns:
            The same in pixels of the input, rounded, and cut at its border.

        Raises:
            ValueError: nothing of the box is in the input.

        Example:
            >>> card("vgg16").place((0, 0, 256, 256), size=(512, 512))
            (0, 0, 112, 112)
        """
        whole = _resized((size[1], size[0]), self.resize)[::-1]
        top, left, bottom, right = (
            min(max(round(at * to / of) - round((to - self.input_size) / 2), 0), self.input_size)
            for at, to, of in zip(box, 2 * whole, 2 * size, strict=True)
        )
        if top >= bottom or left >= right:
            raise ValueError(
                f"box {list(box)} (top, left, bottom, right) must have a part that the model sees, "
                f"the middle {self.input_size} of the {whole[0]} x {whole[1]} pixels that an image "
                f"of {size[0]} x {size[1]} is resized to."
            )
        return top, left, bottom, right

    def _cropped(self, image: np.ndarray) -> np.ndarray:
        _check(image)
        levels = Image.fromarray(np.round(image * 255).astype(np.uint8))
        resized = levels.resize(_resized(levels.size, self.resize), Image.Resampling.BILINEAR)
        # Python's rounding, to the even number, decides where a centre lies between two pixels.
        left, top = (round((side - self.input_size) / 2) for side in resized.size)
        crop = resized.crop((left, top, left + self.input_size, top + self.input_size))
        return np.asarray(crop, np.float32) / np.float32(255)


def _check(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"an image is an array (h, w, 3) and this one has shape {image.shape}; "
            f"`jaxviz.data.load_image` returns such arrays from files of any kind."
        )
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(
            f"an image has floating-point values in [0, 1] and this one has dtype {image.dtype}; "
            f"divide 8-bit values by 255."
        )
    if not np.isfinite(image).all():
        raise ValueError("an image has finite values and this one has NaN or infinity in it.")
    low, high = float(image.min()), float(image.max())
    # A little over: pictures that were computed end a rounding error beyond 1.
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"an image has values in [0, 1] and this one has [{low:.4g}, {high:.4g}]; "
            f"divide 8-bit values by 255."
        )


def _resized(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Width and height with the given shorter side; the longer one is rounded down."""
    width, height = size
    if max(size) > _LONGEST * min(size):
        raise ValueError(
            f"an image may be at most {_LONGEST} times as long as wide and this one has "
            f"{width} x {height} pixels; cut out the part of interest."
        )
    if width <= height:
        return shorter, shorter * height // width
    return shorter * width // height, shorter


def card(name: str) -> Card:
    """The card of the model `name`.

    Args:
        name: one of `ports.names()`.

    Returns:
        The card; ImageNet's is that of torchvision's first weights of the model.

    Raises:
        ValueError: an unknown model; the nearest names are listed.

    Example:
        >>> card("vgg16").categories[207]
        'golden retriever'
    """
    return _made(name)


# One card a model: functions made of it, as `card(name).normalize`, then compare equal, and a
# program compiled for one is not compiled again for the next.
@cache
def _made(name: str) -> Card:
    known = entry(name)
    if name.startswith("shapes-"):
        return Card(
            name=name,
            input_size=shapes.INPUT_SIZE,
            resize=known.resize,
            mean=shapes.MEAN,
            std=shapes.STD,
            interpolation="bilinear",
            categories=_SHAPES,
            source=f"trained by `jaxviz train --model {name} --seed 0`, and again with the seeds 1 "
            "and 2 (weights 'shapes-1' and 'shapes-2'); in the package",
            licence="Apache-2.0",
            parameters=known.parameters,
        )
    if known.repo:
        source = (
            f"torchvision's {known.file}; on the Hugging Face Hub as {known.repo}, "
            + (
                f"revision {known.revision}"
                if known.revision != BRANCH
                else f"branch {BRANCH!r} (not pinned to a commit)"
            )
            + "; no checksum is compared"
        )
    elif known.file:
        source = f"torchvision's {known.file}"
    else:
        source = "no public weights"
    return Card(
        name=name,
        input_size=224,
        resize=known.resize,
        mean=imagenet.MEAN,
        std=imagenet.STD,
        interpolation="bilinear",
        categories=imagenet.categories() if known.file else (),
        source=source,
        licence="BSD-3-Clause" if known.file else "none",
        parameters=known.parameters,
    )
