"""Three small nets for the shapes set: plain, with residual additions, with dense concatenation.

All three have 9 convolutions of 3x3 or 5x5 in five stages, `layer1` to `layer5`, whose outputs are
16, 32, 48, 64 and 80 channels wide at 64, 32, 16, 8 and 8 pixels (the first three are followed by
2x2 max pooling), then global average pooling and a dense head. They differ only in how a stage
joins its two convolutions, so a difference between their pictures comes from that alone.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxviz import tap

__all__ = ["INPUT_SIZE", "MEAN", "STD", "WIDTHS", "ShapesDense", "ShapesPlain", "ShapesResidual"]

INPUT_SIZE = 64
"""Height and width of an input, in pixels."""
MEAN = (0.5, 0.5, 0.5)
"""An input is (image - MEAN) / STD, of an image in [0, 1]."""
STD = (0.25, 0.25, 0.25)
WIDTHS = (16, 32, 48, 64, 80)
"""Channels that each stage puts out."""


class _Tapped(nnx.Module):
    """A module whose values are named after its own path in the model, as `layer3.conv1`."""

    def __init__(self, path: str):
        self.path = path

    def tap(self, x: Array, name: str) -> Array:
        return tap(x, f"{self.path}.{name}")

    def normalised(self, x: Array, number: int) -> Array:
        """Convolution, then batch normalisation."""
        x = self.tap(getattr(self, f"conv{number}")(x), f"conv{number}")
        return self.tap(getattr(self, f"bn{number}")(x), f"bn{number}")


def _conv(width_in: int, width: int, size: int, rngs: nnx.Rngs) -> nnx.Conv:
    # Without a bias: batch normalisation follows, which takes any constant away again.
    return nnx.Conv(
        width_in,
        width,
        (size, size),
        padding=size // 2,
        use_bias=False,
        kernel_init=nnx.initializers.he_normal(),
        rngs=rngs,
    )


def _norm(width: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(width, momentum=0.9, epsilon=1e-5, rngs=rngs)


class _Stem(_Tapped):
    """The first stage, the same in all three nets: one 5x5 convolution of the pixels."""

    def __init__(self, path: str, width: int, *, rngs: nnx.Rngs):
        super().__init__(path)
        self.conv1 = _conv(3, width, 5, rngs)
        self.bn1 = _norm(width, rngs)

    def __call__(self, x: Array) -> Array:
        return tap(self.tap(jax.nn.relu(self.normalised(x, 1)), "relu"), self.path)


class _PlainStage(_Tapped):
    """Two convolutions, one after the other."""

    def __init__(self, path: str, width_in: int, width: int, *, rngs: nnx.Rngs):
        super().__init__(path)
        self.conv1 = _conv(width_in, width, 3, rngs)
        self.bn1 = _norm(width, rngs)
        self.conv2 = _conv(width, width, 3, rngs)
        self.bn2 = _norm(width, rngs)

    def __call__(self, x: Array) -> Array:
        x = self.tap(jax.nn.relu(self.normalised(x, 1)), "relu")
        x = self.tap(jax.nn.relu(self.normalised(x, 2)), "relu_1")
        return tap(x, self.path)


class _ResidualStage(_PlainStage):
    """The plain stage, and its input added before the last ReLU (He et al. 2016, type B).

    A 1x1 convolution widens the input to the stage's width.
    """

    def __init__(self, path: str, width_in: int, width: int, *, rngs: nnx.Rngs):
        super().__init__(path, width_in, width, rngs=rngs)
        self.downsample = nnx.List([_conv(width_in, width, 1, rngs), _norm(width, rngs)])

    def __call__(self, x: Array) -> Array:
        shortcut = self.tap(self.downsample[0](x), "downsample.0")
        shortcut = self.tap(self.downsample[1](shortcut), "downsample.1")
        x = self.tap(jax.nn.relu(self.normalised(x, 1)), "relu")
        x = self.tap(self.normalised(x, 2) + self.tap(shortcut, "downsample"), "add")
        return tap(self.tap(jax.nn.relu(x), "relu_1"), self.path)


class _DenseStage(_Tapped):
    """Each convolution adds half a stage's width to all maps before it (Huang et al. 2017).

    A transition, a 1x1 convolution as between DenseNet's blocks, then mixes the stage's input and
    its new maps down to the stage's width, so that every stage is as wide as in the other nets.
    """

    def __init__(self, path: str, width_in: int, width: int, *, rngs: nnx.Rngs):
        super().__init__(path)
        growth = width // 2
        self.conv1 = _conv(width_in, growth, 3, rngs)
        self.bn1 = _norm(growth, rngs)
        self.conv2 = _conv(width_in + growth, growth, 3, rngs)
        self.bn2 = _norm(growth, rngs)
        self.conv3 = _conv(width_in + 2 * growth, width, 1, rngs)
        self.bn3 = _norm(width, rngs)

    def __call__(self, x: Array) -> Array:
        new = self.tap(jax.nn.relu(self.normalised(x, 1)), "relu")
        x = self.tap(jnp.concatenate([x, new], axis=-1), "cat")
        new = self.tap(jax.nn.relu(self.normalised(x, 2)), "relu_1")
        x = self.tap(jnp.concatenate([x, new], axis=-1), "cat_1")
        x = self.tap(jax.nn.relu(self.normalised(x, 3)), "relu_2")
        return tap(x, self.path)


class _ShapesNet(nnx.Module):
    def __init__(self, stage: Callable[..., _Tapped], num_classes: int, rngs: nnx.Rngs):
        self.layer1 = _Stem("layer1", WIDTHS[0], rngs=rngs)
        self.layer2 = stage("layer2", WIDTHS[0], WIDTHS[1], rngs=rngs)
        self.layer3 = stage("layer3", WIDTHS[1], WIDTHS[2], rngs=rngs)
        self.layer4 = stage("layer4", WIDTHS[2], WIDTHS[3], rngs=rngs)
        self.layer5 = stage("layer5", WIDTHS[3], WIDTHS[4], rngs=rngs)
        self.fc = nnx.Linear(WIDTHS[4], num_classes, rngs=rngs)

    def __call__(self, x: Float[Array, "n 64 64 3"]) -> Float[Array, "n k"]:
        x = tap(nnx.max_pool(self.layer1(x), (2, 2), (2, 2)), "pool1")
        x = tap(nnx.max_pool(self.layer2(x), (2, 2), (2, 2)), "pool2")
        x = tap(nnx.max_pool(self.layer3(x), (2, 2), (2, 2)), "pool3")
        x = self.layer5(self.layer4(x))
        x = tap(jnp.mean(x, axis=(1, 2)), "avgpool")
        return tap(self.fc(x), "fc")


class ShapesPlain(_ShapesNet):
    """A stack of convolution, batch normalisation and ReLU, like a small VGG.

    Args:
      num_classes: how many logits.
      rngs: draws the first weights.

    Example:
      >>> import jax
      >>> import ports
      >>> model = ports.load("shapes-plain", key=jax.random.key(0))
      >>> jax.eval_shape(model, jax.ShapeDtypeStruct((2, 64, 64, 3), "float32")).shape
      (2, 10)

    References:
      K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image
      recognition", 2015; S. Ioffe, C. Szegedy, "Batch normalization", 2015.
    """

    def __init__(self, *, num_classes: int = 10, rngs: nnx.Rngs):
        super().__init__(_PlainStage, num_classes, rngs)


class ShapesResidual(_ShapesNet):
    """As `ShapesPlain`, but each stage adds its input to its output, like a small ResNet.

    Args:
      num_classes: how many logits.
      rngs: draws the first weights.

    References:
      K. He et al., "Deep residual learning for image recognition", 2016, section 3.3, option B.
    """

    def __init__(self, *, num_classes: int = 10, rngs: nnx.Rngs):
        super().__init__(_ResidualStage, num_classes, rngs)


class ShapesDense(_ShapesNet):
    """As `ShapesPlain`, but each convolution sees all maps before it, like a small DenseNet.

    A convolution adds half of its stage's width (8 times the stage's number), and a 1x1 transition
    ends the stage at the width it has in the other two nets.

    Args:
      num_classes: how many logits.
      rngs: draws the first weights.

    References:
      G. Huang et al., "Densely connected convolutional networks", 2017, section 3.
    """

    def __init__(self, *, num_classes: int = 10, rngs: nnx.Rngs):
        super().__init__(_DenseStage, num_classes, rngs)
