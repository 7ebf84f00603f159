"""The backward pass of the modern LeNet-5 for one image, layer by layer, and a check of each of its numbers (chapter 6).

`gradients` calls the loops. `differences` finds the same numbers with no derivative at all, by changing each parameter a
little, and without the loops. Weights and their gradients are in the layout of Keras.
"""

from typing import Any

import numpy as np

from lenet5lib.loops import plain

Arrays = dict[str, tuple[np.ndarray, ...]]


def gradients(
    weights: Arrays, image: np.ndarray, label: int
) -> tuple[Arrays, np.ndarray]:
    """Return the gradient of one image's loss: of each layer's kernel and bias, and of the pixels.

    Args:
        weights: layer name to (kernel, bias), of C1, C3, C5, F6 and Output in this order.
        image: (28, 28, 1), prepared.
        label: its class.

    Returns:
        Layer name to (kernel gradient, bias gradient), from the last layer to the first, and (28, 28, 1).
    """
    (w1, b1), (w3, b3), (w5, b5), (w6, b6), (w7, b7) = weights.values()
    w1, w3 = w1.transpose(3, 2, 0, 1), w3.transpose(3, 2, 0, 1)
    found: Arrays = {}

    # Forward.
    x = np.pad(image.transpose(2, 0, 1), ((0, 0), (2, 2), (2, 2)))
    c1 = plain.sigmoid(plain.convolve(x, w1, b1))
    s2 = plain.pool(c1)
    c3 = plain.sigmoid(plain.convolve(s2, w3, b3))
    s4 = plain.pool(c3).transpose(1, 2, 0).reshape(400)
    c5 = plain.sigmoid(plain.dense(s4, w5, b5))
    f6 = plain.sigmoid(plain.dense(c5, w6, b6))
    q = plain.softmax(plain.dense(f6, w7, b7))

    # And back.
    g = q - np.eye(10)[label]
    found["Output"] = plain.dense_weights(f6, g)
    g = plain.sigmoid_inputs(f6, plain.dense_inputs(g, w7))
    found["F6"] = plain.dense_weights(c5, g)
    g = plain.sigmoid_inputs(c5, plain.dense_inputs(g, w6))
    found["C5"] = plain.dense_weights(s4, g)
    g = plain.dense_inputs(g, w5).reshape(5, 5, 16).transpose(2, 0, 1)
    g = plain.sigmoid_inputs(c3, plain.pool_inputs(c3, g))
    dw, db = plain.convolve_weights(s2, g)
    found["C3"] = dw.transpose(2, 3, 1, 0), db
    g = plain.convolve_inputs(g, w3)
    g = plain.sigmoid_inputs(c1, plain.pool_inputs(c1, g))
    dw, db = plain.convolve_weights(x, g)
    found["C1"] = dw.transpose(2, 3, 1, 0), db
    g = plain.convolve_inputs(g, w1)
    return found, g[:, 2:-2, 2:-2].transpose(1, 2, 0)


def loss(z: np.ndarray, label: int) -> np.ndarray:
    """Return the cross-entropy of logits, ln Σ_d e^(z_d) − z_label, over the last axis."""
    return np.log(np.exp(z).sum(axis=-1)) - z[..., label]


def differences(
    weights: Arrays, image: np.ndarray, label: int, step: float
) -> Arrays:
    """Return what `gradients` does for the parameters, by central differences: two losses for each parameter.

    A weight changes the pre-activations of one unit by `step` times the inputs that it meets there, a bias by `step`. From
    the changed pre-activations on, the loss is computed again, for all units of the layer at once.
    """
    found: Arrays = {}
    rest = list(weights.values())
    y = np.pad(image, ((2, 2), (2, 2), (0, 0)))[np.newaxis]
    for name, (kernel, bias) in weights.items():
        x, rest = _windows(y, kernel)[0], rest[1:]
        z = x @ kernel.reshape(-1, len(bias)) + bias  # (positions, units)
        rows = []
        for inputs in (*x.T, np.ones(len(x))):
            change = step * inputs[:, np.newaxis] * np.eye(len(bias))[:, np.newaxis]
            up, down = (_loss(z + d, rest, label) for d in (change, -change))
            rows.append((up - down) / (2 * step))
        found[name] = np.reshape(rows[:-1], kernel.shape), rows[-1]
        y = _outputs(z[np.newaxis])
    return found


def _windows(y: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return what a layer reads at each of its positions: (batch, positions, inputs)."""
    if kernel.ndim == 4:
        view: Any = np.lib.stride_tricks.sliding_window_view
        y = view(y, kernel.shape[:2], axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    return y.reshape(len(y), -1, kernel[..., 0].size)


def _outputs(z: np.ndarray) -> np.ndarray:
    """Return the sigmoid of pre-activations (batch, positions, units), pooled where there is more than one position."""
    y, half = 1 / (1 + np.exp(-z)), round(z.shape[1] ** 0.5) // 2
    return y.reshape(len(y), half, 2, half, 2, -1).mean(axis=(2, 4)) if half else y


def _loss(z: np.ndarray, rest: list, label: int) -> np.ndarray:
    """Return the loss of each example from a layer's pre-activations and the (kernel, bias) of the layers after it."""
    for kernel, bias in rest:
        z = _windows(_outputs(z), kernel) @ kernel.reshape(-1, len(bias)) + bias
    return loss(z[:, 0], label)


def num_agreeing(found: Arrays, expected: Arrays, tolerance: float) -> int:
    """Count the numbers that differ by at most `tolerance` times the largest expected one of the same array."""
    return sum(
        int(np.sum(np.abs(one - other) <= tolerance * np.abs(other).max()))
        for name, arrays in expected.items()
        for one, other in zip(found[name], arrays, strict=True)
    )
