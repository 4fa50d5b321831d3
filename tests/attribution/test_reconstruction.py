"""The reconstructed affine map against the network, its Jacobian, and a pass by hand."""

import dataclasses

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax
from jax.tree_util import Partial

import jaxviz as jv
import ports
from jaxviz.attribution import reconstruction
from ports.layers import BatchNorm
from ports.resnet import Bottleneck

NETS = ["shapes-plain", "shapes-residual", "shapes-dense"]


# Shallower than the models they stand for, so that the test is quick; the layers are the same.
DEEP = {
    "vgg16": lambda rngs: ports.new("vgg16", rngs=rngs),
    "vgg16_bn": lambda rngs: ports.new("vgg16_bn", rngs=rngs),
    "resnet50": lambda rngs: ports.ResNet(Bottleneck, (2, 1, 1, 1), rngs=rngs),
    "densenet121": lambda rngs: ports.DenseNet(32, (2, 2, 2, 2), rngs=rngs),
}


def alive(name, size):
    """A random model with batch-norm statistics near those of what reaches each layer.

    Without them the activations of a deep net die out or overflow, and a wrong map would pass.
    """
    model = DEEP[name](nnx.Rngs(0))
    norms = [module for _, module in nnx.iter_modules(model) if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    jax.block_until_ready(nnx.jit(lambda model, x: model(x))(model, noise(4, size)))
    model.eval()
    rng = np.random.default_rng(0)
    for norm in norms:
        shape, dtype = norm.mean.shape, norm.mean.dtype
        draws = rng.normal(size=(4, *shape)).astype(dtype)
        norm.mean[...] += 0.1 * jnp.sqrt(norm.var[...]) * draws[0]
        norm.var[...] *= 1 + np.abs(draws[1])
        norm.scale[...] = 1 + 0.2 * draws[2]
        norm.bias[...] = 0.2 * draws[3]
    return model


def noise(count, size):
    return jax.random.normal(jax.random.key(2), (count, size, size, 3), jnp.float32)


def in_float64(model):
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf,
        model,
    )


def close(found, expected, tolerance):
    """Relative to the largest logit; the reference must be alive."""
    largest = jnp.abs(expected).max()
    assert 1e-3 < largest < 1e6
    return jnp.abs(found - expected).max() <= tolerance * largest


@pytest.mark.parametrize("name", NETS)
def test_trained_nets_are_their_affine_maps(name):
    model = ports.load(name, weights="shapes")
    x = ports.card(name).normalize(jv.data.shapes(jax.random.key(5), 4).image)
    logits = jax.jit(lambda model, x: model(x))(model, x)
    assert close(jv.reconstruct(model, x)(x), logits, 1e-5)
    with jax.enable_x64(True):
        model, x = in_float64(model), x.astype(jnp.float64)
        affine = jv.reconstruct(model, x)
        assert affine.weights.dtype == jnp.float64
        assert affine.weights.shape == (4, 10, 64, 64, 3)
        assert close(affine(x), model(x), 1e-12)
        # An independent route: JAX's own derivative, whose ReLUs and poolings are its own.
        jacobian = jax.jacrev(lambda image: model(image[None])[0])(x[0])
        assert close(affine.weights[0], jacobian, 1e-12)


@pytest.mark.parametrize("name", DEEP)
def test_deep_nets_are_their_affine_maps(name):
    size, classes = 64, [3, 141, 592]
    model, x = alive(name, size), noise(1, size)
    logits = jax.jit(lambda model, x: model(x))
    chosen = jnp.array(classes)
    affine = jv.reconstruct(model, x, outputs=classes)
    assert close(affine(x), logits(model, x)[:, chosen], 1e-5)
    with jax.enable_x64(True):
        model, x = in_float64(model), x.astype(jnp.float64)
        affine = jv.reconstruct(model, x, outputs=classes)
        assert close(affine(x), logits(model, x)[:, chosen], 1e-12)


def by_hand(model, x, moved):
    """`model` at `moved` with the gates of `x`: masks and switches as arrays."""

    def convolution(layer, x):
        kernel, bias = layer.kernel[...], layer.bias[...]
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers) + bias

    def windows(x):
        n, h, w, c = x.shape
        cut = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4)
        return cut.reshape(n, h // 2, w // 2, c, 4)

    before = convolution(model.conv1, x)
    on = before > 0
    switch = windows(before * on).argmax(-1)
    pooled = jnp.take_along_axis(windows(before * on), switch[..., None], -1)[..., 0]
    later_on = convolution(model.conv2, pooled) > 0
    moved = windows(convolution(model.conv1, moved) * on)
    moved = jnp.take_along_axis(moved, switch[..., None], -1)[..., 0]
    moved = convolution(model.conv2, moved) * later_on
    return moved.mean((1, 2)) @ model.head.kernel[...] + model.head.bias[...]


def test_weights_and_bias_by_hand(small, images):
    with jax.enable_x64(True):
        model, x = small(dtype=jnp.float64), images(2, jnp.float64)
        affine = jv.reconstruct(model, x)
        bias = by_hand(model, x, jnp.zeros_like(x))
        assert jnp.abs(affine.bias - bias).max() <= 1e-14
        basis = jnp.zeros_like(x).at[:, 3, 5, 1].set(1.0)
        column = by_hand(model, x, basis) - bias
        assert jnp.abs(affine.weights[:, :, 3, 5, 1] - column).max() <= 1e-14
        jacobian = jax.vmap(jax.jacrev(lambda image: model(image[None])[0]))(x)
        assert jnp.abs(affine.weights - jacobian).max() <= 1e-14
        assert affine.outputs.tolist() == [0, 1, 2, 3, 4]
        assert affine.shape == (5,)


def test_the_bias_is_no_remainder(small, images, monkeypatch):
    """Wrong weights must show: a bias of f(x) - W x would hide them at x, whatever they are."""
    model, x = small(), images(2)
    right = jv.reconstruct(model, x)
    assert close(right(x), model(x), 1e-5)
    own = reconstruction.fast_pullbacks
    doubled = lambda f: own(lambda moved: 2 * f(moved) - f(jnp.zeros_like(moved)))
    monkeypatch.setattr(reconstruction, "fast_pullbacks", doubled)
    jax.clear_caches()
    wrong = jv.reconstruct(model, x)
    jax.clear_caches()
    assert jnp.allclose(wrong.weights, 2 * right.weights, rtol=1e-5, atol=1e-7)
    assert jnp.array_equal(wrong.bias, right.bias)
    assert not close(wrong(x), model(x), 0.01)
    remainder = model(x) - (wrong(x) - wrong.bias)
    hidden = dataclasses.replace(wrong, bias=remainder)
    assert close(hidden(x), model(x), 1e-5)
    assert not jnp.allclose(remainder, right.bias, atol=0.01)


@pytest.mark.parametrize("name", NETS)
def test_the_map_holds_within_the_region_and_not_beyond(name):
    with jax.enable_x64(True):
        model = in_float64(ports.load(name, weights="shapes"))
        images = jv.data.shapes(jax.random.key(6), 3).image
        x = ports.card(name).normalize(images).astype(jnp.float64)
        affine = jv.reconstruct(model, x, outputs=[0, 1, 2])
        direction = jax.random.normal(jax.random.key(7), x.shape, x.dtype)
        margin = jv.region_margin(model, x, direction).margin
        assert (margin > 0).all()
        assert (margin < 1).all()

        def difference(share):
            moved = x + share * margin[:, None, None, None] * direction
            logits = model(moved)[:, :3]
            return jnp.abs(affine(moved) - logits).max(-1) / jnp.abs(logits).max()

        assert (difference(0.99) <= 1e-12).all()
        # Just behind the border a single unit bends a little; that it does is seen in float64.
        assert (difference(1.01) > 1e-12).any()
        assert (difference(100.0) > 1e-7).all()


@pytest.mark.parametrize("layer", ["layer1.bn1", "pool1", "layer3.relu", "layer4.conv1", "avgpool"])
def test_every_layer_is_affine_too(layer):
    with jax.enable_x64(True):
        model = in_float64(ports.load("shapes-plain", weights="shapes"))
        x = jv.data.shapes(jax.random.key(8), 2).image[:, 20:36, 20:36].astype(jnp.float64) - 0.5
        value = jv.capture(model, x, [layer])[1][layer]
        affine = jv.reconstruct(model, x, layer)
        assert affine.shape == value.shape[1:]
        assert close(affine(x).reshape(value.shape), value, 1e-12)
        of = lambda image: jv.capture(model, image[None], [layer])[1][layer][0].reshape(-1)
        # 16 x 16 x 3 pixels: some of these layers have more entries, and are read by columns.
        jacobian = jax.jacfwd(of)(x[1])
        assert close(affine.weights[1], jacobian, 1e-12)


def test_a_part_below_and_the_part_above_make_the_whole():
    with jax.enable_x64(True):
        model = in_float64(ports.load("shapes-residual", weights="shapes"))
        x = jv.data.shapes(jax.random.key(9), 2).image[:, ::2, ::2].astype(jnp.float64) - 0.5
        layer = "pool3"
        below, whole = jv.reconstruct(model, x, layer), jv.reconstruct(model, x)
        values = below(x).reshape(-1, *below.shape)

        def above(values, moved):
            replaced = jv.edit(jv.gated(model, x), {layer: lambda _: values})
            return replaced(moved)

        zeros = jnp.zeros_like(x)
        assert close(above(values, zeros), whole(x), 1e-12)
        # The weights of the whole are those of the part above times those of the part below.
        upper = jax.jacrev(lambda one: above(values.at[0].set(one), zeros)[0])(values[0])
        product = jnp.tensordot(upper.reshape(10, -1), below.weights[0], 1)
        assert close(product, whole.weights[0], 1e-12)
        at_rest = below.bias.reshape(values.shape)
        assert close(above(at_rest, zeros), whole.bias, 1e-12)


def test_chosen_outputs(small, images):
    model, x = small(), images(2)
    whole, some = jv.reconstruct(model, x), jv.reconstruct(model, x, outputs=[4, 1])
    assert some.outputs.tolist() == [4, 1]
    assert jnp.allclose(some.weights, whole.weights[:, jnp.array([4, 1])], atol=1e-6)
    assert jnp.allclose(some.bias, whole.bias[:, jnp.array([4, 1])], atol=1e-6)
    units = jv.reconstruct(model, x, "relu2", outputs=[(3, 2, 5), (0, 7, 11)])
    values = jv.capture(model, x, ["relu2"])[1]["relu2"]
    expected = jnp.stack([values[:, 3, 2, 5], values[:, 0, 7, 11]], -1)
    assert jnp.allclose(units(x), expected, atol=1e-6)
    assert units.shape == (8, 8, 12)
    assert units.outputs.tolist() == [(3 * 8 + 2) * 12 + 5, 7 * 12 + 11]


def test_contributions_add_up_and_differences_tell_classes_apart(small, images):
    model, x = small(), images(3)
    affine, logits = jv.reconstruct(model, x, outputs=[4, 0, 2]), model(x)
    parts = affine.contributions(x)
    assert jnp.array_equal(parts[1, 2], affine.weights[1, 2] * x[1])
    total = parts.sum((2, 3, 4)) + affine.bias
    assert jnp.allclose(total, logits[:, jnp.array([4, 0, 2])], atol=1e-5)
    between = (affine.difference(2, 4) * x).sum((1, 2, 3)) + affine.bias[:, 2] - affine.bias[:, 0]
    assert jnp.allclose(between, logits[:, 2] - logits[:, 4], atol=1e-5)
    with pytest.raises(ValueError, match="output 1 was not reconstructed; there are 4, 0, 2"):
        affine.difference(0, 1)
    with pytest.raises(ValueError, match=r"one image for each map, \(3, 16, 16, 3\); got \(2, 16"):
        affine(x[:2])


@pytest.mark.parametrize("layer", [None, "relu1"])
def test_a_small_budget_changes_nothing_but_the_batches(layer, small, images):
    model, x = small(), images(3)
    whole = jv.reconstruct(model, x, layer)
    for memory in (1, 250_000, 1_000_000):
        part = jv.reconstruct(model, x, layer, memory=memory)
        assert jnp.allclose(part.weights, whole.weights, atol=1e-6)
        assert jnp.allclose(part.bias, whole.bias, atol=1e-6)


def test_a_batch_is_its_images_under_jit_vmap_and_stacks_of_models(small, images):
    model, x = small(), images(3)
    batch = jv.reconstruct(model, x)
    for i in range(3):
        alone = jv.reconstruct(model, x[i : i + 1])
        assert jnp.allclose(batch.weights[i], alone.weights[0], atol=1e-6)
        assert jnp.allclose(batch.bias[i], alone.bias[0], atol=1e-6)
    mapped = jax.jit(jax.vmap(lambda image: jv.reconstruct(model, image[None])(image[None])[0]))(x)
    assert jnp.allclose(mapped, model(x), atol=1e-5)
    chosen = jax.jit(lambda k: jv.reconstruct(model, x, outputs=k).weights)(jnp.array([2, 0]))
    assert jnp.allclose(chosen, batch.weights[:, jnp.array([2, 0])], atol=1e-6)
    models = [small(seed) for seed in range(2)]
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)
    together = jax.vmap(lambda model: jv.reconstruct(model, x).bias)(stack)
    assert jnp.allclose(together[1], jv.reconstruct(models[1], x).bias, atol=1e-6)


def test_another_image_class_or_model_compiles_nothing(small, images, compilations):
    model, other, x = small(0), small(1), images()
    brighter = x + 1
    jv.reconstruct(model, x, outputs=[0, 1])
    jv.region_margin(model, x, x)
    classes = [np.array([3, 2]), np.array([4, 1])]
    with compilations() as events:
        jv.reconstruct(model, brighter, outputs=classes[0])
        jv.reconstruct(other, x, outputs=classes[1])
        jv.region_margin(other, brighter, x)
    assert events == []


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(4, (3, 3))(x))
        x = linen.max_pool(x, (2, 2), (2, 2))
        x = linen.BatchNorm(use_running_average=True)(x)
        return linen.Dense(3)(x.reshape(len(x), -1))


def test_linen_equinox_and_bare_functions(images):
    x = images(2)
    net = LinenNet()
    linen_model = Partial(net.apply, net.init(jax.random.key(0), x))
    keys = jax.random.split(jax.random.key(1), 2)
    of_one = equinox.nn.Sequential(
        [
            equinox.nn.Conv2d(3, 4, 3, stride=2, padding=1, key=keys[0]),
            equinox.nn.Lambda(jax.nn.relu),
            equinox.nn.MaxPool2d(3, 2, padding=1),
            equinox.nn.AdaptiveAvgPool2d(2),
            equinox.nn.Lambda(jnp.ravel),
            equinox.nn.Linear(16, 3, key=keys[1]),
        ]
    )
    equinox_model = Partial(
        lambda arrays, x: jax.vmap(equinox.combine(arrays, rest))(x.transpose(0, 3, 1, 2)),
        (parts := equinox.partition(of_one, equinox.is_array))[0],
    )
    rest = parts[1]
    bare = lambda x: jax.nn.leaky_relu(x - 0.1).max((1, 2)) @ jnp.ones((3, 2))
    for model in (linen_model, equinox_model, bare):
        affine = jv.reconstruct(model, x)
        assert close(affine(x), model(x), 1e-5)
        jacobian = jax.vmap(jax.jacrev(lambda image, model=model: model(image[None])[0]))(x)
        assert jnp.allclose(affine.weights, jacobian, atol=1e-6)
        assert jnp.abs(affine.weights).max() > 1e-3


@pytest.mark.parametrize(
    ("end", "what"),
    [
        (jax.nn.gelu, r"'\w+'"),
        (jax.nn.softmax, "'exp'"),
        (lambda x: x * x[:, ::-1], "'mul' of two values that both depend on the input"),
    ],
)
def test_what_is_not_piecewise_linear_is_refused(end, what, small, images):
    model, x = small(), images(1)
    whole = lambda x: end(jv.tap(model(x), "logits"))
    for method in (jv.reconstruct, lambda model, x: jv.region_margin(model, x, x)):
        with pytest.raises(NotImplementedError, match=f"computes {what}.* after layer 'logits'"):
            method(whole, x)
    # Below it there is nothing to refuse.
    logits = jv.reconstruct(whole, x, "logits")
    assert close(logits(x), model(x), 1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "relu3"}, "unknown layer 'relu3'; nearest: relu2, relu1"),
        ({"outputs": [0, 5]}, "unknown output 5; they go from 0 to 4"),
        ({"outputs": [-1]}, "unknown output -1"),
        ({"outputs": []}, "outputs must list at least one place"),
        ({"outputs": [0.5]}, "outputs must list at least one place, an int or 1 ints each"),
        ({"layer": "relu2", "outputs": [(0, 0)]}, "an int or 3 ints each, of a value of shape"),
        (
            {"layer": "relu2", "outputs": [(0, 8, 0)]},
            r"output \[0, 8, 0\]; .* 0 to 7, 7, 11",
        ),
    ],
)
def test_a_wrong_question_is_answered_in_one_sentence(options, message, small, images):
    with pytest.raises(ValueError, match=message):
        jv.reconstruct(small(), images(1), **options)


def test_an_output_that_is_no_array_of_images(images):
    with pytest.raises(ValueError, match=r"output must have one entry for each image.* \(\)"):
        jv.reconstruct(jnp.sum, images(1))
    with pytest.raises(ValueError, match=r"x must be a batch of images"):
        jv.reconstruct(lambda x: x, jnp.ones((3, 3)))


def test_outputs_may_be_places_that_are_traced():
    model, x = (lambda x: x), jnp.ones((1, 1, 3, 1))
    read = jax.jit(
        lambda places: jv.reconstruct(model, x, outputs=places).weights[0].reshape(-1, 3)
    )
    expected = jnp.eye(3)[jnp.array([1, 2])]
    assert (read(jnp.array([[0, 1, 0], [0, 2, 0]])) == expected).all()
    assert (read(jnp.array([1, 2])) == expected).all()
