"""The codes of the ten classes: pictures of 7×12 cells as rows of −1 and +1, from which the RBF output measures distances.

The paper's figure 3 shows such pictures for all printable ASCII characters; here are those of the digits. 84 = 7 · 12 is why
F6 has 84 units. Chapter 12 is about this module.
"""

from __future__ import annotations

from typing import Any

import numpy as np

HEIGHT, WIDTH = 12, 7

PICTURES = """
 .#####. ...##.. .#####. ####### .#####. .#####. ..####. ####### .#####. .#####.
 ....... ..###.. ....... .....## ....... ....... .##.... .....## ##...## ##..###
 ..###.. .####.. .#####. ....##. ....... ####### ##..... .....## ##...## ##...##
 .##.##. ...##.. ##...## ...##.. .##..## ##..... ##..... ....##. ##...## ##...##
 ##...## ...##.. #....## ..####. .##..## ##..... ######. ...##.. .#####. ##..###
 ##...## ...##.. ....##. .....## ###..## .####.. ###..## ...##.. ##...## .######
 ##...## ...##.. ..###.. .....## ##...## ..####. ##...## ..##... ##...## .....##
 ##...## ...##.. .##.... .....## ##...## .....## ##...## ..##... ##...## .....##
 .##.##. ...##.. ##..... ##...## ##..### ##...## ###..## ..##... ##...## ....##.
 ..###.. .###### ####### .#####. .###### .#####. .#####. ..##... .#####. .####..
 ....... ....... ....... ....... .....## ....... ....... ....... ....... .......
 ....... ....... ....... ....... .....## ....... ....... ....... ....... .......
"""
# Assumption: read not from figure 3 itself but from two public transcriptions of it, which agree in 839 of 840 cells. They
# differ in row 8, column 1 of the 3, counted from 0: ink here, as in the one copied most and as in the same place of the 5.


def _read(pictures: str) -> np.ndarray:
    """Return pictures that stand side by side, # for ink, as int8 (pictures, cells), row by row, ink +1."""
    rows = [line.split() for line in pictures.split("\n") if line]
    cells = [
        [[1 if c == "#" else -1 for c in part] for part in row] for row in rows
    ]
    return np.array(cells, np.int8).swapaxes(0, 1).reshape(len(rows[0]), -1)


DIGITS = _read(PICTURES)
"""The codes of the digits 0 to 9: int8 (10, 84), ink +1, paper −1, each row by row from the top. Source: figure 3."""
DIGITS.flags.writeable = False


def first_codes(units: int, what: str = "units") -> np.ndarray:
    """Return the codes of the first classes, int8 (units, 84).

    Raises:
        ValueError: more units than the ten classes; `what` is named.
    """
    if units > len(DIGITS):
        raise ValueError(
            f"{what} is {units}; there are codes for the 10 digits. Take at most 10 units."
        )
    return DIGITS[:units]


def require_codes(
    codes: Any, units: int = 10, inputs: int = HEIGHT * WIDTH
) -> np.ndarray:
    """Return codes as float32, checked to be (units, inputs) of −1 and +1.

    Raises:
        ValueError: a different shape, or a value that is neither; unit and cell are named.
    """
    codes = np.asarray(codes)
    if codes.shape != (units, inputs):
        raise ValueError(
            f"codes have shape {codes.shape}; expected ({units}, {inputs}), a row of {inputs} values for each of {units} "
            "units. Reshape them, or change the layer before."
        )
    wrong = np.argwhere(np.abs(codes) != 1)
    if len(wrong):
        unit, cell = wrong[0]
        raise ValueError(
            f"codes hold {codes[unit, cell]!s} at unit {unit}, cell {cell}; expected −1 (paper) or +1 (ink) everywhere. "
            "Map the two colours to these values."
        )
    return codes.astype(np.float32)


def distances(codes: np.ndarray = DIGITS) -> np.ndarray:
    """Return the squared distance between each two codes, int (units, units): four for each cell that differs."""
    return 4 * (codes[:, None, :] != codes[None, :, :]).sum(axis=2)
