"""Figures of test results: confusion matrix, error rates with intervals, a cumulative ablation (chapters 8 and 14)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lenet5lib.plots import style


def _name_rows(ax: Axes, names: Iterable[str], xlabel: str) -> None:
    """Name the rows from the top down; the horizontal axis begins at 0."""
    names = list(names)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel(xlabel)


@style.styled
def confusion(matrix: np.ndarray | pd.DataFrame) -> Figure:
    """Draw a confusion matrix with its counts; only errors are coloured, since they are what one looks for.

    Args:
        matrix: (classes, classes), a row for each label, a column for each predicted class; a table's names are written.
    """
    size = max(4.8, 0.3 * len(matrix))
    figure, ax = style.single(size, width=size + 0.4)
    classes = range(len(matrix))
    names = list(getattr(matrix, "columns", classes))
    matrix = np.asarray(matrix)
    errors = matrix * (1 - np.eye(len(matrix), dtype=int))
    ax.imshow(errors, cmap="Oranges", vmin=0, vmax=max(1, errors.max()) * 1.3)
    for (row, column), count in np.ndenumerate(matrix):
        weight = "bold" if row == column else "normal"
        text = f"{count:,}" if count else "·"
        style.write(ax, column, row, text, fontsize=8, weight=weight)
    ax.set(xlabel="predicted class", ylabel="label in the file")
    ax.set_xticks(classes, names, rotation=90 * isinstance(names[0], str))
    ax.set_yticks(classes, names)
    ax.grid(False)
    return figure


@style.styled
def intervals(
    results: Mapping[str, tuple[float, float, float]],
    detail: tuple[float, float],
) -> Figure:
    """Draw error rates with their confidence intervals, beside them a part of the axis enlarged.

    Args:
        results: name to (error, low, high), each 0–1.
        detail: the ends of the enlarged part, 0–1.
    """
    figure, axes = style.panels(0.8 + 0.4 * len(results), columns=2)
    for ax in axes[0]:
        for row, (error, low, high) in enumerate(results.values()):
            ends = [100 * low, 100 * high]
            ax.plot(ends, [row, row], color=style.TRAINING, linewidth=2)
            ax.plot(100 * error, row, "o", color=style.TRAINING)
        _name_rows(ax, results, "error (%)")
    axes[0, 1].set(xlim=[100 * end for end in detail], yticklabels=[])
    return figure


@style.styled
def cumulative_ablation(
    results: Mapping[str, np.ndarray], references: Mapping[str, float]
) -> Figure:
    """Draw the test errors of a chain of changes, a row for each: every seed as a dot, mean and standard deviation.

    Args:
        results: what was changed, in order, and the errors of its seeds, 0–1.
        references: name to an error, 0–1, that a vertical line marks for comparison.
    """
    figure, ax = style.single(0.36 * len(results) + 1.3)
    beside = {"transform": ax.get_yaxis_transform(), "ha": "left"}
    for row, errors in enumerate(results.values()):
        percent = 100 * np.asarray(errors)
        mean, spread = percent.mean(), percent.std(ddof=1)
        rows = np.full(len(percent), row)
        ax.plot(percent, rows, "o", color=style.TEST, alpha=0.35)
        ax.errorbar(mean, row, xerr=spread, fmt="|", color="black")
        style.write(ax, 1.01, row, f"{mean:.2f} ± {spread:.2f}", **beside)
    style.mark_lines(ax, {name: 100 * x for name, x in references.items()})
    _name_rows(ax, results, "test error (%)")
    figure.legend(loc="outside upper center", ncols=3, fontsize=9)
    return figure
