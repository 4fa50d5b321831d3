"""The images of a sweep, by name: those of a set, and those that a store knows already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from jaxviz.data import ImageSet, Skipped
from jaxviz.sweep.strings import as_text

__all__ = ["Rows", "rows_of"]


@dataclass(frozen=True, eq=False)
class Rows:
    """The images of a sweep in the order of its store: an `ImageSet`.

    To read one that cannot be read gives the reason.

    Attributes:
      images: the set that they come from.
      names: of the images, of files that the set left out, and of those that it no longer has.
      labels: of each the index of its category, -1 where there is none.
      places: of each name of the set, where it is there.
      reasons: of files that the set left out, why.
      need_label: whether an image without a label cannot be used.
    """

    images: ImageSet
    names: Sequence[str]
    labels: Int[np.ndarray, " n"]
    places: Mapping[str, int]
    reasons: Mapping[str, str]
    need_label: bool = False

    @property
    def categories(self) -> tuple[str, ...]:
        """The classes' names."""
        return self.images.categories

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """None: those that the set left out are rows as well."""
        return ()

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Float[np.ndarray, "h w 3"], int]:
        """An image and its label."""
        name = self.names[index]
        if name in self.places:
            image, label = self.images[self.places[name]]
            if self.need_label and label < 0:
                raise ValueError("it has no label, which is the class to explain")
            return image, label
        raise ValueError(self.reasons.get(name, "it is no longer in the set of images"))


def rows_of(
    images: ImageSet, names: Sequence[str] | None = None, *, need_label: bool = False
) -> Rows:
    """The rows of a sweep.

    Args:
      images: the set.
      names: the rows' names, where they are known from before; by default those of the set, and
        behind them the files that it left out.
      need_label: whether an image without a label, which is -1 then, cannot be used.

    Returns:
      `Rows`.

    Raises:
      ValueError: the set is empty, or two images have one name; or it has images that are not among
        the names.
    """
    # As the store keeps them, so that a run that goes on finds each name there.
    places = {as_text(name): place for place, name in enumerate(images.names)}
    reasons = {as_text(str(one.path)): one.reason for one in images.skipped}
    there = [as_text(name) for name in [*images.names, *(str(one.path) for one in images.skipped)]]
    if not there:
        raise ValueError("images must hold at least one image, and the set is empty.")
    if len(places) + len(reasons) < len(there):
        twice = next(name for name in there if there.count(name) > 1)
        raise ValueError(f"every image must have a name of its own; '{twice}' is there twice.")
    if names is None:
        names = there
    elif more := sorted(set(there) - set(names)):
        raise ValueError(
            f"the set has {len(more):,} images that the store does not know, the first of them "
            f"'{more[0]}'; take them out of it, or give another place."
        )
    labels = np.asarray(images.labels)
    known = [labels[places[name]] if name in places else -1 for name in names]
    return Rows(images, names, np.array(known, np.int32), places, reasons, need_label)
