"""Keras's `.weights.h5` files without Keras: the arrays of a network and of its optimizer, written and read by h5py.

What `write` makes, `load_weights` of the model that `models.build` makes takes, and what a model's `save_weights` makes,
`read` reads, the optimizer's state too. `checkpoint` adds the run's record and the checksum.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, BinaryIO, assert_never

import h5py
import numpy as np

from lenet5lib.spec import (
    RBF,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Pool,
    Subsample,
)

OPTIMIZERS = {"adam": "adam", "sgd": "SGD"}
"""Keras's names of the optimizers, by those of `recipe`."""

Weights = dict[str, tuple[np.ndarray, ...]]


def group_name(layer: Layer) -> str:
    """Return the name that Keras gives the group of a layer, from its class, without the number of its repetition."""
    match layer:
        case Conv(table=None):
            return "conv2d"
        case Conv():
            return "table_conv2d"
        case Pool():
            return f"{layer.mode}_pooling2d"
        case Subsample():
            return "trainable_subsampling"
        case Flatten():
            return "flatten"
        case Dense():
            return "dense"
        case RBF():
            return "rbf_output"
        case Dropout():
            return "dropout"
        case _:
            assert_never(layer)


def write(
    file: BinaryIO,
    architecture: Architecture,
    weights: Weights,
    optimizer: tuple[str, list[Any]] | None = None,
) -> None:
    """Write a weights file.

    Args:
        file: open for reading and writing.
        architecture: whose layers name the groups.
        weights: layer name to its arrays, in the layout of Keras.
        optimizer: its name in `recipe`, and its arrays in Keras's order: the number of steps, the learning rate, the
            averages of the weights where they are kept, then each parameter's slots; None to leave them out.
    """
    counts: Counter[str] = Counter()
    with h5py.File(file, "w") as made:
        layers = made.create_group("layers")
        layers.create_group("input_layer/vars").attrs["name"] = "Input"
        for layer in architecture.layers:
            name = group_name(layer)
            number = counts[name]
            counts[name] += 1
            path = f"{name}_{number}/vars" if number else f"{name}/vars"
            group = layers.create_group(path)
            group.attrs["name"] = layer.name
            _fill(group, weights.get(layer.name, ()))
        if optimizer is not None:
            group = made.create_group("optimizer/vars")
            group.attrs["name"] = OPTIMIZERS[optimizer[0]]
            _fill(group, optimizer[1])
        made.create_group("vars").attrs["name"] = "LeNet-5"


def _fill(group: h5py.Group, arrays: Any) -> None:
    """Write arrays under their numbers."""
    for number, array in enumerate(arrays):
        group.create_dataset(str(number), data=array)


def read(file: BinaryIO) -> tuple[Weights, list[np.ndarray]]:
    """Return the arrays of a weights file: those of the layers by their names, and those of the optimizer, none without one.

    Raises:
        ValueError: a group that is not there, or has no name.
    """
    with h5py.File(file, "r") as found:
        try:
            weights = {}
            for layer in found["layers"].values():
                group = layer["vars"]
                if len(group):
                    weights[str(group.attrs["name"])] = tuple(_arrays(group))
            optimizer = []
            if "optimizer" in found:
                optimizer = _arrays(found["optimizer/vars"])
        except KeyError as error:
            raise ValueError(
                f"it is no weights file of a network of this library: {error}"
            ) from None
    return weights, optimizer


def _arrays(group: h5py.Group) -> list[np.ndarray]:
    """Return a group's arrays in the order of their numbers."""
    return [group[str(number)][()] for number in range(len(group))]
