"""The initial weights of a network by a seed: the numbers that `models.build` starts with, bit for bit, without Keras.

How each kind of layer is drawn, and from which seed; the random numbers themselves are `philox`'s. Nothing is trained or
built here. Chapters 4, 13 and 14 are about initial weights.
"""

from __future__ import annotations

import math
from math import prod

import numpy as np

from lenet5lib import arithmetic
from lenet5lib._checks import require_choice
from lenet5lib.lenet1998 import codes
from lenet5lib.loops import philox
from lenet5lib.spec import RBF, Architecture, Conv, Dense, Layer, Subsample, pair
from lenet5lib.training.recipe import INITIALIZERS, default_initializer


def initial_weights(
    architecture: Architecture, seed: int = 0, kernel_initializer: str | None = None
) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the initial weights of every layer that has any: layer name to (kernel, bias), in the layout of Keras.

    Args:
        architecture: of the network.
        seed: 0 or more; the same seed gives the same weights.
        kernel_initializer: how the kernels of convolutions without a table and of dense layers are drawn, one of `recipe.INITIALIZERS`; None
            for what goes with each layer's activation. Every other kind of layer starts as the 1998 paper's do.

    Returns:
        float32. Of a convolution (height, width, in maps, out maps), with a table (height, width, kernels); of a dense layer
        (inputs, units); of subsampling a coefficient for each map; each with a bias for each map or unit. Of an RBF layer
        the codes alone, (units, inputs).

    Raises:
        ValueError: a layer that cannot read its input; initial weights of an unknown name; codes that do not fit.
    """
    found = {}
    for n, (layer, inputs, _) in enumerate(arithmetic.walk(architecture)):
        # A seed for each layer, so that no two begin with the same numbers.
        arrays = layer_weights(layer, inputs, 1000 * seed + n, kernel_initializer)
        if arrays:
            found[layer.name] = arrays
    return found


def layer_weights(
    layer: Layer,
    input_shape: arithmetic.Shape,
    seed: int,
    kernel_initializer: str | None = None,
) -> tuple[np.ndarray, ...]:
    """Return the initial weights of one layer, none for a layer that has none; see `initial_weights`."""
    match layer:
        case Conv(table=None):
            shape = (*pair(layer.kernel_size), input_shape[2], layer.filters)
            kernel, outputs = (
                draw(shape, seed, _kind(layer, kernel_initializer)),
                layer.filters,
            )
        case Dense():
            shape = (input_shape[0], layer.units)
            kernel, outputs = (
                draw(shape, seed, _kind(layer, kernel_initializer)),
                layer.units,
            )
        case Conv():
            kernel, outputs = draw_table(layer, seed), layer.filters
        case Subsample():
            outputs = input_shape[2]
            kernel = lecun_1998((outputs,), prod(pair(layer.size)), seed)
        case RBF():
            return (_codes(layer, input_shape[0]),)
        case _:
            return ()
    return kernel, np.zeros(outputs, np.float32)


def _kind(layer: Conv | Dense, kernel_initializer: str | None) -> str:
    """Return the name of the initial weights: the one asked, or else the one that goes with the activation."""
    return (
        default_initializer(layer.activation)
        if kernel_initializer is None
        else kernel_initializer
    )


def draw(shape: tuple[int, ...], seed: int, kernel_initializer: str) -> np.ndarray:
    """Return the initial kernel of a shape (…, inputs, outputs), uniform around 0.

    By name, with F inputs and G outputs of a unit, its window's cells counted: "glorot" to √(6 / (F + G)), "he" to √(6 / F),
    "lecun-1998" to 2.4 / F.

    Raises:
        ValueError: a name that is not in `recipe.INITIALIZERS`.

    Source: Glorot and Bengio 2010, equation (16); He and others 2015, equation (10); the 1998 paper, appendix A.
    """
    require_choice("kernel_initializer", kernel_initializer, INITIALIZERS)
    fan_in, fan_out = prod(shape[:-1]), prod(shape[:-2]) * shape[-1]
    if kernel_initializer == "lecun-1998":
        return lecun_1998(shape, fan_in, seed)
    # In the order in which Keras computes it, so that the last bit is the same.
    scale = (
        2 / fan_in if kernel_initializer == "he" else 1 / ((fan_in + fan_out) / 2)
    )
    limit = math.sqrt(3 * scale)
    return philox.uniform(shape, -limit, limit, seed)


def lecun_1998(
    shape: tuple[int, ...], fan_in: int | np.ndarray, seed: int
) -> np.ndarray:
    """Return the 1998 paper's initial weights, uniform from −2.4/F to 2.4/F; F is one number, or one for each output.

    Source: the 1998 paper, appendix A.
    """
    drawn = philox.uniform(shape, -1, 1, seed)
    return drawn * np.asarray(2.4 / np.asarray(fan_in), np.float32)


def draw_table(layer: Conv, seed: int) -> np.ndarray:
    """Return the initial kernels of a convolution with a table, (height, width, kernels), ordered as the table is."""
    window = pair(layer.kernel_size)
    fed_by = [len(row) for row in layer.table]
    # Only the maps that feed an output map count as its inputs.
    fan_in = prod(window) * np.repeat(fed_by, fed_by)
    return lecun_1998((*window, sum(fed_by)), fan_in, seed)


def _codes(layer: RBF, inputs: int) -> np.ndarray:
    """Return the codes of the first digits, float32 (units, inputs)."""
    own = codes.first_codes(layer.units, f"units of {layer.name}")
    try:
        return codes.require_codes(own, layer.units, inputs)
    except ValueError as error:
        raise ValueError(f"{layer.name}: {error}") from None
