"""Transforms against torchvision's, on fixed parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as theirs

import jaxviz as jv

SIZE = (24, 31)


def images(low=0.0, high=1.0):
    torch.manual_seed(0)
    x = low + (high - low) * torch.rand(2, 3, *SIZE)
    return x, x.permute(0, 2, 3, 1).numpy()


def nhwc(x):
    return x.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("degrees", [5.0, -30.0, 90.0])
def test_rotation(degrees):
    x, ours = images()
    turned = nhwc(theirs.rotate(x, degrees, InterpolationMode.BILINEAR))
    mask = nhwc(theirs.rotate(torch.ones_like(x), degrees, InterpolationMode.BILINEAR))
    # At the border torchvision weighs what comes in twice.
    inside = mask > 1 - 1e-5
    assert inside.mean() > 0.5
    assert np.abs(jv.transforms.rotate(ours, degrees) - turned)[inside].max() < 1e-4


def test_shrinking_is_antialiased_resizing():
    x, ours = images()
    x, ours = x[..., :28], ours[:, :, :28]
    small = nhwc(theirs.resize(x, [12, 14], antialias=True))
    shown = np.asarray(jv.transforms.scale(ours, 0.5))
    assert np.abs(shown[:, 6:18, 7:21] - small).max() < 1e-5


def test_padding():
    x, ours = images()
    padded = nhwc(theirs.pad(x, [4], fill=0.5))
    assert np.array_equal(jv.transforms.pad(4)(None, ours), padded)


@pytest.mark.parametrize("change", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.7, 1.2])
def test_colours(change, factor):
    """Where nothing leaves [0, 1], where torchvision cuts; its grey has weights of four digits."""
    x, ours = images(0.3, 0.7)
    expected = nhwc(getattr(theirs, f"adjust_{change}")(x, factor))
    shown = jv.transforms.adjust_colours(ours, **{change: factor})
    assert np.abs(shown - expected).max() < 2e-4
