"""What layers are worth: nets without some of them, or with wider ones, trained anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from jaxviz.data import ImageSet, batches
from jaxviz.studies.claims import Claim, Estimate, compared, estimate, verdict
from jaxviz.studies.variant_net import Variant, VariantNet, layers_of

if TYPE_CHECKING:
    from jaxviz.training import Epoch, Settings

__all__ = ["VARIANTS", "Ablated", "ablation", "depth_claim", "normalized"]

VARIANTS = (
    Variant(),
    Variant(drop=(3, 4)),
    Variant(drop=(7,)),
    Variant(drop=(6, 7)),
    Variant(drop=(3, 4, 6, 7)),
    Variant(width=((6, 256), (7, 256))),
    Variant(width=((3, 64), (4, 128), (5, 64))),
)
"""Lines of Zeiler and Fergus's table 3, an eighth as wide."""


class Ablated(NamedTuple):
    """A variant, trained from several seeds.

    Attributes:
      variant: the change.
      parameters: how many trainable numbers it has.
      records: the learning record of each seed.
      train_wrong: of each seed, which images of those it learned from the trained net gets wrong.
      test_wrong: of each seed, which of the others.
    """

    variant: Variant
    parameters: int
    records: list[list[Epoch]]
    train_wrong: list[Bool[np.ndarray, " n"]]
    test_wrong: list[Bool[np.ndarray, " m"]]

    @property
    def train_error(self) -> Estimate:
        """The fraction wrong of what it learned from, over the seeds."""
        return estimate(self.train_wrong)

    @property
    def test_error(self) -> Estimate:
        """The fraction wrong of the others, over the seeds."""
        return estimate(self.test_wrong)


def normalized(image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """An image in [0, 1] as the nets of the study take it.

    Example:
      >>> normalized(np.full((1, 1, 3), 0.75)).tolist()
      [[[1.0, 1.0, 1.0]]]
    """
    return (image - 0.5) / 0.25


@jax.jit
def _wrong(model: Any, x: Float[Array, "n h w 3"], label: Array) -> Bool[Array, " n"]:
    return model(x).argmax(-1) != label


def _all_wrong(model: Any, images: ImageSet) -> Bool[np.ndarray, " n"]:
    found = np.zeros(len(images), bool)
    for batch in batches(images, 100, prepare=normalized):
        there = batch.index >= 0
        found[batch.index[there]] = np.asarray(_wrong(model, batch.input, batch.label))[there]
    return found


def ablation(
    variants: Sequence[Variant],
    images: ImageSet,
    test: ImageSet,
    *,
    seeds: int = 3,
    epochs: int = 8,
    settings: Settings | None = None,
    checkpoints: str | os.PathLike[str],
    also: Mapping[str, Any] | None = None,
    on_run: Callable[[Variant, int], None] | None = None,
) -> list[Ablated]:
    """Trains each variant of a small net from several seeds, all with the same budget.

    A run that is called again with the same arguments goes on where it was stopped, from the
    checkpoints of its nets, to the same result.

    Args:
      variants: the changes; `Variant()` is the net without any.
      images: what the nets learn from, all of one size.
      test: what they are tested on.
      seeds: how many runs of each; run `s` has the first weights and the order of images of seed s.
      epochs: of each run.
      settings: batch and optimizer, by default those of `jaxviz.training.SETTINGS["adamw"]`.
      checkpoints: a folder for those of each run.
      also: whatever else tells this study from another, as for `jaxviz.training.train_on`.
      on_run: is called with the variant and the seed before each run.

    Returns:
      `Ablated` of each variant.

    Raises:
      ValueError: no variant, or a variant that cannot be built; or what `jaxviz.training.train_on`
        refuses, such as checkpoints of other images.

    Example:
      >>> import tempfile
      >>> from jaxviz.data import shapes_images
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     found = ablation(
      ...         [Variant(drop=(2, 3, 4, 5, 6, 7))],
      ...         shapes_images(64, size=16),
      ...         shapes_images(8, seed=1, size=16),
      ...         seeds=1,
      ...         epochs=1,
      ...         checkpoints=folder,
      ...     )
      >>> found[0].parameters == 7 * 7 * 3 * 12 + 2 * 12 + 4 * 4 * 12 * 10 + 10
      True

    References:
      M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2014,
      section 5.1, table 3.
    """
    # Orbax, which training brings along, is slow to import, and needed here only.
    from jaxviz.training import SETTINGS, train_on

    if not variants or seeds < 1:
        raise ValueError(
            f"ablation needs a variant and a seed at least, not {len(variants)} and {seeds}."
        )
    settings = settings or SETTINGS["adamw"]
    size, classes = images[0][0].shape[0], len(images.categories)
    # One optimizer for all, so that the runs of a variant share one compiled program.
    optimizer = settings.optimizer(epochs * (len(images) // settings.batch))
    found = []
    for variant in variants:
        layers = layers_of(variant)
        one = Ablated(variant, 0, [], [], [])
        for seed in range(seeds):
            if on_run is not None:
                on_run(variant, seed)
            net = VariantNet(layers, size=size, classes=classes, rngs=nnx.Rngs(seed))
            trained = train_on(
                net,
                images,
                test,
                key=jax.random.key(seed),
                prepare=normalized,
                epochs=epochs,
                batch=settings.batch,
                optimizer=optimizer,
                checkpoints=Path(checkpoints) / _stem(variant) / str(seed),
                keep=2,
                also=also,
            )
            one.records.append(trained.record)
            one.train_wrong.append(_all_wrong(trained.model, images))
            one.test_wrong.append(_all_wrong(trained.model, test))
            leaves = jax.tree.leaves(nnx.state(net, nnx.Param))
            one = one._replace(parameters=sum(int(leaf.size) for leaf in leaves))
        found.append(one)
    return found


def _stem(variant: Variant) -> str:
    words = [*(f"no{n}" for n in variant.drop), *(f"{n}x{width}" for n, width in variant.width)]
    return "-".join(words) or "all"


MIDDLE, TOP = (3, 4), (6, 7)


def depth_claim(found: Sequence[Ablated]) -> Claim | None:
    """Whether taking out both the middle convolutions and the dense layers hurts most.

    Args:
      found: the variants, trained.

    Returns:
      The claim and its verdict, from the test errors; None unless there are the net without layers
      3, 4, 6 and 7, the one without 3 and 4, and the one without 6 and 7, otherwise unchanged.

    Example:
      >>> import numpy as np
      >>> def one(variant, error):
      ...     return Ablated(variant, 0, [], [], [np.arange(100) < error] * 2)
      >>> alone = [one(Variant(drop=(3, 4)), 15), one(Variant(drop=(6, 7)), 10)]
      >>> depth_claim([*alone, one(Variant(drop=(3, 4, 6, 7)), 30)]).verdict
      'supported'

    References:
      M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2014,
      section 5.1.
    """
    by_variant = {one.variant: one for one in found}
    both = Variant(drop=MIDDLE + TOP)
    if not {both, Variant(drop=MIDDLE), Variant(drop=TOP)} <= set(by_variant):
        return None
    comparisons = [
        compared(
            f"the net “{both}” errs more than “{variant}”",
            larger=by_variant[both].test_error,
            smaller=other.test_error,
        )
        for variant, other in by_variant.items()
        if variant != both
    ]
    return verdict("Removing both middle and top layers hurts most", comparisons)
