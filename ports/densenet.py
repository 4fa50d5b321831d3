"""DenseNet 121, 161, 169 and 201."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxviz import tap
from ports.layers import (
    AvgPool,
    BatchNorm,
    Conv,
    Linear,
    MaxPool,
    flatten,
    global_avg_pool,
    relu,
)

__all__ = ["RENAMES", "VARIANTS", "DenseNet"]


class _DenseLayer(nnx.Module):
    """Norm, ReLU, 1x1 convolution, norm, ReLU, 3x3 convolution, on all maps so far."""

    def __init__(self, path: str, inputs: int, growth: int, *, rngs: nnx.Rngs):
        self.path = path
        conv = partial(Conv, bias=False, rngs=rngs)
        self.norm1 = BatchNorm(f"{path}.norm1", inputs)
        self.conv1 = conv(f"{path}.conv1", inputs, 4 * growth, 1)
        self.norm2 = BatchNorm(f"{path}.norm2", 4 * growth)
        self.conv2 = conv(f"{path}.conv2", 4 * growth, growth, 3, pad=1)

    def __call__(self, maps: Sequence[Float[Array, "n h w _"]]) -> Float[Array, "n h w g"]:
        x = tap(jnp.concatenate(maps, -1), f"{self.path}.cat")
        x = self.conv1(relu(self.norm1(x), f"{self.path}.relu1"))
        x = self.conv2(relu(self.norm2(x), f"{self.path}.relu2"))
        return tap(x, self.path)


class _DenseBlock(nnx.Module):
    """Dense layers, each of which reads the outputs of all layers before it."""

    def __init__(self, path: str, inputs: int, growth: int, depth: int, *, rngs: nnx.Rngs):
        self.path, self.depth = path, depth
        for i in range(depth):
            name = f"denselayer{i + 1}"
            layer = _DenseLayer(f"{path}.{name}", inputs + i * growth, growth, rngs=rngs)
            setattr(self, name, layer)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w d"]:
        maps = [x]
        for i in range(self.depth):
            maps.append(getattr(self, f"denselayer{i + 1}")(maps))
        x = tap(jnp.concatenate(maps, -1), f"{self.path}.cat")
        return tap(x, self.path)


class _Transition(nnx.Module):
    """Halves the number of channels and the size of the map."""

    def __init__(self, path: str, inputs: int, *, rngs: nnx.Rngs):
        self.path = path
        self.norm = BatchNorm(f"{path}.norm", inputs)
        self.conv = Conv(f"{path}.conv", inputs, inputs // 2, 1, bias=False, rngs=rngs)
        self.pool = AvgPool(f"{path}.pool", 2)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 d"]:
        x = self.conv(relu(self.norm(x), f"{self.path}.relu"))
        return tap(self.pool(x), self.path)


class _Features(nnx.Module):
    """The convolutional part, which torchvision keeps under the name `features`."""

    def __init__(self, growth: int, depths: Sequence[int], stem: int, *, rngs: nnx.Rngs):
        self.depths = tuple(depths)
        self.conv0 = Conv("features.conv0", 3, stem, 7, stride=2, pad=3, bias=False, rngs=rngs)
        self.norm0 = BatchNorm("features.norm0", stem)
        self.pool0 = MaxPool("features.pool0", 3, stride=2, pad=1)
        channels = stem
        for i, depth in enumerate(depths, 1):
            path = f"features.denseblock{i}"
            block = _DenseBlock(path, channels, growth, depth, rngs=rngs)
            setattr(self, f"denseblock{i}", block)
            channels += depth * growth
            if i < len(depths):
                transition = _Transition(f"features.transition{i}", channels, rngs=rngs)
                setattr(self, f"transition{i}", transition)
                channels //= 2
        self.norm5 = BatchNorm("features.norm5", channels)
        self.channels = channels

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n h2 w2 c"]:
        x = self.pool0(relu(self.norm0(self.conv0(x)), "features.relu0"))
        for i in range(1, len(self.depths) + 1):
            x = getattr(self, f"denseblock{i}")(x)
            if i < len(self.depths):
                x = getattr(self, f"transition{i}")(x)
        return tap(self.norm5(x), "features")


class DenseNet(nnx.Module):
    """Four blocks in which each layer reads all earlier maps, transitions between them.

    Args:
        growth: maps that each layer adds (the paper's k).
        depths: number of layers in each block.
        stem: maps of the first convolution.
        num_classes: number of logits.
        rngs: where random initial weights come from.

    References:
        Huang et al., Densely Connected Convolutional Networks, CVPR 2017, table 1.
    """

    def __init__(
        self,
        growth: int,
        depths: Sequence[int],
        *,
        stem: int = 64,
        num_classes: int = 1000,
        rngs: nnx.Rngs,
    ):
        self.features = _Features(growth, depths, stem, rngs=rngs)
        self.classifier = Linear("classifier", self.features.channels, num_classes, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """The logits of normalised images, at least 29 pixels a side."""
        x = relu(self.features(x), "relu")
        return self.classifier(flatten(global_avg_pool(x, "adaptive_avg_pool2d")))


VARIANTS = {
    "densenet121": partial(DenseNet, 32, (6, 12, 24, 16)),
    "densenet161": partial(DenseNet, 48, (6, 12, 36, 24), stem=96),
    "densenet169": partial(DenseNet, 32, (6, 12, 32, 32)),
    "densenet201": partial(DenseNet, 32, (6, 12, 48, 32)),
}

# The files of torchvision's first releases say norm.1 for norm1.
RENAMES = {r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)": r"\1\2"}
