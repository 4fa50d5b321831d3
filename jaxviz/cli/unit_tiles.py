"""Single activations as small pictures: the patch that a unit sees, and its projection."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int, UInt8

from jaxviz import data, report, studies
from jaxviz.cli.inputs import Port
from jaxviz.transform import ReceptiveFields, as_argument

__all__ = ["Seeds", "Tiles", "block", "check_projections", "tiles_of"]

GAP, MOST_AT_ONCE = 2, 64


class Seeds(NamedTuple):
    """Activations of a layer.

    Attributes:
      channel: which channel each is of.
      image: in which image of the set it is.
      row: where in the layer's map.
      col: likewise.
    """

    channel: Int[np.ndarray, " m"]
    image: Int[np.ndarray, " m"]
    row: Int[np.ndarray, " m"]
    col: Int[np.ndarray, " m"]


class Tiles(NamedTuple):
    """What is shown of each activation.

    Attributes:
      patch: what the unit sees of the image.
      projection: the deconvnet projection there, each on a scale of its own.
      label: the category of the image.
      energy: how much of each projection lies on the object; None where no masks are known.
    """

    patch: UInt8[np.ndarray, "m t t 3"]
    projection: UInt8[np.ndarray, "m t t 3"]
    label: Int[np.ndarray, " m"]
    energy: studies.MaskEnergy | None


def tiles_of(
    port: Port,
    model: Any,
    images: data.ImageSet,
    layer: str,
    seeds: Seeds,
    fields: ReceptiveFields,
    *,
    side: int,
) -> Tiles:
    """Projects activations back and cuts out what their units see, a batch at a time.

    Args:
      port: the network's card.
      model: the network, which may have other weights than the port's.
      images: the set that the activations are from.
      layer: their layer.
      seeds: the activations.
      fields: the receptive fields of the layer.
      side: of the pictures, in pixels.

    Returns:
      `Tiles`, in the order of the seeds. All show parts of one size: at the border of the image a
      little more than the unit sees.

    Raises:
      ValueError: an image cannot be read any more.
      NotImplementedError: the deconvnet is not defined for the network.
    """
    model, size, count = as_argument(model), port.card.input_size, len(seeds.image)
    masks = getattr(images, "masks", None) if size == getattr(images, "size", None) else None
    patch, projection = np.zeros((2, count, side, side, 3), np.uint8)
    label, widest = np.full(count, -1), max(fields.height, fields.width)
    energies = np.zeros((len(studies.MaskEnergy._fields), count))
    # In the order of the images, which a set may read faster.
    order = np.argsort(seeds.image, kind="stable")
    places = _batch_size(port, model, layer, count)
    parts = [order[start : start + places] for start in range(0, count, places)]
    batches = data.batches(images, places, prepare=port.card.to_display, indices=seeds.image[order])
    for which, batch in zip(parts, batches, strict=True):
        # The last batch is filled up with its last activation.
        padded = which[np.minimum(np.arange(places), len(which) - 1)]
        channel, _, row, col = (values[padded] for values in seeds)
        x = port.card.normalize(batch.input)
        found = studies.unit_projections(model, x, layer, channel=channel, row=row, col=col)
        projected = np.asarray(found)[: len(which)]
        shown = np.asarray(batch.input)[: len(which)]
        own = fields.of(seeds.row[which], seeds.col[which])
        label[which] = batch.label[: len(which)]
        if masks is not None:
            energies[:, which] = studies.mask_energy(projected, masks(seeds.image[which]), own)
        for i, place in enumerate(which):
            cut = _window(own.top[i], widest, size), _window(own.left[i], widest, size)
            patch[place] = report.to_uint8(report.enlarge(shown[i][cut], (side, side)))
            # At its own size first: shrunk afterwards, what is fine would fade.
            small = report.enlarge(projected[i][cut], (side, side))
            projection[place] = report.to_uint8(report.contrast(small))
    energy = studies.MaskEnergy(*energies) if masks is not None else None
    return Tiles(patch, projection, label, energy)


def check_projections(port: Port, layer: str) -> None:
    """Asks, before a long run, whether a layer's activations can be projected; nothing is computed.

    Raises:
      NotImplementedError: the deconvnet is not defined for the network.
    """
    _batch_size(port, as_argument(port.model), layer, 1)


def _batch_size(port: Port, model: Any, layer: str, count: int) -> int:
    side = port.card.input_size
    one = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)

    def project(model: Any, x: Any) -> Any:
        return studies.unit_projections(model, x, layer, channel=0, row=0, col=0)

    return min(studies.at_once(project, model, one), MOST_AT_ONCE, count)


def _window(start: int, widest: int, size: int) -> slice:
    """A piece of an axis that holds a field of at most `widest` entries, and stays inside."""
    first = max(min(int(start), size - widest), 0)
    return slice(first, first + widest)


def block(
    projections: UInt8[np.ndarray, "k t t 3"], patches: UInt8[np.ndarray, "k t t 3"], *, across: int
) -> UInt8[np.ndarray, "h w 3"]:
    """A channel's projections, and beside them its patches, each as a small grid.

    Args:
      projections: as `Tiles` has them.
      patches: likewise.
      across: how many are in a row of a grid.

    Returns:
      One picture.

    Example:
      >>> tile = np.zeros((4, 48, 48, 3), np.uint8)
      >>> block(tile, tile, across=2).shape
      (98, 202, 3)
    """
    both = [_grid(tiles, across) for tiles in (projections, patches)]
    gap = np.full((both[0].shape[0], 3 * GAP, 3), 255, np.uint8)
    return np.concatenate([both[0], gap, both[1]], 1)


def _grid(tiles: UInt8[np.ndarray, "k t t 3"], across: int) -> UInt8[np.ndarray, "h w 3"]:
    rows = -(-len(tiles) // across)
    side = tiles.shape[1]
    padded = np.full((rows * across, side + GAP, side + GAP, 3), 255, np.uint8)
    padded[: len(tiles), :side, :side] = tiles
    grid = padded.reshape(rows, across, side + GAP, side + GAP, 3).swapaxes(1, 2)
    return grid.reshape(rows * (side + GAP), across * (side + GAP), 3)[:-GAP, :-GAP]
