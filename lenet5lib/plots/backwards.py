"""The figure of chapter 6: numbers that go forward and back through a few units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lenet5lib.plots import style

_COLOURS = style.TRAINING, style.VALIDATION
_PAPER = {"boxstyle": "square,pad=0.05", "linewidth": 0, "facecolor": style.GROUND}


def _write_both(ax: Axes, x: float, y: float, both: Sequence[float]) -> None:
    """Write the number of the forward pass, and under it that of the backward pass."""
    for value, down, colour in zip(both, (-0.1, 0.1), _COLOURS, strict=True):
        text = f"{value:.2f}".replace("-", "−")
        style.write(ax, x, y + down, text, fontsize=8, color=colour, bbox=_PAPER)


@style.styled
def two_passes(
    columns: Mapping[str, tuple[np.ndarray, np.ndarray]],
    links: Sequence[tuple[np.ndarray, np.ndarray] | None],
) -> Figure:
    """Draw a small network with its numbers: those of the forward pass in blue, the derivatives of the loss in orange.

    Args:
        columns: name to (values, derivatives), each (units,), from left to right.
        links: from a column to the next (weights, derivatives), each (inputs, units); None where each unit is computed from
            the one at its left.
    """
    figure, ax = style.single(4.3)
    left: list[tuple[int, float]] = []
    for x, ((name, arrays), link) in enumerate(
        zip(columns.items(), (None, *links), strict=True)
    ):
        count = len(arrays[0])
        units = [(2 * x, 1.4 * n - 0.7 * (count - 1)) for n in range(count)]
        for j, (at, both) in enumerate(
            zip(units, np.transpose(arrays), strict=True)
        ):
            circle: style.Options = {
                "markersize": 34,
                "markerfacecolor": style.GROUND,
            }
            ax.plot(*at, "o", color=style.GREY, **circle)
            _write_both(ax, *at, both)
            for i, start in enumerate(left):
                if link is None and i != j:
                    continue
                line = np.array([start, at]).T
                ax.plot(*line, color="#b4b4b4", linewidth=1, zorder=0)
                if link is not None:
                    # Near the left end, but a steep line crosses others there.
                    share = 0.72 if abs(at[1] - start[1]) > 2 else 0.3
                    place = line @ (1 - share, share)
                    _write_both(ax, place[0], place[1], [one[i, j] for one in link])
        style.write(ax, 2 * x, 2.15, name)
        left = units
    texts = "forward: values and weights", "backward: derivatives of the loss"
    for at_x, text, colour in zip((1.6, 4.4), texts, _COLOURS, strict=True):
        style.write(ax, at_x, -2.1, text, color=colour)
    ax.set(xlim=(-0.6, 2 * len(columns) - 1.4), ylim=(2.35, -2.3))
    style.blank(ax)
    return figure
