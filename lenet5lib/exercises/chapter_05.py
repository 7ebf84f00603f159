"""Exercises of chapter 5: training."""

from __future__ import annotations

from math import ceil, log2, log10

import numpy as np

from lenet5lib import data
from lenet5lib.exercises import NumericAnswer, attempt, exercise, number_exercise
from lenet5lib.loops import plain


@number_exercise("05.1", "a whole number of steps")
def steps() -> NumericAnswer:
    digits = sum(data.MNIST_FACTS["digits of each class"])
    batch, epochs = 128, 5
    return NumericAnswer(
        ceil(digits / batch) * epochs,
        [
            (
                digits // batch * epochs,
                "The last batch of each epoch is smaller, but it is a step too.",
            ),
            (ceil(digits / batch), "That is one epoch."),
            (
                ceil(digits * epochs / batch),
                "A batch does not reach into the next epoch: round up in each epoch.",
            ),
            (
                digits * epochs,
                "That is how many digits are read. A step reads 128 of them.",
            ),
        ],
        "Steps in an epoch, rounded up, times epochs.",
    )


@number_exercise("05.2", "a loss in nats, to three decimals")
def loss() -> NumericAnswer:
    q = plain.softmax(np.array([3.0, 1.0, 0.0]))
    label = 1
    right = plain.cross_entropy(q, label)
    return NumericAnswer(
        right,
        [
            (
                plain.cross_entropy(q, 0),
                "That is the loss if the label were 0. Classes are counted from 0.",
            ),
            (
                -right,
                "The loss has a minus sign in front of the logarithm and is never negative.",
            ),
            (
                -log2(q[label]),
                "That is in bits. The loss takes the natural logarithm.",
            ),
            (
                -log10(q[label]),
                "That is with the logarithm to base 10. The loss takes the natural one.",
            ),
            (
                float(q[label]),
                "That is the probability of the label. The loss is minus its logarithm.",
            ),
            (1 - float(q[label]), "That is the probability of all other classes."),
        ],
        "First the softmax (5.1), then minus the logarithm of the label's probability (5.2).",
        tolerance=2e-3,
    )


@exercise("05.3", "a function that takes sums and returns probabilities")
def stable_softmax(answer) -> str:
    sums = np.array([2.0, 1.0, 0.0])
    found = np.asarray(attempt(answer, sums), dtype=float)
    if found.shape != sums.shape:
        return f"For three sums it returns the shape {found.shape}; expected three probabilities."
    if np.allclose(found, np.exp(sums)):
        return "Those are the powers of e. Divide each by their total."
    if not np.allclose(found, plain.softmax(sums)):
        return f"For the sums 2, 1 and 0 it gives {found.round(3).tolist()}; the chapter has [0.665, 0.245, 0.09]."
    for large in (
        np.array([1000.0, 0.0, -5.0]),
        np.array([-1000.0, -1000.0, -1001.0]),
    ):
        with np.errstate(all="ignore"):
            found = np.asarray(attempt(answer, large), dtype=float)
        if not np.isfinite(found).all():
            return (
                f"For the sums {large.tolist()} it gives {found.tolist()}: e to such a power is too large or too small for "
                "the machine. What happens to the probabilities if the same number is taken from every sum?"
            )
        if not np.allclose(found, plain.softmax(large)):
            return f"For the sums {large.tolist()} it gives {found.round(3).tolist()}, which are not the probabilities."
    return ""
