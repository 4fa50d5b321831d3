"""What is timed: jaxviz, and torch with captum where they are installed, with the same weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxviz as jv
import ports
from benchmarks.peers import as_tensor, torch_model
from benchmarks.timing import Contestant

__all__ = ["CASES"]

SIZE = 224

Case = dict[str, Contestant]
"""Contestants for one task by name, ours first."""


def _images(count: int) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (count, SIZE, SIZE, 3))


def _ours(name: str) -> Any:
    return ports.load(name, key=jax.random.key(0))


def forward(name: str, *, batch: int = 16) -> Case:
    """The forward pass."""
    model, x = _ours(name), _images(batch)
    run = jax.jit(lambda model, x: model(x))
    contestants = {"jaxviz": Contestant(lambda: run(model, x), batch)}
    peer = torch_model(name, model)
    if peer is not None:
        import torch

        tensor = as_tensor(x)

        def theirs(tensor):
            with torch.inference_mode():
                return peer(tensor)

        last = tensor.contiguous(memory_format=torch.channels_last)
        contestants |= {
            "torch": Contestant(lambda: theirs(tensor), batch),
            "torch, channels_last input": Contestant(lambda: theirs(last), batch),
        }
    return contestants


def deconvnet(name: str, *, batch: int = 8) -> Case:
    """The deconvnet of a class."""
    model, x = _ours(name), _images(batch)
    contestants = {"jaxviz": Contestant(lambda: jv.deconvnet(model, x, 3), batch)}
    peer = torch_model(name, model)
    if peer is not None:
        from captum.attr import Deconvolution

        explainer, tensor = Deconvolution(peer), as_tensor(x)

        def theirs():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # captum announces its hooks
                return explainer.attribute(tensor, target=3)

        contestants["captum"] = Contestant(theirs, batch)
    return contestants


def ascent(name: str, *, steps: int = 8) -> Case:
    """Steps of activation maximization, against a minimal loop in torch."""
    model = _ours(name)
    run = lambda: jv.maximize(
        model, jv.objectives.logit(3), key=jax.random.key(0), image=jv.images.pixel(SIZE),
        steps=steps,
    ).image  # fmt: skip
    contestants = {"jaxviz": Contestant(run, steps)}
    peer = torch_model(name, model)
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

        contestants["torch, minimal loop"] = Contestant(theirs, steps)
    return contestants


def reconstruction(name: str, *, rows: int = 10) -> Case:
    """Rows of the exact affine map: weight images of as many classes."""
    model, x = _ours(name), _images(1)
    classes = np.arange(rows)
    contestants = {"jaxviz": Contestant(lambda: jv.reconstruct(model, x, outputs=classes), rows)}
    peer = torch_model(name, model)
    if peer is not None:
        import torch

        # Their derivatives with respect to the weights are not asked for.
        peer.requires_grad_(False)
        tensor = as_tensor(x)
        logits = lambda tensor: peer(tensor)[0, :rows]

        def pulled_back():
            pull_back = torch.func.vjp(logits, tensor)[1]
            return torch.func.vmap(pull_back)(torch.eye(rows))[0]

        contestants |= {
            "torch.func.jacrev": Contestant(lambda: torch.func.jacrev(logits)(tensor), rows),
            "torch, vmap of vjp": Contestant(pulled_back, rows),
        }
    return contestants


CASES: dict[str, Callable[[str], Case]] = {
    "forward": forward,
    "deconvnet": deconvnet,
    "ascent": ascent,
    "reconstruction": reconstruction,
}
