"""Exercises of chapter 2: convolution and pooling."""

from __future__ import annotations

from math import ceil

import numpy as np

from lenet5lib import arithmetic
from lenet5lib.exercises import (
    Hint,
    NumericAnswer,
    attempt,
    exercise,
    first_hint,
    number_exercise,
)
from lenet5lib.loops import plain
from lenet5lib.spec import Conv


@number_exercise("02.1", "a whole number of positions")
def positions() -> NumericAnswer:
    i, k, s, p = 34, 9, 2, 5
    return NumericAnswer(
        arithmetic.output_size(i, k, s, p),
        [
            (arithmetic.output_size(i, k, s), "That is without the padding."),
            (
                arithmetic.output_size(i + p, k, s),
                "That is with padding at one end only. There are 5 zeros at each end.",
            ),
            (
                arithmetic.output_size(i, k, s, p) - 1,
                'Those are the steps, or the positions with padding "same". There is one position more than steps, '
                "and 5 zeros stand at each end.",
            ),
            (
                ceil((i + 2 * p - k) / s) + 1,
                "That rounds up. A window that would reach beyond the last zero is no position.",
            ),
            ((i + 2 * p - k) / s, "Round down, and add 1 to the steps."),
            ((i + 2 * p - k) / s + 1, "Round down: half a step is none."),
            (
                arithmetic.output_size(i, k, 1, p),
                "That is at stride 1. The window moves by 2.",
            ),
        ],
        "Put i = 34, k = 9, s = 2 and p = 5 into equation (2.2).",
    )


@number_exercise("02.2", "a whole number of parameters")
def parameters() -> NumericAnswer:
    maps, side, depth, image = 32, 3, 16, 14
    right = arithmetic.params(Conv("layer", maps, side), (image, image, depth))
    return NumericAnswer(
        right,
        [
            (
                right - maps,
                "You forgot the biases: each of the 32 filters has one.",
            ),
            (
                maps * (side**2 + 1),
                "A filter is as deep as its input: a 3 × 3 kernel for each of the 16 maps.",
            ),
            (
                right - maps + depth,
                "That has a bias for each map in. Each of the 32 filters, the maps out, has one.",
            ),
            (
                right - maps + 1,
                "That is one bias for the whole layer. Each of the 32 filters has one.",
            ),
            (
                maps * depth * (side**2 + 1),
                "That has a bias for each map that a filter reads. A filter has one in all.",
            ),
            (
                (right - maps) * image**2 + maps,
                "That counts each weight at every position. All positions share them: the image's size does not matter.",
            ),
            (
                right * image**2,
                "The image's size does not matter: the same parameters are used at every position.",
            ),
        ],
        "Equation (2.4), with n = 32, k = 3 and m = 16.",
    )


@exercise("02.3", "an array of 3 × 3 numbers")
def horizontal_edges(answer) -> str:
    kernel = np.asarray(answer, dtype=float)
    if kernel.shape != (3, 3):
        return f"The answer has the shape {kernel.shape}; expected (3, 3)."
    upright = np.array([[0, 0, 1, 1, 1]] * 5)
    seen = [
        plain.convolve(picture[None], kernel[None, None], np.zeros(1))[0]
        for picture in (upright, upright.T, np.ones((5, 5)))
    ]
    wanted = np.array([[3, 3, 3], [3, 3, 3], [0, 0, 0]])
    if np.allclose(seen[0], wanted.T):
        return "This is the chapter's kernel: it finds the vertical edge. Turn it."
    if np.any(seen[0]):
        return f"On the vertical edge it gives {seen[0].tolist()}; expected 0 everywhere. What must each column add up to?"
    if np.any(seen[2]):
        return f"On a uniform area of ink it gives {seen[2][0, 0]:g}; expected 0. Its nine numbers must add up to 0."
    if np.allclose(seen[1], -wanted):
        return "The sign is reversed: paper above and ink below must give +3."
    if not np.allclose(seen[1], wanted):
        return f"On the horizontal edge the first column of the output is {seen[1][:, 0].tolist()}; expected [3, 3, 0]."
    return ""


@exercise("02.4", "a function of x, w and b that returns an array")
def loop_by_two(answer) -> str:
    x = np.array([[(5 * r + c * c) % 7 / 4 for c in range(10)] for r in range(7)])
    w = np.array([[-1, 0, 2], [0, 3, 1], [1, -2, 0.5]])
    b = 0.25
    result = np.asarray(attempt(answer, x, w, b))
    right = _by_two(x, w, b)
    if result.shape == (2, 3) and np.allclose(
        result[0, 0], b + np.sum(x[:6:2, :6:2] * w)
    ):
        return "That leaves out pixels inside the window. It reads all 3 × 3; only its next position is 2 further on."
    if result.shape != right.shape:
        hint = first_hint(result.shape, _SHAPES) or "See equation (2.2)."
        return (
            f"For x of 7 × 10 and a kernel of 3 × 3 the output has the shape {result.shape}; "
            f"expected {right.shape}. {hint}"
        )
    if np.issubdtype(result.dtype, np.integer):
        return "The output holds whole numbers only. Make it with np.empty or np.zeros, without an integer type."
    if not np.allclose(result, right):
        (first, second), (given, also) = right[0, :2], result[0, :2]
        return first_hint(result, _mistakes(x, w, b), np.allclose) or (
            f"At (0, 0) it gives {given:g}, expected {first:g}; at (0, 1) {also:g}, expected {second:g}."
        )
    try:
        larger = np.asarray(attempt(answer, np.ones((9, 11)), np.ones((5, 5)), b))
    except Hint as hint:
        return f"It is right for a kernel of 3 × 3, and not for one of 5 × 5. Take k from the shape of w. {hint}"
    if larger.shape == (3, 4) and np.allclose(larger, 25 + b):
        return ""
    return "It is right for a kernel of 3 × 3, and not for one of 5 × 5. Take k from the shape of w."


_SHAPES = [
    ((4, 3), "Rows and columns are exchanged."),
    ((5, 8), "That is stride 1. The window moves by 2."),
    ((2, 3), "One position is missing: there is one more than steps."),
    ((3, 5), "There is a row or a column too many. Round down."),
    ((4, 5), "There is no padding, and no window may reach beyond the border."),
    ((7, 10), "That is the size of x; there is no padding here."),
]
"""Wrong shapes of exercise 2.4's output, for x of 7 × 10 and a kernel of 3 × 3, and their hints."""


def _mistakes(
    x: np.ndarray, w: np.ndarray, b: float
) -> list[tuple[np.ndarray, str]]:
    """Return the usual wrong outputs of exercise 2.4 and their hints."""
    right = _by_two(x, w, b)
    flipped, transposed = _by_two(x, w[::-1, ::-1], b), _by_two(x, w.T, b)
    return [
        (flipped, "The kernel is flipped. Equation (2.1) does not flip it."),
        (
            transposed,
            "The kernel is transposed: u counts its rows, v its columns.",
        ),
        (right - b, "The bias is left out."),
        (
            right + 8 * b,
            "The bias is added nine times. Add it once, after the sum.",
        ),
        (right - 2 * b, "The bias is subtracted. Equation (2.1) adds it."),
        (
            _by_two(x, w, b, stride=1),
            "Each window begins 1 after the one before. It should begin 2 after it, along rows and columns.",
        ),
        (np.zeros_like(right), "The output is all 0: is it filled?"),
    ]


def _by_two(x: np.ndarray, w: np.ndarray, b: float, stride: int = 2) -> np.ndarray:
    """Return the three rows and four columns of exercise 2.4, each window `stride` after the one before."""
    starts = [[(stride * r, stride * c) for c in range(4)] for r in range(3)]
    return np.array(
        [
            [b + np.sum(x[r : r + 3, c : c + 3] * w) for r, c in row]
            for row in starts
        ]
    )
