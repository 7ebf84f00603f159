"""Figures drawn from a specification alone: the network, shares of its layers, receptive fields, a connection table.

They serve chapters 3, 11 and 13 and the cover. `network` draws stacks of feature maps, then vectors, and between two of
them the window, or the connections, by which a layer reads the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, assert_never

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lenet5lib import arithmetic, spec
from lenet5lib.plots import style

_PAGE = {
    "ground": (style.GROUND, "#121212"),
    "text": ("#000000", "#f0f0f0"),
    "faint": (style.GREY, "#b5b5b5"),
}
"""Colours of the drawing that belong to no layer: on a light page, on a dark one."""


class _Entry(NamedTuple):
    """What the drawing shows from left to right: the input and the layers."""

    name: str
    kind: str
    shape: tuple[int, ...]
    params: int | None = None


class _Box(NamedTuple):
    """A drawn rectangle: its lower left corner and its size."""

    x: float
    y: float
    width: float
    height: float


class _Pen(NamedTuple):
    """Where to draw, and a kind of layer or a key of `_PAGE` to its colour."""

    ax: Axes
    paint: dict[str, str]


@style.styled
def network(
    architecture: spec.Architecture, rows: int = 1, dark: bool = False
) -> Figure:
    """Draw the network from its specification: stacks of feature maps, then vectors, each with its shape and parameters.

    Args:
        architecture: what to draw.
        rows: 2 breaks the drawing in the middle, for a phone's width.
        dark: for a dark page.
    """
    paint = dict(style.DARK_COLOURS if dark else style.COLOURS)
    paint |= {name: colours[dark] for name, colours in _PAGE.items()}
    entries = [_Entry("Input", "input", architecture.input_shape)]
    entries += [
        _Entry(row.layer, row.kind, row.output_shape, row.params)
        for row in arithmetic.table(architecture)
        if row.kind not in ("flatten", "dropout")
    ]
    cut = -(-len(entries) // rows)
    width, height = (8.8, 3.0) if rows == 1 else (5.2, 2.35 * rows)
    figure, axes = style.panels(height, rows, width=width)
    figure.set_facecolor(paint["ground"])
    for n, ax in enumerate(axes[:, 0]):
        ax.set_facecolor(paint["ground"])
        part = entries[n * cut : (n + 1) * cut]
        right = _draw_row(_Pen(ax, paint), architecture, part)
        ax.set(xlim=(-2.0, right - 0.4), ylim=(-3.45, 2.6), aspect="equal")
        style.blank(ax)
    _draw_key(_Pen(axes[-1, 0], paint), [entry.kind for entry in entries[1:]])
    return figure


def _draw_row(
    pen: _Pen, architecture: spec.Architecture, entries: Sequence[_Entry]
) -> float:
    """Draw entries from left to right; return where the next one would begin."""
    ax, paint = pen
    x, previous = 0.0, None
    bold: style.Options = {"fontsize": 11, "weight": "bold", "va": "baseline"}
    for name, kind, shape, params in entries:
        is_vector = len(shape) == 1 or shape[:2] == (1, 1)
        draw = _draw_vector if is_vector else _draw_stack
        width, front = draw(pen, x, kind, shape)
        if previous is not None:
            _draw_reading(pen, architecture[name], previous, front)
        middle = x + width / 2
        style.write(ax, middle, 2.15, name, color=paint[kind], **bold)
        below = arithmetic.shape_text(shape)
        below += "" if params is None else f"\n{params:,}"
        style.write(ax, middle, -2.05, below, va="top", color=paint["text"])
        previous = front
        x += width + (1.15 if is_vector else 0.8)
    heading = {"ha": "right", "va": "top", "color": paint["faint"]}
    style.write(ax, -0.45, -2.05, "shape\nparameters", **heading)
    return x


def _draw_key(pen: _Pen, kinds: Sequence[str]) -> None:
    """Name the colour of each kind of layer under the drawing."""
    ax, paint = pen
    kinds = list(dict.fromkeys(kinds))
    middle = sum(ax.get_xlim()) / 2
    for n, kind in enumerate(kinds):
        x, name = middle - 1.3 * len(kinds) + 3.0 * n, kind.replace("rbf", "RBF")
        style.box(ax, x, -3.25, 0.3, 0.3, facecolor=paint[kind])
        style.write(ax, x + 0.45, -3.1, name, ha="left", color=paint["text"])


def _side(pixels: int) -> float:
    """Return the drawn side of a feature map: large ones are shortened, so that small ones stay visible."""
    return 0.42 * pixels**0.5


def _draw_stack(
    pen: _Pen, x: float, kind: str, shape: Sequence[int]
) -> tuple[float, _Box]:
    """Draw a stack of feature maps at x; return its width and the front one."""
    height, width, channels = _side(shape[0]), _side(shape[1]), shape[2]
    slide = 0.3 / max(channels, 6) ** 0.5
    depth = slide * (channels - 1)
    front = _Box(x, -height / 2 - depth / 2, width, height)
    for n in reversed(range(channels)):
        moved = front._replace(x=x + n * slide, y=front.y + n * slide)
        _fill(pen, moved, kind, linewidth=0.8)
    return width + depth, front


def _draw_vector(
    pen: _Pen, x: float, kind: str, shape: Sequence[int]
) -> tuple[float, _Box]:
    """Draw a vector at x as a bar; return its width and the bar."""
    height = 0.55 * shape[-1] ** 0.36
    bar = _Box(x, -height / 2, 0.3, height)
    _fill(pen, bar, kind, linewidth=1)
    return bar.width, bar


def _fill(pen: _Pen, place: _Box, kind: str, linewidth: float) -> None:
    """Draw a box in the colour of its kind of layer."""
    look: style.Options = {"facecolor": pen.paint[kind], "linewidth": linewidth}
    style.box(pen.ax, *place, edgecolor=pen.paint["ground"], alpha=0.9, **look)


def _draw_reading(pen: _Pen, layer: spec.Layer, source: _Box, target: _Box) -> None:
    """Draw how a layer reads: every unit to every unit, or a window narrowing to a point."""
    match layer:
        case spec.Dense() | spec.RBF():
            right = source.x + source.width
            starts = [(right, source.y), (right, source.y + source.height)]
            ends = [(target.x, target.y), (target.x, target.y + target.height)]
        case spec.Conv():
            starts, ends = _draw_window(pen, layer.kernel_size, source, target)
        case spec.Pool() | spec.Subsample():
            starts, ends = _draw_window(pen, layer.size, source, target)
        case spec.Flatten() | spec.Dropout():
            return  # They are not in the drawing.
        case _:
            assert_never(layer)
    look: style.Options = {"linewidth": 0.8, "alpha": 0.9, "zorder": 5}
    for (left, low), (right, high) in zip(starts, ends, strict=True):
        pen.ax.plot([left, right], [low, high], color=pen.paint["faint"], **look)


_Points = list[tuple[float, float]]


def _draw_window(
    pen: _Pen, size: int | spec.Pair, source: _Box, target: _Box
) -> tuple[_Points, _Points]:
    """Draw a window of `size` pixels on a feature map; return where the lines from it start and end."""
    side = min(max(0.16, _side(28) * spec.pair(size)[0] / 28 * 1.2), source.height)
    x = source.x + source.width - 1.25 * side
    y = source.y + 0.55 * source.height
    look: style.Options = {"edgecolor": pen.paint["ground"], "linewidth": 1.4}
    style.box(pen.ax, x, y, side, side, fill=False, zorder=6, **look)
    end = target.x + 0.3 * target.width, target.y + 0.62 * target.height
    return [(x + side, y), (x + side, y + side)], [end, end]


@style.styled
def layer_shares(architecture: spec.Architecture) -> Figure:
    """Draw each layer's share of the parameters and of the multiply–accumulates, in per cent."""
    rows = [row for row in arithmetic.table(architecture) if row.macs]
    names = [row.layer for row in rows]
    colours = [style.COLOURS[row.kind] for row in rows]
    counts = {
        "parameters": [row.params for row in rows],
        "multiply–accumulates": [row.macs for row in rows],
    }
    figure, axes = style.panels(2.6, columns=2, sharey=True)
    for ax, (unit, values) in zip(axes[0], counts.items(), strict=True):
        shares = [100 * value / sum(values) for value in values]
        bars = ax.barh(names, shares, color=colours)
        ax.bar_label(bars, fmt="{:.1f} %", padding=3, fontsize=9)
        ax.set(xlabel=f"share of {sum(values):,} {unit} (%)", xlim=(0, 100))
        ax.grid(axis="y", visible=False)
    axes[0, 0].invert_yaxis()
    return figure


@style.styled
def receptive_fields(
    architecture: spec.Architecture, image: np.ndarray, layer_names: Sequence[str]
) -> Figure:
    """Draw an image with the receptive field of one unit of each layer framed: the middle unit, or the one after the middle.

    Args:
        architecture: whose receptive fields.
        image: uint8 (28, 28).
        layer_names: the layers to frame, one panel each.
    """
    shapes = {row.layer: row.output_shape for row in arithmetic.table(architecture)}
    figure, axes = style.panels(2.0, columns=len(layer_names))
    for ax, name in zip(axes[0], layer_names, strict=True):
        shape = shapes[name]
        unit = (shape[0] // 2, shape[1] // 2) if len(shape) == 3 else (0, 0)
        rows, columns = arithmetic.receptive_window(architecture, name, *unit)
        style.ink(ax, image)
        style.frame(ax, rows, columns, style.COLOURS[architecture[name].kind], 2.5)
        size = f"{rows.stop - rows.start} × {columns.stop - columns.start}"
        ax.set(xlim=(-3, 30), ylim=(30, -3), xlabel=f"{name}: {size}")
    return figure


@style.styled
def connection_table(
    table: spec.Table, in_maps: int, names: tuple[str, str] = ("S2", "C3")
) -> Figure:
    """Draw which input map feeds which output map: a row for each input map, a filled cell for each kernel.

    The number of kernels in a row or a column is written at its end.

    Args:
        table: for each output map the input maps that feed it.
        in_maps: number of input maps.
        names: of the layer that is read, and of the layer that reads.
    """
    figure, ax = style.single(1.1 + 0.36 * in_maps)
    out_maps, blue = len(table), style.COLOURS["convolution"]
    for column, row in np.ndindex(out_maps, in_maps):
        joined = row in table[column]
        fill, edge = (blue, blue) if joined else ("none", "#b5b5b5")
        look: style.Options = {"facecolor": fill, "edgecolor": edge}
        cell = column - 0.44, row - 0.44, 0.88, 0.88
        style.box(ax, *cell, linewidth=0.8, **look)
    read = [len(sources) for sources in table]
    feeds = [sum(row in sources for sources in table) for row in range(in_maps)]
    for column, count in enumerate(read):
        style.write(ax, column, in_maps - 0.1, str(count), color=style.GREY)
    for row, count in enumerate(feeds):
        style.write(ax, out_maps + 0.1, row, str(count), color=style.GREY)
    style.write(ax, out_maps + 0.1, in_maps - 0.1, str(sum(read)), color=style.GREY)
    style.blank(ax)
    ax.set(xticks=range(out_maps), yticks=range(in_maps))
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.xaxis.set_label_position("top")
    ax.set(
        xlabel=f"feature map of {names[1]}",
        ylabel=f"feature map of {names[0]}",
        xlim=(-0.6, out_maps + 0.6),
        ylim=(in_maps + 0.4, -0.6),
    )
    return figure
