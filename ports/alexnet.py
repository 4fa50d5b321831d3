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


def classifier(num_classes: int, rngs: nnx.Rngs) -> Sequential:
    """Three dense layers on 6x6 maps of 256 channels: AlexNet's head and ZFNet's."""
    return Sequential(
        "classifier",
        [
            Dropout("classifier.0"),
            Linear("classifier.1", 6 * 6 * 256, 4096, rngs=rngs),
            ReLU("classifier.2"),
            Dropout("classifier.3"),
            Linear("classifier.4", 4096, 4096, rngs=rngs),
            ReLU("classifier.5"),
            Linear("classifier.6", 4096, num_classes, rngs=rngs),
        ],
    )


class AlexNet(nnx.Module):
    """Five convolutions, three dense layers.

    Args:
        num_classes: number of logits.
        rngs: where random initial weights come from.

    References:
        Krizhevsky, One weird trick for parallelizing convolutional neural networks,
        arXiv:1404.5997, 2014.
    """

    def __init__(self, *, num_classes: int = 1000, rngs: nnx.Rngs):
        conv = partial(Conv, rngs=rngs)
        self.features = Sequential(
            "features",
            [
                conv("features.0", 3, 64, 11, stride=4, pad=2),
                ReLU("features.1"),
                MaxPool("features.2", 3, stride=2),
                conv("features.3", 64, 192, 5, pad=2),
                ReLU("features.4"),
                MaxPool("features.5", 3, stride=2),
                conv("features.6", 192, 384, 3, pad=1),
                ReLU("features.7"),
                conv("features.8", 384, 256, 3, pad=1),
                ReLU("features.9"),
                conv("features.10", 256, 256, 3, pad=1),
                ReLU("features.11"),
                MaxPool("features.12", 3, stride=2),
            ],
        )
        self.avgpool = AdaptiveAvgPool("avgpool", 6)
        self.classifier = classifier(num_classes, rngs)

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """The logits of normalised images, at least 63 pixels a side."""
        return self.classifier(flatten(self.avgpool(self.features(x))))


VARIANTS = {"alexnet": AlexNet}
