"""What is timed: jaxviz, and torch with captum where they are installed, with the same weights."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxviz as jv
import ports

__all__ = ["CASES", "Case"]

SIZE = 224


class Case(NamedTuple):
    """Contestants for one task, and how many images or positions one run handles."""

    contestants: Mapping[str, Callable[[], object]]
    items: int


def _images(count: int) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (count, SIZE, SIZE, 3))


def _ours(name: str) -> Any:
    return ports.load(name, key=jax.random.key(0))


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


def _theirs(name: str, ours: Any) -> Any:
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


def _tensor(x: jax.Array) -> Any:
    import torch

    return torch.from_numpy(np.array(x)).permute(0, 3, 1, 2).contiguous()


def forward(name: str, *, batch: int = 16) -> Case:
    """The forward pass."""
    model, x = _ours(name), _images(batch)
    run = jax.jit(lambda model, x: model(x))
    contestants: dict[str, Callable[[], object]] = {"jaxviz": lambda: run(model, x)}
    peer = _theirs(name, model)
    if peer is not None:
        import torch

        tensor = _tensor(x)

        def theirs(tensor):
            with torch.inference_mode():
                return peer(tensor)

        last = tensor.contiguous(memory_format=torch.channels_last)
        contestants |= {
            "torch": lambda: theirs(tensor),
            "torch, channels_last input": lambda: theirs(last),
        }
    return Case(contestants, batch)


def deconvnet(name: str, *, batch: int = 8) -> Case:
    """The deconvnet of a class."""
    model, x = _ours(name), _images(batch)
    contestants: dict[str, Callable[[], object]] = {"jaxviz": lambda: jv.deconvnet(model, x, 3)}
    peer = _theirs(name, model)
    if peer is not None:
        from captum.attr import Deconvolution

        explainer, tensor = Deconvolution(peer), _tensor(x)

        def theirs():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # captum announces its hooks
                return explainer.attribute(tensor, target=3)

        contestants["captum"] = theirs
    return Case(contestants, batch)


def occlusion(name: str, *, window: int = 32, stride: int = 32, at_once: int = 16) -> Case:
    """A sweep of one image."""
    model, x = _ours(name), _images(1)
    sweep: dict[str, Any] = {"window": (window, window), "stride": (stride, stride)}
    positions = jv.occlusion(model, x, 3, **sweep).drop.size
    contestants: dict[str, Callable[[], object]] = {
        "jaxviz": lambda: jv.occlusion(model, x, 3, **sweep).drop
    }
    peer = _theirs(name, model)
    if peer is not None:
        import torch
        from captum.attr import Occlusion

        explainer, tensor = Occlusion(peer), _tensor(x)

        def theirs():
            with torch.inference_mode():
                return explainer.attribute(
                    tensor,
                    sliding_window_shapes=(3, window, window),
                    strides=(3, stride, stride),
                    target=3,
                    perturbations_per_eval=at_once,
                )

        contestants["captum"] = theirs
    return Case(contestants, positions)


def ascent(name: str, *, steps: int = 8) -> Case:
    """Steps of activation maximization, against a minimal loop in torch."""
    model = _ours(name)
    run = lambda: jv.maximize(
        model, jv.objectives.logit(3), key=jax.random.key(0), image=jv.images.pixel(SIZE),
        steps=steps,
    ).image  # fmt: skip
    contestants: dict[str, Callable[[], object]] = {"jaxviz": run}
    peer = _theirs(name, model)
    if peer is not None:
        import torch

        def theirs():
            parameters: Any = torch.randn(1, 3, SIZE, SIZE, requires_grad=True)
            optimizer = torch.optim.SGD([parameters], 0.05, momentum=0.9)
            for _ in range(steps):
                optimizer.zero_grad()
                shift = np.random.default_rng(0).integers(-8, 9, 2).tolist()
                image = torch.sigmoid(parameters).roll(shift, (2, 3))
                (-peer(image)[0, 3]).backward()
                parameters.grad /= parameters.grad.square().mean().sqrt()
                optimizer.step()
            return jnp.zeros(())

        contestants["torch, minimal loop"] = theirs
    return Case(contestants, steps)


CASES: dict[str, Callable[[str], Case]] = {
    "forward": forward,
    "deconvnet": deconvnet,
    "occlusion": occlusion,
    "ascent": ascent,
}
