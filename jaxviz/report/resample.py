"""Maps of a lower resolution brought to the size of the image that they belong to."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped


def enlarge(
    map: Shaped[np.ndarray, "h w *c"], size: tuple[int, int], *, smooth: bool = True
) -> Shaped[np.ndarray, "H W *c"]:
    """A map or an image at another size, through Pillow.

    Args:
      map: (h, w), or (h, w, channels).
      size: the (height, width) to reach.
      smooth: bilinear; otherwise the nearest value, which keeps cells and labels as they are.

    Returns:
      An array of that size; float32 where smooth, else of the map's own type.

    Raises:
      ValueError: for a size below one pixel.

    Example:
      >>> enlarge(np.array([[1, 2]]), (2, 4), smooth=False).tolist()
      [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    map = np.asarray(map)
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size must be (height, width) of at least one pixel each, not {size}.")
    if not smooth:
        rows = (np.arange(height) * map.shape[0]) // height
        columns = (np.arange(width) * map.shape[1]) // width
        return map[rows[:, None], columns]
    from PIL import Image

    planes = map.astype(np.float32).reshape(*map.shape[:2], -1)
    resized = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))
        for plane in np.moveaxis(planes, -1, 0)
    ]
    return np.stack(resized, -1).reshape(height, width, *map.shape[2:])


def window_cells(
    map: Shaped[np.ndarray, "r c"],
    size: tuple[int, int],
    *,
    window: tuple[int, int],
    stride: tuple[int, int],
) -> Shaped[np.ndarray, "h w"]:
    """A map over window positions, drawn where the windows were.

    Position (i, j) is the window whose first pixel is `(i * stride, j * stride)`; each pixel of the
    result shows the window whose centre is nearest, so that a value appears under its window and
    the borders, which no centre reaches, repeat the last one.

    Args:
      map: one value for each window position.
      size: (height, width) of the image.
      window: height and width of the window, in pixels.
      stride: the step between windows, in pixels.

    Returns:
      An array of that size and of the map's own type.

    Example:
      >>> window_cells(np.array([[0, 1, 2]]), (1, 8), window=(1, 4), stride=(1, 2)).tolist()
      [[0, 0, 0, 1, 1, 2, 2, 2]]
    """
    map = np.asarray(map)
    rows, columns = (
        np.clip(np.floor((np.arange(n) - (w - 1) / 2) / s + 0.5).astype(int), 0, count - 1)
        for n, w, s, count in zip(size, window, stride, map.shape, strict=True)
    )
    return map[rows[:, None], columns]
