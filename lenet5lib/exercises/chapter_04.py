"""Exercises of chapter 4: build and confirm."""

from __future__ import annotations

from lenet5lib import arithmetic
from lenet5lib.exercises import NumericAnswer, attempt, exercise, number_exercise
from lenet5lib.spec import LENET5, Architecture, Conv, Dense, Flatten, Pool

SUMMARY = (
    ("C1", (26, 26, 8), 80),
    ("S2", (13, 13, 8), 0),
    ("C3", (11, 11, 24), 1_752),
    ("S4", (5, 5, 24), 0),
    ("Flatten", (600,), 0),
    ("C5", (64,), 38_464),
    ("Output", (10,), 650),
)
"""The summary that exercise 4.2 prints: name, output shape and parameters of each layer."""


@number_exercise("04.1", "a whole number of numbers")
def with_optimizer() -> NumericAnswer:
    rows = arithmetic.table(LENET5.change("C3", filters=32))
    params = sum(row.params for row in rows)
    return NumericAnswer(
        params + 2 * params + 2,
        [
            (
                2 * params + 2,
                "That is the optimizer alone. The total includes the network.",
            ),
            (
                3 * params,
                "Two numbers are missing that belong to no parameter: the count of steps and the learning rate.",
            ),
            (
                params,
                "Those are the parameters. After a step of training the summary counts the optimizer too.",
            ),
            (
                2 * params,
                "Adam keeps two numbers for each parameter, and there is the parameter itself.",
            ),
        ],
        "Adam remembers two numbers for each parameter, a count of steps and the learning rate.",
    )


@exercise(
    "04.2", "an Architecture with the layers C1, S2, C3, S4, Flatten, C5 and Output"
)
def from_summary(answer) -> str:
    if not isinstance(answer, Architecture):
        return f"The answer is of the type {type(answer).__name__}; expected an Architecture."
    try:
        rows = arithmetic.table(answer)
    except ValueError as error:
        return f"The layers do not fit together: {error}"
    names = [row.layer for row in rows]
    if names != [name for name, _, _ in SUMMARY]:
        return f"The layers are {', '.join(names)}; expected those of the summary, by their names."
    for row, (name, shape, params) in zip(rows, SUMMARY, strict=True):
        if row.output_shape != shape:
            return (
                f"{name} gives {arithmetic.shape_text(row.output_shape)}; the summary says {arithmetic.shape_text(shape)}. "
                "Look at the window, the padding and the number of maps or units."
            )
        if row.params != params:
            return f"{name} has {row.params:,} parameters; the summary says {params:,}. Divide by the maps."
    return ""


def _tiny(maps: int) -> Architecture:
    """Return a small network to count."""
    layers = (Conv("C1", maps, 3), Pool("S2"), Flatten(), Dense("Output", 10))
    return Architecture("a small network", (8, 8, 1), layers)


@exercise("04.3", "a function that takes a Keras model and returns a whole number")
def count_parameters(answer) -> str:
    from lenet5lib import models

    for architecture in (_tiny(2), _tiny(3)):
        model = models.build(architecture)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.optimizer.build(model.trainable_variables)
        rows = arithmetic.table(architecture)
        params = sum(row.params for row in rows)
        found = attempt(answer, model)
        biases = sum(row.output_shape[-1] for row in rows if row.params)
        if found == len(model.trainable_weights):
            return f"It gives {found}, the number of arrays. Add up how many numbers each of them holds."
        if found == 3 * params + 2:
            return f"It gives {found}: the optimizer is counted too. Take the model's own weights."
        if found == params - biases:
            return f"It gives {found}, without the biases."
        if found != params:
            return f"For a network of {params} parameters it gives {found}."
    return ""
