"""The layers written as naive loops over NumPy arrays: the equations of the book, one multiplication at a time.

Slow on purpose and independent of Keras: a second witness for every shape and value. Chapters 2 and 3 show these
functions as the equations themselves, chapters 10 and 11 those of the 1998 network. What is called convolution here and in
every deep-learning library is, strictly, cross-correlation: the kernel is not flipped.
"""

from __future__ import annotations

import numpy as np

from lenet5lib.arithmetic import output_size, same_padding, walk
from lenet5lib.spec import (
    RBF,
    Architecture,
    Conv,
    Dense,
    Flatten,
    Pair,
    Pool,
    Subsample,
    Table,
    pair,
)


def convolve(
    image: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    stride: int | Pair = 1,
    padding: str = "valid",
) -> np.ndarray:
    """Return the convolution of one image: out[r, c, m] = bias[m] + Σ window · kernel[…, m].

    Args:
        image: (height, width, in_maps).
        kernel: (kernel height, kernel width, in_maps, out_maps), the layout of Keras.
        bias: (out_maps,).
        stride: one step or (down, right).
        padding: "valid", or TensorFlow's "same".

    Returns:
        (output height, output width, out_maps), before any activation.

    Source: chapter 2, equation (2.1).
    """
    (kernel_height, kernel_width), (down, right) = kernel.shape[:2], pair(stride)
    height = output_size(image.shape[0], kernel_height, down, padding)
    width = output_size(image.shape[1], kernel_width, right, padding)
    if padding == "same":
        rows = same_padding(image.shape[0], kernel_height, down)
        columns = same_padding(image.shape[1], kernel_width, right)
        image = np.pad(image, (rows, columns, (0, 0)))
    result = np.zeros((height, width, kernel.shape[3]))
    for r in range(height):
        for c in range(width):
            window = image[
                r * down : r * down + kernel_height,
                c * right : c * right + kernel_width,
            ]
            for m in range(kernel.shape[3]):
                result[r, c, m] = bias[m] + np.sum(window * kernel[..., m])
    return result


def partial_convolve(
    image: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    table: Table,
    stride: int | Pair = 1,
    padding: str = "valid",
) -> np.ndarray:
    """Return a convolution whose output map m reads only the input maps that row m of a table names.

    Args:
        image: (height, width, in_maps).
        kernel: (kernel height, kernel width, kernels), one for each entry of the table, row after row.
        bias: (out_maps,).
        table: for each output map the input maps that feed it.
        stride, padding: as for `convolve`.

    Returns:
        (output height, output width, out_maps), before any activation.

    Source: the 1998 paper, section II.B, table I; chapter 10, equation (10.3).
    """
    maps, used = [], 0
    for m, row in enumerate(table):
        total = bias[m]
        for source in row:
            one = kernel[:, :, used, np.newaxis, np.newaxis]
            seen = image[:, :, source, np.newaxis]
            total = total + convolve(seen, one, np.zeros(1), stride, padding)
            used += 1
        maps.append(total)
    return np.concatenate(maps, axis=2)


def subsample(
    image: np.ndarray,
    coefficient: np.ndarray,
    bias: np.ndarray,
    size: int | Pair = 2,
) -> np.ndarray:
    """Return trainable subsampling's sums: out[r, c, m] = coefficient[m] · Σ window + bias[m], windows side by side.

    Args:
        image: (height, width, maps).
        coefficient, bias: (maps,).
        size: the window, one size or (height, width).

    Returns:
        (height // size, width // size, maps), before any activation.

    Source: the 1998 paper, section II.B, layer S2; chapter 10, equation (10.2).
    """
    height, width = pair(size)
    shape = image.shape[0] // height, image.shape[1] // width, image.shape[2]
    result = np.zeros(shape)
    for r, c, m in np.ndindex(shape):
        rows = slice(r * height, (r + 1) * height)
        columns = slice(c * width, (c + 1) * width)
        result[r, c, m] = coefficient[m] * image[rows, columns, m].sum() + bias[m]
    return result


def rbf(vector: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the squared distance of a vector from each code: out[i] = Σ_j (vector[j] − codes[i, j])².

    Args:
        vector: (inputs,).
        codes: (units, inputs).

    Returns:
        (units,), each 0 or more.

    Source: the 1998 paper, equation (7); chapter 11, equation (11.1).
    """
    result = np.zeros(len(codes))
    for i, code in enumerate(codes):
        result[i] = sum((x - w) ** 2 for x, w in zip(vector, code, strict=True))
    return result


def pool(
    image: np.ndarray,
    size: int | Pair = 2,
    stride: int | Pair | None = None,
    padding: str = "valid",
    mode="average",
) -> np.ndarray:
    """Return average or max pooling of one image, each map by itself.

    Args:
        image: (height, width, maps).
        size: the window, one size or (height, width).
        stride: one step or (down, right); the window's size where none is given.
        padding: "valid", or TensorFlow's "same", in which padded cells take no part in the average or the maximum.
        mode: "average" or "max".

    Returns:
        (output height, output width, maps).
    """
    (window_height, window_width), (down, right) = (
        pair(size),
        pair(size if stride is None else stride),
    )
    height = output_size(image.shape[0], window_height, down, padding)
    width = output_size(image.shape[1], window_width, right, padding)
    if padding == "same":
        rows = same_padding(image.shape[0], window_height, down)
        columns = same_padding(image.shape[1], window_width, right)
        image = np.pad(
            image.astype(float), (rows, columns, (0, 0)), constant_values=np.nan
        )
    summarise = np.nanmean if mode == "average" else np.nanmax
    result = np.zeros((height, width, image.shape[2]))
    for r in range(height):
        for c in range(width):
            window = image[
                r * down : r * down + window_height,
                c * right : c * right + window_width,
            ]
            result[r, c] = summarise(window, axis=(0, 1))
    return result


def dense(vector: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return a dense layer's sums for one input: out[u] = bias[u] + Σ_n vector[n] · kernel[n, u].

    Args:
        vector: (inputs,).
        kernel: (inputs, units), the layout of Keras.
        bias: (units,).

    Returns:
        (units,), before any activation.

    Source: chapter 3, equation (3.3).
    """
    result = np.zeros(kernel.shape[1])
    for u in range(kernel.shape[1]):
        result[u] = bias[u] + sum(
            vector[n] * kernel[n, u] for n in range(kernel.shape[0])
        )
    return result


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return σ(x) = 1 / (1 + e^(−x)), between 0 and 1.

    Source: chapter 5, equation (5.4).

    >>> float(sigmoid(np.array(0.0)))
    0.5
    """
    return 1 / (1 + np.exp(-x))


def scaled_tanh(x: np.ndarray) -> np.ndarray:
    """Return the squashing function of the 1998 paper, f(a) = 1.7159 · tanh(2a/3).

    Source: the 1998 paper, equation (6) and appendix A; chapter 10, equation (10.1).

    >>> scaled_tanh(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-1.,  0.,  1.])
    """
    return 1.7159 * np.tanh(2 * x / 3)


def activation_functions(x: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (values, slopes) at the points `x` of the three activation functions that the book compares."""
    return {
        "sigmoid": (sigmoid(x), sigmoid(x) * (1 - sigmoid(x))),
        "tanh": (np.tanh(x), 1 - np.tanh(x) ** 2),
        "relu": (np.maximum(x, 0), (x > 0).astype(float)),
    }


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities from scores (classes,): e^score, each divided by their sum.

    Source: chapter 5, equation (5.1).

    >>> softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """
    powers = np.exp(scores - scores.max())  # The same quotients without overflow.
    return powers / powers.sum()


def cross_entropy(probabilities: np.ndarray, label: int) -> float:
    """Return the loss of one digit, −ln of the probability given to its label, in nats.

    Source: chapter 5, equation (5.2).

    >>> round(cross_entropy(np.full(10, 0.1), label=3), 4)
    2.3026
    """
    return float(-np.log(probabilities[label]))


def maximum_likelihood(distances: np.ndarray, label: int) -> float:
    """Return the loss of one digit by the 1998 paper's equation (8): y_t, its distance from the code of its label.

    >>> maximum_likelihood(np.array([3.0, 0.5]), label=1)
    0.5
    """
    return float(distances[label])


def maximum_a_posteriori(distances: np.ndarray, label: int, j: float) -> float:
    """Return the loss of one digit by the 1998 paper's equation (9): y_t + ln(e^(−j) + Σ_i e^(−y_i)), in nats.

    >>> round(maximum_a_posteriori(np.array([1.0, 1.0]), label=0, j=1.0), 4)
    1.0986
    """
    total = np.exp(-j)
    for distance in distances:
        total += np.exp(-distance)
    return float(distances[label] + np.log(total))


def adam_step(
    weight: float,
    gradient: float,
    mean: float,
    square: float,
    step: int,
    learning_rate: float = 0.001,
) -> tuple[float, float, float]:
    """Return (weight, mean, square) after one step of Adam, with Keras's constants.

    Args:
        weight, gradient: of one trained number.
        mean, square: the running means of its gradient and of its gradient's square so far; 0 at the start.
        step: 1 for the first.
        learning_rate: α.

    Source: Kingma and Ba 2015, algorithm 1; chapter 5, equation (5.3).

    >>> round(adam_step(weight=0.5, gradient=0.02, mean=0.0, square=0.0, step=1)[0], 6)
    0.499
    """
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    corrected_mean, corrected_square = (
        mean / (1 - 0.9**step),
        square / (1 - 0.999**step),
    )
    return (
        weight - learning_rate * corrected_mean / (corrected_square**0.5 + 1e-7),
        mean,
        square,
    )


def activate(sums: np.ndarray, activation: str) -> np.ndarray:
    """Return an activation function, named as in the specification, of a layer's sums."""
    functions = {
        "linear": np.asarray,
        "sigmoid": sigmoid,
        "tanh": np.tanh,
        "scaled_tanh": scaled_tanh,
        "softmax": softmax,
    }
    return (
        np.maximum(sums, 0) if activation == "relu" else functions[activation](sums)
    )


def random_weights(
    architecture: Architecture, seed: int
) -> dict[str, tuple[np.ndarray, ...]]:
    """Return random weights for `forward`: kernels as wide as keeps the sums near 1, small biases, codes of −1 and +1.

    Args:
        architecture: whose layers.
        seed: the same seed gives the same weights.

    Returns:
        Layer name to (kernel, bias), in the layout of Keras; (coefficient, bias) for subsampling, (codes,) for RBF units.
    """
    rng, weights = np.random.default_rng(seed), {}
    for layer, inputs, outputs in walk(architecture):
        if isinstance(layer, RBF):
            codes = rng.choice([-1.0, 1.0], (outputs[0], inputs[0]))
            weights[layer.name] = (codes,)
        elif isinstance(layer, (Conv, Dense, Subsample)):
            shape, fan_in = _kernel_shape(layer, inputs, outputs)
            kernel = rng.normal(0, fan_in**-0.5, shape)
            weights[layer.name] = kernel, rng.normal(0, 0.1, outputs[-1])
    return weights


def _kernel_shape(
    layer: Conv | Dense | Subsample, inputs: tuple, outputs: tuple
) -> tuple[tuple[int, ...], float]:
    """Return the shape of a layer's kernel or coefficients, and how many values a unit adds up (the mean, with a table)."""
    if isinstance(layer, Subsample):
        return outputs[-1:], np.prod(pair(layer.size))
    window = pair(layer.kernel_size) if isinstance(layer, Conv) else ()
    if isinstance(layer, Conv) and layer.table:
        kernels = sum(len(row) for row in layer.table)
        return (*window, kernels), np.prod(window) * kernels / layer.maps
    shape = (*window, inputs[-1], outputs[-1])
    return shape, np.prod(shape[:-1])


def forward(
    architecture: Architecture,
    weights: dict[str, tuple[np.ndarray, ...]],
    image: np.ndarray,
) -> dict[str, np.ndarray]:
    """Run a network by naive loops and return every layer's output for one image.

    Args:
        architecture: what to run.
        weights: layer name to its weights, (kernel, bias) in most, in the layout of Keras; see `random_weights`.
        image: (height, width, maps), prepared.

    Returns:
        Layer name to (height, width, maps) or (units,).
    """
    outputs, values = {}, image
    for layer in architecture.layers:
        own = weights.get(layer.name, ())
        match layer:
            case Conv(table=None):
                sums = convolve(values, *own, layer.stride, layer.padding)
                values = activate(sums, layer.activation)
            case Conv():
                sums = partial_convolve(
                    values, *own, layer.table, layer.stride, layer.padding
                )
                values = activate(sums, layer.activation)
            case Pool():
                values = pool(
                    values, layer.size, layer.step, layer.padding, layer.mode
                )
            case Subsample():
                sums = subsample(values, *own, layer.size)
                values = activate(sums, layer.activation)
            case Dense():
                values = activate(dense(values, *own), layer.activation)
            case RBF():
                values = rbf(values, *own)
            case Flatten():
                values = values.reshape(-1)
        outputs[layer.name] = values
    return outputs
