"""Receptive fields against the support of the gradient, unit by unit and pixel by pixel."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxviz as jv
import ports
from jaxviz.transform import receptive_fields
from jaxviz.transform.receptive import _Reached

SIZE = (13, 11)


def conv(x, width, size, *, strides=1, padding="SAME", dilation=1, groups=1):
    """A convolution whose weights are all positive, different and of sum one or so."""
    shape = (*size, x.shape[-1] // groups, width)
    kernel = jnp.linspace(0.5, 1.5, int(np.prod(shape)), dtype=x.dtype).reshape(shape)
    return jax.lax.conv_general_dilated(
        x,
        kernel / np.prod(shape[:3]),
        (strides, strides),
        padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def plain(x):
    x = jax.nn.relu(conv(x, 4, (5, 3)))
    x = nnx.max_pool(x, (2, 2), (2, 2))
    return jv.tap(jax.nn.relu(conv(x, 4, (3, 3))), "layer")


def strided(x):
    x = nnx.max_pool(conv(x, 2, (3, 3), strides=2, padding="VALID"), (3, 3), (2, 2), "SAME")
    return jv.tap(x, "layer")


def residual(x):
    # The shortcut leaves out every second row, and both branches see other ones at the border.
    shortcut = conv(x, 4, (1, 1), strides=2, padding="VALID")
    x = jax.nn.relu(conv(x, 4, (3, 3), strides=2, padding=((1, 1), (1, 1))))
    return jv.tap(jax.nn.relu(conv(x, 4, (3, 3)) + shortcut), "layer")


def dilated(x):
    return jv.tap(conv(conv(x, 2, (3, 3), dilation=3), 2, (2, 2), dilation=2), "layer")


def dense_block(x):
    for size in ((3, 3), (1, 5)):
        x = jnp.concatenate([x, jax.nn.relu(conv(x, 2, size))], -1)
    return jv.tap(x, "layer")


def averaged(x):
    x = nnx.avg_pool(jnp.pad(x, ((0, 0), (2, 0), (0, 1), (0, 0))), (3, 2), (2, 3))
    return jv.tap(conv(x[:, ::2, 1:], 2, (1, 2), padding="VALID"), "layer")


def grouped(x):
    x = jnp.concatenate([x, 2 * x], -1)
    return jv.tap(conv(x, 4, (3, 1), padding=((0, 2), (-1, 0)), groups=2), "layer")


def turned(x):
    return jv.tap(conv(x, 2, (3, 1), strides=2).transpose(0, 2, 1, 3), "layer")


def summed_rows(x):
    return jv.tap(x + conv(x, 1, (1, 3)).sum(1, keepdims=True), "layer")


NETS = [
    plain,
    strided,
    residual,
    dilated,
    dense_block,
    averaged,
    grouped,
    turned,
    summed_rows,
]


def reached(layers, x, pixels):
    """Which units' gradients reach each pixel, wherever a maximum lies, for each of some layers.

    One pixel is made far larger than all others, so that every maximum that can depend on it does;
    with positive weights nothing cancels.
    """

    def one(pixel):
        direction = jnp.zeros(x.shape).at[0, pixel[0], pixel[1]].set(1.0)
        _, change = jax.jvp(layers, (x + 1e20 * direction,), (direction,))
        return jax.tree.map(lambda change: (change[0] != 0).any(-1), change)

    return jax.jit(lambda pixels: jax.lax.map(one, pixels, batch_size=16))(pixels)


def hull(mask):
    """(top, bottom, left, right) of a mask; zeros where it is empty."""
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1) if len(rows) else (0, 0, 0, 0)


@pytest.mark.parametrize("net", NETS)
def test_a_field_is_the_support_of_the_gradient(net):
    x = jax.random.uniform(jax.random.key(0), (1, *SIZE, 1))
    pixels = np.array(list(itertools.product(*map(range, SIZE))))
    layer = lambda x: jv.capture(net, x, ["layer"])[1]["layer"]
    support = np.asarray(reached(layer, x, pixels)).reshape(*SIZE, *layer(x).shape[1:3])
    fields = receptive_fields(net, x, ["layer"])["layer"]
    assert fields.top.shape == support.shape[2:]
    for row, col in np.ndindex(*support.shape[2:]):
        assert hull(support[:, :, row, col]) == fields.of(row, col), (row, col)


@pytest.mark.parametrize("name", ["shapes-plain", "shapes-residual", "shapes-dense"])
def test_fields_of_the_shapes_nets(name):
    """All units, and the pixels of one row and one column; in these nets a field has no holes."""
    model = jax.tree.map(jnp.abs, ports.load(name, key=jax.random.key(0)))
    layers = [f"layer{number}" for number in range(1, 6)]
    x = jax.random.uniform(jax.random.key(0), (1, 64, 64, 3))
    found = receptive_fields(model, x, layers)
    assert [found[layer].height for layer in layers] == [5, 14, 32, 62, 64]
    steps = np.arange(64)
    down, across = np.stack([steps, 0 * steps + 29], 1), np.stack([0 * steps + 42, steps], 1)
    pixels = np.concatenate([down, across])
    support = reached(lambda x: jv.capture(model, x, layers)[1], x, pixels)
    row, col = pixels.T[:, :, None, None]
    for layer in layers:
        top, bottom, left, right = (edge[None] for edge in found[layer])
        expected = (top <= row) & (row < bottom) & (left <= col) & (col < right)
        np.testing.assert_array_equal(support[layer], expected, layer)


def test_the_fields_of_vgg16_are_those_of_the_literature():
    """212 pixels at the last pool: Araujo, Norris, Sim, Computing receptive fields, 2019."""

    def vgg(x):
        for stage, convs in enumerate((2, 2, 3, 3, 3)):
            for _ in range(convs):
                x = jax.nn.relu(conv(x, 1, (3, 3)))
            x = jv.tap(nnx.max_pool(jv.tap(x, f"conv{stage}"), (2, 2), (2, 2)), f"pool{stage}")
        return x

    x = jax.ShapeDtypeStruct((1, 512, 512, 3), jnp.float32)
    found = receptive_fields(vgg, x, ["pool4", "conv4", "conv0"])
    assert list(found) == ["pool4", "conv4", "conv0"]
    assert [(one.height, one.width) for one in found.values()] == [(212,) * 2, (196,) * 2, (5, 5)]
    # Neighbours are 32 pixels apart, and a field at the border is cut.
    assert np.diff(found["pool4"].top[4:9, 0]).tolist() == [32] * 4
    assert found["pool4"].of(0, 15) == (0, 122, 390, 512)


WHOLE = {
    "dense": lambda x: (x.reshape(1, -1) @ jnp.ones((143, 143))).reshape(x.shape),
    "squeezed": lambda x: x * jax.nn.sigmoid(x.mean((1, 2), keepdims=True)),
    "flipped and kept": lambda x: x + x.transpose(0, 2, 1, 3),
    "reversed": lambda x: x[:, ::-1],
    "loop": lambda x: jax.lax.fori_loop(0, 2, lambda _, x: 2 * x, x),
    "Fourier": lambda x: jnp.fft.ifft2(jnp.fft.fft2(x, axes=(1, 2)), axes=(1, 2)).real,
    "transposed": lambda x: nnx.ConvTranspose(1, 1, (3, 3), (2, 2), rngs=nnx.Rngs(0))(x),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_what_mixes_all_places_or_has_no_rule_sees_the_whole_image(kind):
    model = lambda x: jv.tap(WHOLE[kind](x), "layer")
    size = (12, 12) if kind == "flipped and kept" else SIZE
    x = jnp.ones((1, *size, 1))
    fields = receptive_fields(model, x, ["layer"])["layer"]
    assert (fields.top == 0).all()
    assert (fields.left == 0).all()
    assert (fields.bottom == size[0]).all()
    assert (fields.right == size[1]).all()


def test_what_sees_nothing_has_an_empty_field():
    model = lambda x: (
        jv.tap(conv(x, 1, (1, 1), padding=((1, 0), (0, 0))), "a").mean()
        + jv.tap(jnp.ones((1, 2, 2, 1)), "b")
    )
    found = receptive_fields(model, jnp.ones((1, 4, 4, 1)), ["a", "b"])
    assert found["a"].of(0, 3) == (0, 0, 0, 0)
    assert found["a"].of(2, 3) == (1, 2, 3, 4)
    assert not np.stack(found["b"]).any()


def test_layers_in_calls_and_loops_keep_their_names():
    """The same name several times, inside of a jitted function, a branch and a checkpoint."""

    def model(x):
        x = jax.jit(lambda x: jv.tap(conv(x, 1, (3, 3)), "conv"))(x)
        branch = lambda x: jv.tap(2 * x, "conv")
        x = jax.lax.cond(x.sum() > 0, branch, branch, x) - 0 * x
        x = jax.checkpoint(lambda x: jv.tap(jax.nn.relu(x), "conv"))(x)
        return jv.tap(x.sum((1, 2)), "sum")

    x = jnp.ones((1, 8, 8, 1))
    assert list(jv.layers(model, x)) == ["conv", "conv_1", "conv_2", "sum"]
    found = receptive_fields(model, x, ["conv", "conv_1", "conv_2"])
    assert [one.height for one in found.values()] == [3, 8, 8]


@pytest.mark.parametrize(
    ("window", "stride", "pad", "dilation"),
    list(itertools.product((1, 2, 3), (1, 2, 3), (-1, 0, 2), (1, 2, 3))),
)
def test_sets_go_where_windows_read_from_them(window, stride, pad, dilation):
    entries = np.eye(7, dtype=bool)
    moved = _Reached(0, entries).through(
        5, window=window, stride=stride, pad=pad, dilation=dilation
    )
    for result in range(5):
        read = {result * stride - pad + offset * dilation for offset in range(window)}
        assert set(np.flatnonzero(moved.entries[:, result])) == read.intersection(range(7))


def test_nothing_is_computed():
    def model(x):
        jax.debug.callback(lambda: pytest.fail("was run"))
        return jv.tap(2 * x, "layer")

    x = jax.ShapeDtypeStruct((3, 4, 4, 1), jnp.bfloat16)
    assert receptive_fields(model, x, ["layer"])["layer"].height == 1


@pytest.mark.parametrize(
    ("shape", "layer", "words"),
    [
        ((1, *SIZE, 1), "layre", "unknown layer 'layre'; nearest: layer"),
        ((1, *SIZE, 1), "sum", r"needs layers of shape \(n, h, w, c\); 'sum' has \(1, 4\)"),
        (SIZE, "layer", "x must be a batch of images"),
    ],
)
def test_what_has_no_fields_is_said(shape, layer, words):
    model = lambda x: jv.tap(plain(x).sum((1, 2)), "sum")
    with pytest.raises(ValueError, match=words):
        receptive_fields(model, jnp.ones(shape), [layer])
