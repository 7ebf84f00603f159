"""Figures of images and arrays: digits, pixels, windows, kernels, feature maps, codes (chapters 1, 2, 8, 9, 11–14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lenet5lib import arithmetic
from lenet5lib.plots import style


def _numbers(
    ax: Axes, values: np.ndarray, cmap: str, low: float, high: float, form: str
) -> None:
    """Draw a small matrix as coloured cells with their numbers in black or white, whichever contrasts."""
    picture = ax.imshow(values, cmap=cmap, vmin=low, vmax=high)
    style.blank(ax)
    for (row, column), value in np.ndenumerate(values):
        rgb = picture.cmap(picture.norm(value))[:3]
        brightness = np.dot(rgb, (0.299, 0.587, 0.114))
        colour = "black" if brightness > 0.5 else "white"
        style.write(ax, column, row, form.format(value), fontsize=8, color=colour)


@style.styled
def digits(
    images: np.ndarray, captions: Sequence[str] = (), columns: int = 8
) -> Figure:
    """Draw images in rows, ink dark on light, each with its caption below.

    Args:
        images: uint8 (n, 28, 28).
        captions: n texts, or none.
        columns: images per row.
    """
    rows = -(-len(images) // columns)
    height = rows * (1.2 if captions else 0.95)
    figure, axes = style.panels(
        height, rows, columns, width=min(7.2, 0.95 * columns)
    )
    for ax in axes.flat:
        style.blank(ax)
    for ax, image in zip(axes.flat, images, strict=False):
        style.ink(ax, image)
    for ax, caption in zip(axes.flat, captions, strict=False):
        ax.set_xlabel(caption, fontsize=9, labelpad=3)
    return figure


@style.styled
def pictures(
    rows: Mapping[str, np.ndarray], captions: Sequence[str] = ()
) -> Figure:
    """Draw rows of small pictures, ink dark on light, each row with its name.

    Args:
        rows: name to pictures (n, height, width): uint8 from 0 to 255, or numbers of which −1 and below are paper and
            +1 and above are ink.
        captions: n texts below the last row, or none.
    """
    heights = [np.shape(row)[1] / np.shape(row)[2] for row in rows.values()]
    count = len(next(iter(rows.values())))
    height = 0.3 + sum(heights) * 6.0 / count + 0.1 * len(rows)
    figure, axes = style.panels(height, len(rows), count, height_ratios=heights)
    for line, (name, row) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(line, np.asarray(row), strict=True):
            style.ink(ax, picture)
            for spine in ax.spines.values():
                spine.set(visible=True, color="#9a9a9a", linewidth=0.8)
        if len(rows) > 1:
            line[0].set_ylabel(name, fontsize=10)
    for ax, caption in zip(axes[-1], captions, strict=False):
        ax.set_xlabel(caption, fontsize=10, labelpad=3)
    return figure


@style.styled
def pixels(image: np.ndarray, rows: slice, columns: slice) -> Figure:
    """Draw an image beside an enlarged part of it with the number in every pixel.

    Args:
        image: uint8 (28, 28).
        rows, columns: the part to enlarge; both slices need a start and a stop.
    """
    figure, axes = style.panels(3.5, columns=2, width_ratios=(1, 1.15))
    whole, part = axes[0]
    style.ink(whole, image)
    style.frame(whole, rows, columns, style.COLOURS["convolution"], 2)
    dashed = {"edgecolor": style.MARK, "linestyle": "--"}
    style.box(whole, 3.5, 3.5, 20, 20, fill=False, **dashed)
    whole.set_xlabel("28 × 28 pixels; the dashed box is 20 × 20")
    _numbers(part, image[rows, columns], "gray_r", 0, 255, "{:.0f}")
    part.set_xlabel(
        f"rows {rows.start}–{rows.stop - 1}, columns {columns.start}–{columns.stop - 1}"
    )
    return figure


@style.styled
def worked_convolution(
    image: np.ndarray, kernel: np.ndarray, result: np.ndarray
) -> Figure:
    """Draw a small input, a kernel and the output side by side with their numbers; the first window is framed.

    Args:
        image: (height, width).
        kernel: (kernel height, kernel width).
        result: (output height, output width).
    """
    parts = {"input": image, "kernel": kernel, "output": result}
    ratios = [values.shape[1] + 0.5 for values in parts.values()]
    figure, axes = style.panels(2.6, columns=3, width_ratios=ratios)
    _convolution(list(axes[0]), parts, kernel)
    return figure


@style.styled
def worked_channels(
    image: np.ndarray, filter_: np.ndarray, sums: np.ndarray, result: np.ndarray
) -> Figure:
    """Draw how one filter reads several maps: a row for each map with its kernel and its sums, and the output beside them.

    Args:
        image: (height, width, maps).
        filter_: (kernel height, kernel width, maps).
        sums: (output height, output width, maps), each map's sums alone.
        result: (output height, output width), the sums added up, with the bias.
    """
    maps = image.shape[2]
    ratios = [values.shape[1] + 0.7 for values in (image, filter_, sums, result)]
    figure, axes = style.panels(2.1 * maps, maps, 4, width_ratios=ratios)
    names = ("map", "× kernel", "= sums")
    for m in range(maps):
        arrays = (values[:, :, m] for values in (image, filter_, sums))
        parts = {
            f"{name} {m}": one for name, one in zip(names, arrays, strict=True)
        }
        _convolution(list(axes[m, :3]), parts, filter_)
        axes[m, 3].remove()
    total = figure.add_subplot(axes[0, 3].get_gridspec()[:, 3])
    _convolution([total], {"all sums + b": result}, filter_)
    return figure


def _convolution(
    axes: Sequence[Axes], parts: Mapping[str, np.ndarray], kernel: np.ndarray
) -> None:
    """Draw named matrices with their numbers; in the first of several the first window is framed, in the last its sum."""
    limit = 2 * max(np.abs(values).max() for values in parts.values())
    for ax, (name, values) in zip(axes, parts.items(), strict=True):
        _numbers(ax, values, style.SIGNED, -limit, limit, "{:g}")
        ax.set_xlabel(f"{name}, {arithmetic.shape_text(values.shape)}")
    blue = style.COLOURS["convolution"]
    if len(axes) > 1:
        height, width = kernel.shape[:2]
        style.frame(axes[0], slice(0, height), slice(0, width), blue, 3)
    style.frame(axes[-1], slice(0, 1), slice(0, 1), blue, 3)


@style.styled
def signed_maps(
    maps: Mapping[str, np.ndarray], decimals: int | None = None
) -> Figure:
    """Draw named maps side by side, negative orange and positive purple, each on a scale of its own.

    Args:
        maps: name to (height, width).
        decimals: of the numbers written into the cells; None for none.
    """
    figure, axes = style.panels(7.2 / len(maps) + 0.3, columns=len(maps))
    for ax, (name, values) in zip(axes[0], maps.items(), strict=True):
        limit = np.abs(values).max() or 1
        if decimals is None:
            ax.imshow(values, cmap=style.SIGNED, vmin=-limit, vmax=limit)
            style.blank(ax)
        else:
            shown = np.round(values, decimals) + 0.0  # No −0.
            form = f"{{:.{decimals}f}}"
            _numbers(ax, shown, style.SIGNED, -2 * limit, 2 * limit, form)
        ax.set_xlabel(name, fontsize=9)
    return figure


@style.styled
def windows(cases: Sequence[tuple[int, int, int, int]]) -> Figure:
    """Draw a row of pixels for each case, with every position of the window below it.

    Args:
        cases: (input size, kernel size, stride, padding) for each; padding is zeros at each end.
    """
    heights = [2.2 + 0.42 * arithmetic.output_size(*case) for case in cases]
    figure, ax = style.single(0.42 * sum(heights))
    top = 0.0
    for case, height in zip(cases, heights, strict=True):
        _window_positions(ax, top, *case)
        top -= height
    left = max(padding for *_, padding in cases) + 0.2
    right = max(size + padding for size, *_, padding in cases) + 3
    ax.set(xlim=(-left, right), ylim=(top, 0.1))
    style.blank(ax)
    return figure


def _window_positions(
    ax: Axes, top: float, size: int, kernel: int, stride: int, padding: int
) -> None:
    """Draw one case of `windows` below the height `top`."""
    count = arithmetic.output_size(size, kernel, stride, padding)
    text = f"i = {size}, k = {kernel}, s = {stride}, p = {padding}:  o = {count}"
    style.write(ax, -padding, top - 0.35, text, ha="left", fontsize=10)
    for x in range(-padding, size + padding):
        inside = 0 <= x < size
        fill, line = ("#d9d9d9", "-") if inside else (style.GROUND, ":")
        look = {"facecolor": fill, "edgecolor": style.GREY, "linestyle": line}
        style.box(ax, x, top - 1.5, 1, 0.8, **look)
        style.write(ax, x + 0.5, top - 1.1, str(x) if inside else "0")
    blue = style.COLOURS["convolution"]
    for n in range(count):
        x, y = n * stride - padding, top - 1.95 - 0.42 * n
        style.box(ax, x + 0.06, y, kernel - 0.12, 0.34, facecolor=blue)
        style.write(ax, x + kernel / 2, y + 0.16, str(n), fontsize=8, color="white")


@style.styled
def kernels(weights: np.ndarray) -> Figure:
    """Draw the kernels of a convolution: a row for each input channel, a column for each filter, 0 in white.

    Args:
        weights: (kernel height, kernel width, input channels, filters), the layout of Keras.
    """
    _, _, channels, filters = weights.shape
    cell = min(1.0, 7.0 / filters)
    height, width = cell * channels + 0.5, cell * filters + 0.4
    figure, axes = style.panels(height, channels, filters, width)
    limit = np.abs(weights).max()
    scale = {"cmap": style.SIGNED, "vmin": -limit, "vmax": limit}
    for (row, column), ax in np.ndenumerate(axes):
        ax.imshow(weights[:, :, row, column], **scale)
        style.blank(ax)
        if row == channels - 1:
            ax.set_xlabel(str(column), fontsize=8)
        if column == 0 and channels > 1:
            ax.set_ylabel(str(row), fontsize=8)
    return figure


@style.styled
def feature_maps(layers: Mapping[str, np.ndarray], columns: int = 8) -> Figure:
    """Draw the feature maps of several layers for one image, each layer on a scale from its lowest to its highest value.

    Args:
        layers: name to (height, width, channels).
        columns: feature maps per row.
    """
    rows = [
        (name, values, first)
        for name, values in layers.items()
        for first in range(0, values.shape[2], columns)
    ]
    figure, axes = style.panels(0.98 * len(rows), len(rows), columns)
    for (name, values, first), line in zip(rows, axes, strict=True):
        for ax in line:
            style.blank(ax)
        for n, ax in zip(range(first, values.shape[2]), line, strict=False):
            low, high = values.min(), values.max()
            ax.imshow(values[..., n], cmap="viridis", vmin=low, vmax=high)
            ax.set_xlabel(str(n), fontsize=8, labelpad=2)
        if first == 0:
            line[0].set_ylabel(name, fontsize=11, weight="bold")
    return figure


@style.styled
def vectors(layers: Mapping[str, np.ndarray]) -> Figure:
    """Draw the outputs of dense layers for one image as bars, a panel for each layer.

    Args:
        layers: name to (units,).
    """
    figure, axes = style.panels(1.5 * len(layers), len(layers))
    for ax, (name, values) in zip(axes[:, 0], layers.items(), strict=True):
        ax.bar(range(len(values)), values, color=style.COLOURS["dense"], width=0.8)
        ax.set(ylabel=name, xlim=(-1, len(values)))
        if len(values) <= 10:
            ax.set_xticks(range(len(values)))
    return figure
