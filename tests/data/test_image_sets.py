"""The sets of images: one interface, and each set's own promises."""

import jax
import numpy as np
import pytest
from PIL import Image

from jaxviz.data import (
    SHAPE_NAMES,
    digits_images,
    held_out,
    image_arrays,
    image_folder,
    open_images,
    part,
    shapes,
    shapes_images,
)


@pytest.fixture
def zoo(tmp_path):
    for i, name in enumerate(["cat/a.png", "cat/b.png", "dog/a.png"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (5, 4), (40 * i, 0, 0)).save(tmp_path / name)
    return tmp_path


def grey(count, classes=2):
    images = np.full((count, 2, 2, 3), 0.5)
    names = [str(label) for label in range(classes)]
    return image_arrays(images, np.arange(count) % classes, categories=names)


SETS = {
    "shapes": lambda zoo: shapes_images(12, seed=5),
    "digits": lambda zoo: digits_images(),
    "folder": image_folder,
    "arrays": lambda zoo: grey(4),
    "part": lambda zoo: part(shapes_images(12), [3, 1]),
}


@pytest.mark.parametrize("kind", SETS)
def test_the_interface(kind, zoo):
    images = SETS[kind](zoo)
    count = len(images)
    assert count == len(images.labels) == len(images.names) == len(set(images.names))
    assert images.skipped == ()
    assert all(isinstance(name, str) for name in [*images.names, *images.categories])
    for index in {0, count // 2, count - 1}:
        image, label = images[index]
        assert image.dtype == np.float32
        assert image.shape[-1] == 3
        assert 0 <= image.min() <= image.max() <= 1
        assert type(label) is int
        assert label == images.labels[index]
        again, _ = images[index]
        np.testing.assert_array_equal(image, again)
    assert images.labels.min() >= 0
    assert images.labels.max() < len(images.categories)
    with pytest.raises(IndexError):
        images[count]
    np.testing.assert_array_equal(images[-1][0], images[count - 1][0])


def test_shapes_are_the_renderers():
    images = shapes_images(2000, seed=3)
    assert images.categories == SHAPE_NAMES
    # Each class is about as frequent as the others: chi-squared, one case in 1,000.
    counts = np.bincount(images.labels, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9
    row = jax.random.fold_in(jax.random.key(3), 71)
    for index in (0, 1500):
        drawn = shapes(jax.random.fold_in(row, index), 1)
        np.testing.assert_allclose(images[index][0], drawn.image[0], atol=1e-5)
        np.testing.assert_array_equal(images.masks([index])[0], drawn.mask[0])
        assert images[index][1] == drawn.label[0]


def test_a_shape_does_not_depend_on_count_and_does_on_the_seed():
    few, many, other = (
        shapes_images(3, seed=1),
        shapes_images(500, seed=1),
        shapes_images(3, seed=2),
    )
    np.testing.assert_array_equal(few[2][0], many[2][0])
    np.testing.assert_array_equal(few.labels, many.labels[:3])
    assert np.abs(few[2][0] - other[2][0]).mean() > 0.02
    assert not set(few.names) & set(other.names)
    assert shapes_images(3, size=32)[0][0].shape == (32, 32, 3)
    assert few.masks([]).shape == (0, 64, 64)


def test_shapes_of_a_set_are_not_those_of_a_training_run():
    # `train` draws picture j of step i from the key's first half, folded with i and j.
    images, key = shapes_images(4), jax.random.split(jax.random.key(0))[0]
    for step in range(3):
        drawn = shapes(jax.random.fold_in(key, step), 4)
        for i in range(4):
            gap = np.abs(np.asarray(drawn.image) - images[i][0]).mean((1, 2, 3))
            assert gap.min() > 0.02


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    bunch, images = load_digits(), digits_images()
    assert len(images) == 1797
    np.testing.assert_array_equal(images.labels, bunch.target)
    for index in (0, 1000):
        np.testing.assert_array_equal(
            images[index][0], np.stack([bunch.images[index] / 16] * 3, -1)
        )
    training, test = digits_images("train"), digits_images("test")
    assert [*training.names, *test.names] == images.names
    np.testing.assert_array_equal(test[0][0], images[1437][0])
    assert set(training.labels) == set(test.labels) == set(range(10))


def test_folder_names_are_paths(zoo):
    assert image_folder(zoo).names == ["cat/a.png", "cat/b.png", "dog/a.png"]


def test_held_out_divides_each_class():
    images = grey(50, classes=5)
    remaining, held = held_out(jax.random.key(0), images)
    assert np.bincount(remaining.labels).tolist() == [8] * 5
    assert np.bincount(held.labels).tolist() == [2] * 5
    assert sorted([*remaining.names, *held.names]) == images.names
    assert held.names == sorted(held.names)
    again = held_out(jax.random.key(0), images)[1]
    other = held_out(jax.random.key(1), images)[1]
    assert held.names == again.names != other.names


def test_held_out_of_small_classes():
    # Of one image nothing can be held out, of two one is, however small the share.
    images = image_arrays(np.zeros((3, 2, 2, 3)), np.array([0, 1, 1]), categories="abc")
    remaining, held = held_out(jax.random.key(0), images, 0.01)
    assert (remaining.labels.tolist(), held.labels.tolist()) == ([0, 1], [1])
    assert len(held_out(jax.random.key(0), images, 0.99)[0]) == 2
    with pytest.raises(ValueError, match="a class with two images at least"):
        held_out(jax.random.key(0), grey(2))
    with pytest.raises(ValueError, match="between 0 and 1, not 1"):
        held_out(jax.random.key(0), images, 1)


def test_opened_by_name(zoo):
    assert len(open_images("shapes")) == 1000
    assert open_images("shapes:20", seed=4).names[0] == "shapes-4-000000"
    assert len(open_images("digits")) == 1797
    assert open_images("digits:test").names[0] == "digits-1437"
    assert open_images(str(zoo)).names == image_folder(zoo).names
    assert len(open_images(str(zoo), per_class=1)) == 2
    (zoo / "cat" / "c.png").write_text("not a picture")
    assert len(open_images(str(zoo)).skipped) == 1
    with pytest.raises(ValueError, match=r"c\.png is not an image"):
        open_images(str(zoo), strict=True)


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("shapes:many", ValueError, "a number after it, as shapes:500, not 'many'"),
        ("shapes:0", ValueError, "not '0'"),
        ("digits:half", ValueError, "all, train and test, not 'half'"),
        ("tfds:", ValueError, "must be tfds:NAME or tfds:NAME:SPLIT"),
        ("digit", FileNotFoundError, "There is no folder of images digit; a set is"),
        ("", FileNotFoundError, "There is no folder of images ''"),
    ],
)
def test_names_of_nothing(spec, error, words):
    with pytest.raises(error, match=words):
        open_images(spec)


def test_bad_numbers():
    with pytest.raises(ValueError, match="count=0"):
        shapes_images(0)
    with pytest.raises(ValueError, match="seed from 0"):
        shapes_images(1, seed=-1)
    with pytest.raises(ValueError, match="all, train, test, not 'half'"):
        digits_images("half")
    with pytest.raises(IndexError, match="from 0 to 3, and one is 4"):
        part(grey(4), [0, 4])
    with pytest.raises(ValueError, match=r"not \(2, 2, 3\) and \(2,\)"):
        image_arrays(np.zeros((2, 2, 3)), np.zeros(2, int), categories="a")
    with pytest.raises(ValueError, match="from 0 to 1, one for each category, not 0 to 2"):
        image_arrays(np.zeros((3, 2, 2, 3)), np.arange(3), categories="ab")
    with pytest.raises(ValueError, match="3 names, one an image, not 1"):
        image_arrays(np.zeros((3, 2, 2, 3)), np.zeros(3, int), categories="a", names=["x"])
