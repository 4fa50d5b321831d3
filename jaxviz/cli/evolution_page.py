"""What `jaxviz study evolution` shows: when layers settle, and their features epoch by epoch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxviz import report, studies
from jaxviz.cli.inputs import Port
from jaxviz.cli.unit_tiles import Tiles, block
from jaxviz.studies import Strongest
from jaxviz.transform import ReceptiveFields

__all__ = ["Layer", "Study", "finding", "in_order", "numbers", "page", "table"]

SHARE = 0.95


class Layer(NamedTuple):
    """A layer from epoch to epoch.

    Attributes:
      name: the layer's.
      channels: which of its channels are shown.
      similarity: its linear CKA with the end, at each epoch.
      strongest: the strongest activation of each of its channels, at each epoch.
      tiles: of the shown channels, at each epoch but 0.
      fields: the receptive fields.
    """

    name: str
    channels: list[int]
    similarity: list[float]
    strongest: list[Strongest]
    tiles: list[Tiles]
    fields: ReceptiveFields

    @property
    def side(self) -> int:
        """Of the receptive field, in pixels."""
        return max(self.fields.height, self.fields.width)

    def jumps(self) -> Float[np.ndarray, " steps"]:
        """The share of all channels whose strongest image is another one at the next epoch."""
        images = np.stack([best.image[:, 0] for best in self.strongest])
        return (images[1:] != images[:-1]).mean(1)


class Study(NamedTuple):
    """All that the study found.

    Attributes:
      port: the network.
      layers: from the bottom to the top.
      epochs: those that were looked at.
      words: what the images are.
    """

    port: Port
    layers: list[Layer]
    epochs: list[int]
    words: str

    def settled(self) -> list[float]:
        """The epoch from which on each layer stays near its final state; NaN of a dead one."""
        return [
            studies.settled(self.epochs, layer.similarity, share=SHARE) for layer in self.layers
        ]

    def on_the_way(self) -> list[float]:
        """The same of the way from the first of the epochs, at which a layer may be near already.

        NaN of a layer that has no way to go: it is where it ends from the first, or dead at the
        end.
        """
        ways = [
            np.maximum(np.array(layer.similarity) - layer.similarity[0], 0) for layer in self.layers
        ]
        return [studies.settled(self.epochs, way.tolist(), share=SHARE) for way in ways]


def in_order(epochs: Sequence[float]) -> tuple[int, int]:
    """In how many pairs of layers the lower one comes earlier, and in how many later.

    Layers that have no epoch, NaN, are left out.

    Example:
      >>> in_order([2.0, float("nan"), 5.0, 4.0])
      (2, 1)
    """
    pairs = list(itertools.combinations([one for one in epochs if not np.isnan(one)], 2))
    return sum(low < high for low, high in pairs), sum(low > high for low, high in pairs)


def finding(study: Study) -> str:
    """Whether lower layers settle earlier than upper ones, in a sentence."""
    settled = study.settled()
    earlier, later = in_order(settled)
    dead = int(np.isnan(settled).sum())
    alive = len(settled) - dead
    words = f"; {dead} dead at the end left out" if dead else ""
    return (
        f"The lower layer settles earlier than the upper one in {earlier} of "
        f"{alive * (alive - 1) // 2} pairs of layers, and later in {later}{words}."
    )


def page(study: Study, *, footer: str) -> report.Page:
    """The page: the curves, the features of each layer, the changes of images.

    Args:
      study: what was found.
      footer: the page's last line.

    Returns:
      What `jaxviz.report.write_run` takes.
    """
    return report.Page(
        f"How the features of {study.port.name} come about",
        [_settling(study), _features(study), _jumps(study)],
        lead="A network at several epochs of its training: how near each layer is to its final "
        "state, and what excites its channels most.",
        facts=[
            ("Model", study.port.name),
            ("Epochs", ", ".join(map(str, study.epochs))),
            ("Images", study.words),
        ],
        footer=footer,
    )


def _settling(study: Study) -> report.Section:
    ticks = [str(epoch) for epoch in study.epochs]
    chart = report.line_chart(
        range(len(ticks)),
        {layer.name: layer.similarity for layer in study.layers},
        ticks=ticks,
        across="epoch",
        up="linear CKA with the last epoch",
        title="How near each layer is to its final state",
    )
    alt = "Similarity of each layer with its final state, by epoch"
    found = zip(study.layers, study.settled(), study.on_the_way(), strict=True)
    rows = [
        [layer.name, _at(near), _at(way), *(f"{one:.3f}" for one in layer.similarity)]
        for layer, near, way in found
    ]
    columns = ["layer", f"{SHARE:.0%} of the end at", f"{SHARE:.0%} of the way at", *ticks]
    earlier, later = in_order(study.on_the_way())
    return report.Section(
        "When layers settle",
        [
            report.Gallery(
                [report.Figure([report.Picture("similarity", chart, alt)], "Similarity")], size=560
            ),
            report.Table(columns, rows, caption="Linear CKA with the last epoch, by epoch"),
        ],
        [
            f"{finding(study)} A layer has settled from the epoch on where its similarity stays "
            f"at {SHARE:.0%} of its final value or above, between two epochs by a straight line.",
            "A layer may be near its end before it has learnt anything. Of the way from epoch "
            f"{study.epochs[0]} to the end, the lower layer of a pair has gone {SHARE:.0%} earlier "
            f"in {earlier} pairs, and later in {later}.",
            "Linear CKA (Kornblith et al. 2019) compares a layer's values at all places of all "
            "images with those of the last epoch: 1 means equal but for a rotation and a scale. "
            "It says when a layer is near where this run ends, and nothing of other runs; and a "
            "learning rate that falls to zero makes all layers settle before the end.",
        ],
    )


def _at(epoch: float) -> str:
    return "–" if np.isnan(epoch) else f"{epoch:.1f}"


def _features(study: Study) -> report.Section:
    figures = [
        report.Figure(
            [
                report.Picture(
                    f"layer-{report.file_stem(layer.name)}",
                    _sheet(study, layer),
                    f"Strongest activations of channels of {layer.name} by epoch",
                )
            ],
            layer.name,
            f"projections left, patches of up to {layer.side} px right",
        )
        for layer in study.layers
    ]
    return report.Section(
        "Features, epoch by epoch",
        [report.Gallery(figures, size=1000)],
        [
            "Each channel's strongest activation over all images, projected back by a deconvnet of "
            "that epoch, and beside it the patch that the unit sees. Each projection has a scale "
            "of its own; grey is zero."
        ],
    )


def _sheet(study: Study, layer: Layer) -> UInt8[np.ndarray, "h w 3"]:
    pictures = [
        [
            block(tiles.projection[i : i + 1], tiles.patch[i : i + 1], across=1)
            for tiles in layer.tiles
        ]
        for i in range(len(layer.channels))
    ]
    return report.sheet(
        pictures,
        rows=[f"channel {channel}" for channel in layer.channels],
        columns=[f"epoch {epoch}" for epoch in study.epochs if epoch],
        title=f"{layer.name}, receptive field of {layer.side} px",
    )


def _jumps(study: Study) -> report.Section:
    steps = [f"{one} to {other}" for one, other in itertools.pairwise(study.epochs)]
    rows = [
        [layer.name, *(f"{100 * share:.0f}%" for share in layer.jumps())] for layer in study.layers
    ]
    return report.Section(
        "Jumps",
        [report.Table(["layer", *steps], rows, caption="Channels with another strongest image")],
        [
            "A feature that jumps has found another image that excites it more: the share of a "
            "layer's channels whose strongest activation is in another image at the next epoch."
        ],
    )


def table(study: Study) -> report.Table:
    """The similarity of each layer at each epoch, for a CSV file.

    Args:
      study: what was found.

    Returns:
      A long table.
    """
    rows = [
        [layer.name, epoch, value]
        for layer in study.layers
        for epoch, value in zip(study.epochs, layer.similarity, strict=True)
    ]
    return report.Table(["layer", "epoch", "similarity"], rows)


def numbers(study: Study) -> dict[str, Any]:
    """What `numbers.json` holds.

    Args:
      study: what was found.

    Returns:
      Nested dictionaries of numbers and words.
    """
    near, way = study.settled(), study.on_the_way()
    return {
        "model": study.port.name,
        "images": study.words,
        "epochs": study.epochs,
        "share": SHARE,
        "pairs_of_layers": {
            name: dict(zip(("lower_earlier", "lower_later"), in_order(epochs), strict=True))
            for name, epochs in (("of_the_end", near), ("of_the_way", way))
        },
        "layers": {
            layer.name: {
                # JSON has no NaN.
                "settled": None if np.isnan(near[i]) else near[i],
                "settled_on_the_way": None if np.isnan(way[i]) else way[i],
                "similarity": layer.similarity,
                "jumps": layer.jumps(),
                "channels": {
                    channel: {
                        "activation": [float(best.value[channel, 0]) for best in layer.strongest],
                        "image": [int(best.image[channel, 0]) for best in layer.strongest],
                    }
                    for channel in layer.channels
                },
            }
            for i, layer in enumerate(study.layers)
        },
    }
