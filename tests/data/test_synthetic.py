"""The shapes set against outlines drawn by brute force, and its promises."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz.data
from jaxviz.data import SHAPE_NAMES, shapes
from jaxviz.data.synthetic import outline_distance


@pytest.fixture(scope="module")
def drawn():
    # 1,000 pictures: most tests look at these, since every other count compiles anew.
    return jax.tree.map(np.asarray, shapes(jax.random.key(7), 1000))


def inside(name, x, y):
    """Whether points of an upright object of radius 1 are inside, each by its plain definition."""
    r = np.hypot(x, y)

    def polygon(corners):
        # Even-odd rule: how many sides a ray to the right crosses.
        crossings = np.zeros(np.shape(x), int)
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
            with np.errstate(divide="ignore", invalid="ignore"):
                meets = (y0 > y) != (y1 > y)
                crossings += meets & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        return crossings % 2 == 1

    def round_corners(count, radii):
        turns = np.arange(count) * 2 * np.pi / count
        return np.stack([np.cos(turns), np.sin(turns)], -1) * np.resize(radii, count)[:, None]

    if name == "circle":
        return r < 0.86
    if name == "square":
        return (abs(x) < 0.7) & (abs(y) < 0.7)
    if name == "triangle":
        return polygon(round_corners(3, [1]))
    if name == "star":
        return polygon(round_corners(10, [1, 0.46]))
    if name == "ring":
        return (r > 0.41) & (r < 0.95)
    if name == "cross":
        bar = (abs(x) < 0.95) & (abs(y) < 0.3)
        return bar | ((abs(y) < 0.95) & (abs(x) < 0.3))
    if name == "crescent":
        return (r < 0.95) & (np.hypot(x - 0.5, y) > 0.72)
    if name == "heart":
        # Two lobes, each drawn out to the tip: discs that shrink as they move there.
        discs = [
            np.hypot(abs(x) - sign * 0.44 * t, y - 0.93 + 1.23 * t) < 0.48 * t
            for t in np.linspace(0, 1, 80)
            for sign in (-1, 1)
        ]
        return np.any(discs, 0)
    if name == "arrow":
        half = 0.92 * 0.66 / 0.75
        shaft = (abs(y) < 0.27) & (x > -0.9) & (x < 0.1)
        return polygon([(0.97, 0), (0.05, half), (0.05, -half)]) | shaft
    assert name == "flower"
    turns = np.arange(5) * 2 * np.pi / 5
    petals = [np.hypot(x - 0.6 * np.cos(t), y - 0.6 * np.sin(t)) < 0.37 for t in turns]
    return np.any(petals, 0) | (r < 0.5)


@pytest.mark.parametrize("name", SHAPE_NAMES)
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_masks_agree_with_supersampling(name, angle):
    centre, radius, size, fine = np.array([30.0, 35.0], np.float32), 18.0, 64, 8
    distance = outline_distance(
        SHAPE_NAMES.index(name), centre=jnp.asarray(centre), radius=radius, angle=angle, size=size
    )
    line = (np.arange(size * fine) + 0.5) / fine
    down, right = (line[:, None] - centre[0]) / radius, (line[None] - centre[1]) / radius
    x = right * np.cos(angle) + down * np.sin(angle)
    y = down * np.cos(angle) - right * np.sin(angle)
    truth = inside(name, x, y)
    coverage = truth.reshape(size, fine, size, fine).mean((1, 3))
    painted = np.clip(0.5 - np.asarray(distance), 0, 1)
    # A pixel off an edge is off by nothing; on an edge the ramp may miss a corner's area.
    assert np.abs(painted - coverage).max() < 0.35
    assert np.abs(painted - coverage).mean() < 2e-3
    mask = np.asarray(distance) < 0
    assert not (mask & (coverage < 0.15)).any()
    assert not (~mask & (coverage > 0.85)).any()
    assert painted.sum() == pytest.approx(coverage.sum(), rel=0.02)


def test_distance_is_a_distance_near_the_outline():
    # A smooth edge one pixel wide needs slope 1 there.
    for name in SHAPE_NAMES:
        distance = np.asarray(
            outline_distance(SHAPE_NAMES.index(name), centre=jnp.full(2, 32.0), radius=20.0)
        )
        slope = np.hypot(*np.gradient(distance))[np.abs(distance) < 1]
        assert np.median(slope) == pytest.approx(1, abs=0.03), name


def test_same_key_same_pictures_and_another_key_others(drawn):
    again = shapes(jax.random.key(7), 1000)
    jax.tree.map(np.testing.assert_array_equal, drawn, again)
    other = shapes(jax.random.key(8), 1000)
    assert np.abs(drawn.image - np.asarray(other.image)).mean((1, 2, 3)).min() > 0.02


def test_same_pictures_in_another_process():
    program = (
        "import jax, numpy as np; from jaxviz.data import shapes;"
        "print(np.asarray(shapes(jax.random.key(3), 3).image).tobytes().hex()[:4000])"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    here = np.asarray(shapes(jax.random.key(3), 3).image).tobytes().hex()[:4000]
    assert other.stdout.decode().strip() == here


def test_fewer_are_the_first_of_more(drawn):
    few = shapes(jax.random.key(7), 3)
    np.testing.assert_array_equal(few.label, drawn.label[:3])
    np.testing.assert_array_equal(few.mask, drawn.mask[:3])
    np.testing.assert_allclose(few.image, drawn.image[:3], atol=1e-5)


def test_ranges_and_kinds(drawn):
    assert drawn.image.shape == (1000, 64, 64, 3)
    assert drawn.image.dtype == np.float32
    assert drawn.label.dtype == np.int32
    assert drawn.mask.dtype == bool
    assert drawn.image.min() >= 0
    assert drawn.image.max() <= 1
    assert np.isfinite(drawn.image).all()
    assert drawn.image.std((1, 2, 3)).min() > 0.02


def test_classes_are_balanced(drawn):
    counts = np.bincount(drawn.label, minlength=10)
    # Chi-squared with 9 degrees of freedom stays below 27.9 in 999 cases of 1,000.
    assert ((counts - 100) ** 2 / 100).sum() < 27.9


def test_objects_are_whole_and_of_sensible_size(drawn):
    area = drawn.mask.mean((1, 2))
    assert area.min() > 0.02
    assert area.max() < 0.3
    border = np.concatenate(
        [drawn.mask[:, 0], drawn.mask[:, -1], drawn.mask[:, :, 0], drawn.mask[:, :, -1]], 1
    )
    assert not border.any()


def test_nothing_hides_the_object(drawn):
    # An object has one hue, whatever lies around it; shading changes only its brightness.
    for image, mask in zip(drawn.image[:200], drawn.mask[:200], strict=True):
        steps = [(down, right) for down in (-2, 0, 2) for right in (-2, 0, 2)]
        well_inside = np.all([np.roll(mask, step, (0, 1)) for step in steps], axis=0)
        colours = image[well_inside]
        unclipped = colours[(colours < 0.99).all(1) & (colours > 0.05).all(1)]
        if len(unclipped) > 20:
            direction = unclipped / np.linalg.norm(unclipped, axis=1, keepdims=True)
            assert (direction @ np.median(direction, 0)).min() > 0.97


def test_objects_stand_out(drawn):
    for image, mask in zip(drawn.image, drawn.mask, strict=True):
        contrast = np.abs(image[mask].mean(0) - np.median(image[~mask], 0)).max()
        assert contrast > 0.1


def test_another_size_shows_the_same_scene(drawn):
    large = shapes(jax.random.key(7), 20, size=128)
    np.testing.assert_array_equal(drawn.label[:20], large.label)
    halved = np.asarray(large.image).reshape(20, 64, 2, 64, 2, 3).mean((2, 4))
    assert np.abs(halved - drawn.image[:20]).mean() < 0.03
    assert np.abs(np.asarray(large.mask).mean() - drawn.mask[:20].mean()) < 2e-3


def test_composes_with_jit_and_vmap():
    keys = jax.random.split(jax.random.key(0), 2)
    together = jax.jit(jax.vmap(lambda key: shapes(key, 3)))(keys)
    alone = [shapes(key, 3) for key in keys]
    np.testing.assert_array_equal(together.label, [one.label for one in alone])
    np.testing.assert_allclose(together.image, [one.image for one in alone], atol=1e-5)


def test_strict_types_and_ranks_and_64_bits():
    plain = shapes(jax.random.key(1), 3)
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        strict = shapes(jax.random.key(1), 3)
    assert strict.image.dtype == np.float32
    np.testing.assert_array_equal(plain.label, strict.label)
    np.testing.assert_allclose(plain.image, strict.image, atol=1e-4)


def test_bad_numbers():
    with pytest.raises(ValueError, match="count=0"):
        shapes(jax.random.key(0), 0)
    with pytest.raises(ValueError, match="size=0"):
        shapes(jax.random.key(0), 1, size=0)


def test_public_name_is_the_function():
    assert jaxviz.data.shapes is shapes
    assert len(set(SHAPE_NAMES)) == 10
