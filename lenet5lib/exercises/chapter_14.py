"""Exercises of chapter 14: speed."""

from __future__ import annotations

import numpy as np

from lenet5lib import arithmetic
from lenet5lib.exercises import Number, attempt, exercise, number_exercise
from lenet5lib.spec import LENET5


@number_exercise("14.1", "FLOP a byte, to one decimal")
def intensity() -> Number:
    from lenet5lib import speed

    batch = 256
    count, moved, right = speed.work(LENET5, batch).loc["F6"]
    layer, inputs = LENET5["F6"], (LENET5["C5"].units,)
    weights = 4 * arithmetic.params(layer, inputs)
    return Number(
        right,
        {
            count / moved: "A MAC is two operations, a product and a sum.",
            4
            * right: "That is operations for each number. A float32 number has 4 bytes.",
            2 * count / (moved - weights): "The parameters have to be read too.",
            2
            * count
            / batch
            / (
                (moved - weights) / batch + weights
            ): "That is for one digit. With more digits, the weights are read once for all.",
        },
        "Equation (14.1): M is 256 · 84 · 120, and Q is 4 bytes for each input, output and parameter.",
        tolerance=4e-3,
    )


def _products(block: int, kernel_size: int = 5) -> int:
    """Return the products for one output and map on blocks: one for each cell that the block reads."""
    return (block + kernel_size - 1) ** 2


@number_exercise("14.2", "a ratio")
def larger_blocks() -> Number:
    block, side = 8, 5
    right = _products(block) / side**2
    return Number(
        right,
        {
            (block + side - 1) / side: "That is along one side. A block has two.",
            block**2
            / side
            ** 2: "That is for blocks of 4 outputs. A block of 8 reads 8 + 5 − 1 pixels to a side.",
            _products(block)
            / block
            ** 2: "That is how many numbers are gathered for each output, not how many products are made.",
        },
        "On blocks every output is multiplied with all cells that the block reads; plainly, with 25.",
        tolerance=5e-3,
    )


@exercise("14.3", "a function that takes the side of a block and returns a cost")
def block_cost(answer) -> str:
    blocks, maps, gathering = np.arange(1, 13), 6, 100
    right = np.array([_products(b) * (maps + gathering / b**2) for b in blocks])
    found = np.array([float(attempt(answer, int(b))) for b in blocks])
    known = [
        (
            _products_of(blocks) * (maps + gathering),
            "Each cell is gathered once for the whole block, so share it among the block's outputs.",
        ),
        (
            _products_of(blocks) * maps,
            "That is the products alone. Add 100 for each number that is gathered.",
        ),
        (
            _products_of(blocks) * (1 + gathering / blocks**2),
            "C1 has six maps: each cell is multiplied six times for an output place.",
        ),
        (right * blocks**2, "That is for the whole block. Divide by its outputs."),
    ]
    for wrong, hint in known:
        if np.allclose(found, wrong):
            return hint
    if not np.allclose(found, right):
        return (
            f"For blocks of 1 and 2 it gives {found[0]:g} and {found[1]:g}. A block of 1 gathers 25 numbers, "
            f"100 each, and makes 6 · 25 products: {right[0]:g}."
        )
    return ""


def _products_of(blocks: np.ndarray) -> np.ndarray:
    """Return `_products` for each side."""
    return np.array([_products(int(block)) for block in blocks])
