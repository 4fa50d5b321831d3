"""Activation maximization: gradient ascent from noise to what a model looks for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from jaxviz.synthesis.gradients import gradient_norm, normalize_gradient
from jaxviz.synthesis.images import Parameterization, laplacian_pyramid
from jaxviz.synthesis.objectives import Objective, each, score
from jaxviz.synthesis.regularizers import Regularizer
from jaxviz.synthesis.transforms import Transform, jitter
from jaxviz.transform import as_argument, fast_pullbacks

__all__ = ["Maximized", "Trace", "maximize"]


class Trace(NamedTuple):
    """What happened during an ascent, at every step.

    Attributes:
      score: the objective, at the transformed image and before the regularizers.
      gradient_norm: the length of the gradient with respect to the parameters.
    """

    score: Float[Array, "n steps"]
    gradient_norm: Float[Array, "n steps"]


class Maximized(NamedTuple):
    """Images that an ascent has found, in [0, 1], and how it went."""

    image: Float[Array, "n h w 3"]
    trace: Trace


@functools.cache
def _default_optimizer() -> optax.GradientTransformation:
    # Against a gradient of unit RMS the decay holds parameters within about +-2, where the sigmoid
    # of an image does not saturate, whatever the scale of the objective.
    return optax.chain(
        normalize_gradient(), optax.add_decayed_weights(0.5), optax.sgd(0.01, momentum=0.9)
    )


def _unchanged(images: jax.Array) -> jax.Array:
    return images


def maximize(
    model: Callable,
    objective: Objective | Sequence[Objective],
    *,
    key: PRNGKeyArray,
    image: Parameterization | None = None,
    preprocess: Callable[[Float[Array, "n h w 3"]], Float[Array, "n h w c"]] = _unchanged,
    optimizer: optax.GradientTransformation | None = None,
    transforms: Sequence[Transform] = (jitter(8),),
    regularizers: Sequence[Regularizer] = (),
    steps: int = 256,
) -> Maximized:
    """Images that raise an objective as far as an ascent gets: what a unit or a class looks for.

    One compiled loop moves the images of all objectives at once. Another class, channel or key
    needs no recompilation; another optimizer, transform, regularizer or `preprocess` does, so build
    these once and pass the same objects again.

    Args:
      model: a callable pytree.
      objective: what to raise, for one image, or for several if it has parameters for several
        (`jv.objectives.logit(jnp.arange(10))`); a list gives each image its own.
      key: randomness of the start and of the transforms.
      image: the parameterization; by default a Laplacian pyramid of 224 x 224.
      preprocess: makes the model's input of images in [0, 1]: a card's `normalize`.
      optimizer: any optax optimizer; by default gradients of unit RMS, a decay of 0.5 (L2), and
        SGD with momentum 0.9 and learning rate 0.01.
      transforms: random changes before each look, in order.
      regularizers: penalties on the image, subtracted from the objective.
      steps: the length of the ascent.

    Returns:
      The images after the last step, and the trace of the ascent.

    Raises:
      ValueError: `steps` is not positive, there is no objective, or its layer is unknown.

    Example:
      >>> import jax, jaxviz as jv
      >>> model = lambda x: x.mean((1, 2))                    # three "classes": red, green, blue
      >>> found = jv.maximize(
      ...     model, jv.objectives.logit([0, 2]), key=jax.random.key(0), image=jv.images.pixel(8)
      ... )
      >>> (found.image.mean((1, 2)) > 0.8).tolist()
      [[True, False, False], [False, False, True]]

    References:
      Erhan et al., Visualizing higher-layer features of a deep network, 2009.
      Tao, Fu, Zhu, Wang, Deep visualization based on the spatial pyramid decomposition, 2017:
      the normalised gradient, momentum, decay and the pyramid.
    """
    if steps < 1:
        raise ValueError(f"steps must be positive, got {steps}.")
    if not isinstance(objective, Objective):
        objective = each(objective)
    return _ascend(
        as_argument(model),
        objective,
        key,
        image=laplacian_pyramid(224) if image is None else image,
        preprocess=preprocess,
        optimizer=_default_optimizer() if optimizer is None else optimizer,
        transforms=tuple(transforms),
        regularizers=tuple(regularizers),
        steps=steps,
    )


@functools.partial(
    jax.jit,
    static_argnames=("image", "preprocess", "optimizer", "transforms", "regularizers", "steps"),
)
def _ascend(
    model, objective, key, *, image, preprocess, optimizer, transforms, regularizers, steps
):
    count = objective.images
    key, start = jax.random.split(key)
    parameters = image.init(start, count)
    seen = fast_pullbacks(lambda x: score(model, x, objective)[1])

    def loss(parameters, key):
        shown = image.decode(parameters)
        penalty = sum((regularizer(shown) for regularizer in regularizers), jnp.zeros(count))
        for transform, own in zip(transforms, jax.random.split(key, len(transforms)), strict=True):
            shown = transform(own, shown)
        scores = seen(preprocess(shown))
        return jnp.sum(penalty - scores), scores

    def step(carry, key):
        parameters, state = carry
        gradient, scores = jax.grad(loss, has_aux=True)(parameters, key)
        updates, state = optimizer.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), (scores, gradient_norm(gradient))

    (parameters, _), (scores, norms) = jax.lax.scan(
        step, (parameters, optimizer.init(parameters)), jax.random.split(key, steps)
    )
    return Maximized(image.decode(parameters), Trace(scores.T, norms.T))
