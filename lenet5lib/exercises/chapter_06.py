"""Exercises of chapter 6: the backward pass."""

from __future__ import annotations

import numpy as np

from lenet5lib.exercises import attempt, exercise, first_hint
from lenet5lib.loops import plain

Mistakes = list[tuple[np.ndarray, str]]


def _judge(
    answer: object, y: np.ndarray, g: np.ndarray, right: np.ndarray, known: Mistakes
) -> str:
    """Return the hint for a function of y and g that should return `right`."""
    found = np.asarray(attempt(answer, y, g), dtype=float)
    if found.shape == right.shape and np.allclose(found, right):
        return ""
    hint = first_hint(
        found, known, lambda a, b: a.shape == b.shape and np.allclose(a, b)
    )
    if hint:
        return hint
    if found.shape != right.shape:
        return f"It returns the shape {found.shape}; expected {right.shape}."
    return (
        f"For y = {y.tolist()} and g = {g.tolist()} it gives {found.tolist()}; "
        f"expected {right.tolist()}."
    )


@exercise(
    "06.1", "a function of y and g that returns an array of one number per map"
)
def bias_gradient(answer) -> str:
    y = np.array([[[0.5, 0.75], [0.25, 0.5]], [[0.5, 0.5], [0.5, 0.75]]])
    g = np.array([[[1.0, 2.0], [-1.0, 4.0]], [[8.0, 0.0], [-2.0, 16.0]]])
    right = np.sum(g * y * (1 - y), axis=(1, 2))
    return _judge(answer, y, g, right, _bias_mistakes(y, g))


def _bias_mistakes(y: np.ndarray, g: np.ndarray) -> Mistakes:
    """Return the usual wrong answers of exercise 6.1 and their hints."""
    slope, twice = y * (1 - y), plain.sigmoid(y) * (1 - plain.sigmoid(y))
    passed, sides = g * slope, (1, 2)
    one = "That is one position. The bias is used at all of them."
    return [
        (
            g.sum(axis=sides),
            "The sigmoid's derivative is missing: g is the gradient after the sigmoid, the bias is added before it.",
        ),
        (
            passed.mean(axis=sides),
            "That is the mean over the positions. The bias is used at each of them, and the effects add up.",
        ),
        (passed[:, 0, 0], one),
        (passed[:, -1, -1], one),
        (passed, "Those are the positions' shares. Add them up, map by map."),
        (np.array(passed.sum()), "That adds up both maps. Each map has a bias."),
        (
            passed.sum(axis=0),
            "That adds up over the maps. Add up over rows and columns.",
        ),
        (
            np.sum(g * y, axis=sides),
            "That is g times y. The sigmoid's derivative is y times 1 − y.",
        ),
        (
            slope.sum(axis=sides),
            "That is the sigmoid's derivative alone. Multiply it by g.",
        ),
        (
            np.sum(g * twice, axis=sides),
            "y is the sigmoid's output already. Do not apply the sigmoid again.",
        ),
        (-passed.sum(axis=sides), "The sign is reversed."),
    ]


@exercise("06.2", "two arrays of 2 × 4 numbers, for average and for max pooling")
def pooled(answer) -> str:
    x = np.array([[[1.0, 3.0, 5.0, 5.0], [2.0, 0.0, 1.0, 5.0]]])
    g = np.array([[[8.0, -4.0]]])
    wanted = [plain.pool_inputs(x, g, mode)[0] for mode in ("average", "max")]
    found = [np.asarray(part, dtype=float) for part in answer]
    shapes = [part.shape for part in found]
    if shapes != [(2, 4)] * 2:
        return f"The answer has the shapes {shapes}; expected (2, 4) twice: for average and for max pooling."
    known = _average_mistakes(x[0], g[0]), _max_mistakes(x[0], g[0])
    for part, mistakes in zip(found, known, strict=True):
        if hint := first_hint(part, mistakes, np.allclose):
            return hint
    for name, part, right in zip(("average", "max"), found, wanted, strict=True):
        if not np.allclose(part, right):
            r, c = np.argwhere(~np.isclose(part, right))[0]
            return f"For {name} pooling, row {r}, column {c} is {part[r, c]:g}; expected {right[r, c]:g}."
    return ""


def _average_mistakes(x: np.ndarray, g: np.ndarray) -> Mistakes:
    """Return the usual wrong first arrays of exercise 6.2 and their hints."""
    whole = np.kron(g, np.ones((2, 2)))
    return [
        (
            whole,
            "Average pooling: each pixel got the whole gradient. It counts for a quarter in the average.",
        ),
        (
            plain.pool_inputs(x[None], g[None], "max")[0],
            "The first array is that of max pooling.",
        ),
        (
            x * whole / 4,
            "Average pooling: the values of the map do not matter, only their weight in the average.",
        ),
    ]


def _max_mistakes(x: np.ndarray, g: np.ndarray) -> Mistakes:
    """Return the usual wrong second arrays of exercise 6.2 and their hints; the last pixels that are largest are known."""
    right = plain.pool_inputs(x[None], g[None], "max")[0]
    tops = np.kron(plain.pool(x[None], mode="max")[0], np.ones((2, 2)))
    every = np.where(x == tops, np.kron(g, np.ones((2, 2))), 0)
    last = np.zeros_like(x)
    last[0, 1], last[1, 3] = g[0]
    return [
        (
            every,
            "Max pooling: three pixels of the second window share the maximum. Only one of them gets the gradient.",
        ),
        (
            every / [1, 1, 3, 3],
            "Max pooling: the gradient is not divided among equal pixels. TensorFlow gives all of it to the first.",
        ),
        (
            last,
            "Max pooling: of equal pixels the first counts, row by row from the top left.",
        ),
        (
            plain.pool_inputs(x[None], g[None])[0],
            "The second array is that of average pooling.",
        ),
        (
            x * right,
            "Max pooling: the gradient is passed on as it is, not multiplied by the value.",
        ),
        (
            np.where(right != 0, 1, 0),
            "That marks the pixels that count. They get the gradient.",
        ),
    ]


@exercise("06.3", "the number of a line, 1 to 7")
def wrong_line(answer) -> str:
    lines = {
        1: "Line 1 is right: probabilities minus the one-hot label, equation (6.1).",
        2: "Line 2 is right: input times gradient, for each pair, as in equation (6.3).",
        3: "Line 3 is right: a bias gets the gradient of its pre-activation.",
        4: "Line 4 is right: w2 has a row for each hidden unit, so w2 @ g adds up over the outputs.",
        6: "Line 6 is right: the inputs are x here. That its numbers are wrong is the fault of an earlier line.",
        7: "Line 7 is right. That its numbers are wrong is the fault of an earlier line.",
    }
    if answer == 5:
        return ""
    hint = lines.get(answer) if isinstance(answer, int) else None
    return hint or f"The answer is {answer!r}; expected a whole number from 1 to 7."


@exercise("06.4", "a function of y and g that returns an array")
def relu_inputs(answer) -> str:
    y = np.array([[0.0, 2.0, 0.5], [0.0, 3.0, 0.0]])
    g = np.array([[4.0, -1.0, 3.0], [-2.0, 0.25, 0.0]])
    return _judge(answer, y, g, np.where(y > 0, g, 0), _relu_mistakes(y, g))


def _relu_mistakes(y: np.ndarray, g: np.ndarray) -> Mistakes:
    """Return the usual wrong answers of exercise 6.4 and their hints."""
    return [
        (
            np.where(g > 0, g, 0),
            "That looks at the sign of g. What counts is whether ReLU's output was above 0.",
        ),
        (
            np.where(y > 0, 1, 0),
            "That is ReLU's derivative. Multiply it by g, as the chain rule says.",
        ),
        (
            np.where(y >= 0, 1, 0),
            "That is a derivative alone, and 1 where the output is 0. It should be 0 there, and multiplied by g.",
        ),
        (
            g,
            "g comes back unchanged, also where ReLU's output is 0. Is y >= 0 there? It always is: use y > 0.",
        ),
        (y * g, "That multiplies by y. ReLU's derivative is 1 or 0."),
        (np.where(g > 0, y, 0), "y and g are exchanged."),
        (np.maximum(y, 0), "That is the forward pass of y."),
        (
            np.where((y > 0) & (g > 0), g, 0),
            "A negative gradient passes through as well where the output is above 0.",
        ),
        (
            g * y * (1 - y),
            "That is the sigmoid's derivative. ReLU's is 1 above 0, else 0.",
        ),
    ]
