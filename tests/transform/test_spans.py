"""Interval arithmetic against what sliding windows read, index by index."""

import itertools

import numpy as np
import pytest

from jaxviz.transform.spans import Span, Window, joined, windows

EXTENT = 9
LOW, HIGH = map(np.array, zip(*itertools.combinations(range(EXTENT + 1), 2), strict=True))
SLIDING = list(itertools.product((1, 2, 3, 4), (1, 2, 3), (-2, 0, 1, 3), (1, 2)))


def read_by(results, *, window, stride, pad, dilation):
    """The indices that each result reads; some may lie outside of the axis."""
    return results[:, None] * stride - pad + np.arange(window) * dilation


@pytest.mark.parametrize(("window", "stride", "pad", "dilation"), SLIDING)
def test_a_span_goes_where_a_window_reads_from_it(window, stride, pad, dilation):
    options = {"window": window, "stride": stride, "pad": pad, "dilation": dilation}
    for after in (-1, 0, 2):
        extent = (EXTENT + pad + after - (window - 1) * dilation - 1) // stride + 1
        if extent < 1:
            continue
        passed = Span(0, LOW, HIGH, EXTENT).through(extent, **options)
        read = read_by(np.arange(extent), **options)
        assert passed.extent == extent
        for low, high, first, end in zip(LOW, HIGH, passed.low, passed.high, strict=True):
            reached = np.flatnonzero(((read >= low) & (read < high)).any(1))
            assert 0 <= first <= end <= extent
            if not reached.size:
                assert first == end or dilation > 1
                continue
            found = (first, end)
            expected = (reached[0], reached[-1] + 1)
            if dilation == 1:
                assert found == expected
            # A window may lie over a short interval without reading from it.
            assert found[0] <= expected[0]
            assert found[1] >= expected[1]


@pytest.mark.parametrize(("window", "stride", "pad", "dilation"), SLIDING)
def test_a_window_of_results_reads_what_its_results_read(window, stride, pad, dilation):
    options = {"window": window, "stride": stride, "pad": pad, "dilation": dilation}
    for size in (1, 2, 5):
        starts = np.arange(4)
        inputs = Window(1, starts, size).inputs(**options)
        for start, first in zip(starts, inputs.start, strict=True):
            read = read_by(np.arange(start, start + size), **options)
            assert (first, first + inputs.size) == (read.min(), read.max() + 1)
        assert inputs.side == 1


@pytest.mark.parametrize(("window", "stride", "pad", "dilation"), SLIDING)
def test_windows_hold_their_intervals_and_stay_inside(window, stride, pad, dilation):
    span = Span(0, LOW, HIGH, EXTENT).through(
        12, window=window, stride=stride, pad=pad, dilation=dilation
    )
    piece = span.window
    assert (piece.start >= 0).all()
    assert (piece.start + piece.size <= 12).all()
    nonempty = span.low < span.high
    assert (piece.start <= span.low)[nonempty].all()
    assert (piece.start + piece.size >= span.high)[nonempty].all()
    assert piece.size == max((span.high - span.low).max(), 1)


def span(low, high, side=0, extent=10):
    return Span(side, np.array(low), np.array(high), extent)


def as_lists(span):
    return span.low.tolist(), span.high.tolist()


def test_joined_spans_hold_all_and_what_one_reaches_as_a_whole_is_reached():
    both = joined([{1: span([0, 4], [3, 6]), 2: span([1], [2])}, {1: span([2, 1], [5, 2])}])
    assert list(both) == [1]
    assert as_lists(both[1]) == ([0, 1], [5, 6])
    assert joined([{1: span([0], [3])}]) == {1: span([0], [3])}
    # The row of the edit moves one, its column the other: together, they may be anywhere.
    assert joined([{1: span([0], [3])}, {1: span([0], [3], side=1)}]) == {}


def test_a_reach_cuts_around_the_middle():
    assert as_lists(span([0, 3, 2], [10, 8, 4]).within(0.4)) == ([3, 3, 2], [7, 7, 4])
    assert as_lists(span([0, 3], [10, 8]).within(1)) == ([0, 3], [10, 8])
    assert as_lists(span([4], [9]).within(0.01)) == ([6], [7])
    assert as_lists(span([5], [5]).within(0.5)) == ([5], [5])


def test_a_window_that_holds_all_of_its_axis_is_none():
    found = windows({1: span([0, 7], [3, 10]), 2: span([0], [10])})
    assert list(found) == [1]
    assert (found[1].start.tolist(), found[1].size) == ([0, 7], 3)
