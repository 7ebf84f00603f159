"""The Keras models: built from the specification, and confirmed against it, layer by layer.

`build` makes the functional model; `ArticleLeNet5` is the subclassed form that the source article teaches. `confirm`
compares what Keras built with what `arithmetic` derived, `confirm_paper` with what the 1998 paper prints. Chapters 4 and 13
are about this module; nothing is trained here.
"""

from __future__ import annotations

import os
from math import prod

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers as keras_layers

from lenet5lib import arithmetic
from lenet5lib._checks import require_choice
from lenet5lib.data.mnist import fit, prepare, require_inputs
from lenet5lib.lenet1998 import codes, layers
from lenet5lib.lenet1998.paper import PAPER
from lenet5lib.spec import (
    LENET5,
    PIXELS,
    RBF,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Pool,
    Subsample,
    require_layer,
)
from lenet5lib.training import losses
from lenet5lib.training.recipe import default_initializer

POOLING = {
    "average": keras_layers.AveragePooling2D,
    "max": keras_layers.MaxPooling2D,
}


def keras_layer(
    layer: Layer, seed: int = 0, kernel_initializer: str | None = None
) -> keras.Layer:
    """Return the Keras layer of one specified layer, with its name.

    Args:
        layer: a layer of `lenet5lib.spec`.
        seed: of the initial weights; see `initial_weights`. Biases start at 0.
        kernel_initializer: how the first kernel is drawn, one of `recipe.INITIALIZERS`; None for what goes with the activation.

    Raises:
        ValueError: a layer of unknown kind, or initial weights of an unknown name.
    """
    require_layer(layer)
    match layer:
        case Conv(table=None):
            return keras_layers.Conv2D(
                filters=layer.filters,
                kernel_size=layer.kernel_size,
                strides=layer.stride,
                padding=layer.padding,
                activation=layers.find_activation(layer.activation),
                kernel_initializer=initial_weights(layer, seed, kernel_initializer),
                name=layer.name,
            )
        case Pool():
            return POOLING[layer.mode](
                pool_size=layer.size,
                strides=layer.step,
                padding=layer.padding,
                name=layer.name,
            )
        case Flatten():
            return keras_layers.Flatten(name=layer.name)
        case Dense():
            return keras_layers.Dense(
                units=layer.units,
                activation=layers.find_activation(layer.activation),
                kernel_initializer=initial_weights(layer, seed, kernel_initializer),
                name=layer.name,
            )
        case _:
            return own_layer(layer, seed)


INITIALIZERS = {
    "glorot": keras.initializers.GlorotUniform,
    "he": keras.initializers.HeUniform,
    "lecun-1998": layers.FanIn,
}


def initial_weights(
    layer: Conv | Dense, seed: int, kernel_initializer: str | None = None
) -> keras.initializers.Initializer:
    """Return what draws a layer's first kernel; None is what goes with its activation, see `recipe.default_initializer`.

    Raises:
        ValueError: `kernel_initializer` is not one of `recipe.INITIALIZERS`.
    """
    if kernel_initializer is None:
        kernel_initializer = default_initializer(layer.activation)
    require_choice("kernel_initializer", kernel_initializer, tuple(INITIALIZERS))
    return INITIALIZERS[kernel_initializer](seed=seed)


def own_layer(layer: Layer, seed: int) -> keras.Layer:
    """Return the layer of a kind that Keras does not have, from `layers`."""
    match layer:
        case Conv():
            return layers.TableConv2D(
                layer.table,
                layer.kernel_size,
                layer.stride,
                layer.padding,
                layer.activation,
                seed,
                name=layer.name,
            )
        case Subsample():
            return layers.TrainableSubsampling(
                layer.size, layer.activation, seed, name=layer.name
            )
        case RBF():
            if layer.units > len(codes.DIGITS):
                raise ValueError(
                    f"units of {layer.name} is {layer.units}; there are codes for the 10 digits. Take at most 10 units."
                )
            return layers.RBFOutput(codes.DIGITS[: layer.units], name=layer.name)
        case Dropout():
            return layers.Dropout(layer.rate, seed, name=layer.name)


def all_layers(
    architecture: Architecture, seed: int = 0, kernel_initializer: str | None = None
) -> list[keras.Layer]:
    """Return the Keras layers in order; each draws its initial weights from its own seed."""
    return [
        keras_layer(layer, 1000 * seed + n, kernel_initializer)
        for n, layer in enumerate(architecture.layers)
    ]


def build(
    architecture: Architecture, seed: int = 0, kernel_initializer: str | None = None
) -> keras.Model:
    """Build the functional model of an architecture.

    Args:
        architecture: what to build.
        seed: of the initial weights; the same seed gives the same weights.
        kernel_initializer: how they are drawn, one of `recipe.INITIALIZERS`; None for what goes with each layer's activation. The kinds of
            layers that only the 1998 paper has start as the paper's do, whatever is asked.

    Returns:
        A model that reads float32 (batch, height, width, maps), its layers named as in the specification.

    Raises:
        ValueError: a layer that cannot read its input, the layer is named; initial weights of an unknown name.
    """
    arithmetic.table(architecture)
    inputs = keras.Input(architecture.input_shape, name="Input")
    values = inputs
    for layer in all_layers(architecture, seed, kernel_initializer):
        values = layer(values)
    model = keras.Model(inputs, values, name="LeNet-5")
    model.architecture = architecture
    return model


class ArticleModel(keras.Model):
    """The article's class, as it was: its summary prints `?` for pooling, since no layer ever saw a symbolic input."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(name="LeNet-5")
        (
            self.c1,
            self.s2,
            self.c3,
            self.s4,
            self.flatten,
            self.c5,
            self.f6,
            self.o7,
        ) = all_layers(LENET5, seed)

    def call(self, inputs):
        x = self.c1(inputs)
        x = self.s2(x)
        x = self.c3(x)
        x = self.s4(x)
        x = self.flatten(x)
        x = self.c5(x)
        x = self.f6(x)
        return self.o7(x)


class ArticleLeNet5(ArticleModel):
    """The article's class with the mend: `build` passes one symbolic input through, so every shape is known."""

    def build(self, input_shape) -> None:
        """Build all layers for a batch of shape (batch, height, width, maps)."""
        self.call(keras.Input(input_shape[1:]))
        self.built = True


def summary_text(model: keras.Model) -> str:
    """Return `model.summary()` as plain text, 80 columns wide wherever it is printed."""
    lines: list[str] = []
    columns = os.environ.get("COLUMNS")
    # Rich, which Keras prints with, would cut the lines to a narrower terminal.
    os.environ["COLUMNS"] = "80"
    try:
        model.summary(line_length=80, print_fn=lines.append)
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return "\n".join(
        line.rstrip() for line in "\n".join(lines).splitlines() if line.strip()
    )


class ConfirmationError(ValueError):
    """The built network differs from the derived table; `table` holds the comparison."""

    def __init__(self, message: str, table: pd.DataFrame) -> None:
        super().__init__(message)
        self.table = table


def _built_shape(layer: keras.Layer) -> str:
    """Return the output shape that Keras recorded for a layer, without the batch, or "?" where it recorded none."""
    try:
        return arithmetic.shape_text(layer.output.shape[1:])
    except (AttributeError, ValueError):
        return "?"


def _trained(layer: keras.Layer) -> int | None:
    """Return how many trained numbers a layer or model holds, or None before it is built."""
    sizes = [prod(weight.shape) for weight in layer.trainable_weights]
    return sum(sizes) if layer.built else None


def compare(model: keras.Model, architecture: Architecture) -> pd.DataFrame:
    """Return the comparison of a built model with the derived table, a row for each layer and one for the totals.

    Returns:
        A table indexed by layer with the columns `derived shape`, `built shape`, `derived parameters`,
        `built parameters` and `verdict`, which is "agrees" or says what differs.
    """
    built = {
        layer.name: layer
        for layer in model.layers
        if not isinstance(layer, keras_layers.InputLayer)
    }
    rows = []
    derived = {row.layer: row for row in arithmetic.table(architecture)}
    for name in [*derived, *(name for name in built if name not in derived)]:
        wanted, layer = derived.get(name), built.get(name)
        shape = "" if layer is None else _built_shape(layer)
        left = (
            ("", None)
            if wanted is None
            else (arithmetic.shape_text(wanted.output_shape), wanted.params)
        )
        right = ("", None) if layer is None else (shape, _trained(layer))
        rows.append(
            (
                name,
                left[0],
                right[0],
                left[1],
                right[1],
                _verdict(wanted, layer, left, right),
            )
        )
    totals = (
        sum(row.params for row in derived.values()),
        _trained(model),
    )
    rows.append(
        (
            "Total",
            "",
            "",
            *totals,
            "agrees" if totals[0] == totals[1] else "parameters differ",
        )
    )
    columns = [
        "layer",
        "derived shape",
        "built shape",
        "derived parameters",
        "built parameters",
        "verdict",
    ]
    table = pd.DataFrame(rows, columns=columns).set_index("layer")
    return table.astype(
        {column: "Int64" for column in columns if column.endswith("parameters")}
    )


def _verdict(wanted, layer, left: tuple, right: tuple) -> str:
    """Say in words how a derived layer and a built one compare."""
    if layer is None:
        return "not built"
    if wanted is None:
        return "not derived"
    if right[0] == "?":
        return "shape unknown"
    wrong = [
        what
        for what, a, b in zip(("shape", "parameters"), left, right, strict=True)
        if a != b
    ]
    return (
        " and ".join(wrong)
        + (" differ" if wrong[-1:] == ["parameters"] else " differs")
        if wrong
        else "agrees"
    )


def confirm(model: keras.Model, architecture: Architecture) -> pd.DataFrame:
    """Confirm that a built model is the network that the architecture describes.

    Compares every layer's output shape and parameter count, and the total.

    Returns:
        The table of `compare`, whose every verdict is "agrees".

    Raises:
        ConfirmationError: something differs; the text names each such layer with both values, `table` holds all rows.
    """
    table = compare(model, architecture)
    wrong = table[table["verdict"] != "agrees"]
    if len(wrong):
        found = "; ".join(
            f"{name}: {_difference(row)}" for name, row in wrong.iterrows()
        )
        raise ConfirmationError(
            f"the model is not {architecture.name}. {found}. Correct the specification or the model.",
            table,
        )
    return table


def confirm_paper(model: keras.Model) -> pd.DataFrame:
    """Confirm that a built model has the numbers that the 1998 paper prints.

    Counts what Keras built, not what was derived: the trained numbers of each layer, and each stored number once for each
    position at which it is used.

    Returns:
        A table indexed by layer with the columns `paper parameters`, `built parameters`, `paper connections`,
        `built connections` (empty where the paper prints nothing) and `verdict`, which is "agrees" in every row.

    Raises:
        ConfirmationError: a count differs or a layer is missing; the text names each, `table` holds all rows.
    """
    found = {
        layer.name: (_trained(layer), _joined(layer)) for layer in model.layers
    }
    found["Total"] = tuple(
        sum(counts) for counts in zip(*found.values(), strict=True)
    )
    rows = []
    for name, printed in PAPER.items():
        built = found.get(name, (None, None))
        pairs = [
            (a, b) for a, b in zip(printed, built, strict=True) if a is not None
        ]
        same = name in found and all(a == b for a, b in pairs)
        verdict = "agrees" if same else "differs" if name in found else "not built"
        rows.append((name, printed[0], built[0], printed[1], built[1], verdict))
    columns = [
        f"{side} {count}"
        for count in ("parameters", "connections")
        for side in ("paper", "built")
    ]
    table = pd.DataFrame(rows, columns=["layer", *columns, "verdict"])
    table = table.set_index("layer").astype(dict.fromkeys(columns, "Int64"))
    wrong = table[table["verdict"] != "agrees"]
    if len(wrong):
        texts = (
            f"{name} {row['verdict']}: "
            + ", ".join(f"{column} {row[column]}" for column in columns)
            for name, row in wrong.iterrows()
        )
        raise ConfirmationError(
            f"the model has not the paper's numbers. {'; '.join(texts)}. Build spec.LENET5_1998.",
            table,
        )
    return table


def _joined(layer: keras.Layer) -> int:
    """Return a built layer's connections: each of its stored numbers once for each position where it is used."""
    outputs = layer.output.shape[1:]
    if isinstance(layer, layers.TrainableSubsampling):
        return prod(outputs) * (prod(layer.size) + 1)
    return prod(outputs[:-1]) * layer.count_params()


def _difference(row: pd.Series) -> str:
    """Say in words what one row of the comparison found, both values given."""
    values = [
        " and ".join(
            str(value) if kind == "shape" else f"{value:,} parameters"
            for kind in ("shape", "parameters")
            if not pd.isna(value := row[f"{side} {kind}"]) and value != ""
        )
        for side in ("derived", "built")
    ]
    return f"{row['verdict']} (derived {values[0] or 'nothing'}, built {values[1] or 'nothing'})"


def weights(model: keras.Model) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the weights of every layer that has any: layer name to (kernel, bias), in the layout of Keras."""
    return {
        layer.name: tuple(layer.get_weights())
        for layer in model.layers
        if layer.get_weights()
    }


def predict(
    model: keras.Model, images: np.ndarray, batch_size: int = 1000
) -> np.ndarray:
    """Return the model's probabilities for images: (n, 10).

    Args:
        model: any that reads one map.
        images: uint8 (n, 28, 28); or, prepared already, float (n, height, width, 1) in the network's scale.
        batch_size: images computed at a time.

    Returns:
        float32; of an RBF output float64, see `probabilities`.

    Raises:
        ValueError: images of another type or shape, prepared values outside the scale.
    """
    architecture = getattr(model, "architecture", None)
    if images.dtype.kind == "f":
        scale = architecture.scale if architecture else PIXELS
        require_inputs(images, model.input_shape[1:], scale)
        batches = range(0, len(images), batch_size)
        found = np.concatenate(
            [model(images[n : n + batch_size], training=False) for n in batches]
        )
    else:
        found = outputs(model, images, batch_size)
    return losses.probabilities(architecture, found)


def outputs(
    model: keras.Model, images: np.ndarray, batch_size: int = 1000
) -> np.ndarray:
    """Return a model's output for uint8 images (n, 28, 28): float32 (n, units), probabilities or distances."""
    architecture = getattr(model, "architecture", None)
    scale = architecture.scale if architecture else PIXELS
    pixels = fit(images, model.input_shape[1:])[..., np.newaxis]
    batches = range(0, len(pixels), batch_size)
    return np.concatenate(
        [
            model(scaled(tf.constant(pixels[n : n + batch_size]), scale))
            for n in batches
        ]
    )


def scaled(pixels: tf.Tensor, scale: tuple[float, float]) -> tf.Tensor:
    """Return uint8 pixels as a network takes them: background and ink become the two values of its scale."""
    low, high = scale
    share = tf.cast(pixels, tf.float32) / 255.0
    return share if (low, high) == PIXELS else low + (high - low) * share


def activations(model: keras.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    """Return every layer's output for one uint8 image (28, 28): layer name to (height, width, maps) or (units,)."""
    built = [
        layer
        for layer in model.layers
        if not isinstance(layer, keras_layers.InputLayer)
    ]
    probe = keras.Model(model.input, [layer.output for layer in built])
    outputs = probe(prepared(model, image[np.newaxis]), training=False)
    return {
        layer.name: keras.ops.convert_to_numpy(output[0])
        for layer, output in zip(built, outputs, strict=True)
    }


def prepared(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return uint8 images (n, 28, 28) as a model reads them: float32, of its input's shape and in its network's scale."""
    architecture = getattr(model, "architecture", None)
    scale = architecture.scale if architecture else PIXELS
    return prepare(images, model.input_shape[1:], scale)
