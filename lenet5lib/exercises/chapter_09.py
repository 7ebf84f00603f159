"""Exercises of chapter 9: looking inside."""

from __future__ import annotations

import numpy as np

from lenet5lib import arithmetic
from lenet5lib.exercises import attempt, exercise, first_hint
from lenet5lib.loops import plain
from lenet5lib.spec import LENET5


@exercise("09.1", "the first and the last row, (first, last)")
def rows_seen(answer) -> str:
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        return f"The answer is {answer!r}; expected two numbers, (first, last)."
    rows, _ = arithmetic.receptive_window(LENET5, "S4", row=2)
    first, last = rows.start, rows.stop - 1
    zeros, _ = arithmetic.same_padding(28, 5)
    mistakes = [
        (
            (first, last + 1),
            "The slice stops before its second number. What is the last row that is read?",
        ),
        (
            (first + zeros, last + zeros),
            "That is without the padding, which shifts everything by two rows.",
        ),
        (
            (first - zeros, last - zeros),
            "The padding lies before row 0 of the picture: take it off once.",
        ),
    ]
    found = tuple(answer)
    hint = first_hint(found, mistakes)
    if hint or found == (first, last):
        return hint
    if found[1] - found[0] + 1 != last - first + 1:
        return f"Those are {found[1] - found[0] + 1} rows. How many does a unit of S4 see, by chapter 3?"
    return (
        "That is as many rows as the unit sees, but they begin elsewhere. Neighbouring units of S4 are 4 pixels apart; "
        "where does unit 0 begin?"
    )


@exercise("09.2", "a function that returns one number")
def unit_value(answer) -> str:
    rng = np.random.default_rng(0)
    image, kernel = rng.random((28, 28)), rng.normal(size=(5, 5))
    bias, row, column = 0.3, 14, 9
    sums = plain.convolve(
        image[None], kernel[None, None], np.zeros(1), padding="same"
    )[0]
    total = sums[row, column]
    found = float(attempt(answer, image, kernel, bias, row, column))
    shifted = (image[row : row + 5, column : column + 5] * kernel).sum()
    if np.isclose(found, plain.sigmoid(total + bias)):
        return ""
    mistakes = [
        (total + bias, "That is the sum. The unit's value is its sigmoid."),
        (plain.sigmoid(total), "You forgot the bias."),
        (total, "You forgot the bias and the sigmoid."),
        (
            plain.sigmoid(shifted + bias),
            "That is the window that begins at the unit's own place. Two rows and columns of padding come first.",
        ),
        (
            plain.sigmoid(sums[column, row] + bias),
            "Rows and columns are exchanged.",
        ),
    ]
    return first_hint(found, mistakes, np.isclose) or (
        f"For unit (14, 9) of a random picture it gives {found:.4f}. Cut the 5 × 5 window out, multiply, add the bias, "
        "and apply the sigmoid."
    )


@exercise("09.3", "a function that takes a kernel and returns pixels from 0 to 1")
def brightest_patch(answer) -> str:
    kernel = np.random.default_rng(1).normal(size=(5, 5)).round(2)
    found = np.asarray(attempt(answer, kernel), dtype=float)
    if found.shape != (5, 5):
        return f"It returns the shape {found.shape}; expected that of the kernel, (5, 5)."
    if found.min() < 0 or found.max() > 1:
        return f"Its pixels run from {found.min():.2f} to {found.max():.2f}. A pixel lies between 0 and 1."
    best = kernel[kernel > 0].sum()
    reached = (found * kernel).sum()
    if np.isclose(reached, kernel[kernel < 0].sum()):
        return "That is the picture to which the unit responds least."
    if np.isclose(reached, kernel.sum()):
        return "That is full ink everywhere. Some of the kernel's numbers are negative, and ink under them lowers the sum."
    if not np.isclose(reached, best):
        return f"The sum of its products is {reached:.2f}; {best:.2f} can be reached. Look at each pixel by itself."
    return ""
