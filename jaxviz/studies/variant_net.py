"""A small network of numbered layers, from which layers can be taken out or made wider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Float

from jaxviz.transform import tap

__all__ = ["LAYERS", "LayerSpec", "Variant", "VariantNet", "layers_of"]


class LayerSpec(NamedTuple):
    """One layer, with its normalisation, its ReLU and its pooling.

    Attributes:
      kind: "conv" or "dense".
      width: channels, or units.
      window: side of a convolution's kernel, in pixels.
      stride: of a convolution, in pixels.
      pooled: whether 2x2 max pooling follows.
    """

    kind: Literal["conv", "dense"]
    width: int
    window: int = 1
    stride: int = 1
    pooled: bool = False


LAYERS: dict[int, LayerSpec] = {
    1: LayerSpec("conv", 12, window=7, stride=2, pooled=True),
    2: LayerSpec("conv", 32, window=5, pooled=True),
    3: LayerSpec("conv", 48, window=3),
    4: LayerSpec("conv", 48, window=3),
    5: LayerSpec("conv", 32, window=3, pooled=True),
    6: LayerSpec("dense", 512),
    7: LayerSpec("dense", 512),
}
"""Zeiler and Fergus's net, an eighth as wide, for images of 64 pixels; layer 8 are the logits."""


class Variant(NamedTuple):
    """The net with a change.

    Attributes:
      drop: numbers of the layers that are taken out.
      width: number of a layer -> how wide it becomes, as pairs.
    """

    drop: tuple[int, ...] = ()
    width: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        """The variant in words."""
        words = [f"without {', '.join(map(str, self.drop))}"] if self.drop else []
        if self.width:
            words.append("width " + ", ".join(f"{n}: {width}" for n, width in self.width))
        return "; ".join(words) or "all layers"


def layers_of(
    variant: Variant, layers: Mapping[int, LayerSpec] | None = None
) -> dict[int, LayerSpec]:
    """The layers that a variant has. A layer's ReLU and pooling go with it.

    Args:
      variant: the change.
      layers: what is changed; by default `LAYERS`.

    Returns:
      Number -> layer, in order.

    Raises:
      ValueError: a number that no layer has, a layer named twice or both taken out and widened, or
        a width below 1.

    Example:
      >>> list(layers_of(Variant(drop=(3, 4), width=((6, 1024),))))
      [1, 2, 5, 6, 7]
    """
    layers = LAYERS if layers is None else layers
    named = [*variant.drop, *(number for number, _ in variant.width)]
    for number in named:
        if number not in layers:
            raise ValueError(
                f"a variant changes layers {min(layers)} to {max(layers)}, and {number} is none."
            )
        if named.count(number) > 1:
            raise ValueError(f"a variant changes a layer once, and layer {number} twice here.")
    for number, width in variant.width:
        if width < 1:
            raise ValueError(f"a layer has a width of at least 1, and {number} would have {width}.")
    widths = dict(variant.width)
    return {
        number: spec._replace(width=widths.get(number, spec.width))
        for number, spec in sorted(layers.items())
        if number not in variant.drop
    }


class VariantNet(nnx.Module):
    """Convolutions, then dense layers, each with a ReLU, then the logits: a small ZFNet or AlexNet.

    Layer `n` is the attribute `layerN`; the tap of that name follows its ReLU and pooling, and
    `logits` comes last. Batch normalisation follows each convolution, in the place of the local
    normalisation of contrast, so that deep variants learn from few images. A layer that a variant
    does not have is not there at all.

    Args:
      layers: number -> layer, convolutions before dense layers.
      size: height and width of the images, in pixels.
      classes: how many logits.
      rngs: draws the first weights, by He's rule.

    Raises:
      ValueError: a convolution after a dense layer, or more poolings than the size admits.

    References:
      M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2014, figure 3
      and section 5.1.
    """

    def __init__(
        self, layers: Mapping[int, LayerSpec], *, size: int = 64, classes: int = 10, rngs: nnx.Rngs
    ):
        # Numbers and specifications alone: what is static in the module must be hashable.
        self.specs = tuple(sorted(layers.items()))
        he = nnx.initializers.he_normal()
        side, channels, flat = size, 3, 0
        for number, spec in self.specs:
            if spec.kind == "dense":
                flat = flat or side * side * channels
                layer = nnx.Linear(flat, spec.width, kernel_init=he, rngs=rngs)
                flat = spec.width
            elif flat:
                raise ValueError(f"layer {number} is a convolution, and comes after a dense layer.")
            else:
                layer = nnx.Conv(
                    channels,
                    spec.width,
                    (spec.window, spec.window),
                    spec.stride,
                    padding="SAME",
                    use_bias=False,
                    kernel_init=he,
                    rngs=rngs,
                )
                setattr(self, f"norm{number}", nnx.BatchNorm(spec.width, momentum=0.9, rngs=rngs))
                side, channels = -(-side // spec.stride), spec.width
                side //= 2 if spec.pooled else 1
                if side < 1:
                    raise ValueError(
                        f"layer {number} has nothing left to pool; give a larger size."
                    )
            setattr(self, f"layer{number}", layer)
        self.logits = nnx.Linear(flat or side * side * channels, classes, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """The logits."""
        for number, spec in self.specs:
            x = x.reshape(len(x), -1) if spec.kind == "dense" else x
            x = getattr(self, f"layer{number}")(x)
            x = getattr(self, f"norm{number}")(x) if spec.kind == "conv" else x
            x = jax.nn.relu(x)
            x = nnx.max_pool(x, (2, 2), (2, 2)) if spec.pooled else x
            x = tap(x, f"layer{number}")
        return tap(self.logits(x.reshape(len(x), -1)), "logits")
