"""What the layers of a network have learned, asked in ways that leave its weights as they are (chapter 9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lenet5lib import arithmetic, models
from lenet5lib._keras import keras
from lenet5lib.spec import Architecture


def layer_outputs(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the pixels as the network reads them, and the output of each layer that computes.

    Args:
        model: as `models.build` makes it.
        images: uint8 (n, 28, 28).

    Returns:
        Layer name to (n, height, width, channels) or (n, units), float32; the pixels' name is "pixels".
    """
    found = models.activations(model, images)
    del found["Flatten"]  # S4 once more.
    return {"pixels": models.prepared(model, images)} | found


def read_out_error(
    outputs: Sequence[np.ndarray], labels: Sequence[np.ndarray], ridge: float = 0.1
) -> float:
    """Fit a linear classifier to one layer's outputs by ridge regression; return its error on other images, 0–1.

    Args:
        outputs: of one layer for the images to fit and for those to test, each (n, ...).
        labels: of the same images, each (n,), 0 to 9.
        ridge: λ, for each image that is fitted.

    Source: chapter 9, equation (9.1).
    """
    x, others = (one.reshape(len(one), -1).astype(float) for one in outputs)
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    x, others = (x - mean) / spread, (others - mean) / spread
    y = np.eye(10)[labels[0]]
    penalty = ridge * len(x) * np.eye(x.shape[1])
    w = np.linalg.solve(x.T @ x + penalty, x.T @ (y - y.mean(axis=0)))
    scores = others @ w + y.mean(axis=0)
    return float((scores.argmax(axis=1) != labels[1]).mean())


def strongest_patches(
    architecture: Architecture,
    layer_name: str,
    outputs: np.ndarray,
    images: np.ndarray,
    count: int,
) -> np.ndarray:
    """Return, for each channel of a layer, what its strongest units see: a patch each from `count` different images.

    Args:
        architecture: of the network.
        layer_name: of a layer with feature maps.
        outputs: of that layer, (n, height, width, channels).
        images: uint8 (n, 28, 28).
        count: patches of each channel, the strongest first.

    Returns:
        uint8 (count, channels, field, field), where field is the side of the receptive field; padding is 0.
    """
    units = outputs.reshape(len(outputs), -1, outputs.shape[-1])
    best = np.argsort(-units.max(axis=1), axis=0, kind="stable")[:count]
    places = np.take_along_axis(units.argmax(axis=1), best, axis=0)
    first, second = (
        arithmetic.receptive_window(architecture, layer_name, row)[0]
        for row in (0, 1)
    )
    zeros, size = -first.start, first.stop - first.start
    padded = np.pad(images, ((0, 0), (zeros, zeros), (zeros, zeros)))
    fields = sliding_window_view(padded, (1, size, size))[:, :, :, 0]
    jump = second.start - first.start
    rows, columns = np.divmod(places, outputs.shape[2])
    return fields[best, jump * rows, jump * columns]


def nearest(outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return, for each of some outputs (n, ...), the position of the nearest among others (m, ...): (n,)."""
    x, y = (one.reshape(len(one), -1).astype(float) for one in (outputs, others))
    # |x − y|² without |x|², which is the same for all y.
    return ((y**2).sum(axis=1) - 2 * x @ y.T).argmin(axis=1)


def occlusion(model: keras.Model, image: np.ndarray, side: int = 5) -> np.ndarray:
    """Return the probabilities when a square of paper covers part of an image, centred on each of its pixels in turn.

    Args:
        model: a network that gives probabilities.
        image: uint8 (28, 28).
        side: of the square, odd; beyond the border it is cut off.

    Returns:
        float32 (28, 28, classes).
    """
    half = side // 2
    covered = np.repeat(image[np.newaxis], image.size, axis=0)
    for n, (r, c) in enumerate(np.ndindex(image.shape)):
        rows, columns = (slice(max(i - half, 0), i + half + 1) for i in (r, c))
        covered[n, rows, columns] = 0
    return models.predict(model, covered).reshape(*image.shape, -1)
