"""Exercises of chapter 3: layer by layer."""

from __future__ import annotations

from lenet5lib import arithmetic
from lenet5lib.exercises import NumericAnswer, exercise, number_exercise
from lenet5lib.spec import LENET5, Architecture, Conv, Dense


def _parameters(architecture: Architecture) -> int:
    """Return the parameters of a network."""
    return sum(row.params for row in arithmetic.table(architecture))


@number_exercise("03.1", "the parameters of the whole network")
def wider_c1() -> NumericAnswer:
    wider = LENET5.change("C1", filters=8)
    right = _parameters(wider)
    rows = {row.layer: row.params for row in arithmetic.table(LENET5)}
    new = {row.layer: row.params for row in arithmetic.table(wider)}
    kernels = 25 * (8 - 6)
    return NumericAnswer(
        right,
        [
            (
                sum(rows.values()) + new["C1"] - rows["C1"],
                "C1 has changed, but C3 reads its maps. How deep are C3's kernels now?",
            ),
            (right - (8 - 6), "You forgot the biases of the two new maps."),
            (
                sum(rows.values()) + kernels,
                "That is the weights of the two new kernels only. C3 reads their maps, and they have biases.",
            ),
            (
                _parameters(wider.change("C1", padding="valid")),
                "That is with valid padding in C1. The article's C1 pads, so its maps keep 28 × 28.",
            ),
            (
                new["C1"] + new["C3"],
                "Those are C1 and C3. Three more layers have parameters.",
            ),
        ],
        "Go through the table: which layers read or make the maps of C1?",
    )


@number_exercise("03.2", "the connections of C3")
def sparse_c3() -> NumericAnswer:
    readers = {3: 6, 4: 9, 6: 1}
    kernels = sum(maps * count for maps, count in readers.items())
    outputs, side = sum(readers.values()), 5
    places = arithmetic.output_size(14, side) ** 2
    weights = kernels * side**2
    full = Conv("C3", outputs, side)
    return NumericAnswer(
        places * (weights + outputs),
        [
            (
                arithmetic.connections(full, (14, 14, 6)),
                "That is C3 with every map reading all six: 2,416 parameters, not 1,516.",
            ),
            (
                places * weights,
                "You forgot the biases: connections count them, MACs do not.",
            ),
            (
                weights + outputs,
                "Those are the parameters. Each is used at every stop.",
            ),
            (
                places * (kernels * side + outputs),
                "A kernel reads 5 × 5 cells of a map.",
            ),
            (
                14 * 14 * (weights + outputs),
                "C3 has no padding: its maps are smaller than those it reads.",
            ),
        ],
        "Count the 5 × 5 kernels first: 6 maps with 3 of them, 9 with 4, and 1 with 6.",
    )


@exercise("03.3", "an Architecture")
def small_network(answer) -> str:
    if not isinstance(answer, Architecture):
        return f"The answer is of the type {type(answer).__name__}; expected an Architecture. LENET5.change(…) returns one."
    try:
        rows = arithmetic.table(answer)
    except ValueError as error:
        return f"The layers do not fit together: {error}"
    if answer.input_shape != LENET5.input_shape:
        return f"The input is {arithmetic.shape_text(answer.input_shape)}; expected 28×28×1."
    last = rows[-1]
    if not isinstance(answer.layers[-1], Dense) or last.output_shape != (10,):
        return f"The last layer gives {arithmetic.shape_text(last.output_shape)}; expected ten sums from a Dense layer."
    if min(last.receptive_field) < 20:
        return (
            f"A unit of the last layer sees {arithmetic.shape_text(last.receptive_field)} pixels; "
            "expected 20×20 at least, the largest digit."
        )
    total = sum(row.params for row in rows)
    largest = max(rows, key=lambda row: row.params)
    if total >= 15_000:
        return f"It has {total:,} parameters; expected under 15,000. {largest.layer} alone has {largest.params:,}."
    if not any(isinstance(layer, Conv) for layer in answer.layers):
        return "That is small and sees everything, but it has no convolution. Keep at least one."
    return ""
