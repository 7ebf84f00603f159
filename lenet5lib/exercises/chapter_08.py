"""Exercises of chapter 8: mistakes."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np

from lenet5lib.exercises import (
    NumericAnswer,
    attempt,
    exercise,
    first_hint,
    number_exercise,
)

NORMAL = 1.96
"""Standard deviations on either side that hold 95 % of a normal distribution."""


@number_exercise("08.1", "a number of percentage points")
def half_width() -> NumericAnswer:
    error, digits = 0.005, 10_000
    deviation = 100 * sqrt(error * (1 - error) / digits)
    return NumericAnswer(
        NORMAL * deviation,
        [
            (
                deviation,
                "That is one standard deviation. 95 % of the results lie within 1.96 of them.",
            ),
            (
                NORMAL * deviation / 100,
                "That is a share. In percentage points it is a hundred times as much.",
            ),
            (
                2 * NORMAL * deviation,
                "That is the width from end to end. The question is how far to either side.",
            ),
            (
                NORMAL * (deviation / 100) ** 2 * 100,
                "The variance is spread under a root: take the square root in (8.1).",
            ),
        ],
        "Equation (8.1) with an error of 0.005 and 10,000 digits, times 1.96, in percentage points.",
        tolerance=1e-2,
    )


@number_exercise("08.2", "a whole number of digits")
def digits_needed() -> NumericAnswer:
    error, wanted, digits = 0.01, 0.0005, 10_000
    now = NORMAL * sqrt(error * (1 - error) / digits)
    return NumericAnswer(
        ceil((NORMAL / wanted) ** 2 * error * (1 - error)),
        [
            (
                ceil((1 / wanted) ** 2 * error * (1 - error)),
                "That is for one standard deviation. The interval takes 1.96 of them.",
            ),
            (
                ceil(digits * now / wanted),
                "A width that falls by a factor takes the square of that factor in digits.",
            ),
            (
                ceil((NORMAL / wanted) ** 2 * error),
                "That leaves out the factor 1 − ε.",
            ),
        ],
        "Set 1.96 times (8.1) to 0.0005, and solve for D.",
        tolerance=1e-3,
    )


@exercise(
    "08.3",
    "a function that takes a confusion matrix and returns a share for each label",
)
def class_errors(answer) -> str:
    matrix = np.array([[8, 2, 0], [1, 17, 2], [0, 0, 40]])
    right = 1 - np.diag(matrix) / matrix.sum(axis=1)
    found = np.asarray(attempt(answer, matrix), dtype=float)
    if found.shape != (3,):
        return f"For three classes it returns the shape {found.shape}; expected three shares."
    mistakes = [
        (1 - right, "Those are the shares that are right. The error is the rest."),
        (
            1 - np.diag(matrix) / matrix.sum(axis=0),
            "That divides by the columns, the answers. Labels are the rows.",
        ),
        (
            matrix.sum(axis=1) - np.diag(matrix),
            "Those are counts. Divide by the number of digits with that label.",
        ),
        (
            (matrix.sum(axis=1) - np.diag(matrix)) / matrix.sum(),
            "That divides by all digits. Divide by those of the label.",
        ),
        (100 * right, "That is in per cent; expected shares from 0 to 1."),
    ]
    hint = first_hint(found, mistakes, np.allclose)
    if hint:
        return hint
    if not np.allclose(found, right):
        return f"For {matrix.tolist()} it gives {found.round(3).tolist()}. Row 0 has 10 digits: how many are wrong?"
    return ""
