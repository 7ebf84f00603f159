"""Exercises of chapter 13: LeNet-5 of 1998."""

from __future__ import annotations

from collections.abc import Collection

from lenet5lib import arithmetic
from lenet5lib.exercises import (
    NumericAnswer,
    attempt,
    exercise,
    first_hint,
    number_exercise,
)
from lenet5lib.spec import LENET5_1998


@number_exercise("13.1", "a whole number of connections")
def all_connected() -> NumericAnswer:
    full = LENET5_1998.change("C3", table=None)
    rows = {network: arithmetic.table(network) for network in (LENET5_1998, full)}
    total = {
        network: sum(row.connections for row in table)
        for network, table in rows.items()
    }
    kernels = sum(row.params for row in rows[full]) - sum(
        row.params for row in rows[LENET5_1998]
    )
    macs = sum(row.macs for row in rows[full])
    return NumericAnswer(
        total[full],
        [
            (
                total[LENET5_1998] + kernels,
                "Those are the parameters that C3 gains. Each is used at 100 positions.",
            ),
            (
                total[full] - total[LENET5_1998],
                "That is what C3 gains. Add it to the paper's total.",
            ),
            (
                total[LENET5_1998],
                "That is the paper's network, with its table. Join all maps with all.",
            ),
            (
                macs,
                "Those are MACs. Connections count the bias too, and each value that subsampling adds.",
            ),
            (
                sum(row.params for row in rows[full]),
                "Those are parameters. The question is for connections.",
            ),
        ],
        "The table leaves out 36 kernels of 25 weights, each used at 10 · 10 positions.",
    )


@number_exercise("13.2", "a number, to two decimals")
def grey() -> NumericAnswer:
    low, high = LENET5_1998.pixel_range
    share = 102 / 255
    return NumericAnswer(
        low + (high - low) * share,
        [
            (
                share,
                "That is on the scale from 0 to 1. This network's goes from −0.1 to 1.175.",
            ),
            (high * share, "Background is not 0 but −0.1: start from there."),
            (
                low + high * share,
                "The whole way from background to ink is 1.175 + 0.1.",
            ),
            (
                high - (high - low) * share,
                "That takes 255 for background. In the file 0 is background.",
            ),
            (low + (high - low) * 102 / 256, "The largest value is 255, not 256."),
        ],
        "Go 102/255 of the way from −0.1 to 1.175.",
        tolerance=2e-3,
    )


@exercise(
    "13.3",
    "a function that takes a list of sets of positions and returns the positions that are in every one",
)
def wrong_in_all(answer) -> str:
    sets = [{3, 5, 8, 9}, {5, 8, 11}, {2, 5, 8, 9}]
    found = attempt(answer, sets)
    if not isinstance(found, Collection) or isinstance(found, (str, dict)):
        return f"It returns {found!r}; expected a set of positions."
    right = set.intersection(*sets)
    mistakes = [
        (
            set.union(*sets),
            "Those are wrong in at least one of them. The question is for all.",
        ),
        (sets[0] & sets[1], "That compares only the first two."),
        (sets[0] & sets[-1], "That compares only the first and the last."),
        (right ^ set.union(*sets), "Those are wrong in some and right in others."),
    ]
    if set(found) == right:
        return ""
    return first_hint(set(found), mistakes) or (
        f"For {sets} it gives {sorted(found)}. Which positions are in all three?"
    )
