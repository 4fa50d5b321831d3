import numpy as np
import pytest

from jaxviz import report
from jaxviz.report import grid

TILE = np.full((40, 50, 3), 120, np.uint8)


def margin_is_blank(sheet):
    edges = [sheet[:2], sheet[-2:], sheet[:, :2], sheet[:, -2:]]
    return all((edge == 255).all() for edge in edges)


def test_pictures_stand_in_their_places_unchanged():
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (2, 3, 10, 12, 3), np.uint8)
    sheet = report.sheet(tiles, gap=4)
    assert sheet.shape == (4 + 2 * 14, 8 + 3 * 16 - 4 + 0, 3)
    for i in range(2):
        for j in range(3):
            y, x = 4 + i * 14, 4 + j * 16
            np.testing.assert_array_equal(sheet[y : y + 10, x : x + 12], tiles[i, j])


@pytest.mark.parametrize(
    "text", ["a", "an unbreakably-long-channel-name-of-a-densenet-layer", "a b " * 30]
)
def test_no_text_is_clipped(text):
    sheet = report.sheet(
        [[TILE, TILE]], rows=[text], columns=[text, ""], title=text, legend=[(text, (1, 0, 0))] * 3
    )
    assert margin_is_blank(sheet)


@pytest.mark.parametrize("width", [20, 60, 200])
def test_wrapped_lines_fit_and_lose_no_letter(width):
    text = "features.denseblock4.denselayer32.conv2 of densenet201"
    lines = report.wrap_text(text, width=width, points=13)
    assert all(grid._font(13).getlength(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_titles_and_sizes_must_match():
    with pytest.raises(ValueError, match="2 columns needs 2 titles, not 1"):
        report.sheet([[TILE, TILE]], columns=["a"])
    with pytest.raises(ValueError, match=r"one size.*enlarge"):
        report.sheet([[TILE, TILE[:-1]]])
