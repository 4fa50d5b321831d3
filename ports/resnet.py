"""ResNet, ResNeXt and Wide ResNet."""

from __future__ import annotations

from functools import partial

from flax import nnx
from jaxtyping import Array, Float

from jaxviz import tap
from ports.layers import (
    BatchNorm,
    Conv,
    Linear,
    MaxPool,
    Sequential,
    flatten,
    global_avg_pool,
    relu,
)

__all__ = ["VARIANTS", "Basic", "Bottleneck", "ResNet"]


class Basic(nnx.Module):
    """Two 3x3 convolutions and a shortcut past them."""

    expansion = 1

    def __init__(
        self,
        path: str,
        inputs: int,
        width: int,
        *,
        stride: int,
        groups: int,
        base_width: int,
        rngs: nnx.Rngs,
    ):
        if (groups, base_width) != (1, 64):
            raise ValueError(
                f"Basic blocks have groups=1 and base_width=64 and received {groups=}, "
                f"{base_width=}; use Bottleneck for the others."
            )
        self.path = path
        self.conv1 = Conv(
            f"{path}.conv1", inputs, width, 3, stride=stride, pad=1, bias=False, rngs=rngs
        )
        self.bn1 = BatchNorm(f"{path}.bn1", width)
        self.conv2 = Conv(f"{path}.conv2", width, width, 3, pad=1, bias=False, rngs=rngs)
        self.bn2 = BatchNorm(f"{path}.bn2", width)
        self.downsample = _downsample(path, inputs, width, stride, rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 d"]:
        """Applies the block."""
        y = relu(self.bn1(self.conv1(x)), f"{self.path}.relu")
        y = self.bn2(self.conv2(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        y = tap(y + shortcut, f"{self.path}.add")
        return tap(relu(y, f"{self.path}.relu_1"), self.path)


class Bottleneck(nnx.Module):
    """A 3x3 convolution between two 1x1 ones and a shortcut past them.

    The 3x3 convolution has the stride (torchvision's "v1.5"), in the paper the first 1x1 has it.
    """

    expansion = 4

    def __init__(
        self,
        path: str,
        inputs: int,
        width: int,
        *,
        stride: int,
        groups: int,
        base_width: int,
        rngs: nnx.Rngs,
    ):
        self.path = path
        conv = partial(Conv, bias=False, rngs=rngs)
        inner, outputs = width * base_width // 64 * groups, width * self.expansion
        self.conv1 = conv(f"{path}.conv1", inputs, inner, 1)
        self.bn1 = BatchNorm(f"{path}.bn1", inner)
        self.conv2 = conv(f"{path}.conv2", inner, inner, 3, stride=stride, pad=1, groups=groups)
        self.bn2 = BatchNorm(f"{path}.bn2", inner)
        self.conv3 = conv(f"{path}.conv3", inner, outputs, 1)
        self.bn3 = BatchNorm(f"{path}.bn3", outputs)
        self.downsample = _downsample(path, inputs, outputs, stride, rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 d"]:
        """Applies the block."""
        y = relu(self.bn1(self.conv1(x)), f"{self.path}.relu")
        y = relu(self.bn2(self.conv2(y)), f"{self.path}.relu_1")
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        y = tap(y + shortcut, f"{self.path}.add")
        return tap(relu(y, f"{self.path}.relu_2"), self.path)


def _downsample(
    path: str, inputs: int, outputs: int, stride: int, rngs: nnx.Rngs
) -> Sequential | None:
    """The projection in a shortcut, where shapes change along the block."""
    if stride == 1 and inputs == outputs:
        return None
    path = f"{path}.downsample"
    conv = Conv(f"{path}.0", inputs, outputs, 1, stride=stride, bias=False, rngs=rngs)
    return Sequential(path, [conv, BatchNorm(f"{path}.1", outputs)])


class ResNet(nnx.Module):
    """A stem, four stages of residual blocks, a dense layer on the average of the last map.

    Args:
        block: `Basic` or `Bottleneck`.
        depths: number of blocks in each of the four stages.
        groups: groups of the 3x3 convolutions (ResNeXt's cardinality).
        base_width: channels of each group in the first stage.
        num_classes: number of logits.
        rngs: where random initial weights come from.

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
        Xie et al., Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017.
        Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016.
    """

    def __init__(
        self,
        block: type[Basic] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        *,
        groups: int = 1,
        base_width: int = 64,
        num_classes: int = 1000,
        rngs: nnx.Rngs,
    ):
        self.conv1 = Conv("conv1", 3, 64, 7, stride=2, pad=3, bias=False, rngs=rngs)
        self.bn1 = BatchNorm("bn1", 64)
        self.maxpool = MaxPool("maxpool", 3, stride=2, pad=1)
        channels = 64
        for stage, depth in enumerate(depths):
            width, blocks = 64 * 2**stage, []
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                path = f"layer{stage + 1}.{i}"
                blocks.append(
                    block(
                        path,
                        channels,
                        width,
                        stride=stride,
                        groups=groups,
                        base_width=base_width,
                        rngs=rngs,
                    )
                )
                channels = width * block.expansion
            setattr(self, f"layer{stage + 1}", Sequential(f"layer{stage + 1}", blocks))
        self.fc = Linear("fc", channels, num_classes, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """The logits of normalised images."""
        x = self.maxpool(relu(self.bn1(self.conv1(x)), "relu"))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(flatten(global_avg_pool(x, "avgpool")))


VARIANTS = {
    "resnet18": partial(ResNet, Basic, (2, 2, 2, 2)),
    "resnet34": partial(ResNet, Basic, (3, 4, 6, 3)),
    "resnet50": partial(ResNet, Bottleneck, (3, 4, 6, 3)),
    "resnet101": partial(ResNet, Bottleneck, (3, 4, 23, 3)),
    "resnet152": partial(ResNet, Bottleneck, (3, 8, 36, 3)),
    "resnext50_32x4d": partial(ResNet, Bottleneck, (3, 4, 6, 3), groups=32, base_width=4),
    "resnext101_32x8d": partial(ResNet, Bottleneck, (3, 4, 23, 3), groups=32, base_width=8),
    "resnext101_64x4d": partial(ResNet, Bottleneck, (3, 4, 23, 3), groups=64, base_width=4),
    "wide_resnet50_2": partial(ResNet, Bottleneck, (3, 4, 6, 3), base_width=128),
    "wide_resnet101_2": partial(ResNet, Bottleneck, (3, 4, 23, 3), base_width=128),
}
