"""The layers written as naive loops over NumPy arrays: the equations of the book, one multiplication at a time.

Slow on purpose and independent of Keras: a second witness for every shape and value. Chapters 2 and 3 show these
functions as the equations themselves. What is called convolution here and in every deep-learning library is, strictly,
cross-correlation: the kernel is not flipped.
"""

from __future__ import annotations

import numpy as np

from lenet5lib.arithmetic import output_size, same_padding
from lenet5lib.spec import Pair, pair


def convolve(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int | Pair = 1, padding: str = "valid"
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
            window = image[r * down : r * down + kernel_height, c * right : c * right + kernel_width]
            for m in range(kernel.shape[3]):
                result[r, c, m] = bias[m] + np.sum(window * kernel[..., m])
    return result


def pool(
    image: np.ndarray, size: int | Pair = 2, stride: int | Pair | None = None, padding: str = "valid", mode="average"
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
    (window_height, window_width), (down, right) = pair(size), pair(size if stride is None else stride)
    height = output_size(image.shape[0], window_height, down, padding)
    width = output_size(image.shape[1], window_width, right, padding)
    if padding == "same":
        rows = same_padding(image.shape[0], window_height, down)
        columns = same_padding(image.shape[1], window_width, right)
        image = np.pad(image.astype(float), (rows, columns, (0, 0)), constant_values=np.nan)
    summarise = np.nanmean if mode == "average" else np.nanmax
    result = np.zeros((height, width, image.shape[2]))
    for r in range(height):
        for c in range(width):
            window = image[r * down : r * down + window_height, c * right : c * right + window_width]
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

    Source: chapter 3, equation (3.2).
    """
    result = np.zeros(kernel.shape[1])
    for u in range(kernel.shape[1]):
        result[u] = bias[u] + sum(vector[n] * kernel[n, u] for n in range(kernel.shape[0]))
    return result
