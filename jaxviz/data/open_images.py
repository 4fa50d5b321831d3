"""The one way in which a set of images is named on a command line."""

from __future__ import annotations

import re
from pathlib import Path

from jaxviz.data.digits import digits_images
from jaxviz.data.folder import image_folder
from jaxviz.data.image_set import ImageSet
from jaxviz.data.shapes_images import shapes_images
from jaxviz.data.tfds_images import tfds_images

__all__ = ["SHAPES_COUNT", "open_images"]

SHAPES_COUNT = 1000
"""How many pictures `shapes` stands for."""

# A TFDS name may have a configuration and a version, as `imagenet_v2/topimages:3.0.0`, and a split
# a part, as `train[:80%]`.
_TFDS = re.compile(r"tfds:(?P<name>[\w/.-]+(:\d+\.\d+\.\d+)?)(:(?P<split>[A-Za-z_].*))?")


def open_images(
    spec: str,
    *,
    per_class: int | None = None,
    strict: bool = False,
    seed: int = 0,
    data_dir: str | None = None,
    check: bool = True,
) -> ImageSet:
    """A set of images by what a user writes.

    Args:
      spec: one of
        `shapes`, or `shapes:500` for so many pictures of shapes;
        `digits`, or `digits:train` and `digits:test` for its parts;
        `tfds:NAME`, or `tfds:NAME:SPLIT`, a set that TensorFlow Datasets has prepared on this
        machine (without a split, `train`);
        the path of a folder that holds a folder of images for each class (`./shapes` where it has
        a name of the above).
      per_class: of a folder, the first so many images of each class.
      strict: whether a file of a folder that cannot be used is an error; otherwise it is skipped.
      seed: which pictures of shapes.
      data_dir: where TensorFlow Datasets keeps its sets; by default where it looks itself.
      check: whether to decode every image of a folder now, as `image_folder` does.

    Returns:
      An `ImageSet`.

    Raises:
      ValueError: a count or a split that the set does not have; or a folder that cannot be used.
      FileNotFoundError: there is no such folder or prepared set.
      ImportError: the set needs the extra `data`, which is not installed.

    Example:
      >>> images = open_images("shapes:20")
      >>> len(images), images.categories[0]
      (20, 'circle')
    """
    kind, _, rest = spec.partition(":")
    if spec == "shapes":
        return shapes_images(SHAPES_COUNT, seed=seed)
    if kind == "shapes":
        if not re.fullmatch(r"[1-9]\d*", rest):
            raise ValueError(f"shapes: needs a number after it, as shapes:500, not {rest!r}.")
        return shapes_images(int(rest), seed=seed)
    if spec == "digits":
        return digits_images()
    if kind == "digits":
        if rest not in ("all", "train", "test"):
            raise ValueError(f"digits: has the parts all, train and test, not {rest!r}.")
        return digits_images(rest)
    if kind == "tfds":
        named = _TFDS.fullmatch(spec)
        if named is None:
            raise ValueError(
                f"{spec!r} is no set of TensorFlow Datasets; it must be tfds:NAME or "
                "tfds:NAME:SPLIT, as tfds:mnist:test."
            )
        return tfds_images(named["name"], split=named["split"] or "train", data_dir=data_dir)
    if not spec or not Path(spec).exists():
        raise FileNotFoundError(
            f"There is no folder of images {spec or repr(spec)}; a set is a folder that holds a "
            "folder of images for each class, shapes, shapes:COUNT, digits, or tfds:NAME:SPLIT."
        )
    return image_folder(spec, per_class=per_class, strict=strict, check=check)
