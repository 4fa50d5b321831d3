import numpy as np
import pytest

from jaxviz import report


def test_nearest_repeats_cells_exactly():
    map = np.array([[1, 2], [3, 4]])
    big = report.enlarge(map, (4, 6), smooth=False)
    assert big.dtype == map.dtype
    np.testing.assert_array_equal(big, np.kron(map, np.ones((2, 3), int)))


def test_bilinear_is_between_and_keeps_a_constant():
    assert (report.enlarge(np.full((7, 7), 2.5), (224, 224)) == 2.5).all()
    ramp = report.enlarge(np.array([[0.0, 1.0]]), (1, 8))[0]
    np.testing.assert_allclose(ramp, [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])


def test_channels_are_enlarged_alike():
    image = np.random.default_rng(0).random((5, 6, 3))
    big = report.enlarge(image, (10, 9))
    assert big.shape == (10, 9, 3)
    np.testing.assert_array_equal(big[..., 1], report.enlarge(image[..., 1], (10, 9)))


def test_size_below_one_is_an_error():
    with pytest.raises(ValueError, match=r"not \(0, 3\)"):
        report.enlarge(np.zeros((2, 2)), (0, 3))


@pytest.mark.parametrize(("window", "stride"), [(4, 4), (5, 2), (8, 3), (1, 1), (32, 8)])
def test_each_pixel_shows_the_window_with_the_nearest_centre(window, stride):
    size = 40
    count = (size - window) // stride + 1
    centres = np.arange(count) * stride + (window - 1) / 2
    shown = report.window_cells(
        np.arange(count)[None], (1, size), window=(1, window), stride=(1, stride)
    )[0]
    distance = np.abs(np.arange(size)[:, None] - centres)
    np.testing.assert_allclose(distance[np.arange(size), shown], distance.min(1))
