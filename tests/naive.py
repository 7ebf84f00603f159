"""The layers and losses as naive loops over NumPy arrays, in Keras's order (height, width, maps): a witness for the tests.

Slow on purpose and independent of Keras and of `lenet5lib.loops`, which the tests compare with it.
"""

from __future__ import annotations

import numpy as np

from lenet5lib.arithmetic import output_size, same_padding
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
    """
    result = np.zeros(kernel.shape[1])
    for u in range(kernel.shape[1]):
        result[u] = bias[u] + sum(
            vector[n] * kernel[n, u] for n in range(kernel.shape[0])
        )
    return result


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return σ(x) = 1 / (1 + e^(−x)), between 0 and 1."""
    return 1 / (1 + np.exp(-x))


def scaled_tanh(x: np.ndarray) -> np.ndarray:
    """Return the squashing function of the 1998 paper, f(a) = 1.7159 · tanh(2a/3)."""
    return 1.7159 * np.tanh(2 * x / 3)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities from scores (classes,): e^score, each divided by their sum."""
    powers = np.exp(scores - scores.max())  # The same quotients without overflow.
    return powers / powers.sum()


def cross_entropy(probabilities: np.ndarray, label: int) -> float:
    """Return the loss of one digit, −ln of the probability given to its label, in nats."""
    return float(-np.log(probabilities[label]))


def maximum_likelihood(distances: np.ndarray, label: int) -> float:
    """Return the loss of one digit by the 1998 paper's equation (8): y_t, its distance from the code of its label."""
    return float(distances[label])


def maximum_a_posteriori(distances: np.ndarray, label: int, j: float) -> float:
    """Return the loss of one digit by the 1998 paper's equation (9): y_t + ln(e^(−j) + Σ_i e^(−y_i)), in nats."""
    total = np.exp(-j)
    for distance in distances:
        total += np.exp(-distance)
    return float(distances[label] + np.log(total))


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


def forward(
    architecture: Architecture,
    weights: dict[str, tuple[np.ndarray, ...]],
    image: np.ndarray,
) -> dict[str, np.ndarray]:
    """Run a network by naive loops and return every layer's output for one image.

    Args:
        architecture: what to run.
        weights: layer name to its weights, (kernel, bias) in most, in the layout of Keras.
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
