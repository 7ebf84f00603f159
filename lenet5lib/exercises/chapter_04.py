"""Exercises of chapter 4: build and confirm."""

from __future__ import annotations

from math import prod

from lenet5lib import arithmetic
from lenet5lib.exercises import attempt, exercise
from lenet5lib.spec import (
    LENET5,
    LENET5_32,
    Architecture,
    Pool,
    activation_of,
    pair,
)

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


CLASSES = {"convolution": "Conv2D", "pooling": "AveragePooling2D", "dense": "Dense"}
"""A kind of layer to Keras's class of it."""


@exercise("04.1", "a Keras model that reads 32×32×1")
def thirty_two(answer) -> str:
    from lenet5lib._keras import keras

    own = keras.layers
    if not isinstance(answer, keras.Model):
        return f"The answer is of the type {type(answer).__name__}; expected a Keras model, such as keras.Sequential makes."
    if not answer.built:
        return "The model does not know the size of its input: let its list of layers begin with keras.Input((32, 32, 1))."
    shape = answer.input_shape[1:]
    if shape != LENET5_32.input_shape:
        return f"The model reads {arithmetic.shape_text(shape)}; expected 32×32×1. Change the size in keras.Input."
    built = [
        layer
        for layer in answer.layers
        if not isinstance(layer, (own.InputLayer, own.Flatten))
    ]
    rows = [row for row in arithmetic.table(LENET5_32) if row.kind != "flatten"]
    for layer, row in zip(built, rows, strict=False):
        if hint := _difference(layer, row):
            return hint
    if len(built) != len(rows):
        return f"Beside Flatten the model has {len(built)} layers; expected the seven from C1 to Output."
    return ""


def _difference(layer, row: arithmetic.LayerRow) -> str:
    """Return in what a Keras layer differs from a row of the derived table, "" if in nothing; a dense C5 is as good."""
    kind, found = type(layer).__name__, tuple(layer.output.shape[1:])
    name, activation = row.layer, activation_of(LENET5_32[row.layer])
    wanted = ["Conv2D", "Dense"] if name == "C5" else [CLASSES[row.kind]]
    if kind == "MaxPooling2D" and row.kind == "pooling":
        return f"{name} takes the largest of each window; the modern LeNet-5 takes the mean, AveragePooling2D."
    if kind not in wanted:
        return f"In the place of {name} stands {layer.name}, a {kind}; expected {' or '.join(wanted)}."
    shape = arithmetic.shape_text(found)
    derived = arithmetic.shape_text(row.output_shape)
    numbers = f"{name} gives {shape}; chapter 3 derives {derived}."
    if kind == "Dense" and len(found) > 1:
        return f"{name} is dense and still gives {shape}. Flatten belongs before the first dense layer."
    if prod(found) != prod(row.output_shape):
        if getattr(layer, "padding", "") == "same":
            return f'{numbers} It pads: the padding is still "same".'
        size = (
            "number of units"
            if kind == "Dense"
            else "window and its number of filters"
        )
        return f"{numbers} Compare its {size}."
    if not getattr(layer, "use_bias", True):
        return f"{name} has no bias. Leave use_bias out."
    if layer.count_params() != row.params:
        return (
            f"{name} has {layer.count_params():,} parameters; chapter 3 derives {row.params:,}. Compare its window and what "
            "it reads."
        )
    used = getattr(layer, "activation", None)
    if used is not None and used.__name__ != activation:
        why = " Without the argument Keras takes linear, which changes nothing."
        text = f"{name} has the activation {used.__name__}; expected {activation}."
        return text + (why if used.__name__ == "linear" else "")
    return ""


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
    if answer.input_shape != LENET5.input_shape:
        return f"The input is {arithmetic.shape_text(answer.input_shape)}; the exercise says 28×28×1."
    names = [row.layer for row in rows]
    if names != [name for name, _, _ in SUMMARY]:
        return f"The layers are {', '.join(names)}; expected those of the summary, by their names."
    for row, (name, shape, params) in zip(rows, SUMMARY, strict=True):
        if row.output_shape != shape:
            size = "window, the padding and the number of filters"
            size = "number of units" if row.kind == "dense" else size
            return (
                f"{name} gives {arithmetic.shape_text(row.output_shape)}; the summary says {arithmetic.shape_text(shape)}. "
                f"Compare the {size}."
            )
        if row.params != params:
            return f"{name} has {row.params:,} parameters; the summary says {params:,}. Divide by the filters or units."
    for layer in answer.layers:
        if isinstance(layer, Pool) and layer.step != pair(layer.size):
            return f"{layer.name} moves by {layer.stride} with a window of {layer.size}; expected no overlap."
    return ""


@exercise("04.3", "a function that takes a Keras model and returns a whole number")
def count_parameters(answer) -> str:
    from lenet5lib._keras import keras

    own = keras.layers
    for filters in (2, 3):
        layers = own.Conv2D(filters, 3), own.BatchNormalization(), own.Flatten()
        model = keras.Sequential([keras.Input((8, 8, 1)), *layers, own.Dense(10)])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.optimizer.build(model.trainable_variables)
        trained = [tuple(weight.shape) for weight in model.trainable_weights]
        params = sum(map(prod, trained))
        found = attempt(answer, model)
        if found == len(trained):
            return f"It gives {found}, the number of arrays. Add up how many numbers each of them holds."
        if found in (3 * params + 2, 2 * params + 2 + model.count_params()):
            return f"It gives {found}: the optimizer is counted too. Take the model's own weights."
        if found == sum(prod(shape) for shape in trained if len(shape) > 1):
            return f"It gives {found}, without the biases."
        if found == sum(map(sum, trained)):
            return f"It gives {found}, the sizes of the axes added up. An array holds their product."
        if found == model.count_params():
            return (
                f"It gives {found}; {params} of these are trained. The others, of a BatchNormalization, are set without "
                "a gradient, and `count_params` and `model.weights` include them. Take `trainable_weights`."
            )
        if found != params:
            return (
                f"For a network with {params} trained parameters it gives {found}."
            )
    return ""
