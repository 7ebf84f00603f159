"""The look of all figures: colours, the Matplotlib settings, and the few drawing steps that figures share.

Each kind of layer has one colour everywhere; the palette is Okabe and Ito's, safe for colour-blind readers. Figures have
a light background of their own, so that they look the same on light and dark pages.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

Options = dict[str, Any]
"""Keyword arguments that go on to Matplotlib."""

_HUES = {
    "input": ("#6b6b6b", "#a3abb5"),
    "convolution": ("#0072b2", "#56b4e9"),
    "pooling": ("#c77700", "#e69f00"),
    "subsampling": ("#8a4b08", "#c98a4b"),
    "flatten": ("#6b6b6b", "#a3abb5"),
    "dropout": ("#6b6b6b", "#a3abb5"),
    "dense": ("#00795a", "#2fbf94"),
    "rbf": ("#8c2d8c", "#d58ad5"),
}
COLOURS = {kind: light for kind, (light, _) in _HUES.items()}
"""A kind of layer to its colour on a light page."""
DARK_COLOURS = {kind: dark for kind, (_, dark) in _HUES.items()}
"""The same hues for dark pages: the cover's figure, the tables and the page to draw on."""
SIGNED = "PuOr"
"""The colour map of signed numbers: negative is orange, 0 is white, positive is purple."""
TRAINING, VALIDATION, TEST, MARK = "#0072b2", "#c77700", "#00795a", "#8c2d8c"
SERIES = (TRAINING, VALIDATION, TEST, MARK, "#56606b")
DASHES = ("-", "--", "-.", ":", "-")
GROUND, GREY, INK = "#fdfdfb", "#555555", "#333333"
STYLE: Options = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": GROUND,
    "axes.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "svg.hashsalt": "lenet5lib",
    "text.usetex": False,
}
"""The Matplotlib settings under which every figure is drawn; those of the reader stay as they are."""

P = ParamSpec("P")


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the book's style, and leave the reader's own settings as they are."""

    @functools.wraps(function)
    def draw(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            figure = function(*args, **kwargs)
            figure.draw_without_rendering()
            # Laid out once: each further pass would move everything a little.
            figure.set_layout_engine("none")
            return figure

    return draw


def panels(
    height: float,
    rows: int = 1,
    columns: int = 1,
    width: float = 7.2,
    **kwargs: Any,
) -> tuple[Figure, np.ndarray]:
    """Return a figure of this size in inches and its axes, always as an array (rows, columns)."""
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(width, height), layout=layout)
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def single(height: float, width: float = 7.2) -> tuple[Figure, Axes]:
    """Return a figure of this size in inches with one pair of axes."""
    figure, axes = panels(height, width=width)
    return figure, axes[0, 0]


def png(figure: Figure) -> bytes:
    """Return the figure as the bytes of a PNG file with 150 dots per inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor=figure.get_facecolor())
    return buffer.getvalue()


def pdf(figure: Figure) -> bytes:
    """Return the figure as the bytes of a PDF file, the same bytes every time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Return the figure as the bytes of an SVG file, the same bytes every time."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(
            buffer,
            format="svg",
            metadata={"Date": None, "Creator": "lenet5lib"},
            facecolor=figure.get_facecolor(),
            bbox_inches="tight",
        )
    lines = buffer.getvalue().splitlines()
    return b"\n".join(line.rstrip() for line in lines) + b"\n"


def blank(ax: Axes) -> None:
    """Remove ticks, grid and frame."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def box(
    ax: Axes, x: float, y: float, width: float, height: float, **options: Any
) -> None:
    """Draw a rectangle whose lower left corner is (x, y)."""
    ax.add_patch(Rectangle((x, y), width, height, **options))


def write(ax: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Write a text, by default centred on (x, y)."""
    default: Options = {"ha": "center", "va": "center", "fontsize": 9}
    ax.text(x, y, text, **default | options)


def ink(ax: Axes, image: np.ndarray) -> None:
    """Show an image as ink on paper: uint8 from 0 (paper) to 255, other numbers from −1 to +1."""
    low, high = (0, 255) if image.dtype == np.uint8 else (-1, 1)
    ax.imshow(image, cmap="gray_r", vmin=low, vmax=high)
    blank(ax)


def frame(ax: Axes, rows: slice, columns: slice, colour: str, width: float) -> None:
    """Frame a part of an image; a pixel's centre has whole coordinates, so its edges lie half a pixel away."""
    look: Options = {"edgecolor": colour, "linewidth": width}
    size = columns.stop - columns.start, rows.stop - rows.start
    corner = columns.start - 0.5, rows.start - 0.5
    box(ax, *corner, *size, fill=False, clip_on=False, **look)


def draw_lines(
    ax: Axes, lines: Mapping[str, tuple[ArrayLike, ArrayLike]], **labels: Any
) -> None:
    """Draw named (x, y) lines told apart by colour and dashes, with a legend; `labels` go to `Axes.set`."""
    looks = cycle(zip(SERIES, DASHES, strict=True))
    for (name, (x, y)), (colour, dashes) in zip(lines.items(), looks, strict=False):
        ax.plot(x, y, dashes, color=colour, label=name)
    ax.set(**labels)
    ax.legend()


def mark_lines(ax: Axes, marks: Mapping[str, float]) -> None:
    """Draw named vertical lines told apart by their dashes."""
    for (name, x), dashes in zip(
        marks.items(), cycle(("--", ":", "-.")), strict=False
    ):
        ax.axvline(x, color=MARK, linestyle=dashes, linewidth=1, label=name)
