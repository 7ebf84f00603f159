"""Figures of lines: loss and accuracy over epochs and steps, learning rates, functions (chapters 3, 5, 7, 10, 12–14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lenet5lib.plots import style
from lenet5lib.records import Record

_LOSS = "loss (nats/image)"
_SETS = {
    "": ("training", style.TRAINING, "-"),
    "val_": ("validation", style.VALIDATION, "--"),
    "test_": ("test", style.TEST, ":"),
}
"""How a metric's name begins, to the data set, its colour and its dashes."""


def _name_data(figure: Figure, record: Record) -> None:
    """Write below a figure of a run which data it was trained on."""
    figure.supxlabel(f"data: {record.dataset_name}", fontsize=8, color=style.GREY)


@style.styled
def curves(record: Record) -> Figure:
    """Draw loss and accuracy over the epochs, training and validation, and mark where the run was resumed."""
    figure, axes = style.panels(3.0, columns=2)
    epochs = record.column("epoch")
    marker = "o" if len(epochs) <= 30 else ""
    look: style.Options = {"marker": marker, "markersize": 4}
    metrics = {"loss": _LOSS, "accuracy": "accuracy"}
    for ax, (metric, label) in zip(axes[0], metrics.items(), strict=True):
        for prefix in ("", "val_"):
            name, colour, dashes = _SETS[prefix]
            values = record.column(prefix + metric)
            ax.plot(epochs, values, dashes, color=colour, label=name, **look)
        for n, epoch in enumerate(record.resume_points):
            once = None if n else "resumed"
            ax.axvline(epoch + 0.5, color=style.MARK, linestyle=":", label=once)
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
    _name_data(figure, record)
    return figure


@style.styled
def long_run(record: Record, marked: Mapping[str, int]) -> Figure:
    """Draw loss and error over many epochs on logarithmic scales, with the test set's where the record has them.

    Args:
        record: of the run.
        marked: text for the legend to the epoch that a vertical line marks.
    """
    figure, axes = style.panels(3.6, columns=2)
    left, right = axes[0]
    epochs = record.column("epoch")
    for prefix, (name, colour, _) in _SETS.items():
        if f"{prefix}loss" not in record.metrics:
            continue
        errors = 100 * (1 - np.array(record.column(f"{prefix}accuracy")))
        errors[errors == 0] = np.nan  # It has no place on a logarithmic scale.
        for ax, values in ((left, record.column(f"{prefix}loss")), (right, errors)):
            ax.plot(epochs, values, "-", color=colour, linewidth=1, label=name)
    for ax, label in ((left, _LOSS), (right, "error (%)")):
        ax.set(xlabel="epoch", ylabel=label, yscale="log")
        style.mark_lines(ax, marked)
    right.yaxis.set_major_formatter("{x:g}")
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, fontsize=9)
    _name_data(figure, record)
    return figure


@style.styled
def first_steps(losses: Mapping[str, np.ndarray]) -> Figure:
    """Draw the training loss over first steps, the mean over the seeds.

    Args:
        losses: name to (seeds, numbers), each number the mean of ten steps.
    """
    figure, ax = style.single(3.2)
    lines = {
        name: (10 * np.arange(1, runs.shape[1] + 1), runs.mean(axis=0))
        for name, runs in losses.items()
    }
    style.draw_lines(ax, lines, xlabel="steps taken", ylabel=_LOSS, ylim=(0, 2.6))
    ax.axhline(np.log(10), color=style.GREY, linewidth=0.8, linestyle=":")
    ax.legend(loc="center right")
    return figure


@style.styled
def range_test(rates: np.ndarray, losses: np.ndarray) -> Figure:
    """Draw the loss of each step over its learning rate, with the mean of every ten.

    Args:
        rates, losses: one for each step, a multiple of ten.
    """
    figure, ax = style.single(3.0)
    middle = np.exp(np.log(rates).reshape(-1, 10).mean(axis=1))
    ax.plot(rates, losses, color=style.GREY, linewidth=0.6)
    ax.plot(middle, losses.reshape(-1, 10).mean(axis=1), color=style.SERIES[0])
    ax.set(xscale="log", xlabel="learning rate", ylabel=_LOSS, ylim=(0, 4))
    return figure


@style.styled
def activation_functions(
    functions: Mapping[str, Sequence[np.ndarray]],
    inputs: np.ndarray,
    limits: tuple[float, float] = (-1.1, 1.6),
) -> Figure:
    """Draw activation functions, and beside them their derivatives if these are given.

    Args:
        functions: name to (values,), or to (values, derivatives), at the inputs.
        inputs: the points on the horizontal axis.
        limits: of the vertical axes.
    """
    count = len(next(iter(functions.values())))
    figure, axes = style.panels(2.8, columns=count, width=3.6 * count)
    for n, label in enumerate(("output", "derivative")[:count]):
        lines = {name: (inputs, values[n]) for name, values in functions.items()}
        style.draw_lines(
            axes[0, n], lines, xlabel="input", ylabel=label, ylim=limits
        )
    return figure


@style.styled
def borders(
    outputs: Mapping[str, np.ndarray],
    grid: np.ndarray,
    points: np.ndarray,
    targets: Sequence[int],
) -> Figure:
    """Draw where the output of each network with two inputs is above 0, and points with the class that each should get.

    Args:
        outputs: name to the values on the grid, (n, n), rows along the second input.
        grid: the positions along both axes, (n,).
        points: (p, 2).
        targets: 1 for each point at which the output should be above 0, else 0.
    """
    figure, axes = style.panels(3.3, columns=len(outputs))
    above = style.COLOURS["dense"]
    for ax, (name, values) in zip(axes[0], outputs.items(), strict=True):
        shade: style.Options = {"colors": [above], "alpha": 0.25}
        ax.contourf(grid, grid, values, levels=[0, np.inf], **shade)
        ax.contour(grid, grid, values, levels=[0], colors=[above])
        for (x, y), target in zip(points, targets, strict=True):
            fill = style.INK if target else "white"
            ax.plot(x, y, "o", color=style.INK, markerfacecolor=fill, markersize=9)
        ax.set(xlabel=f"$x_0$\n{name}", ylabel="$x_1$", aspect="equal")
        ax.grid(False)
    return figure


@style.styled
def learning_rates(schedules: Mapping[str, np.ndarray], epochs: int) -> Figure:
    """Draw the learning rate over a training run, a line for each schedule.

    Args:
        schedules: name to the learning rate at each step, (steps,).
        epochs: number of epochs that these steps make up.
    """
    figure, ax = style.single(2.6)
    lines = {
        name: (np.linspace(0, epochs, len(values)), values)
        for name, values in schedules.items()
    }
    style.draw_lines(ax, lines, xlabel="epoch", ylabel="learning rate")
    ax.set_ylim(bottom=0)
    return figure


@style.styled
def rubbish_class(
    distances: np.ndarray,
    losses: Mapping[str, np.ndarray],
    gradients: Mapping[str, np.ndarray],
) -> Figure:
    """Draw what the distance of the rubbish class does to the loss of an image and to the gradient at an incorrect code.

    Args:
        distances: on the horizontal axes.
        losses: name to the loss when the code of the label is at each distance, in nats.
        gradients: name to the gradient's magnitude when an incorrect code is at each distance.
    """
    figure, axes = style.panels(3.0, columns=2)
    labels = (
        ("distance of the correct code", _LOSS),
        ("distance of an incorrect code", "gradient magnitude (nats/unit)"),
    )
    panel = zip(axes[0], (losses, gradients), labels, strict=True)
    for ax, lines, (xlabel, ylabel) in panel:
        named = {name: (distances, values) for name, values in lines.items()}
        style.draw_lines(ax, named, xlabel=xlabel, ylabel=ylabel)
        ax.set_xlim(distances[0], distances[-1])
        ax.set_ylim(bottom=-0.03 * ax.get_ylim()[1])  # A line at 0 shows.
    return figure
