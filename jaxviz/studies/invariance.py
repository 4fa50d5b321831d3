"""How far features follow an image that is shifted, enlarged or turned."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from jaxviz.perturb import Fill, rotate, scale, translate
from jaxviz.studies.batches import in_batches
from jaxviz.studies.claims import Claim, Comparison, Estimate, compared, estimate, verdict
from jaxviz.studies.inputs import checked
from jaxviz.transform import as_argument, capture

__all__ = [
    "Invariance",
    "Move",
    "invariance",
    "invariance_claims",
    "lost_probability",
    "relative_distance",
    "standard_moves",
]


class Move(NamedTuple):
    """A family of changes of an image, one for each amount.

    Attributes:
      moved: `moved(x, amount)`: the images, changed by an amount.
      amounts: as many as one likes; data, so that others need no recompilation.
      unchanged: the amount that changes nothing.
      unit: of the amounts, in words.
    """

    moved: Callable[[Array, Array], Array]
    amounts: Float[np.ndarray, " amounts"]
    unchanged: float
    unit: str


def standard_moves(size: int, *, steps: int = 36, fill: Fill = "mean") -> dict[str, Move]:
    """The moves of Zeiler & Fergus' figure 5, their ranges scaled to the image's size.

    Args:
      size: of the image, in pixels.
      steps: how many amounts each move has; 36 are turns by multiples of 10 degrees.
      fill: what comes in from outside, "mean" or "edge", as in `jv.translate`.

    Returns:
      `translation` down and up, by up to 60 of 224 pixels; `scale`, from 1 to 1.8; and `rotation`,
      once around.

    Raises:
      ValueError: fewer than two steps.

    Example:
      >>> moves = standard_moves(224, steps=4)
      >>> {name: move.amounts.round(2).tolist() for name, move in moves.items()}
      {'translation': [-60.0, -20.0, 20.0, 60.0], 'scale': [1.0, 1.27, 1.53, 1.8],
       'rotation': [0.0, 90.0, 180.0, 270.0]}

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, figure 5.
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, one of which changes the image, got {steps}.")
    far = 60 / 224 * size
    return {
        "translation": Move(
            _filled(_down, fill), np.linspace(-far, far, steps), 0.0, "pixels down"
        ),
        "scale": Move(_filled(scale, fill), np.linspace(1.0, 1.8, steps), 1.0, "times as large"),
        "rotation": Move(
            _filled(rotate, fill),
            np.linspace(0.0, 360.0, steps, endpoint=False),
            0.0,
            "degrees",
        ),
    }


def _down(x: Array, pixels: Array, *, fill: Fill) -> Array:
    return translate(x, jnp.stack([pixels, jnp.zeros_like(pixels)]), fill=fill)


@functools.cache
def _filled(move: Callable, fill: Fill) -> Callable[[Array, Array], Array]:
    """The same function for the same fill, so that it is compiled once."""
    return functools.partial(move, fill=fill)


class Invariance(NamedTuple):
    """How far some layers follow a move.

    Attributes:
      distance: by layer, the Euclidean distance between the features of each image as it is, and
        of the image with each amount of the move.
      apart: by layer, the same distance between each image and the next one of the batch: how far
        two different images are apart.
      probability: that of the image's class, with each amount.
      whole: that of the class in the image as it is.
    """

    distance: dict[str, Float[np.ndarray, "n amounts"]]
    apart: dict[str, Float[np.ndarray, " n"]]
    probability: Float[np.ndarray, "n amounts"]
    whole: Float[np.ndarray, " n"]


def invariance(
    model: Callable,
    x: Float[ArrayLike, "n h w c"],
    label: Int[ArrayLike, " n"],
    *,
    layers: Sequence[str],
    moves: Mapping[str, Move],
    memory: int | None = None,
) -> dict[str, Invariance]:
    """How far the features of some layers, and the class, follow images that are moved.

    Args:
      model: a callable pytree; its output are logits.
      x: its input, at least two images.
      label: the class of each image.
      layers: names of layers, for example the first one and the last one before the logits.
      moves: by name, for example `standard_moves`. The model is compiled once for all moves with
        as many amounts.
      memory: bytes for the activations of a batch; see `jaxviz.studies.in_batches`.

    Returns:
      Move -> `Invariance`.

    Raises:
      ValueError: a layer is unknown, or the images are fewer than two or not as many as labels.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(jv.tap(x, "pixels").mean((1, 2)), "means")
      >>> x = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
      >>> turns = {"turn": standard_moves(8, steps=4)["rotation"]}
      >>> found = invariance(model, x, [0, 1], layers=["pixels", "means"], moves=turns)["turn"]
      >>> bool((found.distance["pixels"][:, 1] > 1).all())
      True
      >>> bool((found.distance["means"] < 1e-5).all())
      True

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 4.1 and
      figure 5. To hold distances against those between different images is our choice: layers
      have no common unit.
    """
    images, classes = checked(x, label)
    if len(images) < 2:
        raise ValueError("x must hold at least two images, for the distance between them; got one.")
    model, names = as_argument(model), tuple(layers)
    following = np.roll(images, -1, axis=0)
    found = {}
    for name, move in moves.items():
        amounts = jnp.asarray(move.amounts, images.dtype)
        told = in_batches(
            functools.partial(_followed, moved=move.moved, amounts=amounts, layers=names),
            model,
            (images, following, classes),
            memory=memory,
        )
        # A dictionary comes back from JAX in alphabetical order.
        distance, apart = ({layer: of[layer] for layer in names} for of in told[:2])
        found[name] = told._replace(distance=distance, apart=apart)
    return found


def _followed(model: Callable, asked, *, moved: Callable, amounts: Array, layers) -> Invariance:
    # Two programs, so that the model is compiled once for all moves.
    x, following, label = asked
    return _compared(model, x, following, _all_moved(x, amounts, moved=moved), label, layers=layers)


@functools.partial(jax.jit, static_argnames="moved")
def _all_moved(x: Array, amounts: Array, *, moved: Callable) -> Float[Array, "amounts n h w c"]:
    return jax.lax.map(lambda amount: moved(x, amount), amounts)


@functools.partial(jax.jit, static_argnames="layers")
def _compared(model, x, following, moved, label, *, layers: tuple[str, ...]) -> Invariance:
    def seen(x: Array) -> tuple[dict[str, Array], Array]:
        logits, values = capture(model, x, layers)
        probability = jax.nn.softmax(logits)[jnp.arange(len(x)), label]
        return values, probability

    def apart(one: dict[str, Array], other: dict[str, Array]) -> dict[str, Float[Array, " n"]]:
        def length(difference: Array) -> Array:
            return jnp.sqrt((difference**2).sum(tuple(range(1, difference.ndim))))

        return jax.tree.map(lambda a, b: length(a - b), one, other)

    features, whole = seen(x)

    def under(moved: Array) -> tuple[dict[str, Array], Array]:
        values, probability = seen(moved)
        return apart(values, features), probability

    distance, probability = jax.tree.map(lambda values: values.T, jax.lax.map(under, moved))
    return Invariance(distance, apart(seen(following)[0], features), probability, whole)  # type: ignore[arg-type]


def _changes(move: Move) -> np.ndarray:
    """Which of the amounts change anything."""
    return ~np.isclose(move.amounts, move.unchanged)


def relative_distance(found: Invariance, move: Move, layer: str) -> Float[np.ndarray, " n"]:
    """How far a layer follows a move of each image, where 1 is as far as to another image.

    Args:
      found: of this move.
      move: the move.
      layer: one of those that were asked for.

    Returns:
      The mean over the amounts that change the image, divided by the mean distance of two images.

    Example:
      >>> found = Invariance({"a": np.array([[0.0, 1.0]])}, {"a": np.array([2.0])}, None, None)
      >>> move = Move(None, np.array([1.0, 1.5]), 1.0, "times as large")
      >>> relative_distance(found, move, "a").tolist()
      [0.5]
    """
    apart = float(np.mean(found.apart[layer], dtype=float))
    return found.distance[layer][:, _changes(move)].mean(1, dtype=float) / (apart or 1.0)


def _influence(found: Invariance, move: Move, layer: str) -> Float[np.ndarray, " n"]:
    """What has the mean of `relative_distance`, and the error of it as a ratio of two means.

    The distance between images is measured on the same few images. By the delta method an image
    counts with its own distance, and with what the two distances to its neighbours add to the
    denominator.
    """
    apart = np.asarray(found.apart[layer], float)
    relative = relative_distance(found, move, layer)
    about = (apart + np.roll(apart, 1)) / (apart.mean() or 1.0) - 2
    return relative - relative.mean() * about


def lost_probability(found: Invariance, move: Move) -> Float[np.ndarray, " n"]:
    """What a move of each image takes from the probability of its class.

    Args:
      found: of this move.
      move: the move.

    Returns:
      The mean loss over the amounts that change the image.

    Example:
      >>> found = Invariance({}, {}, np.array([[1.0, 0.25]]), np.array([1.0]))
      >>> lost_probability(found, Move(None, np.array([1.0, 1.5]), 1.0, "times")).tolist()
      [0.75]
    """
    return found.whole - found.probability[:, _changes(move)].mean(1, dtype=float)


def invariance_claims(
    found: Mapping[str, Invariance], moves: Mapping[str, Move], *, first: str, top: str
) -> list[Claim]:
    """Whether the top layer is more invariant than the first, and rotation the worst of moves.

    Args:
      found: what `invariance` gives.
      moves: the moves; for the second claim `rotation` and others.
      first: the name of the first layer.
      top: that of the top one.

    Returns:
      Two claims, or one without a rotation among other moves; the images are the sample.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(jv.tap(x, "pixels").mean((1, 2)), "means")
      >>> x, moves = jax.random.uniform(jax.random.key(0), (4, 8, 8, 3)), standard_moves(8, steps=4)
      >>> found = invariance(model, x, [0, 1, 2, 0], layers=["pixels", "means"], moves=moves)
      >>> claims = invariance_claims(found, moves, first="pixels", top="means")
      >>> [len(claim.comparisons) for claim in claims]
      [3, 4]
    """

    def far(name: str, layer: str) -> Float[np.ndarray, " n"]:
        return _influence(found[name], moves[name], layer)

    def lost(name: str) -> Float[np.ndarray, " n"]:
        return lost_probability(found[name], moves[name])

    def above(words: str, larger: np.ndarray, smaller: np.ndarray) -> Comparison:
        # Of the same images: their differences are the sample.
        return compared(words, larger=estimate([larger - smaller]), smaller=Estimate(0.0, 0.0, 0.0))

    claims = [
        verdict(
            f"The top layer, {top}, is more invariant than the first, {first}.",
            [
                above(
                    f"{name}: {first} follows farther than {top}, by",
                    far(name, first),
                    far(name, top),
                )
                for name in moves
            ],
        )
    ]
    others = [name for name in moves if name != "rotation"]
    if "rotation" in moves and others:
        worse: list[Comparison] = []
        for name in others:
            worse += [
                above(
                    f"{top} follows rotation farther than {name}, by",
                    far("rotation", top),
                    far(name, top),
                ),
                above(
                    f"rotation takes more of the probability than {name}, by",
                    lost("rotation"),
                    lost(name),
                ),
            ]
        text = "Over these ranges of the moves, rotation is what the network is least invariant to."
        claims.append(verdict(text, worse))
    return claims
