"""What a connection table breaks: maps with equal weights, read in the same way, stay equal however long they are trained.

An experiment of chapter 11, not a way to build a network: it removes every difference from the initial weights of C3 and of
the layers that read it, so that only the connections distinguish the maps.
"""

from __future__ import annotations

import numpy as np

from lenet5lib._keras import keras


def equalize_maps(model: keras.Model) -> None:
    """Give all maps of C3 the same initial weights, and the same weights on their way through S4 and C5.

    All kernels of C3 become equal, all coefficients of S4, and in each unit of C5 the kernels of all maps. Biases start at 0
    and stay.

    Args:
        model: built from `spec.LENET5_1998`, with or without a table in C3. Its weights are changed.
    """
    c3, s4, c5 = (model.get_layer(name) for name in ("C3", "S4", "C5"))
    kernel, bias = c3.get_weights()
    kernels = kernel.reshape(*kernel.shape[:2], -1)
    c3.set_weights([_repeated(kernels).reshape(kernel.shape), bias])
    coefficient, bias = s4.get_weights()
    s4.set_weights([_repeated(coefficient), bias])
    kernel, bias = c5.get_weights()
    c5.set_weights([np.broadcast_to(kernel[:, :, :1], kernel.shape), bias])


def _repeated(values: np.ndarray) -> np.ndarray:
    """Return the first entry of the last axis in place of all of them."""
    return np.broadcast_to(values[..., :1], values.shape)


def feature_maps(
    model: keras.Model, inputs: np.ndarray, layer_name: str
) -> np.ndarray:
    """Return a layer's feature maps for prepared inputs (n, height, width, 1): (n, rows, columns, channels)."""
    probe = keras.Model(model.input, model.get_layer(layer_name).output)
    return keras.ops.convert_to_numpy(probe(inputs, training=False))


def num_distinct_maps(
    model: keras.Model,
    inputs: np.ndarray,
    layer_name: str = "C3",
    tolerance: float = 1e-4,
) -> int:
    """Count the feature maps of a layer that differ from all earlier ones on at least one of the inputs.

    Args:
        model: a model with this layer.
        inputs: prepared, (n, height, width, 1).
        layer_name: of the layer.
        tolerance: two maps are equal if no two of their values differ by more.
    """
    found: list[np.ndarray] = []
    for one in np.moveaxis(feature_maps(model, inputs, layer_name), -1, 0):
        if all(np.abs(one - other).max() > tolerance for other in found):
            found.append(one)
    return len(found)
