"""What `jaxviz study strongest` shows: a page, sheets of all channels, a table and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxviz import report, studies
from jaxviz.cli.chosen_units import spread
from jaxviz.cli.inputs import Port
from jaxviz.cli.unit_tiles import block
from jaxviz.data import ImageSet
from jaxviz.transform import ReceptiveFields

__all__ = ["Channel", "Layer", "Study", "numbers", "page", "sheets", "table"]

PER_LAYER, ACROSS, GRID = 16, 4, 3
"""How many channels of a layer the page has, how many are side by side, and a grid's side."""

IN_OVERVIEW = 4


class Channel(NamedTuple):
    """A channel's strongest activations, the strongest first.

    Attributes:
      number: the channel.
      value: the activations.
      label: the categories of their images.
      projection: what each unit responds to.
      patch: what each sees.
      energy: how much of each projection lies on the object; None where no masks are known.
    """

    number: int
    value: Float[np.ndarray, " k"]
    label: Int[np.ndarray, " k"]
    projection: UInt8[np.ndarray, "k t t 3"]
    patch: UInt8[np.ndarray, "k t t 3"]
    energy: studies.MaskEnergy | None

    @property
    def dead(self) -> bool:
        """Whether no image excites it."""
        return not self.value[0] > 0


class Layer(NamedTuple):
    """A layer, the channels of it that are shown, and the strongest activations of them all."""

    name: str
    shown: list[Channel]
    strongest: studies.Strongest
    fields: ReceptiveFields

    @property
    def side(self) -> int:
        """Of the receptive field, in pixels."""
        return max(self.fields.height, self.fields.width)

    @property
    def on_object(self) -> studies.ObjectShare | None:
        """The energy on the object, for the shown channels that are not dead."""
        alive = [one.energy for one in self.shown if one.energy is not None and not one.dead]
        return studies.object_share(alive) if alive else None


class Study(NamedTuple):
    """All that the study found.

    Attributes:
      port: the network.
      images: the set.
      layers: from the bottom to the top.
      words: what the images are.
      faults: why images were left out, a sentence for each.
    """

    port: Port
    images: ImageSet
    layers: list[Layer]
    words: str
    faults: tuple[str, ...]


def page(study: Study, *, footer: str) -> report.Page:
    """The page: all layers at a glance, the object's share, each layer.

    Args:
      study: what was found.
      footer: the page's last line.

    Returns:
      What `jaxviz.report.write_run` takes.
    """
    sections = [_overview(study)]
    if any(layer.on_object for layer in study.layers):
        sections.append(_objects(study))
    sections += [_layer(study, layer) for layer in study.layers]
    if study.faults:
        rows = [[fault] for fault in study.faults]
        sections.append(report.Section("Images left out", [report.Table(["why"], rows)]))
    return report.Page(
        f"What excites the channels of {study.port.name} most",
        sections,
        lead="For each channel the nine images with its strongest activation. Left, the activation "
        "projected back to pixels by a deconvnet, all others set to zero; right, the patch of the "
        "image that the unit sees, its receptive field.",
        facts=[
            ("Model", study.port.name),
            ("Weights", study.port.weights),
            ("Images", study.words),
            ("Left out", str(len(study.faults))),
        ],
        footer=footer,
    )


def _picture(channel: Channel) -> UInt8[np.ndarray, "h w 3"]:
    whole = [np.full((GRID**2, *channel.patch.shape[1:]), 255, np.uint8) for _ in range(2)]
    for tiles, own in zip(whole, (channel.projection, channel.patch), strict=True):
        tiles[: len(own)] = own
    return block(*whole, across=GRID)


def _words(study: Study, channel: Channel) -> str:
    if channel.dead:
        return f"channel {channel.number}\nnever above 0"
    common = Counter(channel.label.tolist()).most_common(2)
    told = ", ".join(f"{count} {study.images.categories[label]}" for label, count in common)
    low, high = channel.value[-1], channel.value[0]
    return f"channel {channel.number}: {high:.3g} to {low:.3g}\n{told}"


def _sheet(study: Study, channels: Sequence[Channel], title: str) -> UInt8[np.ndarray, "h w 3"]:
    rows = [channels[i : i + ACROSS] for i in range(0, len(channels), ACROSS)]
    return report.sheet(
        [[_picture(one) for one in row] for row in rows],
        captions=[[_words(study, one) for one in row] for row in rows],
        title=title,
        gap=12,
    )


def _title(layer: Layer) -> str:
    return f"{layer.name}, receptive field of {layer.side} px"


def _overview(study: Study) -> report.Section:
    rows, alt = [], "Strongest activations of some channels of each layer"
    for layer in study.layers:
        alive = [one for one in layer.shown if not one.dead] or layer.shown
        rows.append([_picture(alive[i]) for i in spread(len(alive), IN_OVERVIEW)])
    sheet = report.sheet(rows, rows=[_title(layer) for layer in study.layers], gap=12)
    figure = report.Figure([report.Picture("layers", sheet, alt)], "Layer by layer")
    return report.Section(
        "From the bottom to the top",
        [report.Gallery([figure], size=1000)],
        [
            "A few channels of each layer. In a channel's grid the strongest activation is at the "
            "upper left. Each projection has a scale of its own; grey is zero. Patches grow with "
            "the receptive field, and are shown at one size."
        ],
    )


def _layer(study: Study, layer: Layer) -> report.Section:
    chosen = [layer.shown[i] for i in spread(len(layer.shown), PER_LAYER)]
    width = layer.strongest.value.shape[0]
    dead = int((layer.strongest.value[:, 0] <= 0).sum())
    stem = report.file_stem(layer.name)
    alt = f"Projections and patches of {len(chosen)} channels of {layer.name}"
    picture = report.Picture(f"layer-{stem}", _sheet(study, chosen, _title(layer)), alt)
    text = f"{len(chosen)} of {width} channels."
    if len(layer.shown) > len(chosen):
        text += f" The file sheet-{stem}.png has {len(layer.shown)}."
    if dead:
        text += f" No image excites {dead} of the layer's channels."
    figure = report.Figure(
        [picture], layer.name, f"projections left, patches of up to {layer.side} px right"
    )
    return report.Section(layer.name, [report.Gallery([figure], size=1000)], [text])


def _objects(study: Study) -> report.Section:
    rows = []
    for layer in study.layers:
        share = layer.on_object
        means = share and share.estimates()
        if not share or not means:
            rows.append([layer.name, f"{layer.side} px", 0, "", "", ""])
            continue
        inside, chance = (f"{100 * one.mean:.1f} ± {100 * one.error:.1f} %" for one in means)
        above = f"{(share.inside > share.chance).sum()} of {len(share.channels)}"
        rows.append([layer.name, f"{layer.side} px", len(share.channels), inside, chance, above])
    columns = ["layer", "field", "channels", "on the object", "by chance", "above chance"]
    caption = "Share of the squared projection that lies on the object: mean over the channels, "
    return report.Section(
        "Do the projections lie on the object?",
        [report.Table(columns, rows, caption=caption + "± its standard error")],
        [
            "An image shows the object to a unit if at least half of the object lies in the unit's "
            "receptive field; a channel counts if more than half of its nine images do. By chance "
            "is the object's share of the receptive field."
        ],
    )


def sheets(study: Study) -> list[report.Picture]:
    """All channels of the layers of which the page has but some.

    Args:
      study: what was found.

    Returns:
      Pictures to be written beside the page's.
    """
    return [
        report.Picture(
            f"sheet-{report.file_stem(layer.name)}",
            _sheet(study, layer.shown, _title(layer)),
            f"Projections and patches of the channels of {layer.name}",
        )
        for layer in study.layers
        if len(layer.shown) > PER_LAYER
    ]


def table(study: Study) -> report.Table:
    """All channels' strongest activations, where they are and what their units see.

    Args:
      study: what was found.

    Returns:
      A long table, for a CSV file.
    """
    rows = []
    for layer in study.layers:
        best = layer.strongest
        for c, k in np.argwhere(best.image >= 0).tolist():
            row, col, image = int(best.row[c, k]), int(best.col[c, k]), int(best.image[c, k])
            field = [int(edge) for edge in layer.fields.of(row, col)]
            name = study.images.names[image]
            rows.append([layer.name, c, k + 1, float(best.value[c, k]), name, row, col, *field])
    columns = ["layer", "channel", "rank", "activation", "image", "row", "col"]
    return report.Table([*columns, *ReceptiveFields._fields], rows)


def numbers(study: Study) -> dict[str, Any]:
    """What `numbers.json` holds: the layers, and what was found of the shown channels.

    Args:
      study: what was found.

    Returns:
      Nested dictionaries of numbers and words.
    """
    return {
        "model": study.port.name,
        "weights": study.port.weights,
        "images": study.words,
        "left_out": list(study.faults),
        "layers": {layer.name: _numbers(study, layer) for layer in study.layers},
    }


def _told(energy: studies.MaskEnergy) -> dict[str, Any]:
    """The shares of a channel's images; JSON has no NaN, which an empty projection has."""
    inside = np.where(np.isnan(energy.inside), np.array(None), energy.inside)
    return energy._asdict() | {"inside": inside.tolist()}


def _numbers(study: Study, layer: Layer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "receptive_field": [layer.fields.height, layer.fields.width],
        "dead": np.flatnonzero(layer.strongest.value[:, 0] <= 0),
    }
    if layer.on_object:
        means = layer.on_object.estimates()
        found["on_object"] = {
            "channels": len(layer.on_object.channels),
            "above_chance": int((layer.on_object.inside > layer.on_object.chance).sum()),
            "inside": means and means[0]._asdict(),
            "chance": means and means[1]._asdict(),
        }
    found["channels"] = {
        one.number: {
            "activations": one.value,
            "categories": [study.images.categories[label] for label in one.label],
            **({} if one.energy is None else _told(one.energy)),
        }
        for one in layer.shown
    }
    return found
