"""Parameterizations: the images they make, against numpy, and their way back."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

import jaxviz as jv
from jaxviz.synthesis.images.networks import arctan

SIZES = [(16, 24), (15, 9), (1, 5)]
SIGMOIDS = {
    "pixel": jv.images.pixel,
    "laplacian_pyramid": jv.images.laplacian_pyramid,
    "laplacian_pyramid, gain": lambda size: jv.images.laplacian_pyramid(size, gain=2.5),
    "fourier": jv.images.fourier,
    "fourier, plain": lambda size: jv.images.fourier(size, decay=0.0, decorrelate=False),
}
ALL = {
    **SIGMOIDS,
    "gaussian_pyramid": jv.images.gaussian_pyramid,
    "maco": jv.images.maco,
    "cppn": lambda size: jv.images.cppn(size, width=6, depth=3),
}


def photographs(size, count=2, seed=0):
    return jax.random.uniform(
        jax.random.key(seed), (count, *size, 3), minval=1 / 510, maxval=1 - 1 / 510
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SIGMOIDS)
def test_a_given_image_comes_back(name, size):
    image, given = SIGMOIDS[name](size), photographs(size)
    assert jnp.abs(image.decode(image.encode(given)) - given).max() < 1e-5


@pytest.mark.parametrize("name", SIGMOIDS)
def test_black_and_white_come_back_to_half_a_step_of_8_bits(name):
    image = SIGMOIDS[name]((8, 8))
    given = jnp.zeros((1, 8, 8, 3)).at[:, :4].set(1)
    assert jnp.abs(image.decode(image.encode(given)) - given).max() < 1.01 / 510


@pytest.mark.parametrize("name", [*SIGMOIDS, "gaussian_pyramid"])
def test_grey_comes_back(name):
    image = ALL[name]((9, 13))
    grey = jnp.full((1, 9, 13, 3), 0.5)
    assert jnp.abs(image.decode(image.encode(grey)) - grey).max() < 1e-6


@pytest.mark.parametrize("size", [(16, 24), (15, 9), (64, 50)])
def test_a_smooth_image_comes_back_from_a_gaussian_pyramid(size):
    given = jv.gaussian_blur(photographs(size), 2.0)
    image = jv.images.gaussian_pyramid(size)
    assert jnp.abs(image.decode(image.encode(given)) - given).max() < 0.01


@pytest.mark.parametrize("name", ALL)
def test_random_starts_differ_and_have_gradients(name):
    image = ALL[name]((7, 12))
    parameters = jax.jit(image.init, static_argnums=1)(jax.random.key(0), 3)
    shown = image.decode(parameters)
    assert shown.shape == (3, 7, 12, 3)
    assert (shown.min() >= 0) & (shown.max() <= 1)
    assert jnp.abs(shown[0] - shown[1]).max() > 0.01
    # Each image depends on its own parameters alone, and on all of them together smoothly.
    gradient = jax.grad(lambda p: (image.decode(p)[1] ** 2).sum())(parameters)
    for leaf in jax.tree.leaves(gradient):
        assert jnp.isfinite(leaf).all()
        assert (leaf[jnp.array([0, 2])] == 0).all()
    assert sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(gradient)) > 0


@pytest.mark.parametrize("name", ALL)
def test_an_ascent_finds_a_given_pattern(name):
    """Which the random start does not resemble, and which asks for no other mean colour."""
    pattern = jv.gaussian_blur(jax.random.normal(jax.random.key(5), (2, 9, 12, 3)), 1.5)
    pattern = pattern - pattern.mean((1, 2), keepdims=True)
    found = jv.maximize(
        Partial(lambda pattern, x: jnp.einsum("nhwc,khwc->nk", x, pattern), pattern),
        jv.objectives.logit([0, 1]),
        key=jax.random.key(0),
        image=ALL[name]((9, 12)),
        optimizer=optax.chain(jv.normalize_gradient(), optax.sgd(0.02, momentum=0.9)),
        transforms=(),
        steps=60,
    )
    for image, wanted in zip(found.image, pattern, strict=True):
        assert jnp.corrcoef(image.ravel(), wanted.ravel())[0, 1] > 0.5
    assert (found.trace.score[:, -1] > found.trace.score[:, 0]).all()


@pytest.mark.parametrize("name", ALL)
def test_asking_again_gives_the_same_static_argument(name):
    assert ALL[name]((5, 6)) is ALL[name]((5, 6))


def test_a_gain_for_each_level():
    levels = [jnp.full((1, *size, 3), v) for size, v in [((16, 24), 0.1), ((8, 12), 0.2)]]
    image = jv.images.laplacian_pyramid((16, 24), gain=[3.0, 4.0])
    expected = jax.nn.sigmoid(0.6 * 0.1 + 0.8 * 0.2)
    assert jnp.allclose(image.decode(levels), expected, atol=1e-6)
    assert jv.images.laplacian_pyramid((16, 24), levels=2, gain=np.array([3, 4])) is image
    powers = jv.images.laplacian_pyramid((16, 24), gain=[1.0, 2.0, 4.0])
    assert jv.images.laplacian_pyramid((16, 24), levels=3, gain=2.0) is powers


def test_a_gaussian_pyramid_tempers_high_frequencies():
    """White noise at every level has less power in every octave up, hardly any at the top."""
    image = jv.images.gaussian_pyramid(64, levels=4)
    logit = jax.scipy.special.logit(image.decode(image.init(jax.random.key(0), 64)))
    power = np.mean(np.abs(np.fft.fft(logit, axis=2)) ** 2, (0, 1, 3))
    octaves = [power[2:4].mean(), power[4:8].mean(), power[8:16].mean(), power[16:32].mean()]
    assert all(low > 2 * high for low, high in itertools.pairwise(octaves))
    assert power[32] < 0.01 * power[2]


def test_fourier_is_the_inverse_transform():
    """Against numpy's, written out for one wave."""
    rows, columns = 6, 9
    image = jv.images.fourier((rows, columns), decay=1.0, decorrelate=False)
    coefficients = jnp.zeros((1, 2, rows, 5, 3)).at[0, 0, 2, 3, 1].set(1.5)
    row, column = np.mgrid[:rows, :columns]
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns))
    amplitude = 1 / np.maximum(frequency, 1 / 9)
    amplitude = amplitude[2, 3] / np.sqrt((amplitude**2).mean())
    wave = 2 * np.cos(2 * np.pi * (2 * row / rows + 3 * column / columns)) / np.sqrt(rows * columns)
    logit = jax.scipy.special.logit(image.decode(coefficients))[0]
    assert np.allclose(logit[..., 1], 1.5 * amplitude * wave, atol=1e-5)
    assert np.allclose(logit[..., [0, 2]], 0, atol=1e-6)


def test_the_colours_of_a_fourier_start_are_those_of_photographs():
    """Correlated as the published root says, and red, green and blue mostly vary together."""
    image = jv.images.fourier(32)
    logit = jax.scipy.special.logit(image.decode(image.init(jax.random.key(0), 200)))
    root = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    expected = root @ root.T
    measured = np.cov(np.asarray(logit).reshape(-1, 3).T)
    assert np.allclose(measured / measured[0, 0], expected / expected[0, 0], atol=0.05)
    assert np.isclose(measured[0, 0], 0.25 * expected[0, 0] / 0.462**2, rtol=0.1)


def test_a_spectrum_is_the_mean_magnitude():
    given = photographs((6, 9), 5)
    expected = np.abs(np.fft.rfft2(given, axes=(1, 2))).mean(0)
    assert np.allclose(jv.images.spectrum(given, decorrelate=False), expected, rtol=1e-4, atol=1e-5)
    root = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    root = root / np.linalg.norm(root, axis=0).max()
    waves = np.fft.rfft2(np.asarray(given) @ np.linalg.inv(root).T, axes=(1, 2))
    expected = np.abs(waves).mean(0)
    expected[0, 0] = waves[:, 0, 0].real.mean(0)
    assert np.allclose(jv.images.spectrum(given), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(8, 10), (7, 9), (6, 1), (1, 4)])
@pytest.mark.parametrize("decorrelate", [True, False])
def test_maco_keeps_every_magnitude(size, decorrelate):
    rows, columns = size
    faint = 0.5 + 0.02 * (photographs(size, 1) - 0.5)  # nothing that is cut to [0, 1]
    magnitude = jv.images.spectrum(faint, decorrelate=decorrelate)
    image = jv.images.maco(size, magnitude=magnitude, decorrelate=decorrelate)
    shown = image.decode(image.init(jax.random.key(1), 3))
    kept = np.array([jv.images.spectrum(one[None], decorrelate=decorrelate) for one in shown])
    # The mean, and the few waves that are their own mirror image: real, so no phase but a sign.
    own = np.zeros(magnitude.shape, bool)
    own[np.ix_([0, rows // 2] if rows % 2 == 0 else [0], [0, -1] if columns % 2 == 0 else [0])] = 1
    assert np.allclose(np.where(own, 0, kept - magnitude), 0, atol=1e-3)
    assert (kept <= magnitude + 1e-3).all()
    assert np.allclose(kept[:, 0, 0], magnitude[0, 0], atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_an_image_comes_back_from_maco_with_its_own_magnitudes(size):
    given = photographs(size, 1)
    image = jv.images.maco(size, magnitude=jv.images.spectrum(given))
    assert jnp.abs(image.decode(image.encode(given)) - given).max() < 1e-5


def test_an_image_keeps_its_phases_among_other_magnitudes():
    faint = lambda seed: 0.5 + 0.02 * (photographs((7, 10), 3, seed) - 0.5)
    magnitude = jv.images.spectrum(faint(1), decorrelate=False)
    image = jv.images.maco((7, 10), magnitude=magnitude, decorrelate=False)
    shown = image.decode(image.encode(faint(0)))
    before, after = (np.fft.rfft2(x, axes=(1, 2)) for x in (np.asarray(faint(0)), shown))
    assert np.allclose(np.exp(1j * (np.angle(after) - np.angle(before))), 1, atol=1e-2)
    assert np.allclose(np.abs(after), magnitude, atol=1e-4)


def test_macos_own_magnitudes_fall_with_frequency_around_grey():
    image = jv.images.maco((64, 48))
    shown = np.asarray(image.decode(image.init(jax.random.key(0), 16)), float)
    assert np.allclose(shown.mean((1, 2)), 0.5, atol=0.02)
    assert np.isclose(np.sqrt(shown.var((1, 2)).mean()), 0.2, atol=0.02)
    power = np.abs(np.fft.rfft2(shown, axes=(1, 2))).mean((0, 3))
    assert np.isclose(power[4, 3] / power[16, 12], 4, rtol=0.25)


def test_a_cppn_gives_the_same_picture_at_another_size():
    make = lambda size: jv.images.cppn(size, width=8, depth=3)
    parameters = make(8).init(jax.random.key(0), 2)
    small, large = make((9, 15)).decode(parameters), make((27, 45)).decode(parameters)
    # The middle of each block of 3 x 3 is at the small pixel's place.
    assert jnp.allclose(large[:, 1::3, 1::3], small, atol=1e-5)


def test_a_cppn_is_its_formula():
    image = jv.images.cppn((3, 5), width=4, depth=2)
    parameters = image.init(jax.random.key(0), 1)
    for layer in parameters:  # angles of all sizes
        layer["weights"] *= 3
        layer["bias"] += 0.1
    row, column = 1, 4
    values = np.array([0.0, 2.0]) * 2 * np.sqrt(3) / 5
    for layer in parameters[:-1]:
        bent = np.arctan(values @ layer["weights"][0] + layer["bias"][0])[0]
        values = np.concatenate([bent / 0.67, bent**2 / 0.6])
    last = parameters[-1]
    expected = jax.nn.sigmoid(values @ last["weights"][0] + last["bias"][0])
    assert np.allclose(image.decode(parameters)[0, row, column], expected, atol=1e-5)


def test_a_cppns_arctangent_and_its_derivative():
    x = jnp.concatenate([jnp.linspace(-8, 8, 1001), jnp.array([-1e6, 1e-20, 1e6])])
    assert np.allclose(arctan(x), np.arctan(x), atol=5e-7)
    assert np.allclose(jax.vmap(jax.grad(arctan))(x), 1 / (1 + np.asarray(x) ** 2), atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: jv.images.pixel(0), "size must be positive, got 0"),
        (
            lambda: jv.images.laplacian_pyramid(16, gain=[1, 2], levels=3),
            "one for each of 3 levels",
        ),
        (lambda: jv.images.laplacian_pyramid(16, gain=[1, 0]), "gain must be positive"),
        (lambda: jv.images.gaussian_pyramid(16, temper=0.0), "temper must be positive, got 0.0"),
        (lambda: jv.images.cppn(8, depth=0), "width and depth must be positive, got 24 and 0"),
        (lambda: jv.images.cppn(8).encode(jnp.ones((1, 8, 8, 3))), "cannot start from a given"),
        (
            lambda: jv.images.fourier(8).encode(jnp.ones((1, 8, 9, 3))),
            r"images must have shape \(n, 8, 8, 3\), .* got \(1, 8, 9, 3\)",
        ),
        (
            lambda: jv.images.maco(8, magnitude=jnp.ones((8, 8, 3))),
            r"magnitude must have shape \(8, 5, 3\) .* got \(8, 8, 3\)",
        ),
    ],
)
def test_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
