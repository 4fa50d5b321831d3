"""Edits of one input against the model evaluated anew, for every way a change can spread."""

from functools import partial

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.tree_util import Partial

import jaxviz as jv
import ports
from jaxviz.transform.incremental import incremental
from ports.registry import entry
from ports.resnet import Bottleneck

# Programs here run a few times: compiling them is what takes time.
unoptimized = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def normal(*shape, seed=0, dtype=None):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def places(extents, size):
    """The corners, the middle of each border, and odd places inside."""
    rows, columns = (extent - length for extent, length in zip(extents, size, strict=True))
    row, column = rows // 2 | (rows > 0), columns // 3 | (columns > 0)
    corners = [(0, 0), (0, columns), (rows, 0), (rows, columns)]
    borders = [(0, column), (rows, column), (row, 0), (row, columns)]
    return np.array([*corners, *borders, (row, column), (rows // 3, columns // 2)])


def written(x, patch, start, axes):
    starts = [0] * x.ndim
    for axis, first in zip(axes, start, strict=True):
        starts[axis] = first
    return lax.dynamic_update_slice(x, patch, starts)


def patches_of(x, size, count, axes):
    shape = list(x.shape)
    for axis, length in zip(axes, size, strict=True):
        shape[axis] = length
    return normal(count, *shape, seed=7, dtype=x.dtype)


def error(found, expected):
    """The largest of max |a - b| / max |b| over the outputs; what is no number must be equal."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    worst = 0.0
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if np.issubdtype(b.dtype, np.floating):
            assert np.isfinite(b).all()
            worst = max(worst, float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6)))
        else:
            assert (a == b).all()
    return worst


def largest_error(f, x, size=(3, 4), axes=(1, 2), at=None, **options):
    """Of `incremental(f, x)` at many places, against `f` of the edited inputs."""
    at = places([x.shape[axis] for axis in axes], size) if at is None else np.array(at)
    patches = patches_of(x, size, len(at), axes)

    @unoptimized
    def both(x, patches, at):
        edited = incremental(f, x, axes=axes)
        found = jax.vmap(lambda patch, start: edited(patch, start, **options))(patches, at)
        return found, lax.map(lambda edit: f(written(x, *edit, axes)), (patches, at))

    return error(*both(x, patches, at))


# By name, or with fewer blocks than the paper's where the others repeat what these do.
PORTS = {
    "alexnet": entry("alexnet").build,
    "zfnet": entry("zfnet").build,
    "vgg11": entry("vgg11").build,
    "vgg11_bn": entry("vgg11_bn").build,
    "resnet18": entry("resnet18").build,
    "resnet50": partial(ports.ResNet, Bottleneck, (2, 1, 1, 1)),
    "resnext50": partial(ports.ResNet, Bottleneck, (2, 1, 1, 1), groups=32, base_width=4),
    "wide_resnet50": partial(ports.ResNet, Bottleneck, (2, 1, 1, 1), base_width=128),
    "densenet": partial(ports.DenseNet, 32, (3, 2, 2, 2)),
    "googlenet": entry("googlenet").build,
    "shapes-plain": entry("shapes-plain").build,
    "shapes-residual": entry("shapes-residual").build,
    "shapes-dense": entry("shapes-dense").build,
}


def built(name, dtype):
    """With weights of He's variances, from few random numbers: a hundred million take seconds."""
    numbers = np.random.default_rng(0).normal(size=1_000_003).astype(dtype)

    def weights(path, leaf):
        if leaf.ndim < 2:
            one = any(key in jax.tree_util.keystr(path) for key in ("scale", "var"))
            return jnp.full(leaf.shape, float(one), dtype)
        return jnp.asarray(np.resize(numbers * (2 / np.prod(leaf.shape[:-1])) ** 0.5, leaf.shape))

    model = nnx.eval_shape(lambda: PORTS[name](num_classes=10, rngs=nnx.Rngs(0)))
    model.eval()
    return jax.tree_util.tree_map_with_path(weights, model)


def errors_of_layers(model, x, size):
    names = list(jv.layers(model, x))
    at = places(x.shape[1:3], size)[::2]
    patches = patches_of(x, size, len(at), (1, 2))

    @unoptimized
    def both(model, x, patches, at):
        f = lambda x: jv.capture(model, x, names)
        found = jax.vmap(incremental(f, x))(patches, at)
        images = jax.vmap(lambda patch, start: written(x, patch, start, (1, 2))[0])(patches, at)
        return jax.tree.map(lambda leaf: leaf[:, 0], found), f(images)

    (logits, layers), (expected, expected_layers) = both(model, x, patches, at)
    for name, value in expected_layers.items():
        assert float(np.abs(value).max()) > 0, f"{name} is dead"
    return error(logits, expected), error(layers, expected_layers)


@pytest.mark.parametrize("name", [name for name in PORTS if name != "vgg11"])
def test_ports_are_exact_in_every_layer(name, float64):
    x = normal(1, 64, 64, 3)
    assert max(errors_of_layers(built(name, np.float64), x, (5, 3))) <= 1e-12


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "shapes-dense"])
def test_ports_are_exact_in_float32(name):
    x = normal(1, 64, 64, 3)
    assert max(errors_of_layers(built(name, np.float32), x, (5, 3))) <= 1e-5


def convolution(x, *, size=(3, 3), out=6, groups=1, seed=3, **options):
    """Of maps of channels last, with He's weights."""
    options = {"window_strides": (1, 1), "padding": "SAME"} | options
    kernel = normal(*size, x.shape[-1] // groups, out, seed=seed, dtype=x.dtype)
    return lax.conv_general_dilated(
        x,
        kernel * (2 / np.prod(kernel.shape[:3])) ** 0.5,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
        **options,
    )


def pool(x, start, combine, window=(3, 3), stride=(2, 2), padding="VALID", dilation=(1, 1)):
    if not isinstance(padding, str):
        padding = ((0, 0), *padding, (0, 0))
    return lax.reduce_window(
        x,
        np.array(start, x.dtype)[()],
        combine,
        (1, *window, 1),
        (1, *stride, 1),
        padding,
        window_dilation=(1, *dilation, 1),
    )


max_pool = partial(pool, start=-np.inf, combine=lax.max)
min_pool = partial(pool, start=np.inf, combine=lax.min)
sum_pool = partial(pool, start=0, combine=lax.add)


def pool_booleans(x):
    return lax.reduce_window(x, False, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID") * 1.0


def mean_over_what_is_there(x):
    """Average pooling that does not count the padding."""
    options = {"stride": (1, 1), "padding": "SAME"}
    return sum_pool(x, **options) / sum_pool(jnp.ones_like(x), **options)


def inception(x):
    wide, narrow = convolution(x, size=(5, 5)), convolution(x, size=(1, 1), seed=4)
    return jnp.concatenate([x, wide, max_pool(narrow, stride=(1, 1), padding="SAME")], -1)


def residual(x):
    short = convolution(x, size=(1, 1), window_strides=(2, 2), padding="VALID")
    return short + convolution(jax.nn.relu(convolution(x, window_strides=(2, 2))), seed=5)


def squeeze_and_excitation(x):
    x = convolution(x)
    return convolution(x * jax.nn.sigmoid(x.mean((1, 2), keepdims=True)))


def group_norm(x):
    grouped = convolution(x).reshape(*x.shape[:3], 2, 3)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    variance = grouped.var((1, 2, 4), keepdims=True)
    return ((grouped - mean) * lax.rsqrt(variance + 1e-5)).reshape(*x.shape[:3], 6)


def layer_norm(x):
    x = convolution(x)
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5)


def adaptive(x):
    rows, columns = normal(3, x.shape[1], seed=8), normal(2, x.shape[2], seed=9)
    return jnp.einsum("ph,qw,nhwc->npqc", rows, columns, convolution(x))


def scanned(x):
    return lax.scan(lambda c, _: (jnp.tanh(convolution(c, out=4)), c.mean()), x, None, length=2)


def either(x):
    return lax.cond(x.mean() > 0, jnp.tanh, lambda x: 2 * x, convolution(x))


@jax.custom_vjp
def rounded(x):
    return 8 * x + jnp.asarray(np.arange(6.0))


rounded.defvjp(lambda x: (rounded(x), None), lambda _, g: (g,))


@jax.custom_jvp
def clipped(x):
    return jnp.clip(x, -1, jnp.asarray(np.arange(6.0)))


clipped.defjvp(lambda x, t: (clipped(*x), t[0]))

# Of maps (1, 13, 17, 4).
FUNCTIONS = {
    "the input itself": lambda x: x,
    "a constant": lambda x: jnp.ones(3),
    "convolution": convolution,
    "even kernels": lambda x: convolution(x, size=(4, 2)),
    "even kernels on one side": lambda x: convolution(x, size=(2, 4), padding=((1, 0), (0, 3))),
    "dilated": lambda x: convolution(x, rhs_dilation=(2, 3)),
    "grouped": lambda x: convolution(x, groups=2),
    "depthwise": lambda x: convolution(x, groups=4, out=8),
    "strided": lambda x: convolution(x, window_strides=(3, 2)),
    "strided and dilated": lambda x: convolution(x, window_strides=(3, 2), rhs_dilation=(2, 2)),
    "strides beyond the kernel": lambda x: convolution(x, size=(1, 2), window_strides=(3, 4)),
    "valid": lambda x: convolution(x, padding="VALID"),
    "asymmetric": lambda x: convolution(x, padding=((2, 0), (0, 3))),
    "cropping": lambda x: convolution(x, padding=((-2, 1), (1, -3))),
    "wide padding": lambda x: convolution(x, padding=((5, 5), (4, 4))),
    "transposed": lambda x: convolution(
        convolution(x), lhs_dilation=(2, 2), padding=((1, 1), (2, 1))
    ),
    "its own kernel": lambda x: lax.conv(x, x[:, :, :3, :3], (1, 1), "SAME"),
    "channels first": lambda x: lax.conv(
        x.transpose(0, 3, 1, 2), normal(5, 4, 3, 3), (2, 1), "SAME"
    ),
    "max pooling": max_pool,
    "ceil mode": lambda x: max_pool(x, window=(2, 2), padding=((0, 1), (0, 1))),
    "max pooling with padding": lambda x: max_pool(x, padding=((1, 1), (1, 1))),
    "max pooling of gaps": lambda x: max_pool(x, window=(2, 2), stride=(3, 3)),
    "min pooling": lambda x: min_pool(convolution(x), padding="SAME"),
    "sum pooling": lambda x: sum_pool(convolution(x), padding=((1, 0), (0, 2))),
    "dilated pooling": lambda x: max_pool(convolution(x), dilation=(2, 3)),
    "pooling of counts": lambda x: max_pool((8 * x).astype(jnp.int32), start=-(2**31)),
    "average without padding": mean_over_what_is_there,
    "any other pooling": lambda x: pool(x, 1, lax.mul),
    "1x1 at a stride": lambda x: x[:, ::2, 1::3] @ normal(4, 5),
    "crops": lambda x: convolution(x[:, 2:-1, 3:]),
    "reversed": lambda x: convolution(x[..., ::-1]) + x[:, ::-1, :, :1],
    "branches": inception,
    "two residuals": lambda x: residual(residual(x)),
    "padding": lambda x: jnp.pad(
        convolution(x), ((0, 0), (1, 2), (3, 0), (0, 0)), constant_values=7
    ),
    "negative padding": lambda x: lax.pad(x, 1.0, ((0, 0, 0), (-2, 1, 0), (2, -3, 0), (0, 1, 1))),
    "padding between": lambda x: convolution(
        lax.pad(x, 1.0, ((0, 0, 0), (1, 0, 1), (0, 0, 2), (0, 0, 0)))
    ),
    "padding with the input": lambda x: lax.pad(
        x, x[0, 0, 0, 0], ((0, 0, 0), (1, 1, 0), (1, 1, 0), (0, 0, 0))
    ),
    "wrapping": lambda x: convolution(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")),
    "transposes": lambda x: convolution(x.transpose(0, 2, 1, 3)).transpose(3, 0, 2, 1),
    "its own transpose": lambda x: x[:, :, :13] + x[:, :, :13].transpose(0, 2, 1, 3),
    "reshapes": lambda x: convolution(x).reshape(13, 17, 3, 2)[:, :, ::-1].reshape(1, 13, 1, 17, 6),
    "flattened": lambda x: convolution(x).reshape(1, -1) @ normal(13 * 17 * 6, 3),
    "rows flattened": lambda x: convolution(x).reshape(1, 13, -1).cumsum(-1),
    "expanded": lambda x: jnp.expand_dims(convolution(x), (0, 3)).squeeze(0) * normal(17, 1),
    "repeated": lambda x: jnp.broadcast_to(convolution(x), (3, 13, 17, 6)) * normal(3, 1, 17, 6),
    "mean": lambda x: convolution(x).mean((1, 2)),
    "mean, kept": lambda x: convolution(x) - convolution(x).mean((1, 2), keepdims=True),
    "mean over rows": lambda x: convolution(x).mean(1),
    "mean over columns": lambda x: convolution(x) - convolution(x).mean(2, keepdims=True),
    "mean over all": lambda x: jnp.sum(convolution(x) ** 2),
    "max over space": lambda x: convolution(x).max((1, 2)),
    "max over columns": lambda x: jnp.minimum(convolution(x), x.max((2, 3), keepdims=True)),
    "squeeze and excitation": squeeze_and_excitation,
    "group norm": group_norm,
    "layer norm": layer_norm,
    "softmax": lambda x: jax.nn.softmax(convolution(x)),
    "softmax over space": lambda x: jax.nn.softmax(convolution(x), (1, 2)),
    "log-sum-exp": lambda x: jax.nn.logsumexp(convolution(x), -1),
    "cumsum": lambda x: convolution(x).cumsum(-1) + convolution(x).cumsum(1),
    "sort": lambda x: jnp.sort(convolution(x)),
    "split": lambda x: jnp.split(convolution(x), [2, 3], -1) + jnp.split(x, [5], 1),
    "argmax": lambda x: convolution(x).argmax(-1),
    "argmax over space": lambda x: convolution(x).reshape(-1, 6).argmax(0),
    "where": lambda x: jnp.where(convolution(x) > 0.5, convolution(x, seed=4), 0.1),
    "where of a number": lambda x: jnp.where(x.mean() > 0, x, -x),
    "gelu": lambda x: jax.nn.gelu(convolution(x)),
    "adaptive pooling": adaptive,
    "a product over rows": lambda x: jnp.einsum("ph,nhwc->npwc", normal(3, 13), convolution(x)),
    "a batched product": lambda x: jnp.einsum("hkc,nhwc->nhwk", normal(13, 5, 4), x),
    "a product from the right": lambda x: jnp.einsum(
        "kc,nhwc->knhw", normal(5, 4), convolution(x, out=4)
    ),
    "self-attention": lambda x: jnp.einsum("nhwc,nijc->nhwij", x, x),
    "scan": scanned,
    "cond": either,
    "jit in jit": jax.jit(lambda x: jax.jit(convolution)(jnp.tanh(x))),
    "custom_jvp": lambda x: clipped(convolution(x)),
    "custom_vjp": lambda x: rounded(convolution(x)),
    "checkpoint": jax.checkpoint(lambda x: jnp.tanh(convolution(x) + np.arange(6.0))),
    "several outputs": lambda x: {
        "map": convolution(x),
        "rest": (x.sum(), x[0, 0, 0], jnp.arange(3)),
    },
    "indices": lambda x: convolution(x)[:, jnp.array([3, 1, 1])],
    "columns first": lambda x: convolution(x).reshape(x.shape[:3] + (6,), order="F"),
    "another order": lambda x: lax.reshape(x, (1, 17, 13, 4), (0, 2, 1, 3)),
    "true anywhere near": lambda x: pool_booleans(x > 0).sum((1, 2)),
    "a batch": lambda x: convolution(jnp.concatenate([x, 2 * x[:, ::-1]])).mean((1, 2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_exact(name, float64):
    assert largest_error(FUNCTIONS[name], normal(1, 13, 17, 4)) <= 1e-12


def test_batches_and_other_axes(float64):
    assert largest_error(group_norm, normal(3, 9, 11, 4)) <= 1e-12
    rows_last = lambda x: convolution(x.transpose(0, 3, 2, 1)).mean((1, 2))
    assert largest_error(rows_last, normal(2, 4, 11, 9), axes=(-1, -2)) <= 1e-12
    assert largest_error(convolution, normal(2, 9, 11, 4), (2, 1), axes=(0, 2)) <= 1e-12
    assert largest_error(jnp.tanh, normal(9, 11), axes=(0, 1)) <= 1e-12


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(6, (3, 3), strides=2)(x))
        x = linen.GroupNorm(2)(linen.avg_pool(x, (2, 2), (2, 2), "SAME", False))
        return linen.Dense(3)(linen.max_pool(x, (3, 3)).mean((1, 2)))


def test_a_linen_model(float64):
    x = normal(1, 21, 18, 3)
    model = Partial(Linen().apply, Linen().init(jax.random.key(0), x))
    assert largest_error(model, x) <= 1e-12


def test_an_equinox_model_of_one_image_and_of_a_batch(float64):
    keys = jax.random.split(jax.random.key(0), 3)
    model = equinox.nn.Sequential(
        [
            equinox.nn.Conv2d(3, 4, 3, stride=2, padding=1, key=keys[0]),
            equinox.nn.Lambda(jax.nn.relu),
            equinox.nn.MaxPool2d(3, 2, padding=1, use_ceil=True),
            equinox.nn.GroupNorm(2, 4),
            equinox.nn.Conv2d(4, 4, 2, groups=2, dilation=2, key=keys[1]),
            equinox.nn.AdaptiveAvgPool2d(2),
            equinox.nn.Lambda(jnp.ravel),
            equinox.nn.Linear(16, 3, key=keys[2]),
        ]
    )
    assert largest_error(model, normal(3, 21, 18)) <= 1e-12
    assert largest_error(jax.vmap(model), normal(2, 3, 21, 18), axes=(2, 3)) <= 1e-12


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32])
def test_types_are_the_functions_own(dtype, float64):
    x = (4 * normal(1, 9, 9, 2)).round().astype(dtype)
    patch = np.ones((1, 2, 2, 2))
    f = lambda x: (jnp.pad(2 * x, ((0, 0), (1, 1), (1, 1), (0, 0))) + 1, x.sum((1, 2)))
    assert error(incremental(f, x)(patch, (3, 4)), f(x.at[:, 3:5, 4:6].set(1))) == 0


@pytest.mark.parametrize(("dtype", "wide"), [(jnp.int8, jnp.int32), (jnp.bfloat16, jnp.float32)])
def test_sums_have_the_bits_of_their_results(dtype, wide):
    """120 and -120 are 8-bit numbers, and their difference is not."""
    x = jnp.full((1, 9, 9, 2), 120, dtype)
    weights = jnp.ones((9, 9), dtype)
    f = lambda x: jnp.einsum("hw,nhwc->nc", weights, x, preferred_element_type=wide)
    patch = jnp.full((1, 2, 3, 2), -120, dtype)
    expected = f(x.at[:, 3:5, 4:7].set(-120))
    assert jnp.array_equal(incremental(f, x)(patch, (3, 4)), expected)


def test_a_callback_sees_the_original():
    seen = []

    def f(x):
        jax.debug.callback(lambda mean: seen.append(mean.item()), x.mean())
        return 2 * x

    edited = incremental(f, jnp.ones((1, 4, 4, 1)))
    assert edited(jnp.zeros((1, 2, 2, 1)), (0, 0)).sum() == 24
    jax.effects_barrier()
    assert set(seen) == {1.0}


LAYERS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(
            "conv conv max min sum relu residual concatenation pad slice transpose gate".split()
        ),
        "window": st.tuples(st.integers(1, 4), st.integers(1, 4)),
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "dilation": st.tuples(st.integers(1, 2), st.integers(1, 2)),
        "low": st.tuples(st.integers(-1, 3), st.integers(-1, 3)),
        "high": st.tuples(st.integers(-1, 3), st.integers(-1, 3)),
        "groups": st.sampled_from([1, 2, 4]),
    }
)


POOLS = {"max": max_pool, "min": min_pool, "sum": sum_pool}


def layer(x, kind, window, stride, dilation, low, high, groups):
    """One layer of four channels; maps that would vanish stay as they are."""
    padding = tuple(zip(low, high, strict=True))
    read = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    left = [e + sum(p) for e, p in zip(x.shape[1:3], padding, strict=True)]
    fits = all(a >= b for a, b in zip(left, read, strict=True))
    conv = partial(convolution, size=window, out=4, groups=groups, rhs_dilation=dilation)
    if kind in POOLS and fits:
        padding = tuple((max(p, 0), max(q, 0)) for p, q in padding)
        options = {"window": window, "stride": stride, "padding": padding, "dilation": dilation}
        # A window that lies in the padding has an infinite maximum.
        return jnp.clip(POOLS[kind](x, **options), -9, 9)
    if kind == "conv" and fits:
        return conv(x, window_strides=stride, padding=padding)
    if kind == "residual":
        return x + conv(jax.nn.relu(x))
    if kind == "concatenation":
        return jnp.concatenate([conv(x)[..., :1], x[..., 1:]], -1)
    if kind == "pad" and min(left) > 0:
        return lax.pad(x, 0.5, ((0, 0, 0), *((*p, 0) for p in padding), (0, 0, 0)))
    if kind == "slice":
        return x[:, min(low[0], x.shape[1] - 1) :: stride[0], :: stride[1]]
    if kind == "transpose":
        return x.transpose(0, 2, 1, 3)
    if kind == "gate":
        return x * jax.nn.sigmoid(x.mean((1, 2), keepdims=True))
    return jax.nn.relu(x)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    layers=st.lists(LAYERS, min_size=1, max_size=3),
    extents=st.tuples(st.integers(9, 24), st.integers(9, 24)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_random_networks_are_exact(layers, extents, size):
    def network(x):
        maps = [x]
        for options in layers:
            maps.append(layer(maps[-1], **options))
        return maps[1:], maps[-1].mean((1, 2))

    with jax.enable_x64(True):
        at = places(extents, size)[[0, 3, 4, 6, 8, 9]]
        assert largest_error(network, normal(1, *extents, 4), size, at=at) <= 1e-12


def network(x):
    """Windows that grow to most of the map, and a whole-image mean."""
    for seed in range(3):
        x = jv.tap(jax.nn.relu(convolution(x, seed=seed)), f"conv{seed}")
    return max_pool(x, window=(2, 2)).mean((1, 2))


def test_fewer_starts_give_the_same_from_smaller_windows(float64):
    x, starts = normal(1, 21, 18, 3), ([0, 8, 16], [5])
    at = [(0, 5), (8, 5), (16, 5)]
    assert largest_error(network, x, at=at, starts=starts) <= 1e-12
    edited = incremental(lambda x: max_pool(x, window=(8, 9), stride=(8, 9)), x)
    sizes = [edited.explain((3, 4), starts=s)[-1].window for s in (None, starts)]
    assert sizes == [(1, 2, 2, 3), (1, 1, 1, 3)]


@pytest.mark.parametrize("start", [(1, 5), (8, 4), (-5, 5), (8, -13), (17, 5), (100, 5)])
def test_a_start_that_is_not_among_them_makes_the_result_nan(start):
    relu = lambda x: jnp.where(x > 0, x, 0)
    edited = incremental(lambda x: (relu(x).mean((1, 2)), relu(x)), jnp.ones((1, 21, 18, 3)))
    for leaf in edited(jnp.zeros((1, 3, 4, 3)), start, starts=([0, 8, 16], [5])):
        assert jnp.isnan(leaf).all()


def test_a_start_below_the_image_does_not_count_from_its_end():
    edited = incremental(jnp.tanh, jnp.ones((1, 9, 9, 1)))
    assert jnp.isnan(edited(jnp.zeros((1, 1, 1, 1)), (-1, 3))).all()


def test_another_place_needs_no_compilation():
    x, patch, traced = normal(1, 12, 11, 3), jnp.zeros((1, 3, 4, 3)), []

    def f(x):
        traced.append("f")
        return network(x)

    @unoptimized
    def at(patch, start):
        traced.append("edit")
        return edited(patch, start)

    dense = unoptimized(lambda patch, start: network(written(x, patch, start, (1, 2))))
    edited = incremental(f, x)
    for start in [(0, 0), (3, 7), (9, 1), np.array([4, 2])]:
        start = tuple(map(jnp.int32, start))
        assert error(at(patch, start), dense(patch, start)) <= 1e-5
    assert traced == ["f", "edit"]


def test_a_reach_keeps_windows_within_its_share_and_1_is_exact(float64):
    x, size = normal(1, 40, 36, 3), (4, 4)
    edited = incremental(network, x)
    for step in edited.explain(size, reach=0.3):
        for axis in step.spans:
            assert step.window[axis] <= max(round(0.3 * step.shape[axis]), 1)
    reaches = [0.1, 0.2, 1]
    errors = [largest_error(network, x, size, at=[(11, 8)], reach=reach) for reach in reaches]
    assert np.isfinite(errors).all()
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1e-6
    assert errors[-1] <= 1e-12


def test_windows_are_as_large_as_counted_by_hand():
    edited = incremental(network, normal(1, 20, 24, 3))
    steps = [
        (step.layer, step.window, step.shape)
        for step in edited.explain((4, 5))
        if step.primitive in ("conv_general_dilated", "reduce_window_max", "reduce_sum")
    ]
    assert steps == [
        # A 3x3 convolution adds one on each side.
        ("conv0", (1, 6, 7, 6), (1, 20, 24, 6)),
        ("conv1", (1, 8, 9, 6), (1, 20, 24, 6)),
        ("conv2", (1, 10, 11, 6), (1, 20, 24, 6)),
        # 10 rows from an odd one on touch 6 blocks of two, and so do 11 columns.
        ("", (1, 6, 6, 6), (1, 10, 12, 6)),
        ("", (1, 6), (1, 6)),
    ]


def test_work_is_counted_for_the_whole_result():
    f = lambda x: convolution(convolution(x, groups=3), size=(1, 1)) @ normal(6, 2)
    steps = incremental(f, normal(1, 9, 9, 3)).explain((2, 2))
    assert [step.work for step in steps] == [
        np.prod(s.shape) * n for s, n in zip(steps, (9, 6, 6), strict=True)
    ]


@pytest.mark.parametrize(
    ("f", "primitive", "reason"),
    [
        (lambda x: x.max((1, 2)), "reduce_max", "axis 1 of the image is merged with others"),
        (lambda x: x.reshape(-1), "reshape", "axis 1 of the image is merged with others"),
        (scanned, "scan", "no rule for 'scan'"),
        (either, "cond", "no rule for 'cond'"),
        (lambda x: convolution(x, size=(23, 23)), "conv_general_dilated", "100% of the map"),
        (lambda x: convolution(x, size=(10, 9)), "conv_general_dilated", "92% of the map"),
        (FUNCTIONS["padding between"], "pad", "padding between the entries"),
        (FUNCTIONS["self-attention"], "dot_general", "a product of two values that depend on"),
        (FUNCTIONS["transposed"], "conv_general_dilated", "a transposed or batch-grouped"),
        (lambda x: convolution(x)[..., 0].sum(), "", ""),
    ],
)
def test_why_all_of_a_map_is_computed(f, primitive, reason):
    steps = incremental(f, normal(1, 13, 12, 4)).explain((3, 4))
    whole = [step for step in steps if step.reason]
    if not reason:
        assert whole == []
        return
    assert whole[0].primitive == primitive
    assert whole[0].reason.startswith(reason)
    # Each cause is told once; behind it, nothing is a window any more.
    after = steps[steps.index(whole[0]) :]
    assert all(step.window == step.shape for step in after)


def test_it_composes_with_jit_vmap_and_grad(float64):
    x, patches = normal(1, 13, 12, 3), normal(4, 1, 3, 4, 3, seed=2)
    at = jnp.array([(0, 0), (1, 8), (10, 3), (5, 5)])

    def of_edit(f):
        return unoptimized(jax.vmap(jax.value_and_grad(lambda *edit: (f(*edit) ** 2).sum())))

    edited = of_edit(incremental(network, x))
    dense = of_edit(lambda *edit: network(written(x, *edit, (1, 2))))
    assert error(edited(patches, at), dense(patches, at)) <= 1e-12


def test_the_original_can_be_differentiated_too(float64):
    x, patch, start = normal(1, 13, 12, 3), normal(1, 3, 4, 3, seed=2), jnp.array([1, 8])
    edited = jax.grad(lambda x: (incremental(network, x)(patch, start) ** 2).sum())
    dense = jax.grad(lambda x: (network(written(x, patch, start, (1, 2))) ** 2).sum())
    assert error(*unoptimized(lambda x: (edited(x), dense(x)))(x)) <= 1e-12


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 14, 2, 3), {}, r"a patch of 14 .* does not fit into axis 1 .* has 13 entries"),
        ((1, 2, 13, 3), {}, r"a patch of 13 .* does not fit into axis 2 .* has 12 entries"),
        ((1, 2, 2, 1), {}, r"a patch must be as the input \(1, 13, 12, 3\) along all axes but"),
        ((2, 2, 3), {}, r"a patch must be as the input .* got \(2, 2, 3\)"),
        ((1, 0, 2, 3), {}, r"a patch must be as the input .* got \(1, 0, 2, 3\)"),
        ((1, 2, 2, 3), {"reach": 0}, r"reach must be in \(0, 1\], got 0"),
        ((1, 2, 2, 3), {"reach": 1.5}, r"reach must be in \(0, 1\], got 1.5"),
        ((1, 2, 2, 3), {"starts": ([3, 12], [0])}, "a patch of 2 starting at 3 to 12 does not fit"),
        ((1, 2, 2, 3), {"starts": ([0], [-1])}, "starting at -1 to -1 does not fit into axis 2"),
        ((1, 2, 2, 3), {"starts": ([], [0])}, "starting at no place does not fit into axis 1"),
    ],
)
def test_what_cannot_be_is_refused(shape, options, message):
    edited = incremental(jnp.tanh, jnp.ones((1, 13, 12, 3)))
    with pytest.raises(ValueError, match=message):
        edited(jnp.ones(shape), (0, 0), **options)


@pytest.mark.parametrize("axes", [(1, 2), (0, 0), (0, -2), (-3, 1)])
def test_axes_that_are_not_two_of_the_inputs(axes):
    with pytest.raises(ValueError, match=r"axes must be two of the input's 2 axes, got "):
        incremental(jnp.tanh, jnp.ones((3, 4)), axes=axes)
