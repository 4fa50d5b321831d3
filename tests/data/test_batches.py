"""Batches of image sets: order, padding, faults, threads."""

import threading
import time

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxviz.data import batches, image_arrays, shapes_images


def numbered(count, size=4):
    """Image i is grey, of brightness i / 100, and of class i % 3."""
    images = np.full((count, size, size, 3), np.arange(count)[:, None, None, None] / 100)
    return image_arrays(images, np.arange(count) % 3, categories="abc")


class Broken:
    """A set in which some images cannot be read."""

    def __init__(self, whole, broken):
        self.whole, self.broken = whole, broken
        self.categories, self.labels, self.names = whole.categories, whole.labels, whole.names
        self.skipped = ()

    def __len__(self):
        return len(self.whole)

    def __getitem__(self, index):
        if index in self.broken:
            raise self.broken[index](f"image {index} is cut off")
        return self.whole[index]


def double(image):
    return 2 * image


def test_every_image_once_in_order_and_the_last_batch_padded():
    images = numbered(10)
    found = list(batches(images, 4, prepare=double))
    assert [batch.index.tolist() for batch in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, -1, -1]]
    assert [batch.label.tolist() for batch in found] == [[0, 1, 2, 0], [1, 2, 0, 1], [2, 0, -1, -1]]
    for batch in found:
        assert isinstance(batch.input, jax.Array)
        assert batch.input.shape == (4, 4, 4, 3)
        brightness = np.where(batch.index < 0, 0, 2 * batch.index / 100)
        np.testing.assert_allclose(batch.input[:, 0, 0, 0], brightness, rtol=1e-6)


def test_an_order_with_repetitions_and_prepare_with_a_batch_axis():
    order = [7, 2, 2, 9, 0]
    found = list(batches(numbered(10), 2, prepare=lambda image: image[None], indices=order))
    assert np.concatenate([batch.index for batch in found]).tolist() == [*order, -1]
    assert found[0].input.shape == (2, 4, 4, 3)
    assert list(batches(numbered(10), 2, prepare=double, indices=[])) == []


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_looking_ahead_changes_nothing_but_when_images_are_read(ahead):
    read = []
    found = batches(numbered(20), 2, prepare=lambda image: read.append(1) or image, ahead=ahead)
    first = next(found)
    deadline = time.monotonic() + 10
    while len(read) < 2 * (ahead + 1) and time.monotonic() < deadline:
        time.sleep(0.01)
    # So many batches are made before they are asked for, and no more.
    time.sleep(0.05)
    assert len(read) == 2 * (ahead + 1)
    rest = [batch.index.tolist() for batch in found]
    assert [first.index.tolist(), *rest] == [[i, i + 1] for i in range(0, 20, 2)]


def test_whoever_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    found = batches(numbered(50), 2, prepare=double)
    next(found)
    assert threading.active_count() > before
    found.close()
    assert threading.active_count() == before


def test_a_broken_image_leaves_its_place_empty_and_is_told():
    images = Broken(numbered(6), {1: ValueError, 4: OSError})
    told = []
    found = list(batches(images, 3, prepare=double, on_fault=lambda *fault: told.append(fault)))
    assert [batch.index.tolist() for batch in found] == [[0, -1, 2], [3, -1, 5]]
    assert [batch.label.tolist() for batch in found] == [[0, -1, 2], [0, -1, 2]]
    assert float(np.abs(found[0].input[1]).max()) == 0
    assert [(index, str(error)) for index, error in told] == [
        (1, "image 1 is cut off"),
        (4, "image 4 is cut off"),
    ]


def test_a_batch_of_broken_images_is_left_out():
    images = Broken(numbered(5), {2: ValueError, 3: ValueError})
    told = []
    found = list(batches(images, 2, prepare=double, on_fault=lambda i, _: told.append(i)))
    assert [batch.index.tolist() for batch in found] == [[0, 1], [4, -1]]
    assert told == [2, 3]


def test_without_on_fault_the_error_names_the_image():
    images = Broken(numbered(6), {4: OSError})
    found = batches(images, 3, prepare=double)
    next(found)
    with pytest.raises(ValueError, match="image-000004: image 4 is cut off"):
        next(found)

    def refuse(image):
        raise ValueError("it is too long")

    with pytest.raises(ValueError, match="image-000000: it is too long"):
        next(batches(numbered(2), 2, prepare=refuse))


def test_a_bug_in_prepare_is_not_a_broken_image():
    with pytest.raises(KeyError):
        next(batches(numbered(2), 2, prepare=lambda image: {}["x"], on_fault=lambda *_: None))


def test_inputs_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"one shape.*\(3, 4, 3\) for image-000001"):
        next(batches(numbered(2), 2, prepare=lambda x: x[: 4 - (x[0, 0, 0] > 0)]))


def test_inputs_are_divided_among_devices():
    devices = jax.devices()
    sharding = NamedSharding(Mesh(np.array(devices), ("n",)), PartitionSpec("n"))
    found = list(batches(shapes_images(6, size=8), 4, prepare=double, sharding=sharding))
    assert all(batch.input.sharding == sharding for batch in found)
    alone = list(batches(shapes_images(6, size=8), 4, prepare=double))
    for batch, one in zip(found, alone, strict=True):
        np.testing.assert_array_equal(batch.input, one.input)


def test_bad_arguments():
    with pytest.raises(ValueError, match="size=0"):
        batches(numbered(3), 0, prepare=double)
    with pytest.raises(ValueError, match="ahead=-1"):
        batches(numbered(3), 1, prepare=double, ahead=-1)
    with pytest.raises(IndexError, match="from 0 to 2, and one of them is 3"):
        batches(numbered(3), 1, prepare=double, indices=[0, 3])
    with pytest.raises(IndexError, match="one of them is -1"):
        batches(numbered(3), 1, prepare=double, indices=[-1])
