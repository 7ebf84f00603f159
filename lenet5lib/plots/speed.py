"""Figures of speed: throughput, the roofline, time per epoch, accuracy over time (chapter 15)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lenet5lib.plots import style

_BLUE, *_, _GREY = style.SERIES
_LIMIT: style.Options = {"color": style.INK, "linestyle": "--", "linewidth": 1}
_ENGINES: dict[str, style.Options] = {
    "keras": {"marker": "o", "markerfacecolor": "none", "label": "TensorFlow"},
    "loops": {"marker": "s", "label": "loops"},
}


def _bars(
    ax: Axes,
    lengths: Mapping[str, float],
    texts: Iterable[tuple[float, str]],
    selected: Collection[str] = (),
    **options: Any,
) -> None:
    """Draw named bars from the top down, the selected ones in blue, each with (where its text begins, the text)."""
    colours = [_BLUE if name in selected else _GREY for name in lengths]
    ax.barh(list(lengths), list(lengths.values()), color=colours, **options)
    for row, (x, text) in enumerate(texts):
        style.write(ax, x, row, text, ha="left")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)


def _annotate(
    ax: Axes, text: str, x: float, y: float, points: int, **options: Any
) -> None:
    """Write a text some points to the right of (x, y), or to the left where `points` is negative."""
    options |= {"ha": "left" if points > 0 else "right", "fontsize": 9}
    ax.annotate(text, (x, y), (points, 0), textcoords="offset points", **options)


@style.styled
def throughput(
    programs: Mapping[str, float], limits: Mapping[str, float]
) -> Figure:
    """Draw the throughput of several programs that compute the same, and limits as lines.

    Args:
        programs: name to GFLOP/s.
        limits: name to GFLOP/s.
    """
    figure, ax = style.single(0.9 + 0.36 * len(programs))
    highest = max(*programs.values(), *limits.values())
    texts = [
        (value + 0.01 * highest, f"{value:.0f}" if value >= 10 else f"{value:.2g}")
        for value in programs.values()
    ]
    _bars(ax, programs, texts)
    for name, limit in limits.items():
        ax.axvline(limit, **_LIMIT)
        _annotate(ax, name, limit, -0.6, -3, va="bottom")
    ax.set(xlim=(0, highest * 1.1), xlabel="GFLOP/s")
    return figure


@style.styled
def roofline(
    points: Mapping[tuple[str, str], tuple[str, float, float]],
    limit: float,
    bandwidth: float,
) -> Figure:
    """Draw measured layers under the two limits of a machine, both axes logarithmic.

    Args:
        points: (layer, "keras" or "loops") to (kind of layer, FLOP/byte, FLOP/s).
        limit: FLOP/s of a large matrix product.
        bandwidth: bytes/s of a large copy.
    """
    figure, ax = style.single(4.2)
    _draw_roof(ax, [point[1] for point in points.values()], limit, bandwidth)
    thick: style.Options = {"linestyle": "none", "markeredgewidth": 2}
    for (name, engine), (kind, intensity, rate) in points.items():
        look = _ENGINES[engine] | thick | {"markersize": 8, "label": None}
        ax.plot(intensity, rate / 1e9, color=style.COLOURS[kind], **look)
        side = -8 if engine == "loops" else 8
        _annotate(ax, name, intensity, rate / 1e9, side, va="center")
    for look in _ENGINES.values():
        ax.plot([], [], color=_GREY, **look, **thick)
    ax.legend(loc="lower right")
    ax.set(xlabel="work for each byte (FLOP/byte)", ylabel="useful work (GFLOP/s)")
    ax.set_ylim(top=limit / 1e9 * 2)
    return figure


def _draw_roof(
    ax: Axes, intensities: Sequence[float], limit: float, bandwidth: float
) -> None:
    """Draw min(limit, intensity · bandwidth), from left of all points to right of them."""
    ridge = limit / bandwidth
    x = np.sort([min(*intensities, ridge) / 2, max(intensities) * 3, ridge])
    roof = np.minimum(limit, x * bandwidth) / 1e9
    ax.loglog(x, roof, color=style.INK, linewidth=1.5)
    note = {"color": style.INK, "va": "baseline"}
    end, top = max(intensities) * 3, limit / 1e9 * 1.08
    style.write(ax, end, top, "matrix product", ha="right", **note)
    style.write(ax, x[0], roof[0] * 1.5, "memory", ha="left", **note)


@style.styled
def epoch_seconds(
    programs: Mapping[str, tuple[float, float, float]], selected: Collection[str]
) -> Figure:
    """Draw the time that programs take per epoch, with a line on each bar from the fastest to the slowest measurement.

    Args:
        programs: name to (median, fastest, slowest), in s/epoch.
        selected: the names to set apart in colour.
    """
    figure, ax = style.single(0.9 + 0.34 * len(programs))
    median, fastest, slowest = np.transpose(list(programs.values()))
    longest = slowest.max()
    texts = [
        (end + longest * 0.015, f"{value:.1f} s")
        for value, end in zip(median, slowest, strict=True)
    ]
    whiskers = {"ecolor": "#222222", "elinewidth": 1, "capsize": 2}
    errors = (median - fastest, slowest - median)
    lengths = dict(zip(programs, median, strict=True))
    _bars(ax, lengths, texts, selected, xerr=errors, error_kw=whiskers)
    ax.set(xlim=(0, longest * 1.12), xlabel="s/epoch of 60,000 images")
    return figure


@style.styled
def accuracy_over_seconds(
    curves: Mapping[str, Sequence[Sequence[float]]], goal: float
) -> Figure:
    """Draw the accuracy on validation over the seconds of training, a point for each epoch, and a goal.

    Args:
        curves: name to pairs of (seconds, accuracy), accuracy from 0 to 1.
        goal: an accuracy.
    """
    figure, ax = style.single(3.6)
    looks = cycle(zip(style.SERIES, "os^Dv", strict=True))
    for (name, points), (colour, marker) in zip(
        curves.items(), looks, strict=False
    ):
        x, y = np.transpose(points)
        ax.plot(x, 100 * y, marker=marker, markersize=5, color=colour, label=name)
    ax.axhline(100 * goal, **_LIMIT)
    ax.set_xlim(left=0)
    ax.set(xlabel="seconds of training", ylabel="accuracy on validation (%)")
    ax.legend(loc="lower right")
    return figure
