"""What a sweep is of: the options that a run which goes on must agree in, and their faults."""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxviz.attribution.occlusion import grid_of
from jaxviz.sweep.methods import METHODS, Asked
from jaxviz.sweep.strings import as_text
from jaxviz.transform.memory import budget

__all__ = ["checked", "parameters_of", "plain", "positions_of", "weights_hash"]


def plain(asked: Asked) -> Asked:
    """`asked` with Python's own numbers, which the attributes of a store can hold.

    Raises:
      ValueError: one of them is no whole number, or the fill is not finite.

    Example:
      >>> import numpy as np
      >>> plain(Asked("occlusion", np.int64(3), fill=1)).fill
      1.0
    """
    numbers: dict[str, Any] = {}
    for name in ("target", "window", "stride", "curves"):
        value = getattr(asked, name)
        if isinstance(value, str):
            continue
        try:
            numbers[name] = operator.index(value)
        except TypeError:
            raise ValueError(f"{name} must be a whole number, not {value!r}.") from None
    if not isinstance(asked.fill, str):
        numbers["fill"] = float(asked.fill)
        if not math.isfinite(numbers["fill"]):
            raise ValueError(f"fill must be finite, not {asked.fill}.")
    return asked._replace(**numbers)


def checked(asked: Asked, shape: tuple[int, ...], batch: int | None) -> Asked:
    """`asked`, if it can be asked of inputs of a shape, so many at a time.

    Raises:
      ValueError: it cannot.
    """
    if asked.method not in METHODS:
        raise ValueError(f"unknown method '{asked.method}'; choose one of: {', '.join(METHODS)}.")
    if isinstance(asked.target, str) and asked.target not in ("top", "label"):
        raise ValueError(f"target must be a class, 'top' or 'label', not '{asked.target}'.")
    if batch is not None and batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}.")
    if asked.curves < 0:
        raise ValueError(f"curves must not be negative, got {asked.curves}.")
    if "layer" in METHODS[asked.method].options and asked.layer is None:
        raise ValueError(f"{asked.method} needs the layer whose activations it shows.")
    if isinstance(asked.fill, str) and asked.fill != "mean":
        raise ValueError(f"fill must be a number or 'mean', not '{asked.fill}'.")
    positions_of(asked, shape)
    return asked


def positions_of(asked: Asked, shape: tuple[int, ...]) -> int:
    """How many positions an occluder has in an image; 0 for other methods.

    Raises:
      ValueError: it does not fit into the image.
    """
    if asked.method != "occlusion":
        return 0
    window, stride = (asked.window, asked.window), (asked.stride, asked.stride)
    return len(grid_of((shape[0], shape[1]), window=window, stride=stride).boxes)


def weights_hash(model: Callable) -> str:
    """Sixteen digits that tell a model's arrays, with their places in it, from others.

    Example:
      >>> import jax.numpy as jnp
      >>> from jax.tree_util import Partial
      >>> zeros, ones = (Partial(jnp.dot, jnp.full(3, value)) for value in (0.0, 1.0))
      >>> weights_hash(zeros) == weights_hash(zeros) != weights_hash(ones)
      True
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        # The keys of random layers are no weights, and NumPy does not know them.
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        # As bytes: NumPy hands out no buffer of bfloat16.
        digest.update(np.ascontiguousarray(leaf).view(np.uint8).data)
    return digest.hexdigest()[:16]


def parameters_of(
    asked: Asked,
    model: Callable,
    randomized: Callable | None,
    *,
    shape: tuple[int, ...],
    categories: Sequence[str],
    masks: bool,
    batch: int,
    memory: int | None,
    device: Any,
    about: Mapping[str, str],
) -> dict[str, Any]:
    """All that the results depend on, beside the images, by name."""
    found: dict[str, Any] = {**about, "method": asked.method, "target": asked.target}
    found |= {name: getattr(asked, name) for name in METHODS[asked.method].options}
    found |= {"weights_hash": weights_hash(model), "input": " x ".join(map(str, shape))}
    if randomized is not None:
        found["randomized_hash"] = weights_hash(randomized)
    if asked.method == "occlusion":
        # Which positions come together shows in the last bits, as does the kind of device.
        found["memory"] = int(budget(memory))
    kinds = hashlib.sha256("\n".join(map(as_text, categories)).encode()).hexdigest()[:16]
    found |= {"categories": f"{len(categories)} ({kinds})", "device": device.device_kind}
    return found | {"curves": asked.curves, "masks": masks, "batch": batch}
