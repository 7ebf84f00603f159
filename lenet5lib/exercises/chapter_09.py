"""Exercises of chapter 9: looking inside."""

from __future__ import annotations

from typing import Any

import numpy as np

from lenet5lib import arithmetic
from lenet5lib.exercises import Hint, attempt, exercise, first_hint
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
            "The padding lies before row 0 of the image: subtract it once.",
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
    image, kernel, bias = rng.random((28, 28)), rng.normal(size=(5, 5)), 0.3
    for unit in ((14, 9), (0, 0), (27, 13)):
        beyond = unit != (14, 9)
        try:
            found = float(attempt(answer, image, kernel, bias, *unit))
        except Hint as error:
            where = f" So it does for unit {unit}, whose window reaches beyond the border: add the padding."
            raise Hint(f"{error}{where if beyond else ''}") from None
        right, mistakes = _values(image, kernel, bias, *unit)
        if np.isclose(found, right):
            continue
        where = "Its window reaches beyond the border: what does the padding hold there?"
        if not beyond:
            where = "Cut the 5 × 5 window out, multiply, add the bias, and apply the sigmoid."
        return first_hint(found, mistakes, np.isclose) or (
            f"For unit {unit} of a random image it gives {found:.4f}. {where}"
        )
    return ""


def _values(
    image: np.ndarray, kernel: np.ndarray, bias: float, row: int, column: int
) -> tuple[float, list[tuple[Any, str]]]:
    """Return the value of a unit of C1, and what typical mistakes give in its place."""

    def total(kernel=kernel, row=row, column=column, **padding):
        window = np.pad(image, 2, **padding)[row : row + 5, column : column + 5]
        return (window * kernel).sum()

    own = image[row : row + 5, column : column + 5]
    shifted = (own * kernel[: len(own)]).sum()
    border = (
        f"Unit ({row}, {column}) sees beyond the border. The padding there is 0, "
    )
    mistakes = [
        (total() + bias, "That is the sum. The unit's value is its sigmoid."),
        (plain.sigmoid(total()), "You forgot the bias."),
        (total(), "You forgot the bias and the sigmoid."),
    ] + [
        (plain.sigmoid(wrong + bias), hint)
        for wrong, hint in (
            (
                shifted,
                "That is the window that begins at the unit's own place. Two rows and columns of padding come first.",
            ),
            (total(row=column, column=row), "Rows and columns are exchanged."),
            (
                total(kernel[::-1, ::-1]),
                "The kernel is turned round. A network's convolution takes it as it is.",
            ),
            (total(mode="edge"), border + "not the nearest pixel repeated."),
            (total(constant_values=1), border + "which is paper."),
        )
    ]
    return float(plain.sigmoid(total() + bias)), mistakes


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
        return "That is the patch to which the unit responds least."
    if np.isclose(reached, kernel.sum()):
        return "That is full ink everywhere. Some of the kernel's numbers are negative, and ink under them lowers the sum."
    if not np.isclose(reached, best):
        return f"The sum of its products is {reached:.2f}; {best:.2f} can be reached. Look at each pixel by itself."
    return ""
