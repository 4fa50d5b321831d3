"""AlexNet, in the one-tower form of torchvision."""

from __future__ import annotations

from functools import partial

from flax import nnx
from jaxtyping import Array, Float

from ports.layers import (
    AdaptiveAvgPool,
    Conv,
    Dropout,
    Linear,
    MaxPool,
    ReLU,
    Sequential,
    flatten,
)

__all__ = ["VARIANTS", "AlexNet", "classifier"]


def classifier(num_classes: int, rngs: nnx.Rngs, width: float = 1.0) -> Sequential:
    """Three dense layers on 6x6 maps of 256 channels: AlexNet's head and ZFNet's."""
    channels, hidden = round(256 * width), round(4096 * width)
    return Sequential(
        "classifier",
        [
            Dropout("classifier.0"),
            Linear("classifier.1", 6 * 6 * channels, hidden, rngs=rngs),
            ReLU("classifier.2"),
            Dropout("classifier.3"),
            Linear("classifier.4", hidden, hidden, rngs=rngs),
            ReLU("classifier.5"),
            Linear("classifier.6", hidden, num_classes, rngs=rngs),
        ],
    )


class AlexNet(nnx.Module):
    """Five convolutions, three dense layers.

    Args:
        num_classes: number of logits.
        width: of all layers but the last, as a part of the published one: a small net of the same
            plan trains in minutes.
        rngs: where random initial weights come from.

    References:
        Krizhevsky, One weird trick for parallelizing convolutional neural networks,
        arXiv:1404.5997, 2014.
    """

    def __init__(self, *, num_classes: int = 1000, width: float = 1.0, rngs: nnx.Rngs):
        conv = partial(Conv, rngs=rngs)
        one, two, three, four, five = (round(count * width) for count in (64, 192, 384, 256, 256))
        self.features = Sequential(
            "features",
            [
                conv("features.0", 3, one, 11, stride=4, pad=2),
                ReLU("features.1"),
                MaxPool("features.2", 3, stride=2),
                conv("features.3", one, two, 5, pad=2),
                ReLU("features.4"),
                MaxPool("features.5", 3, stride=2),
                conv("features.6", two, three, 3, pad=1),
                ReLU("features.7"),
                conv("features.8", three, four, 3, pad=1),
                ReLU("features.9"),
                conv("features.10", four, five, 3, pad=1),
                ReLU("features.11"),
                MaxPool("features.12", 3, stride=2),
            ],
        )
        self.avgpool = AdaptiveAvgPool("avgpool", 6)
        self.classifier = classifier(num_classes, rngs, width)

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """The logits of normalised images, at least 63 pixels a side."""
        return self.classifier(flatten(self.avgpool(self.features(x))))


VARIANTS = {"alexnet": AlexNet}
