"""Exercises of chapter 15: speed."""

from __future__ import annotations

import math

import numpy as np

from lenet5lib import arithmetic
from lenet5lib.exercises import (
    NumericAnswer,
    attempt,
    exercise,
    first_hint,
    number_exercise,
)
from lenet5lib.spec import LENET5


@number_exercise("15.1", "FLOP/byte, to one decimal")
def intensity() -> NumericAnswer:
    from lenet5lib.studies import roofline

    batch = 256
    count, moved, right = roofline.work(LENET5, batch).loc["F6"]
    rows = {row.layer: row for row in arithmetic.table(LENET5)}
    weights = 4 * rows["F6"].params
    return NumericAnswer(
        right,
        [
            (count / moved, "A MAC is two operations, a product and a sum."),
            (
                4 * right,
                "That is operations for each number. A float32 number has 4 bytes.",
            ),
            (2 * count / (moved - weights), "The parameters have to be read too."),
            (
                2 * count / batch / ((moved - weights) / batch + weights),
                "That is for one digit. With more digits, the weights are read once for all.",
            ),
        ],
        "Equation (15.1): M is 256 · 84 · 120, and Q is 4 bytes for each input, output and parameter.",
        tolerance=4e-3,
    )


@number_exercise("15.2", "vector instructions")
def vector_instructions() -> NumericAnswer:
    width, group = 8, 16
    layer, inputs, (rows, columns, channels) = next(
        found for found in arithmetic.walk(LENET5) if found[0].name == "C3"
    )
    weights = arithmetic.params(layer, inputs) - channels
    vectors = rows * columns * group // width
    right = weights * vectors
    return NumericAnswer(
        right,
        [
            (
                right * width,
                "That is one instruction for each product. Each takes 8.",
            ),
            (
                weights * rows * columns,
                "That is with 16 products in an instruction. These registers hold 8 numbers.",
            ),
            (
                right // group,
                "That is for one digit. The group has 16, side by side in a row.",
            ),
            (
                right // inputs[2],
                "C3 reads six channels. Each of its output channels has six kernels of 25 weights.",
            ),
            (
                weights * rows * math.ceil(columns / width) * group,
                "With the examples innermost a row is 160 numbers, 20 full vectors, and no remainder is left.",
            ),
        ],
        "Each of C3's weights is multiplied by 10 rows of 10 · 16 numbers, 8 of them with one instruction.",
    )


@exercise(
    "15.3", "a function that takes n and p and returns how many times as fast"
)
def amdahl(answer) -> str:
    cases = [(2, 0.9), (4, 0.9), (4, 0.5), (1, 0.3), (16, 1.0)]
    right = np.array([1 / ((1 - f) + f / n) for n, f in cases])
    found = np.array([float(attempt(answer, n, f)) for n, f in cases])
    mistakes = [
        (
            [n for n, _ in cases],
            "Only the part p is shared. The rest takes as long as before.",
        ),
        (
            [(1 - f) + f / n for n, f in cases],
            "That is the time that is left. The old time over the new one is how many times as fast.",
        ),
        (
            [1 / (f + (1 - f) / n) for n, f in cases],
            "There p and 1 − p have changed places: p is the part that the threads share.",
        ),
        (
            [1 + f * (n - 1) for n, f in cases],
            "That adds up speeds. Add up times: 1 − p for the one part, p / n for the other.",
        ),
    ]
    hint = first_hint(found, mistakes, np.allclose)
    if hint:
        return hint
    if not np.allclose(found, right):
        return (
            f"For n = 2 and p = 0.9 it gives {found[0]:g}. Of a time of 1, the part of 0.1 stays and that of 0.9 is halved, "
            f"so 0.55 is left: {right[0]:.3f} times as fast."
        )
    return ""
