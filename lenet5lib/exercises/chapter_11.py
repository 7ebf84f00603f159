"""Exercises of chapter 11: the connection table."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from lenet5lib import arithmetic
from lenet5lib.exercises import (
    Hint,
    NumericAnswer,
    Unanswered,
    attempt,
    exercise,
    first_hint,
    number_exercise,
)
from lenet5lib.loops import plain
from lenet5lib.spec import TABLE_I, Conv, Table


@number_exercise("11.1", "a number, to three decimals")
def one_unit_of_s2() -> NumericAnswer:
    window = np.array([[0.2, 0.4], [-0.1, 0.3]])[np.newaxis]
    coefficient, bias = 1.5, -0.4
    squash = plain.scaled_tanh
    total = plain.subsample(
        window, np.array([coefficient]), np.array([bias])
    ).item()
    return NumericAnswer(
        squash(total).item(),
        [
            (total, "That is the sum, before it is squashed."),
            (
                squash(coefficient * window.mean() + bias).item(),
                "That takes the average of the window. Equation (11.2) takes its sum.",
            ),
            (
                squash(coefficient * (window.sum() + bias)).item(),
                "The coefficient multiplies the window's sum alone; the bias is added after it.",
            ),
            (
                (coefficient * squash(window.sum()) + bias).item(),
                "Squash last, when the bias has been added.",
            ),
            (
                squash(window.sum()).item() * coefficient,
                "Squash last, and add the bias.",
            ),
            (
                np.tanh(total).item(),
                "That is the plain tanh. The network's is stretched, equation (11.1).",
            ),
            (
                np.tanh(2 * total / 3).item(),
                "The factor 1.7159 before the tanh is missing.",
            ),
        ],
        "Add up the window, multiply by the coefficient, add the bias, then squash by (11.1).",
        tolerance=1e-3,
    )


LAYERS: tuple[tuple[Table, int, int], ...] = (
    (TABLE_I, 5, 10),
    (((0,), (0, 1)), 3, 4),
    (((0, 1), (2,), (0, 3), (1, 2, 3)), 2, 7),
    (((0, 1, 2), (0, 1, 2)), 1, 6),
)
"""Table, side of the kernels and side of the output maps: what the function of exercise 11.2 is called with."""


def _connections(table: Table, kernel_size: int, side: int) -> int:
    """Return the connections of the layer, counted by the library."""
    layer = Conv("C3", len(table), kernel_size, table=table)
    in_side, in_maps = side + kernel_size - 1, 1 + max(map(max, table))
    return arithmetic.connections(layer, (in_side, in_side, in_maps))


def _miscounts(table: Table, kernel_size: int, side: int) -> list[tuple[int, str]]:
    """Return the results of typical mistakes with their hints, the likeliest mistake first where two coincide."""
    stops, cells, maps = side**2, kernel_size**2, len(table)
    kernels = sum(map(len, table))
    every = maps * (1 + max(map(max, table)))
    return [
        (
            stops * (maps * cells + maps),
            "That has one kernel for each row. A row has a kernel for each map that it names.",
        ),
        (
            side * (kernels * cells + maps),
            "An output map has as many stops as its side squared.",
        ),
        (
            stops * (kernels * kernel_size + maps),
            "A kernel has as many cells as its side squared.",
        ),
        (
            stops * (kernels * cells + 1),
            "That has one bias in all. There is one for each output map.",
        ),
        (
            stops * kernels * (cells + 1),
            "That has a bias for each kernel. There is one for each output map.",
        ),
        (stops * (every * cells + maps), "That joins every map to every map."),
        (
            stops * kernels * cells,
            "That is without the biases. Every output has a connection to one.",
        ),
        (
            kernels * cells + maps,
            "Those are the parameters. Each is used at every stop of the kernel.",
        ),
    ]


@exercise(
    "11.2",
    "a function that takes a table, a kernel's side and an output map's side and returns a number of connections",
)
def connections_of_a_table(answer) -> str:
    for case in LAYERS:
        table, kernel_size, side = case
        right = _connections(*case)
        shown = "Table I" if table == TABLE_I else f"the table {table}"
        call = f"For {shown}, kernels of {kernel_size} × {kernel_size} and output maps of {side} × {side} it gives"
        found = _whole(answer, case, call, LAYERS[0], right)
        if found != right:
            hint = first_hint(found, _miscounts(*case))
            return f"{call} {found:,}. {hint or f'Expected {right:,}.'}"
    return ""


def _whole(answer, case: tuple, call: str, first: tuple, right: int) -> int:
    """Return what the reader's function gives for a case, if it is a whole number.

    Raises:
        Unanswered: it gives nothing in the first case.
        Hint: it gives nothing in a later one, or no whole number.
    """
    try:
        found = attempt(answer, *case)
    except Unanswered:
        if case is first:
            raise
        raise Hint(f"{call} nothing; expected {right:,}.") from None
    if isinstance(found, bool) or not isinstance(found, Integral):
        raise Hint(f"{call} {found!r}; expected a whole number.")
    return int(found)


TABLES: tuple[tuple[Table], ...] = (
    (((0, 1), (1, 2), (0, 1), (0, 2)),),
    (((0, 1), (1, 0), (2,), (1, 2), (2,)),),
    (TABLE_I,),
    (((0, 1, 2),) * 5,),
)
"""What the function of exercise 11.3 is called with: rows that repeat, in another order too, all different, all equal."""


@exercise(
    "11.3", "a function that takes a table and returns a number of different maps"
)
def maps_that_differ(answer) -> str:
    for case in TABLES:
        (table,) = case
        right = len({frozenset(row) for row in table})
        shown = "Table I" if table == TABLE_I else f"the table {table}"
        found = _whole(answer, case, f"For {shown} it gives", TABLES[0], right)
        if found == right:
            continue
        mistakes = [
            (
                len(table),
                "That is the number of rows. Two rows that name the same maps give the same map.",
            ),
            (
                len(set(table)),
                "The order in a row means nothing: with equal kernels the sum is the same.",
            ),
            (
                len({len(row) for row in table}),
                "Rows of one length may name different maps. What do two maps of C3 need to have in common, to stay equal?",
            ),
        ]
        hint = first_hint(found, mistakes) or f"Expected {right}."
        return f"For {shown} it gives {found}. {hint}"
    return ""
