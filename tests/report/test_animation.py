import io

import numpy as np
import pytest
from PIL import Image

from jaxviz import report


def frames_of(content):
    animation = Image.open(io.BytesIO(content))
    frames, times = [], []
    for i in range(animation.n_frames):
        animation.seek(i)
        frames.append(np.asarray(animation.convert("RGB")))
        times.append(animation.info["duration"])
    return frames, times, animation.info["loop"]


def test_the_frames_come_back_in_order():
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    given = [np.broadcast_to(colour, (5, 7, 3)) for colour in colours]
    frames, times, loop = frames_of(report.gif_bytes(given, milliseconds=50, last=700))
    np.testing.assert_array_equal(frames, given)
    assert times == [50, 50, 700]
    assert loop == 0, "for ever"


def test_few_colours_come_back_as_they_were_and_many_nearly():
    ramp = np.arange(256, dtype=np.uint8)
    few = np.repeat(np.tile(ramp[::16], (16, 1))[..., None], 3, -1)
    still = np.zeros((16, 16, 3), np.uint8)
    frames, _, _ = frames_of(report.gif_bytes([few, still]))
    np.testing.assert_array_equal(frames[0], few)
    many = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3)).astype(np.uint8)
    frames, _, _ = frames_of(report.gif_bytes(many))
    # 256 colours in a cube of 256 levels are about 40 apart.
    assert np.abs(np.array(frames, float) - many).mean() < 40


def test_a_still_part_does_not_flicker():
    scene = np.random.default_rng(0).integers(0, 256, (30, 30, 3)).astype(np.uint8)
    frames, _, _ = frames_of(report.gif_bytes([scene] + [scene // 2 + 60] + [scene]))
    np.testing.assert_array_equal(frames[0], frames[2])


@pytest.mark.parametrize("frames", [[], [np.zeros((2, 2, 3)), np.zeros((2, 3, 3))]])
def test_frames_that_make_no_animation_are_refused(frames):
    with pytest.raises(ValueError, match="frames must be pictures of one size, at least one; got"):
        report.gif_bytes(frames)
