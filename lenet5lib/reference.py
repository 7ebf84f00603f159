"""The layers written as naive loops over NumPy arrays: the equations of the book, one multiplication at a time.

Slow on purpose and independent of Keras: a second witness for every shape and value. Chapters 2 and 3 show these
functions as the equations themselves. What is called convolution here and in every deep-learning library is, strictly,
cross-correlation: the kernel is not flipped.
"""

from __future__ import annotations

import numpy as np

from lenet5lib.arithmetic import output_size, same_padding, walk
from lenet5lib.spec import Architecture, Conv, Dense, Pair, Pool, pair


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
        "softmax": softmax,
    }
    return (
        np.maximum(sums, 0) if activation == "relu" else functions[activation](sums)
    )


def random_weights(
    architecture: Architecture, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return random weights for `forward`: kernels as wide as keeps the sums near 1, small biases.

    Args:
        architecture: whose layers.
        seed: the same seed gives the same weights.

    Returns:
        Layer name to (kernel, bias), in the layout of Keras.
    """
    rng, weights = np.random.default_rng(seed), {}
    for layer, inputs, outputs in walk(architecture):
        if isinstance(layer, (Conv, Dense)):
            window = pair(layer.kernel_size) if isinstance(layer, Conv) else ()
            shape = (*window, inputs[-1], outputs[-1])
            fan_in = np.prod(shape[:-1])
            kernel = rng.normal(0, fan_in**-0.5, shape)
            weights[layer.name] = kernel, rng.normal(0, 0.1, outputs[-1])
    return weights


def forward(
    architecture: Architecture,
    weights: dict[str, tuple[np.ndarray, np.ndarray]],
    image: np.ndarray,
) -> dict[str, np.ndarray]:
    """Run a network by naive loops and return every layer's output for one image.

    Args:
        architecture: what to run.
        weights: layer name to (kernel, bias), in the layout of Keras.
        image: (height, width, maps), prepared.

    Returns:
        Layer name to (height, width, maps) or (units,).
    """
    outputs, values = {}, image
    for layer in architecture.layers:
        match layer:
            case Conv():
                sums = convolve(
                    values, *weights[layer.name], layer.stride, layer.padding
                )
                values = activate(sums, layer.activation)
            case Pool():
                values = pool(
                    values, layer.size, layer.step, layer.padding, layer.mode
                )
            case Dense():
                values = activate(
                    dense(values, *weights[layer.name]), layer.activation
                )
            case _:
                values = values.reshape(-1)
        outputs[layer.name] = values
    return outputs
