"""Every figure of the book. Each function takes data and returns a Matplotlib figure; none trains, loads or shows.

One colour for each kind of layer, everywhere; the palette is Okabe and Ito's, safe for colour-blind readers. Figures have
their own light background, so that they read alike on light and dark pages.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lenet5lib import arithmetic
from lenet5lib.records import TEST_METRICS, Record
from lenet5lib.spec import RBF, Architecture, Conv, Dense, pair

COLOURS = {
    "input": "#6b6b6b",
    "convolution": "#0072b2",
    "pooling": "#c77700",
    "subsampling": "#8a4b08",
    "flatten": "#6b6b6b",
    "dropout": "#6b6b6b",
    "dense": "#00795a",
    "rbf": "#8c2d8c",
}
DARK_COLOURS = {
    "input": "#a3abb5",
    "convolution": "#56b4e9",
    "pooling": "#e69f00",
    "subsampling": "#c98a4b",
    "flatten": "#a3abb5",
    "dropout": "#a3abb5",
    "dense": "#2fbf94",
    "rbf": "#d58ad5",
}
"""The same hues for dark pages: the cover's figure, the tables and the page to draw on."""
SIGNED = "PuOr"
"""The colour map of signed numbers: orange is negative, purple positive, and zero in the middle of both is white."""
TRAINING, VALIDATION, TEST, MARK = "#0072b2", "#c77700", "#00795a", "#8c2d8c"
SERIES = ("#0072b2", "#c77700", "#00795a", "#8c2d8c", "#56606b")
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "#fdfdfb",
    "axes.facecolor": "#fdfdfb",
    "savefig.facecolor": "#fdfdfb",
    "svg.hashsalt": "lenet5lib",
}


def _styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the book's style and leave the reader's own settings alone."""

    @functools.wraps(function)
    def draw(*args, **kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            figure = function(*args, **kwargs)
            figure.draw_without_rendering()
            # Laid out once: each further pass would move everything a little.
            figure.set_layout_engine("none")
            return figure

    return draw


def _figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **kwargs
) -> tuple[Figure, np.ndarray]:
    """Return a figure of this size in inches and its axes, always as an array (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def png(figure: Figure) -> bytes:
    """Return the figure as the bytes of a PNG file, 150 dots an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor=figure.get_facecolor())
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
    return (
        b"\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + b"\n"
    )


def _blank(ax: Axes) -> None:
    """Remove ticks, grid and frame."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _grey(ax: Axes, image: np.ndarray) -> None:
    """Show a digit as ink on paper: dark strokes on a light ground."""
    ax.imshow(
        image, cmap="gray_r", vmin=0, vmax=255 if image.dtype == np.uint8 else None
    )
    _blank(ax)


@_styled
def digits(
    images: np.ndarray, captions: Sequence[str] = (), columns: int = 8
) -> Figure:
    """Draw digits in rows, ink dark on light, a caption under each.

    Args:
        images: uint8 (n, 28, 28).
        captions: n texts, or none.
        columns: digits in a row.
    """
    rows = -(-len(images) // columns)
    figure, axes = _figure(
        min(7.2, 0.95 * columns), rows * (1.2 if captions else 0.95), rows, columns
    )
    for ax in axes.flat:
        _blank(ax)
    for n, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        _grey(ax, image)
        if captions:
            ax.set_xlabel(captions[n], fontsize=9, labelpad=3)
    return figure


@_styled
def pixels(image: np.ndarray, rows: slice, columns: slice) -> Figure:
    """Draw a digit beside an enlarged part of it with the number in every pixel.

    Args:
        image: uint8 (28, 28).
        rows, columns: the part to enlarge; both slices need a start and a stop.
    """
    figure, axes = _figure(7.2, 3.5, 1, 2, width_ratios=(1, 1.15))
    whole, part = axes[0]
    _grey(whole, image)
    corner = (columns.start - 0.5, rows.start - 0.5)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    whole.add_patch(
        Rectangle(
            corner, *size, fill=False, edgecolor=COLOURS["convolution"], linewidth=2
        )
    )
    whole.add_patch(
        Rectangle((3.5, 3.5), 20, 20, fill=False, edgecolor=MARK, linestyle="--")
    )
    whole.set_xlabel("28 × 28 pixels; the dashed box is 20 × 20")
    _numbers(part, image[rows, columns], "gray_r", 0, 255)
    part.set_xlabel(
        f"rows {rows.start}–{rows.stop - 1}, columns {columns.start}–{columns.stop - 1}"
    )
    return figure


def _numbers(
    ax: Axes,
    values: np.ndarray,
    colours: str,
    low: float,
    high: float,
    text: str = "{:.0f}",
) -> None:
    """Draw a small matrix as coloured cells with the numbers in them."""
    picture = ax.imshow(values, cmap=colours, vmin=low, vmax=high)
    _blank(ax)
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = picture.cmap(picture.norm(value))
        bright = 0.299 * red + 0.587 * green + 0.114 * blue
        ink = "black" if bright > 0.5 else "white"
        ax.text(
            column,
            row,
            text.format(value),
            ha="center",
            va="center",
            fontsize=8,
            color=ink,
        )


@_styled
def worked_convolution(
    image: np.ndarray, kernel: np.ndarray, result: np.ndarray
) -> Figure:
    """Draw a small input, a kernel and the output side by side with their numbers, the first window framed.

    Args:
        image: (height, width); kernel: (kernel height, kernel width); result: (output height, output width).
    """
    parts = (("input", image), ("kernel", kernel), ("output", result))
    figure, axes = _figure(
        7.2, 2.6, 1, 3, width_ratios=[values.shape[1] + 0.5 for _, values in parts]
    )
    limit = max(np.abs(values).max() for _, values in parts)
    for ax, (name, values) in zip(axes[0], parts, strict=True):
        _numbers(ax, values, SIGNED, -2 * limit, 2 * limit, "{:g}")
        ax.set_xlabel(f"{name}, {arithmetic.shape_text(values.shape)}")
    for ax, (height, width) in ((axes[0, 0], kernel.shape), (axes[0, 2], (1, 1))):
        frame = Rectangle(
            (-0.5, -0.5),
            width,
            height,
            fill=False,
            edgecolor=COLOURS["convolution"],
            linewidth=3,
        )
        frame.set_clip_on(False)
        ax.add_patch(frame)
    return figure


@_styled
def windows(cases: Sequence[tuple[int, int, int, int]]) -> Figure:
    """Draw one row of pixels for each case, with every position of the window beneath it.

    Args:
        cases: (input size, kernel size, stride, padding) for each; padding is zeros at each end.
    """
    counts = [arithmetic.output_size(*case) for case in cases]
    heights = [2.2 + 0.42 * count for count in counts]
    figure, axes = _figure(7.2, 0.42 * sum(heights))
    ax, top = axes[0, 0], 0.0
    for (size, kernel, stride, padding), count, height in zip(
        cases, counts, heights, strict=True
    ):
        ax.text(
            -padding,
            top - 0.35,
            f"i = {size}, k = {kernel}, s = {stride}, p = {padding}:  o = {count}",
            va="center",
        )
        for x in range(-padding, size + padding):
            inside = 0 <= x < size
            style = {
                "facecolor": "#d9d9d9" if inside else "#fdfdfb",
                "edgecolor": "#555555",
            }
            ax.add_patch(
                Rectangle(
                    (x, top - 1.5),
                    1,
                    0.8,
                    linestyle="-" if inside else ":",
                    **style,
                )
            )
            ax.text(
                x + 0.5,
                top - 1.1,
                str(x) if inside else "0",
                ha="center",
                va="center",
                fontsize=9,
            )
        for n in range(count):
            x, y = n * stride - padding, top - 1.95 - 0.42 * n
            ax.add_patch(
                Rectangle(
                    (x + 0.06, y),
                    kernel - 0.12,
                    0.34,
                    facecolor=COLOURS["convolution"],
                )
            )
            ax.text(
                x + kernel / 2,
                y + 0.16,
                str(n),
                ha="center",
                va="center",
                fontsize=8,
                color="white",
            )
        top -= height
    ax.set_xlim(
        -max(padding for *_, padding in cases) - 0.2,
        max(size + padding for size, *_, padding in cases) + 3,
    )
    ax.set_ylim(top, 0.1)
    _blank(ax)
    return figure


@_styled
def network(
    architecture: Architecture, rows: int = 1, dark: bool = False
) -> Figure:
    """Draw the network from its specification: stacks of maps, then vectors, each with its shape and parameters.

    Args:
        architecture: what to draw.
        rows: 2 breaks the drawing in the middle, for a phone's width.
        dark: for a dark page.
    """
    hidden = ("flatten", "dropout")
    layers = [
        row for row in arithmetic.table(architecture) if row.kind not in hidden
    ]
    entries = [("Input", "input", architecture.input_shape, None)]
    entries += [
        (row.layer, row.kind, row.output_shape, row.params) for row in layers
    ]
    paint = _PAINT[dark]
    cut = -(-len(entries) // rows)
    size = (8.8, 3.0) if rows == 1 else (5.2, 2.35 * rows)
    figure, axes = _figure(*size, rows)
    figure.set_facecolor(paint["ground"])
    for n, ax in enumerate(axes[:, 0]):
        ax.set_facecolor(paint["ground"])
        part = entries[n * cut : (n + 1) * cut]
        width = _network_row(ax, architecture, part, paint)
        ax.set_xlim(-2.0, width - 0.4)
        ax.set_ylim(-3.45, 2.6)
        ax.set_aspect("equal")
        _blank(ax)
    _network_key(
        axes[-1, 0], list(dict.fromkeys(row.kind for row in layers)), paint
    )
    return figure


_PAINT = {
    False: {**COLOURS, "ground": "#fdfdfb", "text": "#000000", "faint": "#555555"},
    True: {
        **COLOURS,
        **DARK_COLOURS,
        "ground": "#121212",
        "text": "#f0f0f0",
        "faint": "#b5b5b5",
    },
}
"""The colours of the network's drawing, by whether the page is dark."""


def _network_row(
    ax: Axes,
    architecture: Architecture,
    entries: Sequence[tuple],
    paint: Mapping[str, str],
) -> float:
    """Draw layers, (name, kind, shape, parameters) each, from left to right; return the width."""
    x, previous = 0.0, None
    for name, kind, shape, count in entries:
        flat = len(shape) == 1 or shape[:2] == (1, 1)
        width, front = (
            _vector(ax, x, shape[-1], kind, paint)
            if flat
            else _stack(ax, x, shape, kind, paint)
        )
        if previous is not None:
            _wires(ax, architecture[name], previous, front, paint)
        middle = x + width / 2
        centred = {"ha": "center", "color": paint[kind]}
        ax.text(middle, 2.15, name, fontsize=11, weight="bold", **centred)
        below = arithmetic.shape_text(shape)
        below += "" if count is None else f"\n{count:,}"
        centred = {"ha": "center", "va": "top", "color": paint["text"]}
        ax.text(middle, -2.05, below, fontsize=9, **centred)
        previous = front
        x += width + (1.15 if flat else 0.8)
    heading = {"ha": "right", "va": "top", "color": paint["faint"]}
    ax.text(-0.45, -2.05, "shape\nparameters", fontsize=9, **heading)
    return x


def _network_key(ax: Axes, kinds: Sequence[str], paint: Mapping[str, str]) -> None:
    """Name the colour of each kind of layer under the drawing."""
    middle = sum(ax.get_xlim()) / 2
    for n, kind in enumerate(kinds):
        left = middle - 1.3 * len(kinds) + 3.0 * n
        ax.add_patch(Rectangle((left, -3.25), 0.3, 0.3, facecolor=paint[kind]))
        ax.text(
            left + 0.45,
            -3.1,
            kind.replace("rbf", "RBF"),
            va="center",
            fontsize=9,
            color=paint["text"],
        )


def _side(pixels: int) -> float:
    """Return the drawn side of a map: large maps are shortened, so that small ones stay visible."""
    return 0.42 * pixels**0.5


def _stack(
    ax: Axes, x: float, shape: Sequence[int], kind: str, paint: Mapping[str, str]
) -> tuple[float, tuple[float, float, float, float]]:
    """Draw a stack of maps at x; return its width and the front map's (left, bottom, width, height)."""
    height, width = _side(shape[0]), _side(shape[1])
    offset = 0.5 / max(shape[2], 6) ** 0.5
    depth = offset * (shape[2] - 1) * 0.6
    for n in range(shape[2]):
        slide = depth - n * offset * 0.6
        corner = (x + slide, -height / 2 + slide - depth / 2)
        ax.add_patch(
            Rectangle(
                corner,
                width,
                height,
                facecolor=paint[kind],
                edgecolor=paint["ground"],
                linewidth=0.8,
                alpha=0.9,
            )
        )
    return width + depth, (x, -height / 2 - depth / 2, width, height)


def _vector(
    ax: Axes, x: float, units: int, kind: str, paint: Mapping[str, str]
) -> tuple[float, tuple[float, float, float, float]]:
    """Draw a vector at x as a bar; return its width and (left, bottom, width, height)."""
    height = 0.55 * units**0.36
    ax.add_patch(
        Rectangle(
            (x, -height / 2),
            0.3,
            height,
            facecolor=paint[kind],
            edgecolor=paint["ground"],
            alpha=0.9,
        )
    )
    return 0.3, (x, -height / 2, 0.3, height)


def _wires(
    ax: Axes, layer, source: tuple, target: tuple, paint: Mapping[str, str]
) -> None:
    """Draw how a layer reads: a window narrowing to a point, or every unit to every unit."""
    left, bottom, width, height = source
    lines = {"color": paint["faint"], "linewidth": 0.8, "alpha": 0.9, "zorder": 5}
    if isinstance(layer, (Dense, RBF)):
        for top in (bottom, bottom + height):
            end = target[1] if top == bottom else target[1] + target[3]
            ax.plot([left + width, target[0]], [top, end], **lines)
        return
    window = pair(layer.kernel_size if isinstance(layer, Conv) else layer.size)
    side = min(max(0.16, _side(28) * window[0] / 28 * 1.2), height)
    corner = (left + width - side * 1.25, bottom + height * 0.55)
    ax.add_patch(
        Rectangle(
            corner,
            side,
            side,
            fill=False,
            edgecolor=paint["ground"],
            linewidth=1.4,
            zorder=6,
        )
    )
    end = (target[0] + target[2] * 0.3, target[1] + target[3] * 0.62)
    for y in (corner[1], corner[1] + side):
        ax.plot([corner[0] + side, end[0]], [y, end[1]], **lines)


@_styled
def layer_shares(architecture: Architecture) -> Figure:
    """Draw each layer's share of the parameters and of the multiply–accumulates, in per cent."""
    rows = [row for row in arithmetic.table(architecture) if row.macs]
    figure, axes = _figure(7.2, 2.6, 1, 2, sharey=True)
    for ax, count, name in (
        (axes[0, 0], "params", "parameters"),
        (axes[0, 1], "macs", "multiply–accumulates"),
    ):
        total = sum(getattr(row, count) for row in rows)
        shares = [100 * getattr(row, count) / total for row in rows]
        bars = ax.barh(
            [row.layer for row in rows],
            shares,
            color=[COLOURS[row.kind] for row in rows],
        )
        ax.bar_label(
            bars, [f"{share:.1f} %" for share in shares], padding=3, fontsize=9
        )
        ax.set_xlabel(f"share of {total:,} {name} (%)")
        ax.set_xlim(0, 100)
        ax.invert_yaxis() if count == "params" else None
        ax.grid(axis="y", visible=False)
    return figure


@_styled
def receptive_fields(
    architecture: Architecture, image: np.ndarray, layer_names: Sequence[str]
) -> Figure:
    """Draw a digit with the receptive field framed of one unit of each layer, the middle one or the next after it.

    Args:
        architecture: whose receptive fields.
        image: uint8 (28, 28).
        layer_names: the layers to frame, one panel each.
    """
    shapes = {row.layer: row.output_shape for row in arithmetic.table(architecture)}
    figure, axes = _figure(7.2, 2.0, 1, len(layer_names))
    for ax, name in zip(axes[0], layer_names, strict=True):
        middle = (
            [size // 2 for size in shapes[name][:2]]
            if len(shapes[name]) == 3
            else [0, 0]
        )
        rows, columns = arithmetic.receptive_window(architecture, name, *middle)
        _grey(ax, image)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        frame = Rectangle(
            (columns.start - 0.5, rows.start - 0.5),
            width,
            height,
            fill=False,
            linewidth=2.5,
            edgecolor=COLOURS[architecture[name].kind],
        )
        frame.set_clip_on(False)
        ax.add_patch(frame)
        ax.set_xlim(-3, 30)
        ax.set_ylim(30, -3)
        ax.set_xlabel(f"{name}: {height} × {width}")
    return figure


@_styled
def curves(record: Record) -> Figure:
    """Draw loss and accuracy over the epochs, training and validation, each resume point marked."""
    figure, axes = _figure(7.2, 3.0, 1, 2)
    epochs = record.column("epoch")
    for ax, metric, label in (
        (axes[0, 0], "loss", "loss (nats a digit)"),
        (axes[0, 1], "accuracy", "accuracy"),
    ):
        marker = "o" if len(epochs) <= 30 else ""
        ax.plot(
            epochs,
            record.column(metric),
            color=TRAINING,
            marker=marker,
            markersize=4,
            label="training",
        )
        ax.plot(
            epochs,
            record.column(f"val_{metric}"),
            color=VALIDATION,
            marker=marker,
            markersize=4,
            linestyle="--",
            label="validation",
        )
        for n, epoch in enumerate(record.resume_points):
            ax.axvline(
                epoch + 0.5,
                color=MARK,
                linestyle=":",
                label="resumed" if n == 0 else None,
            )
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
    figure.supxlabel(f"data: {record.source}", fontsize=8, color="#555555")
    return figure


@_styled
def long_run(record: Record, marked: Mapping[str, int]) -> Figure:
    """Draw loss and error over many epochs on logarithmic scales, test included where it was watched, some epochs marked.

    Args:
        record: of the run.
        marked: a word for the legend and the epoch, for each epoch to mark.
    """
    figure, axes = _figure(7.2, 3.6, 1, 2)
    epochs = record.column("epoch")
    lines = [
        ("", TRAINING, "training", "-"),
        ("val_", VALIDATION, "validation", "-"),
    ]
    if TEST_METRICS[0] in record.metrics:
        lines.append(("test_", TEST, "test", "-"))
    for prefix, color, label, style in lines:
        errors = 100 * (1 - np.array(record.column(f"{prefix}accuracy")))
        # No error at all has no place on a logarithmic scale.
        shown = np.where(errors > 0, errors, np.nan)
        for ax, values in (
            (axes[0, 0], record.column(f"{prefix}loss")),
            (axes[0, 1], shown),
        ):
            ax.plot(epochs, values, style, color=color, linewidth=1, label=label)
    for ax, label in (
        (axes[0, 0], "loss (nats a digit)"),
        (axes[0, 1], "error (%)"),
    ):
        ax.set_yscale("log")
        for (name, epoch), style in zip(
            marked.items(), ("--", ":", "-."), strict=False
        ):
            ax.axvline(epoch, color=MARK, linestyle=style, linewidth=1, label=name)
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
    axes[0, 1].yaxis.set_major_formatter("{x:g}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=9)
    figure.supxlabel(f"data: {record.source}", fontsize=8, color="#555555")
    return figure


@_styled
def first_epoch(runs: Mapping[str, Record]) -> Figure:
    """Draw the training loss along the first epoch of several runs.

    Args:
        runs: name to record.
    """
    figure, axes = _figure(7.2, 3.0)
    ax = axes[0, 0]
    for (name, record), colour, line in zip(
        runs.items(), SERIES, ("-", "--", "-.", ":", "-"), strict=False
    ):
        steps, losses = zip(*record.epochs[0]["steps"], strict=True)
        ax.plot(steps, losses, line, color=colour, label=name)
    ax.axhline(np.log(10), color="#555555", linewidth=0.8, linestyle=":")
    ax.text(
        1,
        np.log(10) + 0.04,
        "ln 10, a guess",
        fontsize=9,
        color="#555555",
        ha="right",
        transform=ax.get_yaxis_transform(),
    )
    ax.set_xlabel("steps taken")
    ax.set_ylabel("loss (nats a digit)")
    ax.set_ylim(0, 2.6)
    ax.legend()
    return figure


@_styled
def activation_functions(
    functions: Mapping[str, tuple[np.ndarray, np.ndarray]],
    inputs: np.ndarray,
    limits: tuple[float, float] = (-1.1, 1.6),
) -> Figure:
    """Draw activation functions and their slopes.

    Args:
        functions: name to (values, slopes) at the inputs.
        inputs: the points on the horizontal axis.
        limits: of the vertical axes.
    """
    figure, axes = _figure(7.2, 2.8, 1, 2)
    for (name, lines), colour, style in zip(
        functions.items(), SERIES, ("-", "--", "-.", ":"), strict=False
    ):
        for ax, values in zip(axes[0], lines, strict=True):
            ax.plot(inputs, values, style, color=colour, label=name)
    for ax, label in zip(axes[0], ("output", "slope"), strict=True):
        ax.set_xlabel("input")
        ax.set_ylabel(label)
        ax.set_ylim(*limits)
        ax.legend()
    return figure


@_styled
def confusion(matrix: np.ndarray) -> Figure:
    """Draw a confusion matrix with its counts; only the mistakes are coloured, since they are what one looks for.

    Args:
        matrix: (10, 10), a row for each label, a column for each answer.
    """
    figure, axes = _figure(5.2, 4.8)
    ax = axes[0, 0]
    matrix = np.asarray(matrix)
    wrong = matrix * (1 - np.eye(len(matrix), dtype=int))
    ax.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(1, wrong.max()) * 1.3)
    for (row, column), count in np.ndenumerate(matrix):
        weight = "bold" if row == column else "normal"
        ax.text(
            column,
            row,
            f"{count:,}" if count else "·",
            ha="center",
            va="center",
            fontsize=8,
            weight=weight,
        )
    ax.set_xticks(range(len(matrix)))
    ax.set_yticks(range(len(matrix)))
    ax.set_xlabel("answer of the network")
    ax.set_ylabel("label in the file")
    ax.grid(False)
    return figure


@_styled
def intervals(results: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Draw error rates with their intervals.

    Args:
        results: name to (error, low, high), each 0–1.
    """
    figure, axes = _figure(7.2, 0.8 + 0.4 * len(results))
    ax = axes[0, 0]
    for row, (error, low, high) in enumerate(results.values()):
        ax.plot([100 * low, 100 * high], [row, row], color=TRAINING, linewidth=2)
        ax.plot(100 * error, row, "o", color=TRAINING)
    ax.set_yticks(range(len(results)), results)
    ax.set_ylim(len(results) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel("error (%), with its 95 % interval")
    return figure


@_styled
def kernels(weights: np.ndarray) -> Figure:
    """Draw the kernels of a convolution: a row for each input map, a column for each output map, zero in white.

    Args:
        weights: (kernel height, kernel width, input maps, output maps), the layout of Keras.
    """
    _, _, in_maps, out_maps = weights.shape
    cell = min(1.0, 7.0 / out_maps)
    figure, axes = _figure(
        cell * out_maps + 0.4, cell * in_maps + 0.5, in_maps, out_maps
    )
    limit = np.abs(weights).max()
    for (row, column), ax in np.ndenumerate(axes):
        ax.imshow(weights[:, :, row, column], cmap=SIGNED, vmin=-limit, vmax=limit)
        _blank(ax)
        if row == in_maps - 1:
            ax.set_xlabel(str(column), fontsize=8)
        if column == 0 and in_maps > 1:
            ax.set_ylabel(str(row), fontsize=8)
    return figure


@_styled
def feature_maps(layers: Mapping[str, np.ndarray], columns: int = 8) -> Figure:
    """Draw the maps of several layers for one digit, each layer on its own scale from its lowest to its highest value.

    Args:
        layers: name to (height, width, maps).
        columns: maps in a row.
    """
    rows = [
        (name, values, first)
        for name, values in layers.items()
        for first in range(0, values.shape[2], columns)
    ]
    figure, axes = _figure(7.2, 0.98 * len(rows), len(rows), columns)
    for (name, values, first), line in zip(rows, axes, strict=True):
        for ax in line:
            _blank(ax)
        for n, ax in zip(range(first, values.shape[2]), line, strict=False):
            ax.imshow(
                values[..., n], cmap="viridis", vmin=values.min(), vmax=values.max()
            )
            ax.set_xlabel(str(n), fontsize=8, labelpad=2)
        if first == 0:
            line[0].set_ylabel(name, fontsize=11, weight="bold")
    return figure


@_styled
def vectors(layers: Mapping[str, np.ndarray]) -> Figure:
    """Draw the outputs of dense layers for one digit as bars, a panel a layer.

    Args:
        layers: name to (units,).
    """
    figure, axes = _figure(7.2, 1.5 * len(layers), len(layers), 1)
    for ax, (name, values) in zip(axes[:, 0], layers.items(), strict=True):
        ax.bar(range(len(values)), values, color=COLOURS["dense"], width=0.8)
        ax.set_ylabel(name)
        ax.set_xlim(-1, len(values))
        if len(values) <= 10:
            ax.set_xticks(range(len(values)))
    return figure


@_styled
def steps(
    rates: Mapping[str, float], limits: Mapping[str, float], chosen: str = ""
) -> Figure:
    """Draw how fast several programs for the same sums are, and limits as lines.

    Args:
        rates: name to GFLOP/s.
        limits: name to GFLOP/s.
        chosen: the name to set apart in colour.
    """
    figure, axes = _figure(7.2, 0.9 + 0.36 * len(rates))
    ax = axes[0, 0]
    colours = [SERIES[0] if name == chosen else SERIES[4] for name in rates]
    bars = ax.barh(list(rates), list(rates.values()), color=colours)
    most = max(*rates.values(), *limits.values())
    for bar, rate in zip(bars, rates.values(), strict=True):
        text = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
        middle = bar.get_y() + bar.get_height() / 2
        ax.text(rate + most * 0.01, middle, text, va="center", fontsize=9)
    for name, limit in limits.items():
        ax.axvline(limit, color="#333333", linestyle="--", linewidth=1)
        ax.annotate(
            name,
            (limit, -0.6),
            (-3, 0),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=9,
        )
    ax.set_xlim(0, most * 1.1)
    ax.set_xlabel("GFLOP/s")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return figure


@_styled
def roofline(
    points: Mapping[tuple[str, str], tuple[str, float, float]],
    limit: float,
    bandwidth: float,
) -> Figure:
    """Draw measured layers under the two limits of a machine, both axes logarithmic.

    Args:
        points: (layer, "keras" or "loops") to (kind of layer, FLOP/byte, FLOP per second).
        limit: FLOP per second of a large matrix product.
        bandwidth: bytes per second of a large copy.
    """
    figure, axes = _figure(7.2, 4.2)
    ax = axes[0, 0]
    reach = [point[1] for point in points.values()]
    ends = np.array([min(*reach, limit / bandwidth) / 2, max(reach) * 3])
    inner = np.sort(np.append(ends, limit / bandwidth))
    roof = np.minimum(limit, inner * bandwidth) / 1e9
    ax.loglog(inner, roof, color="#333333", linewidth=1.5)
    note = {"color": "#333333", "fontsize": 9}
    ax.text(ends[1], limit / 1e9 * 1.08, "matrix product", ha="right", **note)
    ax.text(inner[0], roof[0] * 1.5, "memory", ha="left", **note)
    for (name, engine), (kind, intensity, rate) in points.items():
        loops = engine == "loops"
        ax.plot(
            intensity,
            rate / 1e9,
            "s" if loops else "o",
            color=COLOURS[kind],
            markerfacecolor=COLOURS[kind] if loops else "none",
            markersize=8,
            markeredgewidth=2,
        )
        ax.annotate(
            name,
            (intensity, rate / 1e9),
            (-8 if loops else 8, 0),
            textcoords="offset points",
            ha="right" if loops else "left",
            va="center",
            fontsize=9,
        )
    for label, marker, fill in (("TensorFlow", "o", "none"), ("loops", "s", None)):
        grey = {"color": SERIES[4], "linestyle": "none", "markeredgewidth": 2}
        ax.plot([], [], marker, markerfacecolor=fill, label=label, **grey)
    ax.legend(loc="lower right")
    ax.set_xlabel("work for each byte (FLOP/byte)")
    ax.set_ylabel("useful work (GFLOP/s)")
    ax.set_ylim(top=limit / 1e9 * 2)
    return figure


@_styled
def accuracy_over_seconds(
    curves: Mapping[str, Sequence[Sequence[float]]], goal: float
) -> Figure:
    """Draw the accuracy on validation over the seconds of training, a point for each epoch, and a goal.

    Args:
        curves: name to pairs of (seconds, accuracy), accuracy from 0 to 1.
        goal: an accuracy.
    """
    figure, axes = _figure(7.2, 3.6)
    ax = axes[0, 0]
    for number, (name, points) in enumerate(curves.items()):
        seconds, accuracy = np.transpose(points)
        style = {
            "color": SERIES[number % len(SERIES)],
            "marker": "os^Dv"[number % 5],
        }
        ax.plot(seconds, 100 * accuracy, label=name, markersize=5, **style)
    ax.axhline(100 * goal, color="#333333", linestyle="--", linewidth=1)
    ax.set_xlim(left=0)
    ax.set_xlabel("seconds of training")
    ax.set_ylabel("accuracy on validation (%)")
    ax.legend(loc="lower right")
    return figure


@_styled
def epoch_seconds(
    programs: Mapping[str, tuple[float, float, float]], chosen: Sequence[str]
) -> Figure:
    """Draw the seconds that programs take for an epoch, with a line from the fastest to the slowest measurement on each bar.

    Args:
        programs: name to (median, fastest, slowest).
        chosen: the names to set apart in colour.
    """
    figure, axes = _figure(7.2, 0.9 + 0.34 * len(programs))
    ax = axes[0, 0]
    median, fastest, slowest = map(np.array, zip(*programs.values(), strict=True))
    colours = [SERIES[0] if name in chosen else SERIES[4] for name in programs]
    bars = ax.barh(
        list(programs),
        median,
        color=colours,
        xerr=(median - fastest, slowest - median),
        error_kw={"ecolor": "#222222", "elinewidth": 1, "capsize": 2},
    )
    for bar, value, end in zip(bars, median, slowest, strict=True):
        ax.text(
            end + max(slowest) * 0.015,
            bar.get_y() + bar.get_height() / 2,
            f"{value:.1f} s",
            va="center",
            fontsize=9,
        )
    ax.set_xlim(0, max(slowest) * 1.12)
    ax.set_xlabel("seconds for an epoch of 60,000 digits")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return figure


@_styled
def connection_table(
    table: Sequence[Sequence[int]],
    in_maps: int,
    names: tuple[str, str] = ("S2", "C3"),
) -> Figure:
    """Draw which input map feeds which output map: a row for each input map, a filled cell for each kernel.

    How many kernels stand in a row or a column is written at its end.

    Args:
        table: for each output map the input maps that feed it.
        in_maps: number of input maps.
        names: of the layer that is read, and of the layer that reads.
    """
    figure, axes = _figure(7.2, 1.1 + 0.36 * in_maps)
    ax, out_maps = axes[0, 0], len(table)
    for column, row in np.ndindex(out_maps, in_maps):
        joined = row in table[column]
        ax.add_patch(
            Rectangle(
                (column - 0.44, row - 0.44),
                0.88,
                0.88,
                facecolor=COLOURS["convolution"] if joined else "none",
                edgecolor=COLOURS["convolution"] if joined else "#b5b5b5",
                linewidth=0.8,
            )
        )
    counts = {"ha": "center", "va": "center", "fontsize": 9, "color": "#555555"}
    for column, row in enumerate(table):
        ax.text(column, in_maps - 0.1, str(len(row)), **counts)
    for row in range(in_maps):
        feeds = sum(row in sources for sources in table)
        ax.text(out_maps + 0.1, row, str(feeds), **counts)
    ax.text(out_maps + 0.1, in_maps - 0.1, str(sum(map(len, table))), **counts)
    _blank(ax)
    ax.set_xticks(range(out_maps))
    ax.set_yticks(range(in_maps))
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.xaxis.set_label_position("top")
    ax.set_xlabel(f"map of {names[1]}")
    ax.set_ylabel(f"map of {names[0]}")
    ax.set_xlim(-0.6, out_maps + 0.6)
    ax.set_ylim(in_maps + 0.4, -0.6)
    return figure


@_styled
def pictures(
    rows: Mapping[str, np.ndarray], captions: Sequence[str] = ()
) -> Figure:
    """Draw rows of small pictures, ink dark on light, each row under its name.

    Args:
        rows: name to pictures (n, height, width): uint8 from 0 to 255, or numbers of which −1 and below are paper and
            +1 and above are ink.
        captions: n texts, drawn under the last row; or none.
    """
    heights = [np.shape(row)[1] / np.shape(row)[2] for row in rows.values()]
    count = len(next(iter(rows.values())))
    size = 7.2, 0.3 + sum(heights) * 6.0 / count + 0.1 * len(rows)
    figure, axes = _figure(*size, len(rows), count, height_ratios=heights)
    for line, (name, row) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(line, row, strict=True):
            limits = (0, 255) if np.asarray(picture).dtype == np.uint8 else (-1, 1)
            ax.imshow(picture, cmap="gray_r", vmin=limits[0], vmax=limits[1])
            _blank(ax)
            for spine in ax.spines.values():
                spine.set(visible=True, color="#9a9a9a", linewidth=0.8)
        if len(rows) > 1:
            line[0].set_ylabel(name, fontsize=10)
    for ax, caption in zip(axes[-1], captions, strict=False):
        ax.set_xlabel(caption, fontsize=10, labelpad=3)
    return figure


@_styled
def rubbish_class(
    distances: np.ndarray,
    losses: Mapping[str, np.ndarray],
    pushes: Mapping[str, np.ndarray],
) -> Figure:
    """Draw what the distance of the rubbish class does: the loss of a digit, and the push on a wrong code.

    Args:
        distances: on the horizontal axes.
        losses: name to the loss when the code of the label is at each distance, in nats.
        pushes: name to the size of the loss's slope when a wrong code is at each distance.
    """
    figure, axes = _figure(7.2, 3.0, 1, 2)
    for ax, lines in zip(axes[0], (losses, pushes), strict=True):
        for (name, values), colour, style in zip(
            lines.items(), SERIES, ("-", "--", "-.", ":", "-"), strict=False
        ):
            ax.plot(distances, values, style, color=colour, label=name)
        ax.set_xlim(distances[0], distances[-1])
        ax.set_ylim(bottom=-0.03 * ax.get_ylim()[1])  # A line at 0 shows.
        ax.legend()
    left, right = axes[0]
    left.set_xlabel("distance of the right code")
    left.set_ylabel("loss (nats a digit)")
    right.set_xlabel("distance of a wrong code")
    right.set_ylabel("push away (nats a unit)")
    return figure


@_styled
def ladder(
    results: Mapping[str, np.ndarray], references: Mapping[str, float]
) -> Figure:
    """Draw the test errors of a chain of changes, a row for each: every seed as a dot, mean and standard deviation.

    Args:
        results: what was changed, in order, and the errors of its seeds, 0–1.
        references: a name and an error, 0–1, for each vertical line to compare with.
    """
    figure, axes = _figure(7.2, 0.36 * len(results) + 1.3)
    ax = axes[0, 0]
    for row, errors in enumerate(results.values()):
        percent = 100 * np.asarray(errors)
        ax.plot(percent, np.full(len(percent), row), "o", color=TEST, alpha=0.35)
        spread = percent.std(ddof=1)
        ax.errorbar(percent.mean(), row, xerr=spread, fmt="|", color="black")
        ax.text(
            1.01,
            row,
            f"{percent.mean():.2f} ± {spread:.2f}",
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=9,
        )
    for number, (name, error) in enumerate(references.items()):
        line = ("--", ":", "-.")[number % 3]
        ax.axvline(100 * error, color=MARK, linestyle=line, linewidth=1, label=name)
    ax.set_yticks(range(len(results)), list(results))
    ax.set_ylim(len(results) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel("test error (%)")
    figure.legend(loc="outside upper center", ncols=3, fontsize=9)
    return figure


@_styled
def learning_rates(schedules: Mapping[str, np.ndarray], epochs: int) -> Figure:
    """Draw the learning rate along a training, a line for each schedule.

    Args:
        schedules: name to the rate of each step, (steps,).
        epochs: how many these steps are.
    """
    figure, axes = _figure(7.2, 2.6)
    ax = axes[0, 0]
    for (name, rates), colour, line in zip(
        schedules.items(), SERIES, ("-", "--", "-.", ":", "-"), strict=False
    ):
        done = np.linspace(0, epochs, len(rates))
        ax.plot(done, rates, line, color=colour, label=name)
    ax.set_xlabel("epoch")
    ax.set_ylabel("learning rate")
    ax.set_ylim(bottom=0)
    ax.legend()
    return figure
