"""Curves over a common axis, as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8


def line_chart(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    across: str,
    up: str,
    title: str = "",
    errors: Mapping[str, Sequence[float]] | None = None,
    ticks: Sequence[str] = (),
    size: tuple[int, int] = (360, 640),
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws curves with a legend; axes, title and legend lie inside the picture.

    Args:
      x: the common axis.
      curves: name -> one value for each of `x`.
      across: what the horizontal axis is, with its unit.
      up: what the vertical axis is, with its unit.
      title: a heading.
      errors: name -> half the height of the error bar at each of `x`, for some of the curves.
      ticks: what to write at each of `x` in place of its number.
      size: (height, width) of the picture in pixels.

    Returns:
      RGB bytes.

    Raises:
      ValueError: where a curve, its errors or the ticks are not as long as `x`.

    Example:
      >>> line_chart([1, 2], {"test": [0.5, 0.9]}, across="epoch", up="accuracy").shape
      (360, 640, 3)
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    errors = errors or {}
    told = [(f"curve {name!r}", "values", values) for name, values in curves.items()]
    told += [(f"curve {name!r}", "errors", values) for name, values in errors.items()]
    for what, kind, values in [*told, *([("the axis", "ticks", ticks)] if ticks else [])]:
        if len(values) != len(x):
            raise ValueError(f"{what} needs {len(x)} {kind}, one for each x, not {len(values)}.")
    height, width = size
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, values in curves.items():
        line = {"linewidth": 1.8, "marker": "o", "markersize": 3}
        axes.errorbar(x, values, errors.get(name), label=name, capsize=3, elinewidth=1, **line)
    if ticks:
        axes.set_xticks(x, ticks)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    canvas.print_raw(buffer)
    rgba = np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, width, 4)
    return rgba[..., :3].copy()
