"""Exercises of chapter 1: the digits."""

from __future__ import annotations

import numpy as np

from lenet5lib import data, evaluation
from lenet5lib.exercises import (
    Hint,
    NumericAnswer,
    attempt,
    exercise,
    number_exercise,
)


def _held_out(count: int) -> int:
    """Return how many of `count` images are held out for validation."""
    return len(data.stratified_split(np.zeros(count, dtype=int), 12)[1])


@number_exercise("01.1", "the number of bytes of the prepared training images")
def memory() -> NumericAnswer:
    count = sum(data.MNIST_FACTS["digits of each class"])
    prepared = data.prepare(np.zeros((1, data.SIDE, data.SIDE), dtype=np.uint8))
    held = _held_out(count)
    size = prepared.nbytes
    return NumericAnswer(
        (count - held) * size,
        [
            (
                (count - held) * prepared.size,
                "That is how many numbers there are. How many bytes does a float32 take?",
            ),
            (
                count * size,
                "That includes the images that are held out for validation.",
            ),
            (held * size, "That is the validation set."),
            (
                (count - held) * size / 1e6,
                "That is the size in megabytes. The question asks for bytes.",
            ),
        ],
        "Multiply the images left for training, the numbers in one of them, and the bytes of one number.",
    )


def _centre(image: np.ndarray) -> tuple[float, float]:
    """Return the centre of mass (row, column) of an image."""
    rows, columns = np.indices(image.shape)
    total = image.sum()
    return float((rows * image).sum() / total), float(
        (columns * image).sum() / total
    )


@exercise(
    "01.2", "a function that takes an image and returns (row, column) of its centre"
)
def centre_of_mass(answer) -> str:
    image = np.zeros((5, 7), dtype=np.uint8)
    image[1, 2], image[3, 5] = 50, 150
    square = np.zeros((data.SIDE, data.SIDE), dtype=np.uint8)
    square[1, 2] = 50
    try:
        found = np.asarray(attempt(answer, image), dtype=float)
    except Hint as hint:
        attempt(answer, square)
        return f"It takes 28 × 28 only. An image of 5 × 7 must do as well: use image.shape. {hint}"
    right = np.asarray(_centre(image))
    ink = np.asarray(_centre(image > 0))
    if found.shape != (2,):
        return f"It returns {found.tolist()}; expected two numbers, row and column."
    if np.allclose(found, right[::-1]):
        return "The two numbers are there, in the other order: the row comes first."
    if np.allclose(found, right + 1):
        return "Both are one too large: rows and columns are counted from 0."
    if np.allclose(found, ink):
        return "That gives every pixel with ink the same weight. Weight each position by its pixel."
    if np.allclose(found, attempt(answer, image[::-1, ::-1])):
        return "It gives the same when the image is turned round. Weight each position by its pixel."
    if np.allclose(found, np.floor(right)) or np.allclose(found, np.round(right)):
        return "The centre may fall between pixels. Keep the fraction."
    if not np.allclose(found, right):
        return (
            f"For two pixels, 50 at (1, 2) and 150 at (3, 5), it gives {found.round(2).tolist()}; the centre lies between "
            "them, three times nearer to the heavier. Where it multiplies uint8, that overflows above 255: turn the image "
            "into float first."
        )
    return ""


CANDIDATES, ERROR, SHARE = 1_000, 0.01, 0.88
"""How many candidates are tried, the true error, and the share of it below which the best is reported."""


def _needed(count: int) -> int:
    """Return how many candidates bring the reported error below `SHARE` times the true one on `count` images."""
    return next(
        n
        for n in range(1, CANDIDATES)
        if evaluation.selection_bias(ERROR, count, n) < SHARE * ERROR
    )


@number_exercise("01.3", "a whole number of candidates")
def candidates() -> NumericAnswer:
    count = sum(data.MNIST_FACTS["test digits of each class"])
    held = _held_out(sum(data.MNIST_FACTS["digits of each class"]))
    right = _needed(count)
    before = evaluation.selection_bias(ERROR, count, right - 1)
    return NumericAnswer(
        right,
        [
            (
                right - 1,
                f"Nearly: {right - 1} still gives {100 * before:.3f} %, by 2,000 trials of one seed.",
            ),
            (
                _needed(held),
                "That is for 5,000 images, the size of the validation set. The question is about 10,000.",
            ),
        ],
        "Try 2, 3, … candidates in `evaluation.selection_bias`, and take the first that falls below 0.88 %.",
    )
