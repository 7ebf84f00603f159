"""Exercises of chapter 8: mistakes."""

from __future__ import annotations

from math import ceil, sqrt
from statistics import NormalDist

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
                "That is 1.96 times the variance. Take the square root, as in equation (8.1).",
            ),
            (
                round(NORMAL * deviation, 2),
                "That is rounded too far. Give three decimals of a percentage point.",
            ),
            (
                NORMAL * 100 * sqrt(0.01 * 0.99 / digits),
                "That is for an error of 1 %. Here it is 0.5 %.",
            ),
        ],
        "Equation (8.1) with an error of 0.005 and 10,000 images, times 1.96, in percentage points.",
        tolerance=5e-3,
    )


@number_exercise("08.2", "a whole number of images")
def images_needed() -> NumericAnswer:
    error, difference = 0.01, 0.001
    one_deviation = 2 * error * (1 - error) / difference**2
    exact = NORMAL**2 * one_deviation
    return NumericAnswer(
        ceil(exact),
        [
            (
                exact,
                "An image cannot be tested in part: round up to a whole number.",
            ),
            (
                int(exact),
                "That is rounded down, so the difference would be just too small to be seen.",
            ),
            (
                ceil(NormalDist().inv_cdf(0.975) ** 2 * one_deviation),
                "That is with more digits of 1.96. Take 1.96 itself.",
            ),
            (
                ceil(exact / 2),
                "That is for one measured error and an exact one. Both are measured: the variances add up.",
            ),
            (
                ceil(exact * 2),
                "That is the crude rule, that the two intervals must not overlap. Two errors are rarely off by that much "
                "at once, and in opposite directions: add the variances, not the widths.",
            ),
            (
                round(one_deviation),
                "That is for one standard deviation. The interval takes 1.96 of them.",
            ),
            (round(exact / (1 - error)), "That leaves out the factor 1 − ε."),
        ],
        "Set 1.96·√(2ε(1 − ε)/D) to 0.001, solve for D and round up to a whole number.",
        tolerance=1e-9,
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
        (
            1 - right,
            "Those are the shares that are correct. The error is the rest.",
        ),
        (
            1 - np.diag(matrix) / matrix.sum(axis=0),
            "That divides by the columns, the predictions. Labels are the rows.",
        ),
        (
            matrix.sum(axis=1) - np.diag(matrix),
            "Those are counts. Divide by the number of images with that label.",
        ),
        (
            (matrix.sum(axis=1) - np.diag(matrix)) / matrix.sum(),
            "That divides by all images. Divide by those of the label.",
        ),
        (100 * right, "That is in per cent; expected shares from 0 to 1."),
    ]
    hint = first_hint(found, mistakes, np.allclose)
    if hint:
        return hint
    if not np.allclose(found, right):
        return f"For {matrix.tolist()} it gives {found.round(3).tolist()}. Row 0 has 10 images: how many are misclassified?"
    return ""
