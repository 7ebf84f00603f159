"""Exercise 2.4: a loop that is right in any form passes, and each usual mistake gets its own hint."""

import numpy as np
import pytest

from lenet5lib import exercises


def loop(x, w, b, *, start=2, dtype=float, extra=0):
    """Return the loop of exercise 2.4 in nested sums, with what is changed in it."""
    k = len(w)
    rows, columns = ((side - k) // 2 + 1 + extra for side in x.shape)
    y = np.zeros((rows, columns), dtype)
    for r in range(rows):
        for c in range(columns):
            terms = (
                x[start * r + u, start * c + v] * w[u, v]
                for u in range(k)
                for v in range(k)
            )
            y[r, c] = b + sum(terms)
    return y


def windows(x, w, b):
    """Return the same without a loop."""
    found = np.lib.stride_tricks.sliding_window_view(x, w.shape)[::2, ::2]
    return np.einsum("rcuv,uv->rc", found, w) + b


@pytest.mark.parametrize("function", [loop, windows, lambda *a: loop(*a).tolist()])
def test_any_loop_that_is_the_equation_passes(function):
    assert exercises.verdict("02.4", function) == (True, "Right.")


MISTAKES = [
    (lambda x, w, b: loop(x, w[::-1, ::-1], b), "flipped"),
    (lambda x, w, b: loop(x, w.T, b), "transposed"),
    (lambda x, w, b: loop(x, w, 0), "left out"),
    (lambda x, w, b: loop(x, w, 9 * b), "nine times"),
    (lambda x, w, b: loop(x, w, -b), "subtracted"),
    (lambda x, w, b: loop(x, w, b, start=1), "begins 1 after"),
    (lambda x, w, b: loop(x, w, b, dtype=int), "whole numbers"),
    (lambda x, w, b: loop(x, w, b).round().tolist(), "At (0, 0) it gives"),
    (lambda x, w, b: loop(x, w, b).T, "rows and columns are exchanged"),
    (lambda x, w, b: loop(x, w, b, extra=-1), "one position is missing"),
    (lambda x, w, b: loop(x, w, b, extra=1), "IndexError"),
    (lambda x, w, b: loop(np.pad(x, (0, 2)), w, b), "beyond the border"),
    (lambda x, w, b: loop(np.pad(x, ((0, 0), (0, 1))), w, b), "Round down"),
    (lambda x, w, b: np.zeros((5, 8)), "stride 1"),
    (lambda x, w, b: np.zeros_like(x), "no padding"),
    (lambda x, w, b: np.zeros((3, 4)), "is it filled"),
    (lambda x, w, b: 3.0, "shape ()"),
    (lambda x, w, b: loop(x, w[:3, :3], b), "5 × 5"),
    (np.ones((3, 4)), "expected a function"),
]


@pytest.mark.parametrize(
    ("answer", "words"), MISTAKES, ids=[m[1] for m in MISTAKES]
)
def test_a_mistake_gets_its_hint(answer, words):
    right, hint = exercises.verdict("02.4", answer)
    assert not right
    assert words.lower() in hint.lower(), hint
