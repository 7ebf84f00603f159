"""A kernel found by gradient descent from an input and the output that is wanted: chapter 2's bridge to training, chapter 5.

One map, one kernel, no bias, NumPy only. Not a way to train a network: there is one example and nothing is tested.
"""

import numpy as np

from lenet5lib.loops import first


def learn(
    x: np.ndarray, target: np.ndarray, learning_rate: float, steps: int
) -> tuple[list[np.ndarray], list[float]]:
    """Return the kernel before each step and after the last, and the loss of each: half the sum of the squared errors.

    Args:
        x: (side, side), one map.
        target: (side − k + 1, side − k + 1), the wanted output.
        learning_rate: the share of the gradient that a step subtracts.
        steps: number of steps.

    Returns:
        steps + 1 kernels (k, k), the first all 0, and as many losses.

    Source: chapter 2, equation (2.5).
    """
    k = len(x) - len(target) + 1
    w = np.zeros((k, k))
    kernels, losses = [], []
    for _ in range(steps + 1):
        error = first.convolve(x, w, 0) - target
        kernels.append(w)
        losses.append(0.5 * np.sum(error**2))
        # dL/dw[u, v] = Σ error[r, c] · x[r + u, c + v]: the same loop, with the error as the kernel.
        w = w - learning_rate * first.convolve(x, error, 0)
    return kernels, losses
