"""ZFNet: the network that Zeiler and Fergus arrived at by looking into AlexNet."""

from __future__ import annotations

from functools import partial

from flax import nnx
from jaxtyping import Array, Float

from ports.alexnet import classifier
from ports.layers import (
    AdaptiveAvgPool,
    Conv,
    LocalResponseNorm,
    MaxPool,
    ReLU,
    Sequential,
    flatten,
)

__all__ = ["VARIANTS", "ZFNet"]


class ZFNet(nnx.Module):
    """AlexNet with a finer first layer: 7x7 filters at stride 2 instead of 11x11 at stride 4.

    The map sizes are those of the paper's figure 3: 110, 55, 26, 13, 13, 13, 13, 6 for an image of
    224 pixels, which fixes the padding that the text leaves open. The paper normalises contrast
    across feature maps after the first two poolings without giving the formula; here it is the
    local response normalisation of AlexNet, the net that the authors started from. The adaptive
    pooling in front of the dense layers does nothing at 224 pixels and admits other sizes. No
    weights of the authors' are public; layers are named as in AlexNet.

    Args:
        num_classes: number of logits.
        width: as AlexNet's.
        rngs: where random initial weights come from.

    References:
        Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014,
        section 3 and figure 3.
    """

    def __init__(self, *, num_classes: int = 1000, width: float = 1.0, rngs: nnx.Rngs):
        conv = partial(Conv, rngs=rngs)
        one, two, three, four, five = (round(count * width) for count in (96, 256, 384, 384, 256))
        self.features = Sequential(
            "features",
            [
                conv("features.0", 3, one, 7, stride=2, pad=1),
                ReLU("features.1"),
                MaxPool("features.2", 3, stride=2, pad=1),
                LocalResponseNorm("features.3"),
                conv("features.4", one, two, 5, stride=2),
                ReLU("features.5"),
                MaxPool("features.6", 3, stride=2, pad=1),
                LocalResponseNorm("features.7"),
                conv("features.8", two, three, 3, pad=1),
                ReLU("features.9"),
                conv("features.10", three, four, 3, pad=1),
                ReLU("features.11"),
                conv("features.12", four, five, 3, pad=1),
                ReLU("features.13"),
                MaxPool("features.14", 3, stride=2),
            ],
        )
        self.avgpool = AdaptiveAvgPool("avgpool", 6)
        self.classifier = classifier(num_classes, rngs, width)

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """The logits of normalised images."""
        return self.classifier(flatten(self.avgpool(self.features(x))))


VARIANTS = {"zfnet": ZFNet}
