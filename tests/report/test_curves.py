"""Charts of curves, by the pixels that they colour."""

import numpy as np
import pytest

from jaxviz import report

CURVES = {"a": [0.1, 0.5, 0.9], "b": [0.9, 0.5, 0.2]}
AXES = {"across": "size", "up": "accuracy"}


def ink(picture):
    return int((picture.min(-1) < 200).sum())


def test_error_bars_are_drawn_over_the_curves_they_belong_to():
    plain = report.line_chart(range(3), CURVES, **AXES)
    assert plain.shape == (360, 640, 3)
    none = report.line_chart(range(3), CURVES, errors={}, **AXES)
    np.testing.assert_array_equal(plain, none)
    # Bars within the range of the axes, which so stay as they are.
    barred = report.line_chart(range(3), CURVES, errors={"a": [0.0, 0.2, 0.0]}, **AXES)
    assert ink(barred) > ink(plain)
    x = 640 // 2
    assert (barred != plain).any(-1)[:, x - 40 : x + 80].any()


def test_ticks_take_the_place_of_numbers():
    plain = report.line_chart(range(3), CURVES, **AXES)
    named = report.line_chart(range(3), CURVES, ticks=["whole", "2 px", "4 px"], **AXES)
    assert (plain != named).any()


def test_a_curve_may_end_early():
    short = {"a": CURVES["a"], "b": [0.9, np.nan, np.nan]}
    assert ink(report.line_chart(range(3), short, **AXES)) < ink(
        report.line_chart(range(3), CURVES, **AXES)
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"curves": {"a": [1.0]}}, "curve 'a' needs 3 values, one for each x, not 1"),
        ({"errors": {"a": [1.0]}}, "curve 'a' needs 3 errors, one for each x, not 1"),
        ({"ticks": ["x"]}, "the axis needs 3 ticks, one for each x, not 1"),
    ],
)
def test_all_must_be_as_long_as_the_axis(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        report.line_chart(range(3), **{"curves": CURVES} | options, **AXES)
