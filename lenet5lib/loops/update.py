"""The optimizers as plain loops: one step for some of a network's numbers, from the sum of a batch's gradients.

The gradients come in lanes, the parts of a batch that are computed apart, and `add_up` adds them in their order: so the sum
is the same for any number of threads. All arrays are flat; a function does the numbers from `first` up to `last`.
"""

from __future__ import annotations

import math

import numpy as np

from lenet5lib.training.recipe import Recipe

F = np.float64
TINY = 1e-30
"""Below this a moment becomes 0, as in TensorFlow: numbers near the smallest that exist are slow to compute with."""


def add_up(gradients, first, last):
    """g[0] = Σ_t g[t], over the lanes t in their order."""
    for t in range(1, gradients.shape[0]):
        for i in range(first, last):
            gradients[0, i] += gradients[t, i]


def gradient_descent(w, state, decayed, g, first, last, now):
    """a = µ · a − α · g and w += a: gradient descent with momentum µ, as Keras's SGD.

    Args:
        w: the parameters, (numbers,).
        state: (slots, numbers), of which row 0 is a.
        decayed: (numbers,), 1 for a parameter that weight decay shrinks, else 0; not read.
        g: (numbers,), the sum of the examples' gradients.
        first, last: the numbers to do.
        now: α, 1 over the number of examples, µ.
    """
    rate, scale, momentum = now[0], now[1], now[2]
    for i in range(first, last):
        state[0, i] = momentum * state[0, i] - rate * scale * g[i]
        w[i] += state[0, i]


def adam(w, state, decayed, g, first, last, now):
    """m += (g − m) · 0.1, v += (g² − v) · 0.001 and w −= α · m / (√v + 10⁻⁷): Adam as Keras computes it.

    α is the learning rate times √(1 − 0.999^t) / (1 − 0.9^t), in the t-th step. With weight decay λ (AdamW), w first loses
    the share rate · λ, where `decayed` is 1.

    Args:
        w, decayed, g, first, last: as for `gradient_descent`.
        state: (slots, numbers), of which row 0 is m and row 1 is v.
        now: α, 1 over the number of examples, rate · λ.

    Source: Kingma and Ba 2015; Loshchilov and Hutter 2019; chapter 5, equation (5.3).
    """
    alpha, scale, decay = now[0], now[1], now[2]
    for i in range(first, last):
        t = scale * g[i]
        m = state[0, i] + (t - state[0, i]) * F(0.1)
        v = state[1, i] + (t * t - state[1, i]) * F(0.001)
        state[0, i] = m if abs(m) > F(TINY) else F(0)
        state[1, i] = v if v > F(TINY) else F(0)
        w[i] -= decay * decayed[i] * w[i]
        w[i] -= alpha * m / (math.sqrt(v) + F(1e-7))


def update_ema(average, w, keep, first, last):
    """a = keep · a + (1 − keep) · w: the exponential moving average (EMA) of the weights."""
    for i in range(first, last):
        average[i] = keep * average[i] + (F(1) - keep) * w[i]


OPTIMIZERS = {"adam": (adam, 2), "sgd": (gradient_descent, 1)}
"""The optimizers by their names in `recipe`, each with the number of its slots, arrays that it keeps between steps."""


def require_optimizer(recipe: Recipe) -> None:
    """Raise ValueError unless the loops have the recipe's optimizer."""
    if recipe.optimizer not in OPTIMIZERS:
        raise ValueError(
            f"optimizer is {recipe.optimizer!r}, which the engine loops does not have; expected one of "
            f"{', '.join(OPTIMIZERS)}. Use the engine keras."
        )


def settings(
    recipe: Recipe, rates: np.ndarray, counts: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
    """Return what the optimizer reads as `now`, for each step: float64 (steps, 3).

    Args:
        recipe: of which optimizer, weight decay and momentum are read.
        rates: (steps,), learning rates.
        counts: (steps,), examples of each batch.
        numbers: (steps,), of the steps, from 0 over the whole run.
    """
    rates = rates.astype(np.float64)
    if recipe.optimizer == "sgd":
        momentum = np.full(len(rates), recipe.momentum)
        return np.stack([rates, 1 / counts, momentum], axis=1)
    t = numbers + 1.0
    alpha = rates * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return np.stack([alpha, 1 / counts, rates * recipe.weight_decay], axis=1)
