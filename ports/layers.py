"""The layers that the ports are made of: NHWC, inference form, each tapping its own output.

Every layer takes its `path` first: the dotted name torchvision gives to the same layer. It is the
name of the tap and, with the variable's name appended, of the weight in a checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from jaxviz import tap

__all__ = [
    "AdaptiveAvgPool",
    "AvgPool",
    "BatchNorm",
    "Conv",
    "Dropout",
    "Linear",
    "LocalResponseNorm",
    "MaxPool",
    "ReLU",
    "Sequential",
    "flatten",
    "global_avg_pool",
    "he_std",
    "relu",
]


def he_std(shape: Sequence[int]) -> float:
    """The standard deviation of He's initialisation for a kernel of `shape` (outputs last).

    References:
        He et al., Delving Deep into Rectifiers, ICCV 2015, section 2.2.
    """
    return math.sqrt(2.0 / math.prod(shape[:-1]))


def _he_normal(rngs: nnx.Rngs, shape: tuple[int, ...]) -> Array:
    return he_std(shape) * jax.random.normal(rngs.params(), shape)


def _windows(path: str, size: int, window: int, stride: int, pad: int, ceil: bool = False) -> int:
    """How many windows fit along one axis, by torch's rule."""
    room = size + 2 * pad - window
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (count - 1) * stride >= size + pad:
        count -= 1  # the last window would start in the padding on the right
    if room < 0 or count < 1:
        raise ValueError(
            f"{path} needs at least {window - 2 * pad} pixels a side and received {size}; "
            f"give the model a larger image."
        )
    return count


class Conv(nnx.Module):
    """As `torch.nn.Conv2d`, on NHWC; a 1x1 convolution is computed as a matrix product.

    Args:
        path: name of the layer and of its tap.
        inputs, outputs: number of channels.
        window: side of the square kernel, in pixels.
        stride, pad: in pixels, the same along both axes.
        groups: number of groups of channels that do not mix.
        bias: whether a bias is added.
        rngs: where the random initial kernel comes from.
    """

    def __init__(
        self,
        path: str,
        inputs: int,
        outputs: int,
        window: int,
        *,
        stride: int = 1,
        pad: int = 0,
        groups: int = 1,
        bias: bool = True,
        rngs: nnx.Rngs,
    ):
        self.path, self.stride, self.pad, self.groups = path, stride, pad, groups
        self.kernel = nnx.Param(_he_normal(rngs, (window, window, inputs // groups, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs)) if bias else None

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 d"]:
        """Convolves; raises ValueError where the image is too small or has other channels."""
        kernel = self.kernel[...]
        window, _, inputs, _ = kernel.shape
        if x.ndim != 4 or x.shape[3] != inputs * self.groups:
            raise ValueError(
                f"{self.path} takes an array (n, h, w, {inputs * self.groups}) and received "
                f"{x.shape}; images are channels-last and have a leading batch axis."
            )
        for size in x.shape[1:3]:
            _windows(self.path, size, window, self.stride, self.pad)
        if window == 1 and self.groups == 1 and self.pad == 0:
            # The same sums, but XLA's CPU backend multiplies matrices at more than twice the rate
            # of its convolution. No reshape: the image axes stay visible to transformations.
            y = x[:, :: self.stride, :: self.stride] @ kernel[0, 0]
        else:
            y = lax.conv_general_dilated(
                x,
                kernel,
                (self.stride, self.stride),
                [(self.pad, self.pad)] * 2,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=self.groups,
            )
        if self.bias is not None:
            y = y + self.bias[...]
        return tap(y, self.path)


class Linear(nnx.Module):
    """As `torch.nn.Linear`; the kernel is (inputs, outputs)."""

    def __init__(self, path: str, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.path = path
        self.kernel = nnx.Param(_he_normal(rngs, (inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, x: Float[Array, "n c"]) -> Float[Array, "n d"]:
        """Multiplies and adds."""
        return tap(x @ self.kernel[...] + self.bias[...], self.path)


class BatchNorm(nnx.Module):
    """As `torch.nn.BatchNorm2d`, over the last axis; `model.train()` and `model.eval()` switch it.

    A new layer is in evaluation mode: it uses the running statistics. In training mode it uses the
    batch's, and moves the running ones towards them (the variance unbiased, as torch does).
    """

    def __init__(self, path: str, channels: int, *, eps: float = 1e-5, momentum: float = 0.1):
        self.path, self.eps, self.momentum = path, eps, momentum
        self.use_running_average = True
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.mean = nnx.BatchStat(jnp.zeros(channels))
        self.var = nnx.BatchStat(jnp.ones(channels))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Normalises each channel."""
        if self.use_running_average:
            mean, var = self.mean[...], self.var[...]
        else:
            mean, var = jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))
            count = x.size // x.shape[-1]
            unbiased = var * (count / max(count - 1, 1))
            rate = self.momentum
            self.mean[...] = (1 - rate) * self.mean[...] + rate * lax.stop_gradient(mean)
            self.var[...] = (1 - rate) * self.var[...] + rate * lax.stop_gradient(unbiased)
        # One multiplication and one addition a value; the rest is work on vectors of channels.
        scale = self.scale[...] * lax.rsqrt(var + self.eps)
        return tap(x * scale + (self.bias[...] - mean * scale), self.path)


def relu(x: Float[Array, "*shape"], path: str) -> Float[Array, "*shape"]:
    """As `jax.nn.relu`, tapped as `path`."""
    return tap(jax.nn.relu(x), path)


class ReLU(nnx.Module):
    """As `relu`, as a layer."""

    def __init__(self, path: str):
        self.path = path

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Rectifies."""
        return relu(x, self.path)


class Dropout(nnx.Module):
    """The identity, tapped: the ports are in inference form, but the layer has a name."""

    def __init__(self, path: str):
        self.path = path

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Returns `x`."""
        return tap(x, self.path)


class MaxPool(nnx.Module):
    """As `torch.nn.MaxPool2d`, on NHWC.

    Args:
        path: name of the layer and of its tap.
        window, stride, pad: in pixels, the same along both axes.
        ceil: whether a last window that hangs over the border counts (torch's `ceil_mode`).
    """

    def __init__(self, path: str, window: int, *, stride: int, pad: int = 0, ceil: bool = False):
        self.path, self.window, self.stride, self.pad, self.ceil = path, window, stride, pad, ceil

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        """Takes the largest value of each window; raises ValueError where none fits."""
        pads = [(0, 0)]
        for size in x.shape[1:3]:
            count = _windows(self.path, size, self.window, self.stride, self.pad, self.ceil)
            covered = (count - 1) * self.stride + self.window
            pads.append((self.pad, max(0, covered - size - self.pad)))
        window, stride = (1, self.window, self.window, 1), (1, self.stride, self.stride, 1)
        pooled = lax.reduce_window(x, -jnp.inf, lax.max, window, stride, [*pads, (0, 0)])
        return tap(pooled, self.path)


def _sum_windows(x: Array, rows: int, cols: int) -> Array:
    """Sums of adjoining windows of rows x cols pixels."""
    shape = (1, rows, cols, 1)
    return lax.reduce_window(x, 0.0, lax.add, shape, shape, "VALID")


class AvgPool(nnx.Module):
    """As `torch.nn.AvgPool2d` with stride equal to the window, on NHWC."""

    def __init__(self, path: str, window: int):
        self.path, self.window = path, window

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        """Averages each window; raises ValueError where none fits."""
        for size in x.shape[1:3]:
            _windows(self.path, size, self.window, self.window, 0)
        return tap(_sum_windows(x, self.window, self.window) / self.window**2, self.path)


def _bins(size: int, count: int, dtype: np.dtype) -> np.ndarray:
    """The averaging matrix (count, size) of adaptive pooling along one axis.

    Bin i covers [floor(i * size / count), ceil((i + 1) * size / count)): bins overlap where the
    size is no multiple of the count, and repeat pixels where it is smaller.
    """
    matrix = np.zeros((count, size), dtype)
    for i in range(count):
        start, stop = i * size // count, -(-(i + 1) * size // count)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


class AdaptiveAvgPool(nnx.Module):
    """As `torch.nn.AdaptiveAvgPool2d`: the average of `size` x `size` bins, whatever the image."""

    def __init__(self, path: str, size: int):
        self.path, self.size = path, size

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n s s c"]:
        """Averages each bin."""
        _, h, w, _ = x.shape
        if (h, w) == (self.size, self.size):
            pooled = x
        elif h % self.size == 0 and w % self.size == 0 and h and w:
            rows, cols = h // self.size, w // self.size
            pooled = _sum_windows(x, rows, cols) / (rows * cols)
        else:
            down, across = (jnp.asarray(_bins(s, self.size, x.dtype)) for s in (h, w))
            # Full precision even where matrix products default to fewer bits (GPU, TPU).
            pooled = jnp.einsum("ih,nhwc,jw->nijc", down, x, across, precision="highest")
        return tap(pooled, self.path)


def global_avg_pool(x: Float[Array, "n h w c"], path: str) -> Float[Array, "n 1 1 c"]:
    """The average over the image, tapped as `path`; both axes are kept, as torch keeps them."""
    return tap(jnp.mean(x, (1, 2), keepdims=True), path)


def flatten(x: Float[Array, "n h w c"], path: str = "flatten") -> Float[Array, "n chw"]:
    """One row a sample, channels first.

    The order is torch's, so the next dense layer's weight needs no permutation, and the tap has
    torchvision's values; moving 7x7x512 numbers costs nothing beside multiplying by them.
    """
    return tap(x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1), path)


class LocalResponseNorm(nnx.Module):
    """Divides each value by (2 + 1e-4 * sum of squares over five adjoining channels) ** 0.75.

    References:
        Krizhevsky et al., ImageNet classification with deep CNNs, NeurIPS 2012, section 3.3.
    """

    def __init__(self, path: str):
        self.path = path

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Normalises across channels."""
        squares = lax.reduce_window(
            x * x, 0.0, lax.add, (1, 1, 1, 5), (1, 1, 1, 1), [(0, 0)] * 3 + [(2, 2)]
        )
        return tap(x * (2 + 1e-4 * squares) ** -0.75, self.path)


class Sequential(nnx.Module):
    """Layers one after the other, as attributes "0", "1", ...: torch's names for them.

    Args:
        path: name of the whole and of its tap, which holds the last layer's output.
        layers: the layers, whose own paths are `path`.0, `path`.1, ...
    """

    def __init__(self, path: str, layers: Sequence[Callable[[Array], Array]]):
        self.path, self.length = path, len(layers)
        for i, layer in enumerate(layers):
            setattr(self, str(i), layer)

    def __call__(self, x: Array) -> Array:
        """Applies each layer."""
        for i in range(self.length):
            x = getattr(self, str(i))(x)
        return tap(x, self.path)
