"""The layers of the 1998 network that Keras does not have, and a dropout whose mask can be computed again.

Keras layers that hold exactly the paper's parameters: two numbers a map for subsampling, the kernels that a table names and
no others, none for the RBF output. `loops.forward` has each of them as a plain loop. Chapters 11 to 13 are about this
module.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lenet5lib.lenet1998.codes import DIGITS, require_codes
from lenet5lib.spec import Pair, Table, pair

AMPLITUDE, SLOPE = 1.7159, 2 / 3
"""A and S of the squashing function. Source: the 1998 paper, appendix A."""

register = keras.saving.register_keras_serializable("lenet5lib")


@register
def scaled_tanh(sums):
    """Return the paper's squashing function, f(a) = 1.7159 · tanh(2a/3), for which f(1) = 1 and f(−1) = −1.

    Source: the 1998 paper, equation (6) and appendix A.
    """
    return AMPLITUDE * keras.ops.tanh(SLOPE * sums)


def find_activation(identifier: Any) -> Callable:
    """Return an activation function by its name in the specification, or by whatever else Keras knows it by."""
    own = isinstance(identifier, str) and identifier == "scaled_tanh"
    return scaled_tanh if own else keras.activations.get(identifier)


def draw(
    shape: tuple[int, ...], fan_in: Any, seed: int, dtype: str | None = None
) -> tf.Tensor:
    """Return initial weights drawn uniformly between −2.4/F and 2.4/F.

    Args:
        shape: of the weights.
        fan_in: F, the number of inputs of the unit that a weight belongs to: one number, or one for each entry of the last
            axis.
        seed: the same seed gives the same weights.
        dtype: of the weights; Keras's own where none is given.

    Source: the 1998 paper, appendix A.
    """
    # Assumption: F leaves the bias out, and biases start at 0; the paper says neither.
    drawn = keras.random.uniform(shape, -1.0, 1.0, dtype, seed)
    return drawn * tf.constant(2.4 / np.asarray(fan_in), drawn.dtype)


@register
class FanIn(keras.initializers.Initializer):
    """The paper's initial weights for a kernel (…, inputs, outputs) whose units read all that is before the last axis."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, shape, dtype=None):
        """Return the initial weights."""
        return draw(shape, prod(shape[:-1]), self.seed, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what `__init__` takes."""
        return {"seed": self.seed}


@register
class TrainableSubsampling(keras.layers.Layer):
    """Subsampling with two parameters a map: activation(coefficient · Σ window + bias), windows side by side.

    Args:
        size: of the window, one size or (height, width); what the last window does not reach is left out.
        activation: "scaled_tanh", or whatever Keras knows.
        seed: of the initial coefficients.

    Reads (batch, height, width, maps). Weights: `coefficient` (maps,), `bias` (maps,).

    Source: the 1998 paper, section II.B, layer S2.
    """

    def __init__(
        self,
        size: int | Pair = 2,
        activation: str = "scaled_tanh",
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.seed = pair(size), seed
        self.activation = find_activation(activation)

    def build(self, input_shape) -> None:
        """Make the weights."""
        maps = input_shape[-1:]
        # Assumption: the coefficient is drawn like any weight, of a unit with as many inputs as its window has cells.
        self.coefficient = self.add_weight(
            shape=maps,
            name="coefficient",
            initializer=lambda shape, dtype: draw(
                shape, prod(self.size), self.seed, dtype
            ),
        )
        self.bias = self.add_weight(shape=maps, name="bias", initializer="zeros")

    def sums(self, values):
        """Return the sum of each window, (batch, height // size, width // size, maps)."""
        # As cells times the average: TensorFlow pools faster than it adds up windows.
        averages = tf.nn.avg_pool2d(values, self.size, self.size, "VALID")
        return prod(self.size) * averages

    def call(self, values):
        """Return (batch, height // size, width // size, maps)."""
        return self.activation(self.coefficient * self.sums(values) + self.bias)

    def get_config(self) -> dict[str, Any]:
        """Return what `__init__` takes."""
        activation = keras.activations.serialize(self.activation)
        own = {"size": self.size, "activation": activation, "seed": self.seed}
        return super().get_config() | own


def positions(table: Table, in_maps: int) -> np.ndarray:
    """Return for each pair of an input and an output map which of a table's kernels joins them: int32 (in maps, out maps).

    Kernels are numbered by output map, then as its row names them. Where no kernel joins two maps stands their count.

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
    """Return the kernels of a table as one kernel over all maps, zeros where the table joins nothing.

    Args:
        kernel: (height, width, kernels), ordered by output map, then as its row of the table names them.
        table: for each output map the input maps that feed it.
        in_maps: number of input maps.

    Returns:
        (height, width, in maps, out maps), the layout of Keras.
    """
    padded = np.pad(kernel, ((0, 0), (0, 0), (0, 1)))
    return padded[:, :, positions(table, in_maps)]


@register
class TableConv2D(keras.layers.Layer):
    """A convolution that has kernels only where a table says so: what is not connected is neither stored nor trained.

    It computes one full convolution in which the missing kernels are constant zeros.

    Args:
        table: for each output map the input maps that feed it.
        kernel_size: one size or (height, width).
        strides, padding: as for Keras's Conv2D.
        activation: "scaled_tanh", or whatever Keras knows.
        seed: of the initial kernels; the fan-in of an output map counts only the maps that feed it.

    Reads (batch, height, width, in maps). Weights: `kernel` (height, width, kernels), ordered by output map, then as its row
    of the table names them; `bias` (out maps,).

    Source: the 1998 paper, section II.B, layer C3 and table I.
    """

    def __init__(
        self,
        table: Table,
        kernel_size: int | Pair,
        strides: int | Pair = 1,
        padding: str = "valid",
        activation: str = "linear",
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.table = tuple(tuple(row) for row in table)
        self.kernel_size, self.strides = pair(kernel_size), pair(strides)
        self.padding, self.seed = padding, seed
        self.activation = find_activation(activation)

    def build(self, input_shape) -> None:
        """Make the weights."""
        self.positions = positions(self.table, input_shape[-1])
        fed_by = [len(row) for row in self.table]
        fan_in = prod(self.kernel_size) * np.repeat(fed_by, fed_by)
        self.kernel = self.add_weight(
            shape=(*self.kernel_size, sum(fed_by)),
            name="kernel",
            initializer=lambda shape, dtype: draw(shape, fan_in, self.seed, dtype),
        )
        self.bias = self.add_weight(
            shape=(len(self.table),), name="bias", initializer="zeros"
        )

    def sums(self, values, kernel):
        """Return the convolution with a kernel as this layer stores it, (batch, rows, columns, out maps)."""
        padded = tf.pad(kernel, ((0, 0), (0, 0), (0, 1)))
        full = tf.gather(padded, self.positions, axis=2)
        return tf.nn.conv2d(values, full, self.strides, self.padding.upper())

    def call(self, values):
        """Return (batch, rows, columns, out maps)."""
        return self.activation(self.sums(values, self.kernel) + self.bias)

    def get_config(self) -> dict[str, Any]:
        """Return what `__init__` takes."""
        own = {
            "table": self.table,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "activation": keras.activations.serialize(self.activation),
            "seed": self.seed,
        }
        return super().get_config() | own


@register
class RBFOutput(keras.layers.Layer):
    """Euclidean radial basis functions: y_i = Σ_j (x_j − w_ij)², the squared distance of the input from each fixed code.

    The differences are squared one by one. ‖x‖² − 2x·w + ‖w‖² would be one matrix product, but near a code it subtracts
    large numbers that are almost equal.

    Args:
        codes: (units, inputs) of −1 and +1; those of the ten digits where none are given.

    Reads (batch, inputs). Weights, none of them trained: `codes` (units, inputs).

    Source: the 1998 paper, equation (7).
    """

    def __init__(self, codes: Any = DIGITS, **kwargs) -> None:
        super().__init__(**kwargs)
        self.given = np.asarray(codes)

    def build(self, input_shape) -> None:
        """Keep the codes as a weight that is saved and not trained.

        Raises:
            ValueError: the codes are not (units, inputs) of −1 and +1.
        """
        try:
            codes = require_codes(self.given, len(self.given), input_shape[-1])
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        self.codes = self.add_weight(
            shape=codes.shape,
            name="codes",
            initializer=lambda shape, dtype: tf.constant(codes, dtype),
            trainable=False,
        )

    def call(self, values):
        """Return the squared distances, (batch, units)."""
        differences = values[:, tf.newaxis, :] - self.codes
        return tf.reduce_sum(differences**2, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return what `__init__` takes."""
        return super().get_config() | {"codes": self.given.tolist()}


@register
class Dropout(keras.layers.Layer):
    """Dropout whose mask is a function of (seed, step) alone, so that a resumed training repeats it.

    While training, each value is 0 with probability `rate`, and the others are divided by 1 − rate; else nothing happens.
    Compiled by XLA or not, the mask is the same.

    Args:
        rate: from 0 to below 1.
        seed: this layer's own; two layers of one seed would drop alike.

    Attributes:
        step: an int32 `tf.Variable` that whoever trains sets before each step. It is no Keras weight and is not saved: the
            step is the trainer's to know.
    """

    def __init__(self, rate: float, seed: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        self.step = tf.Variable(0, trainable=False, dtype=tf.int32, name="step")

    def call(self, values, training=False):
        """Return the values, while training under this step's mask."""
        if not training or self.rate == 0:
            return values
        # Whole numbers of the full range: XLA makes other fractions than TensorFlow of the same random bits.
        drawn = tf.random.stateless_uniform(
            tf.shape(values),
            tf.stack([tf.constant(self.seed % 2**31), self.step]),
            minval=None,
            maxval=None,
            dtype=tf.int32,
            alg="philox",
        )
        kept = drawn >= round(self.rate * 2**32) - 2**31
        return tf.where(kept, values / (1 - self.rate), tf.zeros_like(values))

    def get_config(self) -> dict[str, Any]:
        """Return what `__init__` takes."""
        return super().get_config() | {"rate": self.rate, "seed": self.seed}
