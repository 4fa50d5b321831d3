"""How well the features of each layer tell classes apart, and from how few images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, Int, PRNGKeyArray

from jaxviz.studies.claims import Claim, Comparison, Estimate, compared, estimate, verdict
from jaxviz.studies.probes import fit_probes

__all__ = [
    "Generalisation",
    "generalisation",
    "higher_layers_claim",
    "split_by_class",
    "trained_features_claim",
]


class Split(NamedTuple):
    """Which images are for what, class by class in a random order.

    Attributes:
      train: for each class the images to train on, as many as the smallest class has.
      validation: on which the penalty is chosen.
      test: on which the result is measured.
    """

    train: Int[np.ndarray, "classes most"]
    validation: Int[np.ndarray, " v"]
    test: Int[np.ndarray, " t"]


def split_by_class(key: PRNGKeyArray, label: Int[ArrayLike, " n"]) -> Split:
    """Half of each class for training, a quarter each for validation and test.

    Args:
      key: randomness.
      label: the class of each image, from 0 on.

    Returns:
      `Split`.

    Raises:
      ValueError: there are fewer than two classes, or one has fewer than four images.

    Example:
      >>> import jax
      >>> split = split_by_class(jax.random.key(0), np.arange(20) % 2)
      >>> split.train.shape, len(split.validation), len(split.test)
      ((2, 5), 4, 6)
    """
    order = np.asarray(jax.random.permutation(key, len(np.asarray(label))))
    shuffled = np.asarray(label)[order]
    own = [order[shuffled == k] for k in range(int(shuffled.max()) + 1)]
    if len(own) < 2 or min(map(len, own)) < 4:
        count = min(map(len, own))
        raise ValueError(
            "label must have at least two classes of four images or more each; there are "
            f"{len(own)}, and one has {count}."
        )
    half, most = [len(one) // 2 for one in own], min(len(one) // 2 for one in own)
    quarter = [(len(one) - n) // 2 for one, n in zip(own, half, strict=True)]
    return Split(
        np.stack([one[:most] for one in own]),
        np.concatenate([one[n : n + q] for one, n, q in zip(own, half, quarter, strict=True)]),
        np.concatenate([one[n + q :] for one, n, q in zip(own, half, quarter, strict=True)]),
    )


class Generalisation(NamedTuple):
    """How many test images the probes of each layer put right.

    Attributes:
      layers: the names.
      counts: how many training images of each class.
      right: whether each test image is right, for each number of training images and each draw of
        them, with the penalty that is best in the validation images: 1 or 0, and NaN for draws
        that there are not, since all images can be drawn in one way only.
      penalty: which that is.
      gradient: the largest entry of the gradient at which any probe's descent ended.
    """

    layers: tuple[str, ...]
    counts: tuple[int, ...]
    right: Float[np.ndarray, "layers counts draws test"]
    penalty: Float[np.ndarray, "layers counts draws"]
    gradient: float

    @property
    def accuracy(self) -> Float[np.ndarray, "layers counts draws"]:
        """The share of the test images that are right; NaN for draws that there are not."""
        return self.right.mean(-1)

    @property
    def mean(self) -> Float[np.ndarray, "layers counts"]:
        """The mean accuracy over the draws."""
        return np.nanmean(self.accuracy, axis=2)

    @property
    def spread(self) -> Float[np.ndarray, "layers counts"]:
        """The standard deviation over the draws; NaN where there is one draw."""
        each = self.accuracy
        count = np.isfinite(each).sum(2)
        squares = np.nansum((each - self.mean[..., None]) ** 2, axis=2)
        return np.sqrt(np.where(count > 1, squares / np.maximum(count - 1, 1), np.nan))


def generalisation(
    key: PRNGKeyArray,
    features: Mapping[str, Float[ArrayLike, "n features"]],
    label: Int[ArrayLike, " n"],
    *,
    counts: Sequence[int] = (1, 2, 5, 10, 20, 50),
    draws: int = 3,
    penalties: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0),
) -> Generalisation:
    """What linear probes read out of each layer, from few or many images of each class.

    The images are split once, see `split_by_class`. All probes of one number of training images
    are one compiled program; other draws of them need no recompilation.

    Args:
      key: of the split, and of which training images are drawn.
      features: by layer, as `jaxviz.studies.pooled_features` gives them.
      label: the class of each image, from 0 on.
      counts: training images of each class; those that the smallest class does not have are left
        out, and if any is, all that it has are the last.
      draws: how many times the training images are drawn for each count.
      penalties: among which each probe's is chosen; see `jaxviz.studies.fit_probes`.

    Returns:
      `Generalisation`.

    Raises:
      ValueError: as in `split_by_class`; `counts` are not positive or do not rise; or `draws` is
        not positive.

    Example:
      >>> import jax
      >>> label = np.arange(40) % 2
      >>> noise = np.random.default_rng(0).normal(size=(40, 2))
      >>> features = {"noise": noise, "signal": noise + 9 * label[:, None]}
      >>> found = generalisation(jax.random.key(0), features, label, counts=[1, 5], draws=2)
      >>> found.accuracy[1].tolist()
      [[1.0, 1.0], [1.0, 1.0]]

    References:
      Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, section 5.2,
      figure 9 and section 5.3, table 7. That all layers are pooled and that classifiers are
      logistic regressions is our choice.
    """
    if not counts or min(counts) < 1 or list(counts) != sorted(set(counts)) or draws < 1:
        raise ValueError(
            f"counts must be positive and rise, and draws at least 1; got {tuple(counts)} and "
            f"{draws}."
        )
    classes_of = np.asarray(label)
    split_key, draw_key = jax.random.split(key)
    split = split_by_class(split_key, classes_of)
    most = split.train.shape[1]
    enough = [count for count in counts if count <= most]
    sizes = (*enough, *([most] if len(enough) < len(counts) and most not in enough else []))
    right, chosen, gradient = [], [], 0.0
    for count in sizes:
        # All that there are can be drawn in one way only.
        for draw in range(draws if count < most else 1):
            # Within a draw, more images are the fewer ones and others.
            own = jax.random.fold_in(draw_key, draw)
            order = np.asarray(jax.random.permutation(own, most))[:count]
            probes = fit_probes(
                features,
                classes_of,
                train=split.train[:, order].ravel(),
                classes=len(split.train),
                penalties=penalties,
            )
            for layer in features:
                answers = probes.logits[layer].argmax(-1) == classes_of
                # Of equally good penalties the strongest.
                scores = answers[:, split.validation].mean(1)
                best = len(scores) - 1 - int(scores[::-1].argmax())
                right.append(answers[best, split.test].astype(float))
                chosen.append(probes.penalties[best])
                gradient = max(gradient, float(probes.gradient[layer].max()))
        if count == most:
            absent = (draws - 1) * len(features)
            right += absent * [np.full(len(split.test), np.nan)]
            chosen += absent * [np.nan]
    shape = (len(sizes), draws, len(features))
    return Generalisation(
        tuple(features),
        sizes,
        np.moveaxis(np.array(right).reshape(*shape, -1), 2, 0),
        np.moveaxis(np.array(chosen).reshape(shape), 2, 0),
        gradient,
    )


def _score(found: Generalisation, layer: str) -> Float[np.ndarray, " test"]:
    """How often each test image is right, at the largest number of training images."""
    return np.nanmean(found.right[found.layers.index(layer), -1], axis=0)


def _above(words: str, larger: np.ndarray, smaller: np.ndarray) -> Comparison:
    """Both are of the same test images: their differences are the sample."""
    return compared(words, larger=estimate([larger - smaller]), smaller=Estimate(0.0, 0.0, 0.0))


def higher_layers_claim(found: Generalisation) -> Claim:
    """Whether each layer tells the classes apart better than the one before it.

    Args:
      found: of layers in the order of evaluation.

    Returns:
      A claim about the largest number of training images; the test images are the sample.

    Example:
      >>> right = np.zeros((2, 1, 1, 50))
      >>> right[1, ..., :40] = 1
      >>> found = Generalisation(("low", "high"), (5,), right, np.ones((2, 1, 1)), 0.0)
      >>> higher_layers_claim(found).verdict
      'supported'
    """
    pairs = zip(found.layers, found.layers[1:], strict=False)
    return verdict(
        "The higher a layer, the better its features tell the classes apart.",
        [
            _above(f"{high} above {low}, by", _score(found, high), _score(found, low))
            for low, high in pairs
        ],
    )


def trained_features_claim(trained: Generalisation, untrained: Generalisation) -> Claim:
    """Whether training is what makes the features good, layer by layer.

    Args:
      trained: of a trained network.
      untrained: of the same network with random weights.

    Returns:
      A claim about the largest number of training images; the test images are the sample.

    Example:
      >>> right = np.zeros((1, 1, 1, 50))
      >>> one = Generalisation(("low",), (5,), right, np.ones((1, 1, 1)), 0.0)
      >>> trained_features_claim(one._replace(right=1 - right), one).verdict
      'supported'
    """
    return verdict(
        "Trained features tell the classes apart better than those of random weights.",
        [
            _above(
                f"{layer}: trained above random, by",
                _score(trained, layer),
                _score(untrained, layer),
            )
            for layer in trained.layers
            if layer != "pixels"
        ],
    )
