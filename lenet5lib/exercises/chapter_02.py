"""Exercises of chapter 2: convolution and pooling."""

from __future__ import annotations

from math import ceil

import numpy as np

from lenet5lib import arithmetic
from lenet5lib.exercises import NumericAnswer, exercise, number_exercise
from lenet5lib.loops import plain
from lenet5lib.spec import Conv


@number_exercise("02.1", "a whole number of stops")
def stops() -> NumericAnswer:
    i, k, s, p = 34, 9, 2, 4
    return NumericAnswer(
        arithmetic.output_size(i, k, s, p),
        [
            (arithmetic.output_size(i, k, s), "That is without the padding."),
            (
                arithmetic.output_size(i + p, k, s),
                "That is with padding at one end only. There are 4 zeros at each end.",
            ),
            (
                arithmetic.output_size(i, k, s, p) - 1,
                "Those are the steps. Stops are one more.",
            ),
            (
                ceil((i + 2 * p - k) / s) + 1,
                "That rounds up. A window that would reach beyond the last zero is no stop.",
            ),
            (i, "That would be padding that keeps the size, at stride 1."),
        ],
        "Put i = 34, k = 9, s = 2 and p = 4 into equation (2.2).",
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
                "You forgot the biases: each of the 32 kernels has one.",
            ),
            (
                maps * (side**2 + 1),
                "A kernel is as deep as its input: 16 maps, and a 3 × 3 layer for each.",
            ),
            (
                maps * depth * (side**2 + 1),
                "That has a bias for each map that a kernel reads. A kernel has one in all.",
            ),
            (
                right * image**2,
                "The image's size does not matter: the same parameters are used at every stop.",
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
        return f"On an even picture of ones it gives {seen[2][0, 0]:g}; expected 0. Its nine numbers must add up to 0."
    if np.allclose(seen[1], -wanted):
        return "The sign is turned round: dark above and bright below must give +3."
    if not np.allclose(seen[1], wanted):
        return f"On the horizontal edge the first column of the output is {seen[1][:, 0].tolist()}; expected [3, 3, 0]."
    return ""
