"""The ablation study: layers that are gone, runs with one budget, a verdict from errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxviz as jv
from jaxviz.data import image_arrays
from jaxviz.studies import (
    VARIANTS,
    Ablated,
    Variant,
    VariantNet,
    ablation,
    depth_claim,
    layers_of,
)
from jaxviz.training import Settings, adamw


def parameters(net):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(net, nnx.Param)))


def abstract(variant, **options):
    """The net with zeros for weights, since drawing them compiles a program for each shape."""
    net = nnx.eval_shape(lambda: VariantNet(layers_of(variant), rngs=nnx.Rngs(0), **options))
    return jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), net)


def counted(widths, *, size=64, classes=10):
    """Parameters by hand: number -> width of the layers that there are."""
    windows, pooled, strides = {1: 7, 2: 5, 3: 3, 4: 3, 5: 3}, {1, 2, 5}, {1: 2}
    side, channels, total, flat = size, 3, 0, None
    for number, width in widths.items():
        if number < 6:
            # No bias; the normalisation has a scale and a shift for each channel.
            total += windows[number] ** 2 * channels * width + 2 * width
            side = side // strides.get(number, 1) // (2 if number in pooled else 1)
            channels = width
        else:
            flat = flat or side * side * channels
            total, flat = total + flat * width + width, width
    flat = flat or side * side * channels
    return total + flat * classes + classes


FULL = {1: 12, 2: 32, 3: 48, 4: 48, 5: 32, 6: 512, 7: 512}


@pytest.mark.parametrize("variant", [*VARIANTS, Variant(drop=(1, 5)), Variant((2,), ((1, 20),))])
def test_what_is_taken_out_is_gone(variant):
    net = abstract(variant)
    widths = FULL | dict(variant.width)
    for number in variant.drop:
        del widths[number]
    assert parameters(net) == counted(widths)
    x = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    there = [name for name in jv.layers(net, x) if name.startswith("layer") and "." not in name]
    assert [int(name.removeprefix("layer")) for name in there] == list(widths)
    assert jax.eval_shape(lambda net, x: net(x), net, x).shape == (2, 10)
    # The program multiplies as often as there are layers: nothing runs unseen.
    work = str(jax.make_jaxpr(lambda net, x: net(x))(net, x))
    assert work.count("conv_general_dilated[") == sum(number < 6 for number in widths)
    assert work.count("dot_general[") == 1 + sum(number > 5 for number in widths)


def test_layers_have_their_widths():
    net = abstract(Variant(width=((3, 64), (6, 100))))
    shapes = jv.layers(net, jnp.zeros((1, 64, 64, 3)))
    assert shapes["layer3"].shape == (1, 8, 8, 64)
    assert shapes["layer5"].shape == (1, 4, 4, 32)
    assert shapes["layer6"].shape == (1, 100)


def test_variants_in_words():
    assert [str(one) for one in VARIANTS[:2]] == ["all layers", "without 3, 4"]
    assert str(Variant((7,), ((6, 8),))) == "without 7; width 6: 8"


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        (Variant(drop=(8,)), "changes layers 1 to 7, and 8 is none"),
        (Variant(drop=(3, 3)), "changes a layer once, and layer 3 twice here"),
        (Variant((3,), ((3, 4),)), "layer 3 twice here"),
        (Variant(width=((3, 0),)), "at least 1, and 3 would have 0"),
    ],
)
def test_variants_that_make_no_sense(variant, words):
    with pytest.raises(ValueError, match=words):
        layers_of(variant)


def test_nets_that_make_no_sense():
    layers = layers_of(Variant())
    with pytest.raises(ValueError, match="layer 5 has nothing left to pool"):
        nnx.eval_shape(lambda: VariantNet(layers, size=8, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="layer 8 is a convolution, and comes after a dense"):
        nnx.eval_shape(lambda: VariantNet(layers | {8: layers[3]}, rngs=nnx.Rngs(0)))


def brightness(count, seed):
    """Bright and dark noise: anything learns it."""
    label = np.arange(count) % 2
    noise = np.random.default_rng(seed).random((count, 16, 16, 3))
    images = 0.3 * noise + 0.5 * label[:, None, None, None]
    names = [f"{seed}-{i}" for i in range(count)]
    return image_arrays(images, label, categories=["dark", "bright"], names=names)


SMALL = [Variant(drop=(3, 4, 5)), Variant(drop=(2, 3, 4, 5, 6, 7))]
HOW = Settings(16, lambda steps: adamw(20))


class Stopped(Exception):
    pass


def test_a_study_that_is_stopped_goes_on_to_the_same_numbers(tmp_path):
    images, test = brightness(64, 0), brightness(30, 1)

    def run(folder, **options):
        return ablation(
            SMALL, images, test, seeds=2, epochs=2, settings=HOW, checkpoints=folder, **options
        )

    begun = []

    def stop(variant, seed):
        begun.append((variant, seed))
        if len(begun) == 4:
            raise Stopped

    whole = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", on_run=stop)
    assert begun == [(variant, seed) for variant in SMALL for seed in (0, 1)]
    again = run(tmp_path / "stopped")
    for one, other, variant in zip(whole, again, SMALL, strict=True):
        assert one.variant == other.variant == variant
        net = abstract(variant, size=16, classes=2)
        assert one.parameters == other.parameters == parameters(net)
        for seed in (0, 1):
            np.testing.assert_array_equal(one.test_wrong[seed], other.test_wrong[seed])
            np.testing.assert_array_equal(one.train_wrong[seed], other.train_wrong[seed])
            lines = [[line[:-1] for line in each.records[seed]] for each in (one, other)]
            assert lines[0] == lines[1]
        # The same budget: every run has as many steps.
        assert {record[-1].step for record in one.records} == {8}
        # The record's last test is of the same net on the same images.
        tested = [record[-1].test_accuracy for record in one.records]
        assert tested == [1 - wrong.mean() for wrong in one.test_wrong]
        assert one.test_error.mean == pytest.approx(1 - np.mean(tested))
        assert (len(one.train_wrong[0]), len(one.test_wrong[0])) == (64, 30)
    assert whole[1].test_error.mean < 0.2
    with pytest.raises(ValueError, match="a run with epochs=2, and this one has epochs=3"):
        ablation(SMALL, images, test, epochs=3, settings=HOW, checkpoints=tmp_path / "whole")


def test_nothing_to_do(tmp_path):
    images = brightness(4, 0)
    with pytest.raises(ValueError, match="not 0 and 3"):
        ablation([], images, images, checkpoints=tmp_path)


def found(errors):
    """Variants of which two runs of 1,000 images are wrong in so many."""
    return [
        Ablated(variant, 0, [], [], [np.arange(1000) < error + 10 * seed for seed in (-1, 1)])
        for variant, error in errors.items()
    ]


def test_the_verdict():
    both, middle, top = Variant((3, 4, 6, 7)), Variant((3, 4)), Variant((6, 7))
    claim = depth_claim(found({Variant(): 100, middle: 150, top: 120, both: 400}))
    assert claim.verdict == "supported"
    assert len(claim.comparisons) == 3
    assert claim.comparisons[0].larger.mean == pytest.approx(0.4)
    mixed = depth_claim(found({Variant(): 100, middle: 500, top: 100, both: 400}))
    assert mixed.verdict == "mixed"
    assert depth_claim(found({middle: 400, top: 400, both: 405})).verdict == "not supported"
    # Without one of the three there is nothing to say, nor with another change in it.
    assert depth_claim(found({middle: 100, top: 100})) is None
    assert depth_claim(found({Variant(): 100, top: 100, both: 400})) is None
    assert depth_claim(found({Variant(): 100, middle: 100, both: 400})) is None
    wider = both._replace(width=((5, 20),))
    assert depth_claim(found({middle: 100, top: 100, wider: 400})) is None
    claim = depth_claim(found({middle: 100, top: 100, wider: 500, both: 400}))
    assert len(claim.comparisons) == 3
    assert claim.verdict == "mixed"
