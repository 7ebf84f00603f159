"""The exercises of chapter 6: what is right passes, and each usual mistake gets its own hint."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from lenet5lib import exercises
from lenet5lib.loops import plain

CHAPTER = Path(__file__).resolve().parent.parent / "book/06_backwards.ipynb"


def slow_bias(y, g):
    found = [0.0] * len(y)
    for place in np.ndindex(*y.shape):
        found[place[0]] += g[place] * y[place] * (1 - y[place])
    return found


AVERAGE, LARGEST = [[2, 2, -1, -1]] * 2, [[0, 8, -4, 0], [0, 0, 0, 0]]
RIGHT = [
    ("06.1", slow_bias),
    ("06.1", lambda y, g: np.einsum("mrc,mrc->m", g, y - y**2)),
    ("06.2", (AVERAGE, LARGEST)),
    ("06.2", np.array([AVERAGE, LARGEST], float)),
    ("06.3", 5),
    ("06.4", lambda y, g: g * (y > 0)),
    ("06.4", lambda y, g: np.multiply(g, np.sign(y)).tolist()),
]


@pytest.mark.parametrize(("number", "answer"), RIGHT)
def test_what_is_right_passes(number, answer):
    assert exercises.verdict(number, answer) == (True, "Right.")


def sums(values):
    return values.sum(axis=(1, 2))


MISTAKES = [
    ("06.1", lambda y, g: sums(g), "derivative is missing"),
    ("06.1", lambda y, g: sums(g) / 4, "For y = [["),
    ("06.1", lambda y, g: (g * y * (1 - y)).mean(axis=(1, 2)), "the mean"),
    ("06.1", lambda y, g: (g * y * (1 - y))[:, 0, 0], "one position"),
    ("06.1", lambda y, g: g * y * (1 - y), "map by map"),
    ("06.1", lambda y, g: (g * y * (1 - y)).sum(), "both maps"),
    ("06.1", lambda y, g: (g * y * (1 - y)).sum(axis=0), "over the maps"),
    ("06.1", lambda y, g: sums(g * y), "g times y"),
    ("06.1", lambda y, g: sums(y * (1 - y)), "alone"),
    ("06.1", lambda y, g: -sums(g * y * (1 - y)), "sign"),
    (
        "06.1",
        lambda y, g: sums(g * plain.sigmoid(y) * (1 - plain.sigmoid(y))),
        "again",
    ),
    ("06.1", lambda y, g: np.zeros(3), "shape (3,)"),
    ("06.2", ([[8, 8, -4, -4]] * 2, LARGEST), "a quarter"),
    ("06.2", (AVERAGE, AVERAGE), "that of average"),
    ("06.2", (LARGEST, AVERAGE), "that of max"),
    ("06.2", (AVERAGE, [[0, 8, -4, -4], [0, 0, 0, -4]]), "three pixels"),
    ("06.2", (AVERAGE, [[0, 8, -4 / 3, -4 / 3], [0, 0, 0, -4 / 3]]), "not divided"),
    ("06.2", (AVERAGE, [[0, 8, 0, 0], [0, 0, 0, -4]]), "the first counts"),
    ("06.2", (AVERAGE, [[0, 24, -20, 0], [0, 0, 0, 0]]), "not multiplied"),
    ("06.2", (AVERAGE, [[0, 1, 1, 0], [0, 0, 0, 0]]), "They get the gradient"),
    ("06.2", (AVERAGE, [[8, 0, -4, 0], [0, 0, 0, 0]]), "row 0, column 0 is 8"),
    ("06.2", ([2, 2], [8, 0]), "expected (2, 4)"),
    ("06.2", 3, "expected two arrays"),
    *(("06.3", line, f"Line {line} is right") for line in (1, 2, 3, 4, 6, 7)),
    ("06.3", 8, "from 1 to 7"),
    ("06.3", "z * (1 - z)", "from 1 to 7"),
    ("06.4", lambda y, g: np.where(g > 0, g, 0), "sign of g"),
    ("06.4", lambda y, g: np.where(y >= 0, g, 0), "use y > 0"),
    ("06.4", lambda y, g: g, "use y > 0"),
    ("06.4", lambda y, g: (y > 0).astype(float), "Multiply it by g"),
    ("06.4", lambda y, g: (y >= 0).astype(float), "multiplied by g"),
    ("06.4", lambda y, g: y * g, "multiplies by y"),
    ("06.4", lambda y, g: np.where(g > 0, y, 0), "exchanged"),
    ("06.4", lambda y, g: np.where((y > 0) & (g > 0), g, 0), "negative gradient"),
    ("06.4", lambda y, g: g * y * (1 - y), "sigmoid's derivative"),
    ("06.4", lambda y, g: np.maximum(y, 0), "forward pass"),
    ("06.4", lambda y, g: g[0], "shape (3,)"),
    ("06.4", 3, "expected a function"),
]


@pytest.mark.parametrize(("number", "answer", "words"), MISTAKES)
def test_a_mistake_gets_its_hint(number, answer, words):
    right, hint = exercises.verdict(number, answer)
    assert not right
    assert words in hint, hint


def given(text):
    """Return the function of exercise 6.3, from the text of its cell."""
    names = {"np": np, "plain": plain}
    exec(text.split("\n\n\nanswer")[0], names)
    return names["backward_pass"]


def test_line_five_is_the_only_error_of_exercise_6_3():
    cells = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
    (text,) = (
        "".join(cell["source"])
        for cell in cells
        if "def backward_pass" in "".join(cell["source"])
    )
    assert re.findall(r"# (\d)", text) == list("1234567")
    rng = np.random.default_rng(0)
    x, w1, b1, w2, b2 = (
        rng.normal(size=size) for size in (2, (2, 2), 2, (2, 3), 3)
    )
    parameters = [w1, b1, w2, b2]

    def loss(w1, b1, w2, b2):
        y = plain.sigmoid(plain.dense(x, w1, b1))
        return plain.cross_entropy(plain.softmax(plain.dense(y, w2, b2)), 1)

    expected = []
    for n, values in enumerate(parameters):
        slopes = np.empty_like(values)
        for place in np.ndindex(values.shape):
            ends = []
            for move in (1e-5, -1e-5):
                changed = [one.copy() for one in parameters]
                changed[n][place] += move
                ends.append(loss(*changed))
            slopes[place] = (ends[0] - ends[1]) / 2e-5
        expected.append(slopes)
    fixed = text.replace("g * z * (1 - z)", "g * y * (1 - y)")
    assert fixed != text
    for one, other in zip(given(fixed)(x, 1, *parameters), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)
    wrong = given(text)(x, 1, *parameters)
    agree = [
        np.allclose(a, b, atol=1e-3) for a, b in zip(wrong, expected, strict=True)
    ]
    assert agree == [False, False, True, True]
