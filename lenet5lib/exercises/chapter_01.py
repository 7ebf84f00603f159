"""Exercises of chapter 1: the digits."""

from __future__ import annotations

import numpy as np

from lenet5lib import data, evaluation
from lenet5lib.exercises import NumericAnswer, attempt, exercise, number_exercise


def _held_out(count: int) -> int:
    """Return how many of `count` digits are held out for validation."""
    return len(data.stratified_split(np.zeros(count, dtype=int), 12)[1])


@number_exercise("01.1", "the number of bytes of the prepared training digits")
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
                "That includes the digits that are held out for validation.",
            ),
            (held * size, "That is the validation set."),
        ],
        "Multiply the digits left for training, the numbers in one of them, and the bytes of one number.",
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
    found = np.asarray(attempt(answer, image), dtype=float)
    right = np.asarray(_centre(image))
    ink = np.asarray(_centre(image > 0))
    if found.shape != (2,):
        return f"It returns {found.tolist()}; expected two numbers, row and column."
    if np.allclose(found, right[::-1]):
        return "The two numbers are there, in the other order: the row comes first."
    if np.allclose(found, ink):
        return (
            "That counts every pixel with ink alike. Weigh each place by its pixel."
        )
    if np.allclose(found, np.floor(right)) or np.allclose(found, np.round(right)):
        return "The centre may fall between pixels. Keep the fraction."
    if not np.allclose(found, right):
        return (
            f"For two pixels, 50 at (1, 2) and 150 at (3, 5), it gives {found.round(2).tolist()}; the centre lies between "
            "them, three times nearer to the heavier. uint8 overflows above 255: turn the image into float first."
        )
    return ""


CANDIDATES, ERROR, LOOKS = 1_000, 0.01, 0.8
"""How far to look, the true error, and the share of it that the best seems to have."""


def _needed(count: int) -> int:
    """Return how many candidates make the best of them look better than `LOOKS` times its error on `count` digits."""
    return next(
        n
        for n in range(1, CANDIDATES)
        if evaluation.selection_bias(ERROR, count, n) < LOOKS * ERROR
    )


@number_exercise("01.3", "a whole number of candidates")
def candidates() -> NumericAnswer:
    count = sum(data.MNIST_FACTS["test digits of each class"])
    held = _held_out(sum(data.MNIST_FACTS["digits of each class"]))
    right = _needed(count)
    return NumericAnswer(
        right,
        [
            (
                right - 1,
                "Nearly: with one candidate fewer, the best does not yet look better than 0.8 %.",
            ),
            (
                _needed(held),
                "That is for 5,000 digits, the size of the validation set. The question is about 10,000.",
            ),
        ],
        "Try 2, 3, … candidates in `evaluation.selection_bias`, and take the first that falls below 0.8 %.",
    )
