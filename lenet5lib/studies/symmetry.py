"""What a connection table breaks: maps that start alike and read alike stay alike, however long they are trained.

An experiment of chapter 11, no way to build a network: it takes every difference out of the first weights of C3 and of what
reads it, so that only the connections are left to tell the maps apart.
"""

from __future__ import annotations

import keras
import numpy as np


def start_alike(model: keras.Model) -> None:
    """Give all maps of C3 the same first weights, and the same weights on their way through S4 and C5.

    Every pair of maps that C3 joins gets one and the same kernel, every map of S4 one coefficient, and each unit of C5 reads
    all maps of S4 alike. Biases start at 0 and are left.

    Args:
        model: built from `spec.LENET5_1998`, with any table in C3 or none. Its weights are changed.
    """
    c3, s4, c5 = (model.get_layer(name) for name in ("C3", "S4", "C5"))
    kernel, bias = c3.get_weights()
    side = kernel.shape[:2]
    one = kernel.reshape(*side, -1)[:, :, :1]
    alike = np.broadcast_to(one, (*side, kernel[0, 0].size))
    c3.set_weights([alike.reshape(kernel.shape), bias])
    coefficient, bias = s4.get_weights()
    s4.set_weights([np.full_like(coefficient, coefficient[0]), bias])
    kernel, bias = c5.get_weights()
    c5.set_weights([np.broadcast_to(kernel[:, :, :1], kernel.shape), bias])


def maps_of(model: keras.Model, inputs: np.ndarray, layer_name: str) -> np.ndarray:
    """Return a layer's maps for prepared inputs (n, height, width, 1): (n, rows, columns, maps)."""
    probe = keras.Model(model.input, model.get_layer(layer_name).output)
    return keras.ops.convert_to_numpy(probe(inputs, training=False))


def distinct_maps(
    model: keras.Model,
    inputs: np.ndarray,
    layer_name: str = "C3",
    tolerance: float = 1e-4,
) -> int:
    """Count the maps of a layer that no earlier map of it equals, on any of the inputs.

    Args:
        model: with the layer.
        inputs: prepared, (n, height, width, 1).
        layer_name: of the layer.
        tolerance: two maps are equal if no two of their values differ by more.
    """
    found: list[np.ndarray] = []
    for one in np.moveaxis(maps_of(model, inputs, layer_name), -1, 0):
        if all(np.abs(one - other).max() > tolerance for other in found):
            found.append(one)
    return len(found)
