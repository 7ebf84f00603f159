"""Exercises of chapter 3: layer by layer."""

from __future__ import annotations

from lenet5lib import arithmetic
from lenet5lib.exercises import NumericAnswer, exercise, number_exercise
from lenet5lib.spec import LENET5, Architecture, Conv, Dense, Pool, activation_of


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
                "C1 has changed, but C3 reads its maps. How many kernels does each of C3's filters have now?",
            ),
            (
                right - 16 * 25,
                "That is one new kernel for each filter of C3. C1 has two new maps, so each filter gets two.",
            ),
            (
                right - sum(rows.values()),
                "Those are the new ones. The question is about the whole network.",
            ),
            (
                new["C1"],
                "That is C1 alone. The question is about the whole network.",
            ),
            (right - (8 - 6), "You forgot the biases of the two new maps."),
            (
                right + 16 * (8 - 6),
                "You gave C3 a bias for each new kernel. A filter has one bias, however many kernels it has.",
            ),
            (
                sum(rows.values()) + kernels,
                "That is the weights of the two new kernels only. C3 reads their maps, and they have biases.",
            ),
            (
                _parameters(wider.change("C1", padding="valid")),
                "That is with valid padding in C1. LENET5 pads there, so the maps keep 28 × 28.",
            ),
            (
                new["C1"] + new["C3"],
                "Those are C1 and C3. Three more layers have parameters.",
            ),
        ],
        "Only the layers with parameters that make or read C1's maps change: C1 and C3. From S4 on nothing does.",
    )


@number_exercise("03.2", "the connections of C3")
def sparse_c3() -> NumericAnswer:
    readers = {3: 6, 4: 9, 6: 1}
    kernels = sum(maps * count for maps, count in readers.items())
    outputs, side = sum(readers.values()), 5
    places = arithmetic.output_size(14, side) ** 2
    weights, parameters = kernels * side**2, kernels * side**2 + outputs
    full = arithmetic.connections(Conv("C3", outputs, side), (14, 14, 6))
    mistakes = {
        full: "That is C3 with every map reading all six: 2,416 parameters, not 1,516.",
        full
        - places
        * outputs: "That is every map reading all six, and without biases.",
        places
        * weights: "You forgot the biases: connections count them, MACs do not.",
        places
        * (
            weights + kernels
        ): "You gave each kernel a bias. A map has one, however many kernels it has: 16 in all.",
        places
        * (
            weights + 1
        ): "That is one bias for the layer. Each of the 16 maps has one.",
        places * weights + outputs: "The biases are added at every position, too.",
        parameters: "Those are the parameters. Each is used at every position.",
        places * (kernels * side + outputs): "A kernel reads 5 × 5 cells of a map.",
        14
        * 14
        * parameters: "C3 has no padding: its maps are smaller than those it reads.",
        14
        * 14
        * weights: "C3 has no padding, so its maps are smaller than those it reads; and each has a bias.",
    }
    return NumericAnswer(
        places * parameters,
        list(mistakes.items()),
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
    count = sum(isinstance(layer, Conv) for layer in answer.layers)
    if count < 2:
        return f"The number of convolutions is {count}; expected 2 at least. Add one: spec.Conv."
    seen = [
        row
        for row, layer in zip(rows, answer.layers, strict=True)
        if isinstance(layer, Conv | Pool)
    ][-1]
    if min(seen.receptive_field) < 14:
        return (
            f"A unit of {seen.layer}, the last layer with a window, sees {arithmetic.shape_text(seen.receptive_field)}; "
            "expected 14×14 at least. Larger kernels, or pooling between two layers, make it see more."
        )
    inner = map(activation_of, answer.layers[:-1])
    if all(activation == "linear" for activation in inner):
        return "No layer before the last has an activation function, so all of them are one linear layer. Add activation=…."
    total = sum(row.params for row in rows)
    largest = max(rows, key=lambda row: row.params)
    if total >= 15_000:
        return f"It has {total:,} parameters; expected under 15,000. {largest.layer} alone has {largest.params:,}."
    return ""
