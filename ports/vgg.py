"""VGG 11, 13, 16 and 19, with and without batch normalisation."""

from __future__ import annotations

from functools import partial

from flax import nnx
from jaxtyping import Array, Float

from ports.layers import (
    AdaptiveAvgPool,
    BatchNorm,
    Conv,
    Dropout,
    Linear,
    MaxPool,
    ReLU,
    Sequential,
    flatten,
)

__all__ = ["RENAMES", "VARIANTS", "VGG"]

# Convolutions in each of the five blocks; the blocks have these widths, and end in max pooling.
_BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)


class VGG(nnx.Module):
    """Stacks of 3x3 convolutions, max pooling between them, three dense layers.

    Args:
        depth: 11, 13, 16 or 19 layers with weights.
        batch_norm: whether each convolution is followed by batch normalisation.
        num_classes: number of logits.
        rngs: where random initial weights come from.

    References:
        Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
        ICLR 2015, table 1.
    """

    def __init__(
        self, depth: int, *, batch_norm: bool = False, num_classes: int = 1000, rngs: nnx.Rngs
    ):
        layers = []

        def add(kind, *args, **options):
            layers.append(kind(f"features.{len(layers)}", *args, **options))

        channels = 3
        for count, width in zip(_BLOCKS[depth], _WIDTHS, strict=True):
            for _ in range(count):
                add(Conv, channels, width, 3, pad=1, rngs=rngs)
                if batch_norm:
                    add(BatchNorm, width)
                add(ReLU)
                channels = width
            add(MaxPool, 2, stride=2)
        self.features = Sequential("features", layers)
        self.avgpool = AdaptiveAvgPool("avgpool", 7)
        self.classifier = Sequential(
            "classifier",
            [
                Linear("classifier.0", 7 * 7 * 512, 4096, rngs=rngs),
                ReLU("classifier.1"),
                Dropout("classifier.2"),
                Linear("classifier.3", 4096, 4096, rngs=rngs),
                ReLU("classifier.4"),
                Dropout("classifier.5"),
                Linear("classifier.6", 4096, num_classes, rngs=rngs),
            ],
        )

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """The logits of normalised images, at least 32 pixels a side."""
        return self.classifier(flatten(self.avgpool(self.features(x))))


VARIANTS = {
    f"vgg{depth}{'_bn' * batch_norm}": partial(VGG, depth, batch_norm=batch_norm)
    for depth in _BLOCKS
    for batch_norm in (False, True)
}

# timm's names for the dense layers; it also keeps them as convolutions of the 7x7 map.
RENAMES = {
    r"pre_logits\.fc1\.": "classifier.0.",
    r"pre_logits\.fc2\.": "classifier.3.",
    r"head\.fc\.": "classifier.6.",
}
