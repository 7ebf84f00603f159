"""Exercises of chapter 12: the RBF output."""

from __future__ import annotations

import math
from functools import partial
from numbers import Real

import numpy as np

from lenet5lib.exercises import (
    Hint,
    NumericAnswer,
    Unanswered,
    attempt,
    exercise,
    first_hint,
    number_exercise,
)
from lenet5lib.lenet1998 import codes
from lenet5lib.loops import plain


@number_exercise("12.1", "a whole number of cells")
def turned_cells() -> NumericAnswer:
    apart = int(codes.distances()[6, 8])
    differ = apart // 4
    return NumericAnswer(
        differ // 2 + 1,
        [
            (
                differ,
                "Then F6 gives the code of the 8 itself. It is nearer before that.",
            ),
            (
                differ // 2,
                "Then both are equally far, and the 8 is not yet the nearer of the two.",
            ),
            (
                differ // 4,
                "Then the 6 is at 12 and the 8 still at 36. Compare the two distances.",
            ),
            (
                apart // 2,
                "That is a distance. Each cell that is turned over adds 4 to that from the 6.",
            ),
            (
                apart,
                "That is the distance between the two codes. Each cell that differs counts 4.",
            ),
        ],
        "With n cells turned over, how far is F6 from the 6, and how far from the 8?",
    )


@number_exercise("12.2", "nats, to four decimals")
def loss_by_hand() -> NumericAnswer:
    own, other, j = 3.0, 5.0, 4.0
    distances = np.array([own, other, *8 * [60.0]])
    right = plain.maximum_a_posteriori(distances, 0, j)
    rubbish, label, wrong = (math.exp(own - y) for y in (j, own, other))
    return NumericAnswer(
        right,
        [
            (
                math.log(label + wrong),
                "That is without rubbish. The sum has a term for it too.",
            ),
            (
                right - own,
                "That is the logarithm alone. The label's distance is added to it.",
            ),
            (
                math.log(rubbish + wrong),
                "The sum goes over all digits, that of the label too.",
            ),
            (
                math.log(rubbish + label),
                "The digit at a distance of 5 is missing from the sum.",
            ),
            (
                own,
                "That is the first loss, (12.2). Equation (12.3) adds a logarithm, which is negative here.",
            ),
            (
                own + (right - own) / math.log(10),
                "Take the natural logarithm, ln, not the one to base 10.",
            ),
            (
                math.exp(-right),
                "That is the probability of the label. The loss is minus its logarithm.",
            ),
        ],
        "Equation (12.3) with three terms in the sum; the other eight are too small to count.",
        tolerance=3e-4,
    )


FAR = np.full(10, 2000.0)
FAR.flags.writeable = False

CASES = (
    (np.array([12.0, 60, 60, 60, 60, 60, 12, 60, 60, 60]), 12.0),
    (np.array([3.0, 7, 9, 4, 8, 6, 5, 7, 9, 8]), 5.0),
    (np.array([1.0, 2, 1, 2, 1, 2, 1, 2, 1, 2]), 0.5),
    (FAR, 12.0),
    (FAR, 2000.0),
    (FAR, 5000.0),
)
"""Ten distances and a j: what the function of exercise 12.3 is called with. The last three leave only 0 in e^(−y)."""


@exercise(
    "12.3", "a function that takes ten distances and j and returns a probability"
)
def rubbish(answer) -> str:
    from lenet5lib.training import losses

    for distances, j in CASES:
        right = 1 - losses.posterior(distances[np.newaxis], j).sum()
        shown = (
            "ten distances of 2,000"
            if distances is FAR
            else f"{distances.tolist()}"
        )
        call = f"For {shown} and j = {j:g} it gives"
        try:
            found = attempt(answer, distances, j)
        except Unanswered:
            if distances is CASES[0][0]:
                raise
            raise Hint(f"{call} nothing; expected {right:.4f}.") from None
        if np.ndim(found) or not isinstance(found, (Real, np.number, np.ndarray)):
            return f"{call} {found!r}; expected one number, a probability."
        if not np.isclose(float(found), right, atol=1e-6):
            return (
                f"{call} {found:.4g}. {_advice(distances, j, float(found), right)}"
            )
    return ""


def _advice(distances: np.ndarray, j: float, found: float, right: float) -> str:
    """Return the hint for a wrong probability."""
    if distances is FAR:
        return (
            f"Expected {right:.4f}. Numbers of 64 bits cannot hold e to the power −2,000. Draw the largest term out of all, "
            "as the library does: multiply above and below by e to the smallest of the eleven distances."
        )
    powers, own = np.exp(-distances), math.exp(-j)
    mistakes = [
        (
            powers.sum() / (own + powers.sum()),
            "That is for being any of the digits. Rubbish is the rest.",
        ),
        (
            own / powers.sum(),
            "That lacks rubbish's own term below the line: the eleven must add up to 1.",
        ),
        (own, "Divide by the sum of all eleven terms, as in (12.4)."),
        (
            own + powers.sum(),
            "That is the sum below the line of (12.4). Above it stands rubbish's own term.",
        ),
        ((own + powers.sum()) / own, "That is upside down."),
        (
            math.exp(j) / (math.exp(j) + np.exp(distances).sum()),
            "The powers are negative: what is near gets the larger share.",
        ),
    ]
    hint = first_hint(found, mistakes, partial(math.isclose, rel_tol=1e-6))
    return hint or f"Expected {right:.4f}."
