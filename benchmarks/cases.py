"""What is timed: jaxviz, and torch with captum where they are installed, with the same weights."""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

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


# Where a channel's picture is made: a convolution in the middle of the upper half.
_LAYERS = {"vgg16": "features.28", "resnet50": "layer3", "densenet201": "features.denseblock3"}
_CHANNEL = 10


def ascent(name: str, *, steps: int = 8) -> Case:
    """Steps of activation maximization of a channel.

    Ours with a Fourier image and the default transforms, beside torch-lucent's default at the same
    size, and beside the least that one would write in torch: pixels, a shift, the network up to the
    layer.
    """
    model, layer = _ours(name), _LAYERS[name]
    images = jv.images
    lucent_like = (
        jv.transforms.pad(12),
        jv.transforms.jitter(8),
        jv.transforms.random_scale(0.9, 1.1),
        jv.transforms.random_rotate(10.0),
        jv.transforms.jitter(4),
    )

    def ours(count: int = 1, **options: Any) -> Contestant:
        goal = jv.objectives.channel(layer, _CHANNEL + jnp.arange(count))
        key = jax.random.key(0)
        run = lambda: jv.maximize(model, goal, key=key, steps=steps, **options).image
        return Contestant(run, steps * count)

    contestants = {
        "jaxviz": ours(image=images.fourier(SIZE), optimizer=_adam()),
        "jaxviz, lucent's transforms": ours(
            image=images.fourier(SIZE), optimizer=_adam(), transforms=lucent_like
        ),
        "jaxviz, pixels": ours(image=images.pixel(SIZE)),
        "jaxviz, 64 channels": ours(64, image=images.fourier(SIZE), optimizer=_adam()),
    }
    peer = torch_model(name, model)
    if peer is None:
        return contestants
    import torch
    from torchvision.models.feature_extraction import create_feature_extractor

    lower = create_feature_extractor(peer, [layer])

    def minimal():
        parameters: Any = torch.randn(1, 3, SIZE, SIZE, requires_grad=True)
        optimizer = torch.optim.SGD([parameters], 0.05, momentum=0.9)
        for _ in range(steps):
            optimizer.zero_grad()
            shift = np.random.default_rng(0).integers(-8, 9, 2).tolist()
            image = torch.sigmoid(parameters).roll(shift, (2, 3))
            (-lower(image)[layer][0, _CHANNEL].mean()).backward()
            parameters.grad /= parameters.grad.square().mean().sqrt()
            optimizer.step()

    contestants["torch, minimal loop"] = Contestant(minimal, steps)
    if importlib.util.find_spec("lucent"):
        contestants["torch-lucent"] = Contestant(_lucent(peer, layer, steps), steps)
    return contestants


@functools.cache
def _adam() -> optax.GradientTransformation:
    return optax.adam(0.05)


def _lucent(peer: Any, layer: str, steps: int) -> Callable[[], None]:
    from lucent.optvis import param, render

    def run():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            render.render_vis(
                peer,
                f"{layer.replace('.', '_')}:{_CHANNEL}",
                param_f=lambda: param.image(SIZE),
                thresholds=(steps,),
                show_image=False,
                progress=False,
            )

    return run


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
