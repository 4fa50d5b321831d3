"""Activation maximization: gradient ascent from noise to what a model looks for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Float, PRNGKeyArray

from jaxviz.synthesis.gradients import gradient_norm, normalize_gradient
from jaxviz.synthesis.images import Parameterization, laplacian_pyramid
from jaxviz.synthesis.objectives import Objective, each
from jaxviz.synthesis.regularizers import Regularizer
from jaxviz.synthesis.transforms import Transform, jitter
from jaxviz.transform import as_argument, backward, capture, fast_pullbacks
from jaxviz.transform.memory import budget, in_batches, live_bytes, with_scratch

__all__ = ["Maximized", "Region", "Trace", "maximize", "unchanged"]


class Region(NamedTuple):
    """Where an ascent may change its images, looked up again and again as they evolve.

    Attributes:
      mask: `mask(model, x, objective)` gives, for the model's inputs, the share of the gradient
        that each pixel keeps, in [0, 1]; of the input's size or of a coarser one. Make it once: the
        same function needs no recompilation.
      every: how many steps a mask is kept.
    """

    mask: Callable[[Callable, Float[Array, "n h w c"], Objective], Float[Array, "n rows cols"]]
    every: int = 8


class Trace(NamedTuple):
    """What happened during an ascent, at every step.

    Attributes:
      score: the objective, at the transformed image and before the regularizers; the mean over
        the views.
      gradient_norm: the length of the gradient with respect to the parameters.
    """

    score: Float[Array, "n steps"]
    gradient_norm: Float[Array, "n steps"]


class Maximized(NamedTuple):
    """What an ascent has found.

    Attributes:
      image: the images after the last step, in [0, 1].
      trace: how it went.
      dead: whether the score never changed, in two steps or more: nothing that was tried reached
        the unit, and the picture shows no more than its start.
      frames: the images after every `keep_every` steps; none of them where that was not asked.
    """

    image: Float[Array, "n h w 3"]
    trace: Trace
    dead: Bool[Array, " n"]
    frames: Float[Array, "n frames h w 3"]


@functools.cache
def _default_optimizer() -> optax.GradientTransformation:
    # Against a gradient of unit RMS the decay holds parameters within about +-2, where the sigmoid
    # of an image does not saturate, whatever the scale of the objective.
    return optax.chain(
        normalize_gradient(), optax.add_decayed_weights(0.5), optax.sgd(0.01, momentum=0.9)
    )


def unchanged(images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """What a model sees that takes images as they are."""
    return images


def maximize(
    model: Callable,
    objective: Objective | Sequence[Objective],
    *,
    key: PRNGKeyArray,
    image: Parameterization | None = None,
    preprocess: Callable[[Float[Array, "n h w 3"]], Float[Array, "n h w c"]] = unchanged,
    optimizer: optax.GradientTransformation | None = None,
    transforms: Sequence[Transform] = (jitter(8),),
    regularizers: Sequence[Regularizer] = (),
    steps: int = 256,
    start: Float[ArrayLike, "*images"] | None = None,
    views: int = 1,
    redirect: int = 16,
    region: Region | None = None,
    keep_every: int | None = None,
    memory: int | None = None,
) -> Maximized:
    """Images that raise an objective as far as an ascent gets: what a unit or a class looks for.

    One compiled loop moves the images of all objectives, as many at one time as the memory holds.
    Each has randomness of its own, from the key and its place, so that it comes out the same
    whatever comes with it. Another class, channel or key needs no recompilation; another
    optimizer, transform, regularizer, region or `preprocess` does, so build these once and pass the
    same objects again.

    Args:
      model: a callable pytree.
      objective: what to raise, for one image, or for several if it has parameters for several
        (`jv.objectives.logit(jnp.arange(10))`); a list gives each image its own.
      key: randomness of the start and of the transforms; or a key for each objective.
      image: the parameterization; by default a Laplacian pyramid of 224 x 224.
      preprocess: makes the model's input of images in [0, 1]: a card's `normalize`.
      optimizer: any optax optimizer; by default gradients of unit RMS, a decay of 0.5 (L2), and
        SGD with momentum 0.9 and learning rate 0.01.
      transforms: random changes before each look, in order.
      regularizers: penalties on the image, subtracted from the objective.
      steps: the length of the ascent.
      start: the images to start from, in [0, 1], instead of random ones: a number (0.5 is grey), a
        colour, an image (a photograph, a mean image), or one for each objective.
      views: how many times each image is transformed and looked at in a step.
      redirect: in how many of the first steps ReLUs that stop an image's whole gradient let through
        what would switch them on, see `jaxviz.transform.backward`: it takes the first axis of what
        a ReLU sees for the images. 0 is off.
      region: where the images may change, such as `jv.cam_region("layer5")`; None is everywhere.
      keep_every: how many steps lie between the frames that are kept, None keeps none.
      memory: bytes that the activations may take at one time, beside the weights; by default half
        of the device's memory, 256 MiB on a CPU, or what one image takes. It does not change the
        result. What a region and frames take is not counted.

    Returns:
      The images after the last step, the trace of the ascent, which units are dead, and frames.

    Raises:
      ValueError: a number of steps is out of range, there is no objective, its layer is unknown,
        `start` does not fit, or the memory does not hold what must run at one time: one image, or
        all where the objective compares them.

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
      the normalised gradient, momentum, decay, the pyramid and the region.
      Olah, Mordvintsev, Schubert, Feature visualization, 2017: robustness to transforms.
    """
    for name, number, least in (
        ("steps", steps, 1),
        ("views", views, 1),
        ("redirect", redirect, 0),
        ("keep_every", 1 if keep_every is None else keep_every, 1),
        ("region.every", 1 if region is None else region.every, 1),
    ):
        if number < least:
            raise ValueError(f"{name} must be {least} or more, got {number}.")
    if not isinstance(objective, Objective):
        objective = each(objective)
    if not objective.images:
        raise ValueError("objective must speak of at least one image; its parameters are empty.")
    ascent = _Ascent(
        image=laplacian_pyramid(224) if image is None else image,
        preprocess=preprocess,
        optimizer=_default_optimizer() if optimizer is None else optimizer,
        transforms=tuple(transforms),
        regularizers=tuple(regularizers),
        steps=steps,
        views=views,
        redirect=min(redirect, steps),
        region=region,
        keep_every=steps + 1 if keep_every is None else keep_every,
    )
    available = budget(memory)
    if start is not None:
        start = _as_images(start, ascent.image)
    found = functools.partial(_ascend, as_argument(model), objective, key, start, ascent=ascent)
    return found(memory=available, strict=memory is not None)


def _as_images(start: Any, image: Parameterization) -> Float[Array, "n h w 3"]:
    """What an ascent starts from, as images of the parameterization's size."""
    start = jnp.asarray(start, float)
    size = jax.eval_shape(
        lambda: image.decode(image.init(jax.random.key(0), 1)),
    ).shape[1:]
    if (
        start.ndim > 4
        or not start.size
        or any(a not in (1, b) for a, b in zip(start.shape[::-1], size[::-1], strict=False))
    ):
        raise ValueError(
            f"start must be a number, a colour of 3 channels, or an image of shape {size}, one or "
            f"as many as objectives; got {start.shape}."
        )
    if not isinstance(start, Tracer) and (start.min() < 0 or start.max() > 1):
        raise ValueError(
            f"start must be in [0, 1], got {start.min():g} to {start.max():g}; divide bytes by 255."
        )
    count = len(start) if start.ndim == 4 else 1
    return jnp.broadcast_to(start, (count, *size))


class _Ascent(NamedTuple):
    """All of an ascent that is known when it compiles."""

    image: Parameterization
    preprocess: Callable
    optimizer: optax.GradientTransformation
    transforms: tuple[Transform, ...]
    regularizers: tuple[Regularizer, ...]
    steps: int
    views: int
    redirect: int
    region: Region | None
    keep_every: int


@functools.partial(jax.jit, static_argnames=("ascent", "memory", "strict"))
def _ascend(
    model, objective, key, start, *, ascent: _Ascent, memory: int, strict: bool
) -> Maximized:
    count = objective.images
    if start is not None and len(start) > 1:
        if count not in (1, len(start)):
            raise ValueError(
                f"start must hold one image or as many as objectives, {count}; got {len(start)}."
            )
        count = len(start)
    if not _several(key):
        key = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))
    elif len(key) != count:
        raise ValueError(f"key must be one, or one for each objective, {count}; got {len(key)}.")
    keys = jax.vmap(jax.random.split)(key)
    if start is None:
        parameters = _one_by_one(lambda key, _: ascent.image.init(key, 1), keys[:, 0], keys)
    else:
        parameters = ascent.image.encode(jnp.broadcast_to(start, (count, *start.shape[1:])))

    def climb(index):
        some = jax.tree.map(lambda leaf: leaf[index], parameters)
        return _climb(model, objective.of(index), some, keys[index, 1], ascent)

    batch = _images_at_once(model, objective, parameters, keys[:, 1], ascent, memory, strict)
    return in_batches(climb, jnp.arange(count), batch)


def _several(key: PRNGKeyArray) -> bool:
    # One key of the old kind, `jax.random.PRNGKey`, is an array of numbers.
    return key.ndim > (0 if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else 1)


def _images_at_once(
    model, objective, parameters, keys, ascent: _Ascent, memory: int, strict: bool
) -> int:
    count = len(keys)
    together = count if objective.joint else 1
    some = jnp.arange(together)
    step = jax.make_jaxpr(
        lambda parameters, keys: jax.grad(_value, has_aux=True)(
            parameters, keys, 1.0, model, objective.of(some), "gradient", ascent
        )
    )(jax.tree.map(lambda leaf: leaf[some], parameters), keys[some])
    needed = with_scratch(live_bytes(step))
    if strict and needed > memory:
        raise ValueError(
            f"memory must hold a step of {together} image{'s' * (together > 1)}, {needed:,} bytes; "
            f"got {memory:,}."
        )
    return count if objective.joint else max(memory // needed, 1)


def _climb(model, objective, parameters, keys, ascent: _Ascent) -> Maximized:
    """The whole ascent of some images."""
    image, optimizer, region, keep_every = (
        ascent.image,
        ascent.optimizer,
        ascent.region,
        ascent.keep_every,
    )

    def refreshed(turn, parameters, mask):
        if region is None:
            return mask
        look = functools.partial(_mask, region, model, objective, parameters, ascent)
        return jax.lax.cond(turn % region.every == 0, look, lambda: mask)

    def kept(turn, parameters, frames):
        if not frames.shape[1]:
            return frames
        return jax.lax.cond(
            (turn + 1) % keep_every == 0,
            lambda: frames.at[:, (turn + 1) // keep_every - 1].set(image.decode(parameters)),
            lambda: frames,
        )

    def step(rule, carry, turn):
        parameters, state, mask, frames = carry
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, turn)
        mask = refreshed(turn, parameters, mask)
        gradient, scores = jax.grad(_value, has_aux=True)(
            parameters, own, mask, model, objective, rule, ascent
        )
        downhill = jax.tree.map(jnp.negative, gradient)
        updates, state = optimizer.update(downhill, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        frames = kept(turn, parameters, frames)
        return (parameters, state, mask, frames), (scores, gradient_norm(gradient))

    shown = jax.eval_shape(image.decode, parameters)
    mask = jnp.ones((*shown.shape[:3], 1) if region else (), shown.dtype)
    frames = jnp.zeros((shown.shape[0], ascent.steps // keep_every, *shown.shape[1:]), shown.dtype)
    carry = parameters, optimizer.init(parameters), mask, frames
    turns, traces = jnp.arange(ascent.steps), []
    for rule, part in (
        ("redirected", slice(ascent.redirect)),
        ("gradient", slice(ascent.redirect, None)),
    ):
        if len(turns[part]):
            carry, trace = jax.lax.scan(functools.partial(step, rule), carry, turns[part])
            traces.append(trace)
    scores, norms = (jnp.concatenate(parts).T for parts in zip(*traces, strict=True))
    parameters, _, _, frames = carry
    dead = jnp.all(scores == scores[:, :1], 1) & (ascent.steps > 1)
    return Maximized(image.decode(parameters), Trace(scores, norms), dead, frames)


def _value(parameters, keys, mask, model, objective, rule, ascent: _Ascent):
    """The sum of what is raised, and the score of each image."""
    seen = fast_pullbacks(backward(lambda x: capture(model, x, objective.layers), rule))
    shown = ascent.image.decode(parameters)
    penalty = sum((regularizer(shown) for regularizer in ascent.regularizers), jnp.zeros(()))
    if ascent.region is not None:
        shown = mask * shown + (1 - mask) * jax.lax.stop_gradient(shown)

    def look(keys):
        return objective(*seen(ascent.preprocess(_transformed(ascent.transforms, keys, shown))))

    if ascent.views == 1:
        scores = look(keys)
    else:
        views = jax.vmap(lambda key: jax.random.split(key, ascent.views), out_axes=1)(keys)
        scores = jax.vmap(look)(views).mean(0)
    return jnp.sum(scores - penalty), scores


def _transformed(transforms, keys, images) -> Float[Array, "n h w 3"]:
    for number, transform in enumerate(transforms):
        own = jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys)
        images = _one_by_one(transform, own, images)
    return images


def _one_by_one(f, keys, images):
    """`f` of each image with a key of its own, so that its draws do not depend on the others."""
    found = jax.vmap(lambda key, image: f(key, image[None]))(keys, images)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found)


def _mask(region: Region, model, objective, parameters, ascent: _Ascent):
    shown = ascent.image.decode(parameters)
    mask = region.mask(model, ascent.preprocess(shown), objective)
    mask = mask[..., None].astype(shown.dtype)
    return jax.image.resize(mask, (*shown.shape[:3], 1), "linear")
