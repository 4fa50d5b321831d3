"""What every attribution is asked: a model, its input and a target, checked before they compile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import ArrayLike, Float, Int

from jaxviz.synthesis.objectives import Objective, logit
from jaxviz.transform import as_argument

__all__ = ["Target", "Targets", "asked", "asked_several", "checked_images"]

Target = Objective | int | Int[ArrayLike, " n"]
"""A class, a class for each image, or an objective."""

Targets = Target | Mapping[str, Target]
"""One target, or several by name."""


def checked_images(x: Float[ArrayLike, "n h w c"]) -> Float[jax.Array, "n h w c"]:
    """`x` as an array, if it is a batch of floating-point images.

    Raises:
      ValueError: it is not.
    """
    x = jnp.asarray(x)
    if x.ndim != 4 or not x.size:
        raise ValueError(
            f"x must be a batch of images of shape (n, h, w, c), got {x.shape}; "
            "add the batch axis to a single image by x[None]."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"x must be floating point, got {x.dtype}; a card's preprocess makes a model's input."
        )
    return x


def asked(
    model: Callable, x: Float[ArrayLike, "n h w c"], target: Target
) -> tuple[Callable, Float[jax.Array, "n h w c"], Objective]:
    """The model, input and target as arguments of a compiled function.

    Args:
      model: a callable pytree, or any function.
      x: the model's input.
      target: a class, a class for each image, or an objective.

    Returns:
      `(model, x, objective)`.

    Raises:
      ValueError: `x` is not a batch of floating-point images, or a class is not among the
        model's outputs, or there are neither one target nor as many as images.
    """
    model, x = as_argument(model), checked_images(x)
    objective = target if isinstance(target, Objective) else logit(target)
    if objective.images not in (1, len(x)):
        raise ValueError(f"target speaks of {objective.images} images, and x has {len(x)}.")
    if objective is not target and not isinstance(target, Tracer):
        output = _output.eval_shape(model, x)
        if not (hasattr(output, "shape") and len(output.shape) == 2):
            raise ValueError(
                f"a class as target needs a model whose output is of shape (n, classes), got "
                f"{jax.tree.map(lambda leaf: leaf.shape, output)}; use an objective."
            )
        classes = output.shape[1]
        wrong = [k for k in np.atleast_1d(np.asarray(target)).tolist() if not 0 <= k < classes]
        if wrong:
            raise ValueError(
                f"unknown class {wrong[0]}; the model has {classes} classes, 0 to {classes - 1}."
            )
    return model, x, objective


def asked_several(
    model: Callable, x: Float[ArrayLike, "n h w c"], target: Targets
) -> tuple[Callable, Float[jax.Array, "n h w c"], Objective | dict[str, Objective]]:
    """As `asked`, for one target or for a dict of targets.

    Raises:
      ValueError: as `asked`, or the dict is empty or has other keys than strings.
    """
    if not isinstance(target, Mapping):
        return asked(model, x, target)
    if not target or not all(isinstance(name, str) for name in target):
        raise ValueError(f"target must name its objectives by strings, got {list(target)}.")
    several = {name: asked(model, x, one) for name, one in target.items()}
    model, x, _ = next(iter(several.values()))
    return model, x, {name: objective for name, (_, _, objective) in several.items()}


@jax.jit
def _output(model: Callable, x: Any) -> Any:
    return model(x)
