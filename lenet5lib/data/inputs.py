"""From images to what a network reads: padding, the range of its pixels, and the axis of channels."""

from __future__ import annotations

import numpy as np

from lenet5lib.data.formats import SIDE


def prepare(
    images: np.ndarray,
    input_shape: tuple[int, int, int] = (SIDE, SIDE, 1),
    pixel_range: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Pad images to the network's input, scale pixels to 0–1 or the network's range, and add the axis of channels.

    Args:
        images: uint8 (n, 28, 28).
        input_shape: (height, width, 1) of the network, at least 28×28.
        pixel_range: the values that background and ink become.

    Returns:
        float32 (n, height, width, 1), from one end of the range to the other.

    Raises:
        ValueError: images of a different type or shape; an input smaller than the images, or with more than one channel.

    >>> prepare(np.full((2, 28, 28), 255, np.uint8), (32, 32, 1)).shape
    (2, 32, 32, 1)
    """
    low, high = pixel_range
    ink = fit(images, input_shape) / np.float32(255)
    return (low + (high - low) * ink).astype(np.float32)[..., np.newaxis]


def fit(images: np.ndarray, input_shape: tuple[int, int, int]) -> np.ndarray:
    """Pad uint8 images (n, 28, 28) with background to the network's height and width, evenly on all sides.

    Raises:
        ValueError: images of a different type or shape; an input smaller than the images, or with more than one channel.
    """
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; expected uint8 "
            "(n, height, width), 0 to 255. Convert them."
        )
    height, width = images.shape[1:]
    if input_shape[2] != 1 or input_shape[0] < height or input_shape[1] < width:
        raise ValueError(
            f"the network reads {input_shape}, the images are {height}×{width} with 1 "
            "channel; expected an input at least as large, with 1 channel. Change the "
            "architecture's input_shape."
        )
    rows, columns = input_shape[0] - height, input_shape[1] - width
    sides = (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
    return np.pad(images, ((0, 0), *sides))


def require_inputs(
    values: np.ndarray,
    input_shape: tuple[int, int, int],
    pixel_range: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Check values that were prepared elsewhere: float (n, height, width, channels), within the network's range.

    Raises:
        ValueError: a different type or shape, NaN, or a value outside the range; the text says which.
    """
    if values.dtype.kind != "f" or values.shape[1:] != tuple(input_shape):
        shape = ", ".join(str(size) for size in input_shape)
        raise ValueError(
            f"inputs are {values.dtype} of shape {values.shape}; expected float "
            f"(n, {shape}). Prepare images with lenet5lib.data.prepare."
        )
    low, high = pixel_range
    slack = 1e-5 * (high - low)  # Of 32-bit numbers.
    least, most = (values.min(), values.max()) if values.size else pixel_range
    if not (least >= low - slack and most <= high + slack):  # NaN is in no range.
        raise ValueError(
            f"inputs lie between {least:g} and {most:g}; expected {low:g} (background) "
            f"to {high:g} (ink). Prepare images with lenet5lib.data.prepare and the "
            "network's pixel_range."
        )
