"""The layers of the 1998 network that Keras does not have, and a dropout whose mask is a function of seed and step.

Keras layers with exactly the paper's parameters: two per channel for subsampling, the kernels that a table names and no
others, none for the RBF output. `models.build` gives them the paper's initial weights; a layer alone starts as Keras's do.
Chapters 11 to 13 are about this module.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from lenet5lib._keras import keras, tf
from lenet5lib.lenet1998.codes import DIGITS, require_codes
from lenet5lib.loops.philox import dropout_threshold
from lenet5lib.spec import Pair, Table, pair

AMPLITUDE, SLOPE = 1.7159, 2 / 3
"""A and S of the squashing function. Source: the 1998 paper, appendix A."""

register = keras.saving.register_keras_serializable("lenet5lib")


@register
def scaled_tanh(preactivations):
    """Return the paper's squashing function, f(a) = 1.7159 · tanh(2a/3), for which f(1) = 1 and f(−1) = −1.

    Source: the 1998 paper, equation (6) and appendix A.
    """
    return AMPLITUDE * keras.ops.tanh(SLOPE * preactivations)


def find_activation(identifier: Any) -> Callable:
    """Return an activation function by its name in the specification, or by any identifier that Keras knows."""
    own = isinstance(identifier, str) and identifier == "scaled_tanh"
    return scaled_tanh if own else keras.activations.get(identifier)


@register
class TrainableSubsampling(keras.layers.Layer):
    """Subsampling with two parameters per channel: activation(coefficient · Σ window + bias), windows side by side.

    Args:
        size: of the window, one size or (height, width); rows and columns beyond the last whole window are left out.
        activation: "scaled_tanh", or any activation of Keras.

    Reads (batch, height, width, channels). Weights: `coefficient` (channels,), `bias` (channels,).

    Source: the 1998 paper, section II.B, layer S2.
    """

    def __init__(
        self,
        size: int | Pair = 2,
        activation: str = "scaled_tanh",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.size = pair(size)
        self.activation = find_activation(activation)

    def build(self, input_shape) -> None:
        """Create the weights."""
        shape = input_shape[-1:]
        self.coefficient = self.add_weight(shape, name="coefficient")
        self.bias = self.add_weight(shape, "zeros", name="bias")

    def window_sums(self, values):
        """Return the sum of each window, (batch, height // size, width // size, channels)."""
        # As cells times the average: TensorFlow pools faster than it adds up windows.
        averages = tf.nn.avg_pool2d(values, self.size, self.size, "VALID")
        return prod(self.size) * averages

    def call(self, values):
        """Return (batch, height // size, width // size, channels)."""
        return self.activation(
            self.coefficient * self.window_sums(values) + self.bias
        )


def positions(table: Table, in_maps: int) -> np.ndarray:
    """Return the number of the kernel that connects each input map to each output map: int32 (in maps, out maps).

    Kernels are numbered by output map, then in the order of its row. Pairs without a kernel hold the number of kernels.

    >>> positions(((0,), (1, 0)), in_maps=2)
    array([[0, 2],
           [3, 1]], dtype=int32)
    """
    found = np.full((in_maps, len(table)), sum(map(len, table)), np.int32)
    pairs = [(source, m) for m, row in enumerate(table) for source in row]
    for number, (source, m) in enumerate(pairs):
        found[source, m] = number
    return found


def expand(kernel: np.ndarray, table: Table, in_maps: int) -> np.ndarray:
    """Return the kernels of a table as one dense kernel, zeros where the table has no connection.

    Args:
        kernel: (height, width, kernels), ordered by output map, then in the order of its row of the table.
        table: for each output map the input maps that feed it.
        in_maps: number of input maps.

    Returns:
        (height, width, in maps, out maps), the layout of Keras.
    """
    padded = np.pad(kernel, ((0, 0), (0, 0), (0, 1)))
    return padded[:, :, positions(table, in_maps)]


@register
class TableConv2D(keras.layers.Layer):
    """A convolution with kernels only where a table connects two maps; no other weight is stored or trained.

    It computes one dense convolution in which the missing kernels are constant zeros.

    Args:
        table: for each output map the input maps that feed it.
        kernel_size: one size or (height, width).
        strides, padding: as for Keras's Conv2D.
        activation: "scaled_tanh", or any activation of Keras.

    Reads (batch, height, width, in maps). Weights: `kernel` (height, width, kernels), ordered by output map, then in the
    order of its row of the table; `bias` (out maps,).

    Source: the 1998 paper, section II.B, layer C3 and table I.
    """

    def __init__(
        self,
        table: Table,
        kernel_size: int | Pair,
        strides: int | Pair = 1,
        padding: str = "valid",
        activation: str = "linear",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.table = tuple(tuple(row) for row in table)
        self.kernel_size, self.strides = pair(kernel_size), pair(strides)
        self.padding = padding
        self.activation = find_activation(activation)

    def build(self, input_shape) -> None:
        """Create the weights."""
        self.positions = positions(self.table, input_shape[-1])
        kernels = sum(map(len, self.table))
        self.kernel = self.add_weight((*self.kernel_size, kernels), name="kernel")
        self.bias = self.add_weight((len(self.table),), "zeros", name="bias")

    def convolve(self, values, kernel):
        """Return the convolution with a kernel as this layer stores it, (batch, rows, columns, out maps)."""
        padded = tf.pad(kernel, ((0, 0), (0, 0), (0, 1)))
        full = tf.gather(padded, self.positions, axis=2)
        return tf.nn.conv2d(values, full, self.strides, self.padding.upper())

    def call(self, values):
        """Return (batch, rows, columns, out maps)."""
        return self.activation(self.convolve(values, self.kernel) + self.bias)


@register
class RBFOutput(keras.layers.Layer):
    """Euclidean radial basis functions: y_i = Σ_j (x_j − w_ij)², the squared distance of the input from each fixed code.

    The differences are squared one by one. ‖x‖² − 2x·w + ‖w‖² would be one matrix product, but near a code it subtracts
    large numbers that are almost equal.

    Args:
        codes: (units, inputs) of −1 and +1; by default those of the ten digits.

    Reads (batch, inputs). Weights, not trained: `codes` (units, inputs).

    Source: the 1998 paper, equation (7).
    """

    def __init__(self, codes: Any = DIGITS, **kwargs) -> None:
        super().__init__(**kwargs)
        self.given = np.asarray(codes)

    def build(self, input_shape) -> None:
        """Store the codes as a weight that is saved and not trained.

        Raises:
            ValueError: the codes are not (units, inputs) of −1 and +1.
        """
        try:
            codes = require_codes(self.given, len(self.given), input_shape[-1])
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        self.codes = self.add_weight(
            codes.shape,
            lambda shape, dtype: tf.constant(codes, dtype),
            trainable=False,
            name="codes",
        )

    def call(self, values):
        """Return the squared distances, (batch, units)."""
        differences = values[:, tf.newaxis, :] - self.codes
        return tf.reduce_sum(differences**2, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `__init__`."""
        return super().get_config() | {"codes": self.given.tolist()}


@register
class Dropout(keras.layers.Layer):
    """Dropout whose mask is a function of (seed, step) alone, so that a resumed run repeats it.

    During training each value is 0 with probability `rate` and the others are divided by 1 − rate; otherwise the values pass
    unchanged. The mask is the same with and without XLA.

    Args:
        rate: from 0 to below 1.
        seed: of this layer; two layers with the same seed would drop the same places.

    Attributes:
        step: an int32 `tf.Variable` that the training step sets. It is not a Keras weight and is not saved.
    """

    def __init__(self, rate: float, seed: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        self.step = tf.Variable(0, trainable=False, dtype=tf.int32, name="step")

    def call(self, values, training=False):
        """Return the values, during training under this step's mask."""
        if not training or self.rate == 0:
            return values
        # Integers over the full range: XLA and TensorFlow turn the same random bits into different fractions.
        drawn = tf.random.stateless_uniform(
            tf.shape(values),
            tf.stack([tf.constant(self.seed % 2**31), self.step]),
            minval=None,
            maxval=None,
            dtype=tf.int32,
            alg="philox",
        )
        kept = drawn >= dropout_threshold(self.rate)
        return tf.where(kept, values / (1 - self.rate), tf.zeros_like(values))
