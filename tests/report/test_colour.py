import numpy as np
import pytest

from jaxviz import report

NEUTRAL = np.array([0.9690, 0.9690, 0.9690])


def test_zero_is_neutral_and_each_sign_has_its_hue():
    zero, up, down = report.signed_colours(np.array([[0.0, 2.0, -2.0]]))[0]
    np.testing.assert_allclose(zero, NEUTRAL, atol=1e-3)
    assert up[0] > up[2], "above zero is red"
    assert down[2] > down[0], "below zero is blue"


def test_opposite_signs_are_equally_strong():
    size = np.linspace(0.05, 1, 20)
    up, down = (report.signed_colours(sign * size[None], limit=1)[0] for sign in (1, -1))
    light = np.array([0.2126, 0.7152, 0.0722])
    np.testing.assert_allclose(up @ light, down @ light, atol=0.15)
    assert (np.diff(up @ light) < 0).all()
    assert (np.diff(down @ light) < 0).all()


def test_signed_limit_is_the_percentile_of_magnitudes_and_saturates():
    map = np.arange(-1000.0, 1001.0)[None]
    limit = np.percentile(np.abs(map), 99.5)
    assert report.scale_limit(map) == limit
    np.testing.assert_array_equal(
        report.signed_colours(map), report.signed_colours(np.clip(map, -limit, limit), limit=limit)
    )


def test_a_sparse_map_is_scaled_by_its_largest_value():
    map = np.zeros((100, 100))
    map[3, 4] = 5.0
    assert report.scale_limit(map) == 5.0
    assert report.signed_colours(map)[3, 4, 2] < 0.2


@pytest.mark.parametrize("value", [0.0, 3.0, -1e-30])
def test_constant_maps_are_one_colour(value):
    map = np.full((4, 5), value)
    for colours in (report.signed_colours(map), report.heat_colours(map)):
        assert np.isfinite(colours).all()
        assert not np.ptp(colours.reshape(-1, 3), axis=0).any()
    np.testing.assert_allclose(
        report.signed_colours(np.zeros((2, 2))), NEUTRAL + np.zeros((2, 2, 3)), atol=1e-3
    )


def test_heat_brightens_from_low_to_high():
    map = np.linspace(0, 1, 50)[None]
    light = report.heat_colours(map)[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()
    half = report.heat_colours(map, low=0, high=2)[0]
    np.testing.assert_allclose(half[-1], report.heat_colours(np.array([[0.0, 0.5, 1.0]]))[0, 1])


def test_a_batch_shares_one_scale():
    pair = np.stack([np.full((2, 2), 1.0), np.full((2, 2), 4.0)])
    low, high = report.heat_fraction(pair)
    assert low.max() == 0
    assert high.min() == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "colour", [report.signed_colours, report.heat_colours, report.contrast, report.to_uint8]
)
def test_what_is_no_number_is_an_error(colour, bad):
    values = np.zeros((2, 2, 3))
    values[0, 1, 2] = bad
    with pytest.raises(ValueError, match="1 of its 12 values"):
        colour(values)


def test_contrast_is_grey_at_zero_and_symmetric():
    projection = np.random.default_rng(0).normal(size=(8, 8, 3))
    picture = report.contrast(projection)
    np.testing.assert_allclose(picture + report.contrast(-projection), 1.0)
    assert report.contrast(np.array([[[0.0, 1.0, -1.0]]])).tolist() == [[[0.5, 1.0, 0.0]]]
    assert report.contrast(np.zeros((2, 2, 3))).tolist() == np.full((2, 2, 3), 0.5).tolist()
    with pytest.raises(ValueError, match="limit must be a positive magnitude, not 0"):
        report.signed_colours(np.ones((1, 1)), limit=0)


def test_overlay_blends_by_number_and_by_pixel():
    image, colours = np.zeros((1, 2, 3)), np.ones((1, 2, 3))
    assert report.overlay(image, colours, alpha=0.25).tolist() == [[[0.25] * 3] * 2]
    by_pixel = report.overlay(image, colours, alpha=np.array([[0.0, 1.0]]))
    assert by_pixel.tolist() == [[[0.0] * 3, [1.0] * 3]]
    with pytest.raises(ValueError, match=r"\(1, 2, 3\) and \(2, 2, 3\).*enlarge"):
        report.overlay(image, np.ones((2, 2, 3)))


def test_bytes_round_to_nearest_and_clip():
    values = np.array([-1, 0, 0.4999 / 255, 0.5001 / 255, 1, 7]).reshape(1, 2, 3)
    assert report.to_uint8(values).ravel().tolist() == [0, 0, 0, 1, 255, 255]


def test_labels_keep_their_colours_and_rare_ones_share_grey():
    labels = np.repeat(np.arange(14), np.arange(14, 0, -1))[None]
    picture = report.label_colours(labels)
    named = [label for label, _ in picture.legend]
    assert named == [*range(10), None]
    assert len({colour for _, colour in picture.legend}) == 11
    for label, colour in picture.legend[:-1]:
        assert (picture.colours[labels == label] == colour).all()
    assert (picture.colours[labels >= 10] == picture.legend[-1][1]).all()


def test_named_labels_take_their_colours_first():
    few = report.label_colours(np.array([[5, 5, 2]]), first=(2,))
    other = report.label_colours(np.array([[2, 9, 9]]), first=(2,))
    assert dict(few.legend)[2] == dict(other.legend)[2]
    assert [label for label, _ in few.legend] == [5, 2]
