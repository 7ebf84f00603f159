"""Keras models built from the specification, and the values that they compute.

`build` makes the functional model, layer by layer, with the initial weights of `loops.initial`, so that both engines start
from the same numbers. Nothing is trained here; `confirm` compares the model with the arithmetic. Chapters 4 and 9.
"""

from __future__ import annotations

import re
from typing import assert_never

import numpy as np

from lenet5lib import arithmetic, data
from lenet5lib._keras import keras, require_settings, tf
from lenet5lib.lenet1998 import codes, layers
from lenet5lib.loops import initial
from lenet5lib.spec import (
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

keras_layers = keras.layers
POOLING = {
    "average": keras_layers.AveragePooling2D,
    "max": keras_layers.MaxPooling2D,
}


def keras_layer(layer: Layer, seed: int = 0) -> keras.Layer:
    """Return the Keras layer of a layer of the specification, with its name.

    Args:
        layer: a layer of `lenet5lib.spec`.
        seed: of the masks of a dropout; other layers do not use it.

    Raises:
        ValueError: a layer of unknown kind.
        KerasError: a setting of Keras that was changed since it was imported.
    """
    require_layer(layer)
    require_settings()
    match layer:
        case Conv(table=None):
            return keras_layers.Conv2D(
                filters=layer.filters,
                kernel_size=layer.kernel_size,
                strides=layer.stride,
                padding=layer.padding,
                activation=layers.find_activation(layer.activation),
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
                name=layer.name,
            )
        case Conv() | Subsample() | RBF() | Dropout():
            return own_layer(layer, seed)
        case _:
            assert_never(layer)


def own_layer(layer: Conv | Subsample | RBF | Dropout, seed: int) -> keras.Layer:
    """Return a layer of a kind that Keras does not have, from `lenet1998.layers`."""
    match layer:
        case Conv():
            return layers.TableConv2D(
                layer.table or (),
                layer.kernel_size,
                layer.stride,
                layer.padding,
                layer.activation,
                name=layer.name,
            )
        case Subsample():
            return layers.TrainableSubsampling(
                layer.size, layer.activation, name=layer.name
            )
        case RBF():
            own = codes.first_codes(layer.units, f"units of {layer.name}")
            return layers.RBFOutput(own, name=layer.name)
        case Dropout():
            return layers.Dropout(layer.rate, seed, name=layer.name)
        case _:
            assert_never(layer)


def all_layers(architecture: Architecture, seed: int = 0) -> list[keras.Layer]:
    """Return the Keras layers of an architecture in order, each with its own seed."""
    return [
        keras_layer(layer, 1000 * seed + n)
        for n, layer in enumerate(architecture.layers)
    ]


def build(
    architecture: Architecture, seed: int = 0, kernel_initializer: str | None = None
) -> keras.Model:
    """Build the functional model of an architecture.

    Args:
        architecture: of the network.
        seed: of the initial weights; the same seed gives the same weights.
        kernel_initializer: one of `recipe.INITIALIZERS`, or None for the default of each layer's activation; see
            `initial.initial_weights`.

    Returns:
        A model that reads float32 (batch, height, width, channels), its layers named as in the specification.

    Raises:
        ValueError: a layer that cannot read its input, the layer is named; an unknown initializer.
    """
    arithmetic.table(architecture)
    name = input_name(architecture.pixel_range)
    inputs = keras.Input(architecture.input_shape, name=name)
    values = inputs
    for layer in all_layers(architecture, seed):
        values = layer(values)
    model = keras.Model(inputs, values, name="LeNet-5")
    model.architecture = architecture
    set_initial_weights(model, architecture, seed, kernel_initializer)
    return model


def set_initial_weights(
    model: keras.Model,
    architecture: Architecture,
    seed: int = 0,
    kernel_initializer: str | None = None,
) -> None:
    """Give a built model the initial weights of its architecture; see `initial.initial_weights`."""
    found = initial.initial_weights(architecture, seed, kernel_initializer)
    for name, arrays in found.items():
        model.get_layer(name).set_weights(arrays)


def weights(model: keras.Model) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the weights of each layer that has any: layer name to (kernel, bias), in the layout of Keras."""
    return {
        layer.name: tuple(layer.get_weights())
        for layer in inside(model).layers
        if layer.weights
    }


NAMED_RANGE = r"Input_([^_]+)_([^_]+)"
"""The input's name of a model with an unusual pixel range, see `input_name`."""


def input_name(pixel_range: tuple[float, float]) -> str:
    """Return the name of a model's input. It tells an unusual pixel range, since Keras saves and copies no other note of it.

    >>> input_name((0.0, 1.0)), input_name((-0.1, 1.175))
    ('Input', 'Input_-0.1_1.175')
    """
    return "_".join(
        ("Input", *map(str, pixel_range if pixel_range != PIXELS else ()))
    )


def operations(model: keras.Model) -> list[keras.Operation]:
    """Return what a model computes, one after the other, without its input; of a subclassed model nothing."""
    if isinstance(model, keras.Sequential):
        return model.layers
    whole = getattr(model, "operations", [])
    return [one for one in whole if not isinstance(one, keras_layers.InputLayer)]


def inside(model: keras.Model) -> keras.Model:
    """Return the model with the network's layers: the model itself, or the one that it holds and nothing else."""
    held = operations(model)
    whole = len(held) == 1 and isinstance(held[0], keras.Model)
    return inside(held[0]) if whole else model


def pixel_range(model: keras.Model) -> tuple[float, float]:
    """Return the values of background and ink that a model reads: its architecture's; of any other model 0 and 1.

    Raises:
        ValueError: a model with an `RBFOutput`, or with layers of a network of an unusual range, that does not say what it
            reads: whether values are brought to that range within it cannot be seen.
    """
    own = inside(model)
    told = getattr(model, "architecture", getattr(own, "architecture", None))
    if told is not None:
        return told.pixel_range
    names = [one.name for one in getattr(own, "inputs", None) or []]
    if found := re.fullmatch(NAMED_RANGE, "".join(names)):
        return float(found[1]), float(found[2])
    for one in own._flatten_layers():
        built_on = getattr(getattr(one, "input", None), "name", "")
        if isinstance(one, layers.RBFOutput) or re.match(NAMED_RANGE, built_on):
            raise ValueError(
                f"the model {model.name} holds {one.name}, of a network with a pixel range of its own, and does not say "
                "which it reads; expected a model of models.build, or a copy of one. Set its attribute architecture, such "
                "as spec.LENET5_1998."
            )
    return PIXELS


def input_shape(model: keras.Model) -> tuple[int, int, int]:
    """Return the shape of one input of a model.

    Raises:
        ValueError: a model that Keras has not built, or a subclassed one.
    """
    try:
        return inside(model).input_shape[1:]
    except AttributeError:
        raise ValueError(
            f"the model {model.name} does not say what it reads; expected one that begins with keras.Input. Build it as "
            "keras.Model(inputs, outputs)."
        ) from None


def prepared(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return uint8 images (n, 28, 28) as a model reads them: float32, of its input's shape and in its pixel range."""
    return data.prepare(images, input_shape(model), pixel_range(model))


def scaled(pixels: tf.Tensor, pixel_range: tuple[float, float]) -> tf.Tensor:
    """Return uint8 pixels in a network's pixel range, for the training step; `prepared` does the same in NumPy."""
    low, high = pixel_range
    share = tf.cast(pixels, tf.float32) / 255.0
    return share if (low, high) == PIXELS else low + (high - low) * share


def outputs(
    model: keras.Model, images: np.ndarray, batch_size: int = 1000
) -> np.ndarray:
    """Return a model's output (n, units), float32: probabilities, or the distances of an RBF output; see `predict`."""
    is_prepared = images.dtype.kind == "f"
    if is_prepared:
        data.require_inputs(images, input_shape(model), pixel_range(model))
    found = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        inputs = batch if is_prepared else prepared(model, batch)
        found.append(model(inputs, training=False))
    return np.concatenate(found)


def predict(
    model: keras.Model, images: np.ndarray, batch_size: int = 1000
) -> np.ndarray:
    """Return the model's probabilities for images: (n, 10).

    Args:
        model: any that reads one channel.
        images: uint8 (n, 28, 28); or, prepared already, float (n, height, width, 1) in the network's pixel range.
        batch_size: images computed at a time.

    Returns:
        float32; of an RBF output float64, see `losses.probabilities`.

    Raises:
        ValueError: images of a different type or shape, prepared values outside the range; outputs that are no
            probabilities.
    """
    found = outputs(model, images, batch_size)
    last = operations(inside(model))[-1:]
    if last and isinstance(last[0], layers.RBFOutput):
        return losses.posterior(found)
    return losses.require_probabilities(found)


def activations(model: keras.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    """Return the output of each layer for one uint8 image (28, 28): layer name to (height, width, channels) or (units,).

    For images (n, 28, 28) each has n in front.
    """
    own = inside(model)
    inputs = prepared(model, image if image.ndim == 3 else image[np.newaxis])
    built = [one for one in own.layers if one in operations(own)]
    if any(isinstance(layer, keras.Model) for layer in built):
        raise ValueError(
            f"the model {model.name} holds a model and more; expected layers. Take the one inside."
        )
    probe = keras.Model(own.inputs[0], [layer.output for layer in built])
    found = probe(inputs, training=False)
    return {
        layer.name: keras.ops.convert_to_numpy(
            values if image.ndim == 3 else values[0]
        )
        for layer, values in zip(built, found, strict=True)
    }
