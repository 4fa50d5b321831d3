"""GoogLeNet with batch normalisation, as torchvision has it."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxviz import tap
from ports import imagenet
from ports.layers import (
    BatchNorm,
    Conv,
    Dropout,
    Linear,
    MaxPool,
    Sequential,
    flatten,
    global_avg_pool,
    relu,
)

__all__ = ["SURPLUS", "VARIANTS", "GoogLeNet"]


class _ConvNorm(nnx.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self,
        path: str,
        inputs: int,
        outputs: int,
        window: int,
        *,
        stride: int = 1,
        pad: int = 0,
        rngs: nnx.Rngs,
    ):
        self.path = path
        self.conv = Conv(
            f"{path}.conv", inputs, outputs, window, stride=stride, pad=pad, bias=False, rngs=rngs
        )
        self.bn = BatchNorm(f"{path}.bn", outputs, eps=1e-3)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 d"]:
        return tap(relu(self.bn(self.conv(x)), f"{self.path}.relu"), self.path)


class _Inception(nnx.Module):
    """Four branches side by side, their maps concatenated.

    The third branch has a 3x3 convolution where the paper has 5x5: so do the public weights.
    """

    def __init__(self, path: str, inputs: int, widths: tuple[int, ...], *, rngs: nnx.Rngs):
        self.path = path
        one, reduce3, three, reduce5, five, pooled = widths
        conv = partial(_ConvNorm, rngs=rngs)
        self.branch1 = conv(f"{path}.branch1", inputs, one, 1)
        for name, reduced, outputs in (("branch2", reduce3, three), ("branch3", reduce5, five)):
            at = f"{path}.{name}"
            branch = [
                conv(f"{at}.0", inputs, reduced, 1),
                conv(f"{at}.1", reduced, outputs, 3, pad=1),
            ]
            setattr(self, name, Sequential(at, branch))
        at = f"{path}.branch4"
        pool = MaxPool(f"{at}.0", 3, stride=1, pad=1, ceil=True)
        self.branch4 = Sequential(at, [pool, conv(f"{at}.1", inputs, pooled, 1)])

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w d"]:
        maps = [getattr(self, f"branch{i}")(x) for i in range(1, 5)]
        return tap(tap(jnp.concatenate(maps, -1), f"{self.path}.cat"), self.path)


# Name: (input channels, widths of 1x1, 3x3 reduction, 3x3, 5x5 reduction, "5x5", after pooling).
_INCEPTIONS = {
    "3a": (192, (64, 96, 128, 16, 32, 32)),
    "3b": (256, (128, 128, 192, 32, 96, 64)),
    "4a": (480, (192, 96, 208, 16, 48, 64)),
    "4b": (512, (160, 112, 224, 24, 64, 64)),
    "4c": (512, (128, 128, 256, 24, 64, 64)),
    "4d": (512, (112, 144, 288, 32, 64, 64)),
    "4e": (528, (256, 160, 320, 32, 128, 128)),
    "5a": (832, (256, 160, 320, 32, 128, 128)),
    "5b": (832, (384, 192, 384, 48, 128, 128)),
}


def _to_half(x: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """From ImageNet's mean and standard deviation to 0.5 and 0.5, step by step as torchvision."""
    channels = []
    for i, (mean, std) in enumerate(zip(imagenet.MEAN, imagenet.STD, strict=True)):
        end = f"_{i}" if i else ""
        channel = tap(x[..., i], f"getitem{end}")
        channel = tap(channel[..., None], f"unsqueeze{end}")
        channel = tap(channel * (std / 0.5), f"mul{end}")
        channels.append(tap(channel + (mean - 0.5) / 0.5, f"add{end}"))
    return tap(jnp.concatenate(channels, -1), "cat")


class GoogLeNet(nnx.Module):
    """A stem and nine inception modules; without the auxiliary heads, which serve training only.

    Args:
        transform_input: whether the first thing done is to move images from ImageNet's mean and
            standard deviation to 0.5 and 0.5. torchvision's ImageNet weights want it, and
            torchvision switches it on with them (but off for a model that you train yourself).
        num_classes: number of logits.
        rngs: where random initial weights come from.

    References:
        Szegedy et al., Going Deeper with Convolutions, CVPR 2015, table 1.
    """

    def __init__(self, *, transform_input: bool = True, num_classes: int = 1000, rngs: nnx.Rngs):
        self.transform_input = transform_input
        conv, pool = partial(_ConvNorm, rngs=rngs), partial(MaxPool, stride=2, ceil=True)
        self.conv1 = conv("conv1", 3, 64, 7, stride=2, pad=3)
        self.maxpool1 = pool("maxpool1", 3)
        self.conv2 = conv("conv2", 64, 64, 1)
        self.conv3 = conv("conv3", 64, 192, 3, pad=1)
        self.maxpool2 = pool("maxpool2", 3)
        for name, (inputs, widths) in _INCEPTIONS.items():
            path = f"inception{name}"
            setattr(self, path, _Inception(path, inputs, widths, rngs=rngs))
        self.maxpool3 = pool("maxpool3", 3)
        self.maxpool4 = pool("maxpool4", 2)
        self.dropout = Dropout("dropout")
        self.fc = Linear("fc", 1024, num_classes, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """The logits of images normalised with ImageNet's mean and standard deviation."""
        if self.transform_input:
            x = _to_half(x)
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        for name in _INCEPTIONS:
            if name == "4a":
                x = self.maxpool3(x)
            if name == "5a":
                x = self.maxpool4(x)
            x = getattr(self, f"inception{name}")(x)
        x = flatten(global_avg_pool(x, "avgpool"))
        return self.fc(self.dropout(x))


VARIANTS = {"googlenet": GoogLeNet}

# Checkpoints carry the two auxiliary heads; an inference model has no place for them.
SURPLUS = r"aux[12]\..*"
