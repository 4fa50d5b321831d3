"""Attributions under JAX's transformations, in other precisions, and compiled once."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

import jaxviz as jv

TARGET = jnp.array([0, 3, 1, 4])


def test_a_batch_is_its_images(method, small, images):
    """Each image has its own target, and none has to do with another."""
    model, x = small(), images()
    batch = method(model, x, TARGET)
    for i, k in enumerate(TARGET):
        alone = method(model, x[i : i + 1], int(k))
        # Sums of another length are ordered otherwise.
        assert jnp.allclose(batch[i], alone[0], atol=1e-6)


def test_jit_and_vmap_over_images(method, small, images):
    model, x = small(), images()
    expected = method(model, x, TARGET)
    one = lambda x, k: method(model, x[None], k[None])[0]
    assert jnp.allclose(jax.jit(jax.vmap(one))(x, TARGET), expected, atol=1e-6)


def test_vmap_over_a_stack_of_models(method, small, images):
    models, x = [small(0), small(1), small(2)], images()
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)
    together = jax.vmap(lambda model: method(model, x, TARGET))(stack)
    for model, found in zip(models, together, strict=True):
        assert jnp.allclose(found, method(model, x, TARGET), atol=1e-6)


def test_shard_map_over_devices(method, small, images):
    model, x = small(), images()
    assert jax.device_count() == 4
    mesh = jax.make_mesh((4,), ("images",), axis_types=(jax.sharding.AxisType.Auto,))
    one, all_ = PartitionSpec("images"), PartitionSpec()
    sharded = jax.shard_map(method, mesh=mesh, in_specs=(all_, one, one), out_specs=one)
    assert jnp.allclose(jax.jit(sharded)(model, x, TARGET), method(model, x, TARGET), atol=1e-6)


def test_float64_and_bfloat16(method, small, images):
    with jax.enable_x64(True):
        model, x = small(dtype=jnp.float64), images(dtype=jnp.float64)
        exact = method(model, x, TARGET)
        assert exact.dtype == jnp.float64
        for dtype, tolerance in [
            (jnp.float32, 1e-5),
            (jnp.bfloat16, 0.2),  # eight bits of mantissa; a few ReLUs and switches turn
        ]:
            lower = small(dtype=dtype)
            nnx.update(lower, optax.tree_utils.tree_cast(nnx.state(model), dtype))
            found = method(lower, x.astype(dtype), TARGET)
            assert found.dtype == dtype
            difference = jnp.linalg.norm(found.astype(float) - exact)
            assert difference <= tolerance * jnp.linalg.norm(exact)


@pytest.mark.parametrize("name", ["saliency", "deconvnet", "guided_backprop", "grad_cam"])
def test_the_gradient_of_a_map_with_respect_to_the_weights(name, small, images):
    """Against a difference quotient in float64, along a random direction of the weights."""
    method = getattr(jv, name)
    if name == "grad_cam":
        method = functools.partial(method, layer="relu2")
    with jax.enable_x64(True):
        model, x = small(dtype=jnp.float64), images(2, jnp.float64)
        weights = jax.random.normal(jax.random.key(2), method(model, x, 1).shape, jnp.float64)
        loss = lambda model: jnp.sum(weights * method(model, x, 1))
        slope = jax.grad(loss)(model)
        direction = jax.tree.map(
            lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), model
        )
        moved = lambda step: jax.tree.map(lambda a, d: a + step * d, model, direction)
        quotient = (loss(moved(1e-7)) - loss(moved(-1e-7))) / 2e-7
        along = sum(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum(a * b), slope, direction)))
        assert abs(along) > 1e-3
        assert jnp.allclose(along, quotient, rtol=1e-5)


def test_a_saliency_regularised_loss_trains(small, images):
    """Right for the right reasons: the left half of the image shall not matter."""
    model, x, labels = small(), images(8), jnp.array([0, 1, 2, 3, 4, 0, 1, 2])

    def losses(model):
        own = optax.softmax_cross_entropy_with_integer_labels(model(x), labels).mean()
        elsewhere = jnp.sum(jv.saliency(model, x, labels)[:, :, :8] ** 2)
        return own + 300 * elsewhere, elsewhere

    optimizer = optax.adam(1e-2)
    state = optimizer.init(model)

    @jax.jit
    def step(model, state):
        gradient, _ = jax.grad(losses, has_aux=True)(model)
        updates, state = optimizer.update(gradient, state, model)
        return optax.apply_updates(model, updates), state

    before = losses(model)
    for _ in range(60):
        model, state = step(model, state)
    after = losses(model)
    assert after[0] < 0.5 * before[0]
    assert after[1] < 0.5 * before[1]


def test_another_image_class_or_model_compiles_nothing(method, small, images, compilations):
    model, other, x = small(0), small(1), images()
    brighter, turned = x + 1, TARGET[::-1]
    method(model, x, 0), method(model, x, TARGET)
    with compilations() as events:
        method(model, brighter, 0)
        method(model, x, 3)
        method(other, x, turned)
        method(model, x, jv.objectives.logit(2))
    assert events == []


def test_another_unit_compiles_nothing(small, images, compilations):
    model, x = small(), images()
    ask = lambda c: jv.deconvnet(model, x, 0.5 * jv.objectives.strongest("relu2", c) ** 2)
    ask(0)
    with compilations() as events:
        for c in range(1, 4):
            ask(c)
    assert events == []


@pytest.mark.parametrize(
    ("x", "target", "message"),
    [
        (jnp.zeros((16, 16, 3)), 0, r"shape \(n, h, w, c\), got \(16, 16, 3\); .* x\[None\]"),
        (jnp.zeros((1, 16, 16, 3), jnp.uint8), 0, "x must be floating point, got uint8"),
        (jnp.zeros((2, 16, 16, 3)), [0, 1, 2], "target speaks of 3 images, and x has 2"),
        (jnp.zeros((2, 16, 16, 3)), 5, "unknown class 5; the model has 5 classes, 0 to 4"),
        (jnp.zeros((2, 16, 16, 3)), [0, -1], "unknown class -1"),
        (jnp.zeros((2, 16, 16, 3)), 0.5, "class must be an int"),
    ],
)
def test_a_wrong_question_is_answered_in_one_sentence(x, target, message, method, small):
    with pytest.raises(ValueError, match=message):
        method(small(), x, target)


def test_a_model_that_cannot_be_called():
    with pytest.raises(TypeError, match=r"model must be a callable pytree, got a dict"):
        jv.saliency({"w": jnp.ones(3)}, jnp.zeros((1, 4, 4, 3)), 0)
