"""Pictures that move."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8


def gif_bytes(
    frames: Sequence[UInt8[np.ndarray, "h w 3"]], *, milliseconds: int = 120, last: int = 1500
) -> bytes:
    """Pictures one after another, for ever, as the bytes of a GIF file.

    All frames share one palette of 256 colours, so that what does not change does not flicker.

    Args:
      frames: RGB bytes, one or more pictures of one size.
      milliseconds: how long a frame stays; a GIF counts in hundredths of a second.
      last: how long the last one stays before it begins again.

    Returns:
      The file's content.

    Raises:
      ValueError: there is no frame, or they differ in size.

    Example:
      >>> dark, bright = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
      >>> gif_bytes([dark, bright])[:6]
      b'GIF89a'
    """
    from PIL import Image

    shapes = {np.asarray(frame).shape for frame in frames}
    if len(shapes) != 1:
        raise ValueError(
            f"frames must be pictures of one size, at least one; got {sorted(shapes)}."
        )
    whole = [Image.fromarray(np.asarray(frame, np.uint8)) for frame in frames]
    # The palette is made of all frames side by side, thinned out to what a palette can tell of.
    step = -(-sum(frame.size[0] * frame.size[1] for frame in whole) // 4_000_000)
    pixels = np.concatenate([np.asarray(frame).reshape(-1, 3)[::step] for frame in whole])
    palette = Image.fromarray(pixels[None]).quantize(256, Image.Quantize.MEDIANCUT)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in whole]
    buffer = io.BytesIO()
    drawn[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=drawn[1:],
        duration=[milliseconds] * (len(drawn) - 1) + [last],
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()
