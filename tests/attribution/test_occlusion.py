"""Occlusion against a loop over positions, and its conservation."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxviz as jv
import ports
from jaxviz.attribution import covering
from jaxviz.attribution.borders import split_at_borders
from jaxviz.attribution.occlusion import grid_of
from jaxviz.transform import incremental


def by_hand(model, x, k, window, stride, fill):
    """A loop over images and positions, one forward pass each."""
    n, h, w, _ = x.shape
    rows = [i * stride[0] for i in range(-(-(h - window[0]) // stride[0]) + 1)]
    columns = [i * stride[1] for i in range(-(-(w - window[1]) // stride[1]) + 1)]
    rows, columns = [r for r in rows if r < h], [c for c in columns if c < w]
    score, label = np.zeros((2, n, len(rows), len(columns)))
    for i in range(n):
        for a, r in enumerate(rows):
            for b, c in enumerate(columns):
                covered = np.array(x[i])
                patch = np.broadcast_to(fill, x.shape)[i]
                here = np.s_[r : r + window[0], c : c + window[1]]
                covered[here] = patch[here]
                output = np.asarray(model(covered[None])[0])
                score[i, a, b], label[i, a, b] = output[k[i]], output.argmax()
    return score, label


@pytest.mark.parametrize("engine", ["dense", "incremental", "auto"])
@pytest.mark.parametrize("memory", [None, 200_000])
@pytest.mark.parametrize(
    ("window", "stride", "fill"),
    [
        ((4, 4), (4, 4), 0.0),
        ((5, 3), (3, 4), 0.5),
        ((16, 2), (1, 7), np.array([1.0, -1.0, 0.0], np.float32)),
        ((1, 1), (9, 9), np.ones((16, 16, 3), np.float32)),
        ((3, 3), (6, 6), np.linspace(-1, 1, 2304, dtype=np.float32).reshape(3, 16, 16, 3)),
    ],
)
def test_every_position_is_a_forward_pass(window, stride, fill, memory, engine, small, images):
    model, x, target = small(), images(3), [0, 3, 1]
    options = {"window": window, "stride": stride, "fill": fill}
    maps = jv.occlusion(model, x, jnp.array(target), engine=engine, memory=memory, **options)
    score, label = by_hand(model, x, target, window, stride, fill)
    whole = model(x)[jnp.arange(3), jnp.array(target)]
    # Batches of another size are summed in another order.
    assert np.allclose(maps.score, score, atol=1e-6)
    assert np.allclose(maps.drop, whole[:, None, None] - score, atol=1e-6)
    assert np.array_equal(maps.label, label)


def test_occlusions_that_tile_the_image_add_up_for_a_linear_model():
    weights = jax.random.normal(jax.random.key(0), (12 * 12 * 3, 4))
    model = lambda x: x.reshape(len(x), -1) @ weights
    x = jax.random.normal(jax.random.key(1), (2, 12, 12, 3))
    maps = jv.occlusion(model, x, 1, window=(4, 3), stride=(4, 3))
    assert jnp.allclose(maps.drop.sum((1, 2)), model(x)[:, 1], rtol=1e-5)
    by_pixel = maps.to_pixels().reshape(2, 3, 4, 4, 3)
    assert jnp.array_equal(by_pixel[:, 1, 0, 2, 0], maps.drop[:, 1, 2])


def test_to_pixels_is_the_mean_over_the_windows(small, images):
    maps = jv.occlusion(small(), images(1), 1, window=(5, 6), stride=(4, 9))
    total, count = np.zeros((2, 16, 16))
    for a, b in np.ndindex(maps.drop.shape[1:]):
        here = np.s_[4 * a : 4 * a + 5, 9 * b : 9 * b + 6]
        total[here] += maps.drop[0, a, b]
        count[here] += 1
    assert np.allclose(maps.to_pixels()[0], total / np.maximum(count, 1), atol=1e-6)
    # Columns 6 to 8 lie between the windows.
    assert (maps.to_pixels()[:, :, 6:9] == 0).all()


def test_an_objective_on_a_layer(small, images):
    model, x = small(), images(2)
    maps = jv.occlusion(
        model, x, jv.objectives.strongest("relu2", [1, 4]), window=(16, 16), stride=(1, 1)
    )
    black = jv.capture(model, jnp.zeros_like(x), ["relu2"])[1]["relu2"].max((1, 2))
    assert maps.score.shape == (2, 1, 1)
    assert jnp.allclose(maps.score[:, 0, 0], jnp.array([black[0, 1], black[1, 4]]), atol=1e-6)


def test_several_targets_share_one_sweep(small, images):
    model, x = small(), images(2)
    targets = {
        "class": jnp.array([2, 0]),
        "map": jv.objectives.channel("relu2", 3),
        "both": jv.objectives.probability(1) - 0.5 * jv.objectives.strongest("relu1", 4),
    }
    options = {"window": (4, 4), "stride": (5, 5)}
    together = jv.occlusion(model, x, targets, **options)
    for name, target in targets.items():
        alone = jv.occlusion(model, x, target, **options)
        assert jnp.allclose(together.drop[name], alone.drop, atol=1e-6)
        assert jnp.allclose(together.to_pixels()[name], alone.to_pixels(), atol=1e-6)
        assert jnp.array_equal(together.label, alone.label)
    with pytest.raises(ValueError, match="target must name its objectives by strings"):
        jv.occlusion(model, x, {})


def test_positions_near_the_border_run_apart_and_come_back_in_order():
    """Deep enough for windows that are cut at the border to be worth programs of their own."""
    model = Deep(nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, 40, 48, 3))
    options = {"window": (4, 4), "stride": (2, 2)}
    grid = grid_of((40, 48), **options)
    options["fill"] = 30.0  # far from the image, so that every position counts
    steps = incremental(model, x[:1]).explain((4, 4), starts=grid.starts, nearly_all=np.inf)
    groups = split_at_borders(steps, grid.starts)
    assert len(groups) == 4
    every = sorted(box for group in groups for box in group.boxes)
    assert every == list(range(len(grid.boxes)))
    for group in groups:
        assert all(box[0] in group.starts[0] for box in grid.boxes[list(group.boxes)].tolist())
    maps = jv.occlusion(model, x, 1, engine="incremental", **options)
    dense = jv.occlusion(model, x, 1, engine="dense", **options)
    assert jnp.allclose(maps.score, dense.score, rtol=1e-5, atol=1e-6)
    assert jnp.ptp(dense.drop) > 0.01
    assert jnp.array_equal(maps.label, dense.label)


class Deep(nnx.Module):
    """Six convolutions that keep the size: a change grows by two pixels a side in each."""

    def __init__(self, rngs):
        widths = [3, 8, 8, 8, 8, 8, 8]
        self.convs = nnx.List(
            [nnx.Conv(a, b, (5, 5), rngs=rngs) for a, b in itertools.pairwise(widths)]
        )
        self.head = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x):
        for conv in self.convs:
            x = nnx.relu(conv(x))
        return self.head(x.mean((1, 2)))


def test_the_cheaper_engine_is_taken():
    """A model that looks at the whole image at once has nothing to share."""
    x = jax.random.normal(jax.random.key(1), (1, 40, 48, 3))
    options = {"window": (6, 5), "stride": (3, 4)}
    local = Deep(nnx.Rngs(0))
    mixing = lambda x: local(jax.nn.softmax(x, (1, 2)))
    for model, chosen in [(local, "incremental"), (mixing, "dense")]:
        sweep = functools.partial(jv.occlusion, model, **options)
        taken = {
            engine: str(jax.make_jaxpr(functools.partial(sweep, target=1, engine=engine))(x))
            for engine in ("auto", "dense", "incremental")
        }
        assert taken["auto"] == taken[chosen]
        assert taken["dense"] != taken["incremental"]


def test_another_image_class_and_fill_run_the_same_program(small, images):
    traced = []
    network, x = small(), images(2)

    def model(x):
        traced.append(x.shape)
        return network(x)

    options = {"window": (4, 4), "stride": (4, 4), "engine": "incremental"}
    jv.occlusion(model, x, jnp.array([0, 1]), fill=jnp.zeros((16, 16, 3)), **options)
    before = len(traced)
    jv.occlusion(model, x + 1, jnp.array([3, 2]), fill=jnp.ones((16, 16, 3)), **options)
    assert len(traced) == before > 0


def test_the_budget_is_that_of_one_image_however_many_there_are(small, images):
    asked = (small(), images(1), jv.objectives.logit(3), jnp.zeros((1, 1, 1, 1)))
    grid = grid_of((16, 16), window=(4, 4), stride=(1, 1))
    plans = []
    for count in (1, 64):
        model, x, *rest = asked
        plans.append(
            covering._plan.eval_shape(
                *(model, jnp.tile(x, (count, 1, 1, 1)), *rest, jnp.array(grid.boxes)[None]),
                size=grid.window, starts=grid.starts, grid=True, reach=1.0,
                engine="incremental", available=500_000,
            )
        )  # fmt: skip
    assert plans[0] == plans[1]
    assert 0 < plans[0].needed < 500_000 // plans[0].batch + plans[0].needed


def test_a_model_whose_output_is_no_list_of_classes(small, images):
    model, x = small(), images(1)
    nested = lambda x: {"logits": model(x)}
    third = jv.objectives.Objective(
        jax.tree_util.Partial(lambda output, taps: output["logits"][:, 2])
    )
    options = {"window": (4, 4), "stride": (6, 6)}
    maps = jv.occlusion(nested, x, third, **options)
    assert jnp.allclose(maps.drop, jv.occlusion(model, x, 2, **options).drop, atol=1e-6)
    assert (maps.label == -1).all()


@pytest.mark.parametrize("engine", ["incremental", "dense"])
def test_ten_thousand_positions_stay_within_a_gibibyte(engine):
    """VGG-16 at full size: what the compiler allocates beside the weights and the image."""
    budget = 1 << 30
    model = nnx.eval_shape(lambda: ports.new("vgg16", rngs=nnx.Rngs(0)))
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    grid = grid_of((224, 224), window=(26, 26), stride=(2, 2))
    assert len(grid.boxes) == 10_000
    asked = (model, x, jv.objectives.logit(3), jnp.zeros((1, 1, 1, 1)), jnp.array(grid.boxes)[None])
    options = {"size": grid.window, "reach": 1.0}
    plan = covering._plan.eval_shape(
        *asked, engine=engine, available=budget, starts=grid.starts, grid=True, **options
    )
    assert plan.batch > 8
    compiled = covering._run.lower(*asked, plan, **options).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= budget


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (17, 4)}, r"window \(17, 4\) must fit into the image, which has 16 x 16"),
        ({"window": (0, 4)}, r"window must be two positive ints \(rows, columns\), got \(0, 4\)"),
        ({"stride": (4, 0)}, r"stride must be two positive ints"),
        ({"stride": (4, 4, 4)}, "stride must be two positive ints"),
        ({"stride": 4}, "stride must be two positive ints"),
        ({"stride": (2.5, 2.5)}, "stride must be two positive ints"),
        ({"fill": jnp.zeros((3, 16, 3))}, r"fill must be .* \(16, 16, 3\), .*; got \(3, 16, 3\)"),
        ({"engine": "warp"}, "unknown engine 'warp'; choose one of: auto, incremental, dense"),
        ({"memory": 1000}, r"memory must hold .* of one covered part, .* bytes; got 1,000"),
    ],
)
def test_options_that_do_not_fit(options, message, small, images):
    with pytest.raises(ValueError, match=message):
        jv.occlusion(small(), images(), 0, **{"window": (4, 4), "stride": (4, 4), **options})


def test_objectives_that_compare_images_are_refused():
    model = lambda x: jv.tap(x, "pixels").mean((1, 2))
    with pytest.raises(ValueError, match="must score each image by itself"):
        jv.occlusion(
            model, jnp.zeros((2, 8, 8, 3)), jv.objectives.diversity("pixels"), window=(2, 2)
        )
