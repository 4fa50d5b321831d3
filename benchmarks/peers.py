"""torch, torchvision and captum as peers, where they are installed, with our weights."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ports

__all__ = ["as_tensor", "torch_model"]


@functools.cache
def _torchvision() -> Any:
    """torchvision, or None where it, torch or captum is not installed."""
    if not all(map(importlib.util.find_spec, ("torch", "torchvision", "captum"))):
        return None
    import torch

    # A torchvision of another build than torch asks for operators that these cases do not use.
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms(Tensor a, Tensor b, float c) -> Tensor",
                     "qnms(Tensor a, Tensor b, float c) -> Tensor"):  # fmt: skip
        with contextlib.suppress(RuntimeError):  # it has them
            library.define(operator)
    import torchvision

    _KEPT.append(library)
    return torchvision


_KEPT: list[object] = []  # torch forgets a library's operators with it


def torch_model(name: str, ours: Any) -> Any:
    """torchvision's model with our weights, or None where torchvision is not installed."""
    torchvision = _torchvision()
    if torchvision is None:
        return None
    import torch
    from safetensors.torch import load_file

    options = {"init_weights": False} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, weights=None, **options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        ports.save(ours, path)
        model.load_state_dict(load_file(path), strict=False)
    for module in model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False  # captum's hooks ask for it
    return model.eval()


def as_tensor(x: jax.Array) -> Any:
    """Our images as torch has them: channels first."""
    import torch

    return torch.from_numpy(np.array(x)).permute(0, 3, 1, 2).contiguous()
