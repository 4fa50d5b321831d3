"""Models with weights in, and weights out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array

from ports import checkpoints
from ports.layers import he_std
from ports.naming import filled, tensors, torch_names
from ports.registry import Entry, entry

__all__ = ["load", "new", "save"]

_HERE = Path(__file__).parent


def new(name: str, *, rngs: nnx.Rngs, **options: Any) -> nnx.Module:
    """A model by name, as its class constructs it, in evaluation mode: a start for training.

    Args:
        name: one of `ports.names()`.
        rngs: where the first weights come from, each by its own layer's initializer.
        options: further arguments of the model's class, as `num_classes=10`.

    Returns:
        A Flax NNX module. `load(name, key=...)` gives random weights too, but by He's rule
        throughout, from one draw: the quicker way where no training follows.

    Raises:
        ValueError: an unknown model; the nearest names are listed.

    Example:
        >>> import ports
        >>> from flax import nnx
        >>> ports.new("shapes-plain", rngs=nnx.Rngs(0), num_classes=3).fc.bias.shape
        (3,)
    """
    model = entry(name).build(rngs=rngs, **options)
    model.eval()
    return model


def load(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    key: Array | None = None,
    **options: Any,
) -> nnx.Module:
    """A model by name, with weights, in evaluation mode.

    Args:
        name: one of `ports.names()`.
        weights: one of
            a path to a `.safetensors` file in torchvision's naming, or in that of timm's
            `*.tv_in1k` checkpoints;
            a path to a `.pth` or `.pt` file of a state dictionary (needs torch);
            a path to an Orbax directory, as `ports.save` writes, or as `jaxviz train` does (of its
            `checkpoints` the last epoch is read, of `checkpoints/3` the third);
            "imagenet": torchvision's ImageNet weights, from the Hugging Face Hub or its cache (at
            the commit that the card names, or the newest where it names a branch);
            "shapes": the weights packaged with the `shapes-*` models; "shapes-1" and "shapes-2"
            are those of the same training from other seeds;
            None: random weights by He's rule, from `key`.
        key: a `jax.random.key`; for `weights=None`, and needed there.
        options: further arguments of the model's class, as `num_classes=10`.

    Returns:
        A Flax NNX module, a pytree of float32 arrays: `model(x)` are the logits.

    Raises:
        ValueError: an unknown model, or a checkpoint that does not fit it: each missing, surplus
            or misshapen tensor is named, and each with NaN or infinity.
        FileNotFoundError: there is nothing at the path.
        ConnectionError: "imagenet", and the Hub cannot be reached, or refuses.
        ImportError: a `.pth` file, and torch is not installed.

    Example:
        >>> import jax, ports
        >>> model = ports.load("shapes-plain", key=jax.random.key(0))
        >>> model(jax.numpy.zeros((1, 64, 64, 3))).shape
        (1, 10)
    """
    known = entry(name)
    model = nnx.eval_shape(lambda: known.build(rngs=nnx.Rngs(0), **options))
    if weights is None and key is not None:
        model = _random(model, key)
    elif weights is not None and key is None:
        source = _source(name, known, weights)
        checkpoint = checkpoints.checked(
            checkpoints.read(source),
            torch_names(model),
            source=source,
            renames=known.renames,
            surplus=known.surplus,
        )
        model = filled(model, checkpoint)
    else:
        raise ValueError(
            f"load({name!r}) takes either weights= or key= (for random weights), and received "
            f"{'neither' if key is None else 'both'}."
        )
    model.eval()
    return model


def _source(name: str, known: Entry, weights: str | os.PathLike[str]) -> Path:
    if weights == "imagenet":
        return _from_hub(name, known)
    if isinstance(weights, str) and re.fullmatch(r"shapes(-\d+)?", weights):
        return _packaged(name, weights)
    return Path(weights)


def _packaged(name: str, weights: str) -> Path:
    if not name.startswith("shapes-"):
        raise ValueError(
            f"weights={weights!r} are for the shapes-* models that are packaged, and {name!r} "
            f"is none; give a file or key=."
        )
    seed = weights.removeprefix("shapes")
    path = _HERE / "weights" / f"{name}{seed}.safetensors"
    if not path.exists():
        there = sorted(file.stem for file in path.parent.glob(f"{name}*.safetensors"))
        listed = ", ".join(repr(stem.replace(name, "shapes")) for stem in there)
        raise ValueError(
            f"weights={weights!r} of {name!r} are not packaged; those that are: {listed}."
        )
    return path


def _from_hub(name: str, known: Entry) -> Path:
    if known.repo is None:
        hint = (
            f"torchvision has them as {known.file}; give the path of that file."
            if known.file
            else "give a file or key=."
        )
        raise ValueError(f"weights='imagenet': the Hub has no ImageNet weights of {name!r}; {hint}")
    # Slow to import, and needed here only.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    instead = f"give the path of a file ({known.file} of torchvision)"
    try:
        return Path(hf_hub_download(known.repo, "model.safetensors", revision=known.revision))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        # What is not in the cache is reported as such, whatever the Hub answered before.
        answer = error if isinstance(error, HfHubHTTPError) else error.__cause__
        if isinstance(answer, HfHubHTTPError):
            raise ConnectionError(
                f"weights='imagenet': the Hugging Face Hub answered {answer.response.status_code} "
                f"for {known.repo} at revision {known.revision}; try again later, or {instead}."
            ) from None
        raise ConnectionError(
            f"weights='imagenet': {known.repo} is neither in the cache of the Hugging Face Hub nor "
            f"can it be reached; connect once, or {instead}."
        ) from None


def _random(model: nnx.Module, key: Array) -> nnx.Module:
    """Kernels from He's normal distribution, all else as a new layer has it.

    One draw for the whole model: a draw for each of DenseNet's 200 shapes would compile 200 times.
    """
    expected = torch_names(model)
    kernels = [at for at in expected if len(expected[at]) > 1]
    draw = jax.random.normal(key, (sum(int(np.prod(expected[at])) for at in kernels),))
    parts = np.split(
        np.asarray(draw), np.cumsum([int(np.prod(expected[at])) for at in kernels])[:-1]
    )
    values = {}
    for at, part in zip(kernels, parts, strict=True):
        outputs, *rest = expected[at]
        values[at] = (he_std((*rest, outputs)) * part).reshape(expected[at])
    for at, shape in expected.items():
        if at not in values:
            one = at.endswith((".weight", ".running_var"))
            values[at] = np.full(shape, float(one), np.float32)
    return filled(model, values)


def save(model: nnx.Module, path: str | os.PathLike[str]) -> Path:
    """Writes the weights of `model`, whole or not at all.

    Args:
        model: any model of `ports`.
        path: `*.safetensors` for one file in torchvision's naming and layout, which torchvision's
            own model loads; a path without suffix for an Orbax directory. A file or checkpoint
            that is there is replaced.

    Returns:
        The path.

    Raises:
        ValueError: another suffix.
        FileExistsError: a directory that holds anything else than an Orbax checkpoint.
        OSError: the path cannot be written.

    Example:
        >>> import jax, ports, tempfile
        >>> model = ports.load("shapes-plain", key=jax.random.key(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = ports.save(model, f"{folder}/plain.safetensors")
        ...     again = ports.load("shapes-plain", path)
        >>> bool((again.fc.kernel == model.fc.kernel).all())
        True
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        checkpoints.write_safetensors(path, tensors(model))
    elif not path.suffix:
        state = nnx.state(model, (nnx.Param, nnx.BatchStat))
        checkpoints.write_orbax(path, nnx.to_pure_dict(state))
    else:
        raise ValueError(
            f"weights are written as *.safetensors or, without a suffix, as an Orbax directory; "
            f"received {path}."
        )
    return path
