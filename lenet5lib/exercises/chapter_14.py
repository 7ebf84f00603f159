"""Exercises of chapter 14: one change at a time."""

from __future__ import annotations

from math import comb

import numpy as np

from lenet5lib.exercises import (
    NumericAnswer,
    attempt,
    exercise,
    first_hint,
    number_exercise,
)
from lenet5lib.training.schedules import OneCycle


@number_exercise("14.1", "a learning rate, to five decimals")
def in_the_cycle() -> NumericAnswer:
    cycle = OneCycle(0.004, 20)
    steps = np.array([16_500, 3_000])
    down, up = (float(rate) for rate in cycle.learning_rates(steps, 1000, []))
    share = (16.5 / 20 - 0.3) / (1 - 0.3)
    return NumericAnswer(
        down,
        [
            (
                0.004,
                "That is the peak. After 16½ epochs the rate has been falling for a long time.",
            ),
            (
                0.004 * (1 - share),
                "That goes straight down. Equation (14.5) goes down along a cosine.",
            ),
            (
                0.004 * (1 + np.cos(np.pi * 16.5 / 20)) / 2,
                "That falls from the first step. Take the share of the rise "
                "off, above and below the line.",
            ),
            (up, "That is on the way up. After 16½ epochs it is on the way down."),
            (0.004 - down, "That is how far it has fallen."),
        ],
        "Put θ = 16.5/20 and θ₀ = 6/20 into equation (14.5).",
        tolerance=1e-2,
    )


@number_exercise("14.2", "a probability, to three decimals")
def coins() -> NumericAnswer:
    ways = [comb(20, heads) for heads in range(21)]
    at_most_6 = sum(ways[:7]) / 2**20
    return NumericAnswer(
        2 * at_most_6,
        [
            (
                at_most_6,
                "That is one side. As far from even to the other side counts too.",
            ),
            (
                2 * ways[6] / 2**20,
                "That is exactly 6 and exactly 14. Outcomes that are further from even count too.",
            ),
            (
                ways[6] / 2**20,
                "That is exactly 6. Fewer, and the other side, count too.",
            ),
            (
                1 - at_most_6,
                "That is the probability of more than 6. The question is for outcomes as uneven as this.",
            ),
            (
                6 / 20,
                "That is a share of the coins. The question is how often coins would fall as unevenly.",
            ),
        ],
        "Twenty fair coins: how often do 6 or fewer, or 14 or more, show heads? The 40 say nothing.",
        tolerance=1e-2,
    )


@exercise(
    "14.3",
    "a function that takes two boolean arrays (networks, digits) and returns a number for each digit",
)
def terms(answer) -> str:
    before = np.array([[1, 1, 0, 0, 1], [1, 0, 0, 0, 1]], bool)
    after = np.array([[0, 1, 0, 1, 1], [0, 0, 0, 1, 0], [0, 1, 0, 1, 0]], bool)
    found = attempt(answer, before, after)
    right = after.mean(axis=0) - before.mean(axis=0)
    if np.shape(found) != right.shape:
        return f"It returns {found!r}; expected {len(right)} numbers, one for each digit."
    found = np.asarray(found, float)
    mistakes = [
        (-right, "That is before minus after. A change for the better is below 0."),
        (
            after.sum(axis=0) - before.sum(axis=0),
            "Those are numbers of networks. Equation (14.12) has shares of them, since it divides by the number of seeds.",
        ),
        (after.mean(axis=0), "Those are the shares after the change alone."),
    ]
    hint = first_hint(found, mistakes, np.allclose)
    if hint:
        return hint
    if not np.allclose(found, right):
        return f"For {before.tolist()} and {after.tolist()} it gives {found.tolist()}. Take the mean over networks."
    return ""
