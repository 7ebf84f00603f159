"""Convolution as chapter 2 writes it: NumPy only, every loop in view, no stride, no padding, one image.

To be read, not to be fast: the book computes with `loops.plain`. Maps are stored as Keras stores them, channels last.
"""

import numpy as np


def convolve(x: np.ndarray, w: np.ndarray, b: float) -> np.ndarray:
    """Return one feature map: at each position, b plus the window of x times w, added up.

    Args:
        x: (rows, columns), one map.
        w: (k, k), one kernel.
        b: the bias.

    Returns:
        (rows − k + 1, columns − k + 1).

    Source: chapter 2, equation (2.1).

    >>> convolve(np.array([[0, 0, 1], [0, 0, 1]]), np.array([[-1, 1], [-1, 1]]), b=0)
    array([[0., 2.]])
    """
    k = len(w)
    y = np.empty((x.shape[0] - k + 1, x.shape[1] - k + 1))
    for r in range(y.shape[0]):
        for c in range(y.shape[1]):
            y[r, c] = b + np.sum(x[r : r + k, c : c + k] * w)
    return y


def convolve_maps(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a feature map for each filter: the sum over all maps of x, each with its kernel of the filter, plus the bias.

    Args:
        x: (rows, columns, maps in).
        w: (k, k, maps in, filters): a filter is a kernel for each map in.
        b: (filters,).

    Returns:
        (rows − k + 1, columns − k + 1, filters).

    Source: chapter 2, several maps in, several out.
    """
    maps, filters = w.shape[2:]
    y = [
        b[n] + sum(convolve(x[:, :, m], w[:, :, m, n], 0) for m in range(maps))
        for n in range(filters)
    ]
    return np.stack(y, axis=-1)
