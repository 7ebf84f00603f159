"""Learning-rate schedules: functions of the step and of the validation losses so far.

Both are in the record of a run, so a schedule has no state that would have to be saved. The names are those of PyTorch and
Keras.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from lenet5lib._checks import (
    Checked,
    put,
    require_int,
    require_number,
    require_rate,
)


@dataclass(frozen=True)
class OneCycle(Checked):
    """Up to `max_lr` along half a cosine, then down to almost nothing along another.

    The cycle is `epochs` long, whatever number of epochs is trained; after it the rate stays at its last value.

    Attributes:
        max_lr: the highest learning rate.
        epochs: the length of the cycle.
        pct_start: the share of the cycle before the highest rate, 0 to 1.
        div_factor: the first rate is `max_lr / div_factor`.
        final_div_factor: the last rate is the first one divided by this.

    Source: Smith and Topin 2018; names, shape and `div_factor` as in PyTorch's OneCycleLR.
    """

    max_lr: float
    epochs: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 400.0
    kind: ClassVar[str] = "one-cycle"

    CHECKS: ClassVar = {
        "max_lr": require_rate,
        "epochs": require_int,
        "pct_start": partial(require_number, maximum=1),
        "div_factor": partial(require_number, minimum=1),
        "final_div_factor": partial(require_number, minimum=1),
    }

    def learning_rates(
        self, steps: np.ndarray, steps_per_epoch: int, val_losses: Sequence[float]
    ) -> np.ndarray:
        """Return the learning rate of each step, counted from 0 over the whole run."""
        length = max(1, self.epochs * steps_per_epoch - 1)
        done = np.minimum(steps / length, 1.0)
        up = np.minimum(done, self.pct_start) / (self.pct_start or 1.0)
        down = np.maximum(done - self.pct_start, 0.0) / (
            1.0 - self.pct_start or 1.0
        )
        first = 1 / self.div_factor
        rising = _cosine(first, 1.0, up)
        falling = _cosine(1.0, first / self.final_div_factor, down)
        return self.max_lr * np.where(done < self.pct_start, rising, falling)


def _cosine(first: float, last: float, share: np.ndarray) -> np.ndarray:
    """Go from one value to another along half a cosine."""
    return last + (first - last) * (1 + np.cos(np.pi * share)) / 2


@dataclass(frozen=True)
class PiecewiseConstant:
    """One learning rate for some epochs, then the next; the last one stays.

    Attributes:
        pieces: pairs of (epochs, learning rate).
    """

    pieces: tuple[tuple[int, float], ...]
    kind: ClassVar[str] = "piecewise-constant"

    def __post_init__(self) -> None:
        made, wanted = [], isinstance(self.pieces, tuple | list) and self.pieces
        for piece in wanted or ((),):
            if not isinstance(piece, tuple | list) or len(piece) != 2:
                raise ValueError(
                    f"pieces of PiecewiseConstant is {self.pieces!r}; expected pairs of "
                    "(epochs, learning rate). Give at least one."
                )
            epochs = require_int("epochs of PiecewiseConstant", piece[0])
            rate = require_rate("learning rate of PiecewiseConstant", piece[1])
            made.append((epochs, rate))
        put(self, pieces=tuple(made))

    def learning_rates(
        self, steps: np.ndarray, steps_per_epoch: int, val_losses: Sequence[float]
    ) -> np.ndarray:
        """Return the learning rate of each step, counted from 0 over the whole run."""
        ends = np.cumsum([epochs for epochs, _ in self.pieces]) * steps_per_epoch
        piece = np.searchsorted(ends, steps, side="right")
        values = np.array([rate for _, rate in self.pieces])
        return values[np.minimum(piece, len(values) - 1)]


@dataclass(frozen=True)
class ReduceOnPlateau(Checked):
    """A learning rate that is multiplied by `factor` when the validation loss has not improved for `patience` epochs.

    It is computed from the validation losses of all epochs so far, which the record holds.

    Attributes:
        initial_lr: the first learning rate.
        factor: above 0 and below 1.
        patience: epochs without improvement, since the best or since the last change, after which the rate changes.
        min_delta: how much lower a loss must be to count as better, in nats.
        min_lr: the rate does not fall below this; at most `initial_lr`.

    The default of `min_delta` and the counting are those of Keras's ReduceLROnPlateau.
    """

    initial_lr: float
    factor: float = 0.5
    patience: int = 5
    min_delta: float = 0.0001
    min_lr: float = 0.0
    kind: ClassVar[str] = "plateau"

    CHECKS: ClassVar = {
        "initial_lr": require_rate,
        "factor": partial(require_number, above=0, below=1),
        "patience": require_int,
        "min_delta": require_number,
        "min_lr": require_number,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        what = "min_lr of ReduceOnPlateau"
        require_number(what, self.min_lr, maximum=self.initial_lr)

    def learning_rates(
        self, steps: np.ndarray, steps_per_epoch: int, val_losses: Sequence[float]
    ) -> np.ndarray:
        """Return the learning rate of each step, counted from 0 over the whole run; one rate per epoch."""
        rate, best, waited = self.initial_lr, math.inf, 0
        for loss in val_losses:
            if loss < best - self.min_delta:
                best, waited = loss, 0
                continue
            waited += 1
            if waited >= self.patience:
                rate, waited = max(rate * self.factor, self.min_lr), 0
        return np.full(len(steps), rate)


Schedule = OneCycle | PiecewiseConstant | ReduceOnPlateau
SCHEDULES: dict[str, type] = {
    schedule.kind: schedule
    for schedule in (OneCycle, PiecewiseConstant, ReduceOnPlateau)
}

SCHEDULE_1998 = PiecewiseConstant(
    ((2, 5e-4), (3, 2e-4), (3, 1e-4), (4, 5e-5), (8, 1e-5))
)
"""The 1998 paper's global learning rates for 20 epochs of stochastic diagonal Levenberg–Marquardt.

Each is divided by `damping` + h of each weight, so these are no rates for Adam. Source: the 1998 paper, section III.B.
"""
