"""The initial weights of a network by a seed: the numbers that `models.build` starts with, bit for bit, without Keras.

Which distribution each kind of layer has, and which seed; the random numbers themselves come from `philox`. Nothing is
trained or built here. Chapters 4, 13 and 14 are about initial weights.
"""

from __future__ import annotations

import math
from math import prod
from typing import assert_never

import numpy as np

from lenet5lib import arithmetic, spec
from lenet5lib._checks import require_choice
from lenet5lib.lenet1998 import codes
from lenet5lib.loops import philox
from lenet5lib.spec import pair
from lenet5lib.training.recipe import INITIALIZERS, default_initializer


def initial_weights(
    architecture: spec.Architecture,
    seed: int = 0,
    kernel_initializer: str | None = None,
) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the initial weights of every layer that has any: layer name to (kernel, bias), in the layout of Keras.

    Args:
        architecture: of the network.
        seed: 0 or more; the same seed gives the same weights.
        kernel_initializer: for the kernels of dense layers and of convolutions without a table, one of
            `recipe.INITIALIZERS`; None for the default of each layer's activation. All others start as in the 1998 paper.

    Returns:
        float32. Of a convolution (height, width, channels, filters), with a table (height, width, kernels); of a dense
        layer (inputs, units); of subsampling a coefficient for each channel; each with a bias for each filter, unit or
        channel. Of an RBF layer the codes alone, (units, inputs).

    Raises:
        ValueError: a layer that cannot read its input; an unknown initializer; codes that do not fit.
    """
    found = {}
    for n, (layer, inputs, _) in enumerate(arithmetic.walk(architecture)):
        # A seed for each layer, so that no two begin with the same numbers.
        arrays = layer_weights(layer, inputs, 1000 * seed + n, kernel_initializer)
        if arrays:
            found[layer.name] = arrays
    return found


def layer_weights(
    layer: spec.Layer,
    input_shape: arithmetic.Shape,
    seed: int,
    kernel_initializer: str | None = None,
) -> tuple[np.ndarray, ...]:
    """Return the initial weights of one layer, none for a layer that has none; see `initial_weights`."""
    shape: tuple[int, ...]
    match layer:
        case spec.Conv(table=None):
            outputs = layer.filters
            shape = (*pair(layer.kernel_size), input_shape[2], outputs)
            kernel = initial_kernel(
                shape, seed, kernel_initializer, layer.activation
            )
        case spec.Conv():
            outputs = layer.filters
            kernel = table_kernels(layer.table or (), pair(layer.kernel_size), seed)
        case spec.Dense():
            outputs = layer.units
            shape = input_shape[0], outputs
            kernel = initial_kernel(
                shape, seed, kernel_initializer, layer.activation
            )
        case spec.Subsample():
            outputs = input_shape[2]
            kernel = lecun_1998((outputs,), prod(pair(layer.size)), seed)
        case spec.RBF():
            return (_codes(layer, input_shape[0]),)
        case spec.Pool() | spec.Flatten() | spec.Dropout():
            return ()
        case _:
            assert_never(layer)
    return kernel, np.zeros(outputs, np.float32)


def initial_kernel(
    shape: tuple[int, ...],
    seed: int,
    kernel_initializer: str | None,
    activation: str = "linear",
) -> np.ndarray:
    """Return a kernel of a shape (…, inputs, outputs), uniform from −limit to limit.

    The limit, of F inputs and G outputs of a unit, each times the cells of its window: "glorot" √(6 / (F + G)), "he"
    √(6 / F), "lecun-1998" 2.4 / F; None is the default of the layer's activation.

    Raises:
        ValueError: a name that is not in `recipe.INITIALIZERS`.

    Source: Glorot and Bengio 2010, equation (16); He and others 2015, equation (10); the 1998 paper, appendix A.
    """
    if kernel_initializer is None:
        kernel_initializer = default_initializer(activation)
    require_choice("kernel_initializer", kernel_initializer, INITIALIZERS)
    fan_in, fan_out = prod(shape[:-1]), prod(shape[:-2]) * shape[-1]
    if kernel_initializer == "lecun-1998":
        return lecun_1998(shape, fan_in, seed)
    # In the order in which Keras computes it, so that the last bit is the same.
    fan = fan_in / 2 if kernel_initializer == "he" else (fan_in + fan_out) / 2
    limit = math.sqrt(3 * (1 / fan))
    return philox.uniform(shape, -limit, limit, seed)


def lecun_1998(
    shape: tuple[int, ...], fan_in: int | np.ndarray, seed: int
) -> np.ndarray:
    """Return the 1998 paper's initial weights, uniform from −2.4/F to 2.4/F; F is one number, or one for each output.

    Source: the 1998 paper, appendix A.
    """
    unit = philox.uniform(shape, -1, 1, seed)
    return unit * np.asarray(2.4 / np.asarray(fan_in), np.float32)


def table_kernels(table: spec.Table, window: spec.Pair, seed: int) -> np.ndarray:
    """Return the initial kernels of a convolution with a table, (height, width, kernels), in the order of the table."""
    channels = [len(row) for row in table]
    # Only the channels that a filter reads count as its inputs.
    fan_in = prod(window) * np.repeat(channels, channels)
    return lecun_1998((*window, sum(channels)), fan_in, seed)


def _codes(layer: spec.RBF, inputs: int) -> np.ndarray:
    """Return the codes of the first classes, float32 (units, inputs)."""
    own = codes.first_codes(layer.units, f"units of {layer.name}")
    try:
        return codes.require_codes(own, layer.units, inputs)
    except ValueError as error:
        raise ValueError(f"{layer.name}: {error}") from None
