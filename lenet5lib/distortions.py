"""Random distortions of the training digits, a function of (seed, epoch) and of each digit's position alone.

The distortions of the 1998 paper (translation, scaling, squeezing, horizontal shear), rotation, and the elastic ones of
Simard, Steinkraus and Platt (2003), joined into one displacement for each pixel, so that every digit is sampled once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import tensorflow as tf

from lenet5lib import blocks
from lenet5lib.recipe import Distortion

NOISE = math.sqrt((256**2 - 1) / 12)
"""Standard deviation of whole numbers that are uniform from 0 to 255."""

CORNERS = (0, 0), (0, 1), (1, 0), (1, 1)
"""Of the four pixels around a position."""

AT_ONCE = 5_000
"""Digits that are distorted together; the last group is filled up, so that there is one program for all."""


def distort(
    images: np.ndarray, distortion: Distortion, seed: int, epoch: int
) -> np.ndarray:
    """Return each image distorted in its own way.

    Args:
        images: uint8 (n, height, width).
        distortion: how far.
        seed: of the run, 0 or more.
        epoch: another epoch gives other distortions.

    Returns:
        uint8 (n, height, width), bilinear between pixels, rounded; what comes from outside an image is 0.
    """
    warp, size = _program(), images.shape[1:]
    moves = [_smoothing(side, distortion) for side in size]
    made = np.empty_like(images)
    for group, first in enumerate(range(0, len(images), AT_ONCE)):
        part = images[first : first + AT_ONCE]
        filled = np.zeros((AT_ONCE, *size), np.uint8)
        filled[: len(part)] = part
        draw = np.random.default_rng([seed, epoch, group])
        amounts = draw.uniform(-1, 1, (6, AT_ONCE, 1, 1)) * _half_widths(distortion)
        amounts = amounts.astype(np.float32)
        moved = None
        if distortion.elastic:
            noise = draw.integers(0, 256, (2, *filled.shape), np.uint8)
            moved = displacements(noise, *moves)
        warped = warp(filled, amounts, moved)
        made[first : first + len(part)] = warped[: len(part)]
    return made


def _half_widths(distortion: Distortion) -> np.ndarray:
    """Return how far the six amounts that `_positions` reads go: (6, 1, 1, 1)."""
    widths = [
        distortion.translation,
        distortion.translation,
        math.radians(distortion.rotation),
        distortion.shear,
        distortion.scaling,
        distortion.squeezing,
    ]
    return np.reshape(widths, (6, 1, 1, 1))


@cache
def _program() -> Callable:
    """Return `_warp` as a graph, compiled where XLA works."""
    return tf.function(_warp, autograph=False, jit_compile=blocks.compiles())


def _warp(images, amounts, moved):
    """Return AT_ONCE images distorted by these amounts and, unless None is given, by these displacements of each pixel."""
    y, x = _positions(images.shape[1:], amounts)
    if moved is not None:
        y, x = y + moved[0], x + moved[1]
    return _sample(images, y, x)


def _positions(
    size: tuple[int, int], amounts: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return for each pixel of the result the position (y, x) in the image that it shows: float32 (n, height, width) each.

    The image is squeezed and scaled, sheared, turned, and moved, in this order; positions are found by undoing each, from
    the last to the first.

    Args:
        size: height and width.
        amounts: (6, n, 1, 1): translation down and across in pixels, rotation in radians, shear, scaling, squeezing.
    """
    down, across, angle, shear, scaled, squeezed = tf.unstack(amounts)
    scale, squeeze = 1 + scaled, 1 + squeezed
    middle = [(side - 1) / 2 for side in size]
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    y, x = rows - middle[0] - down, columns - middle[1] - across
    sine, cosine = tf.sin(angle), tf.cos(angle)
    y, x = cosine * y - sine * x, sine * y + cosine * x
    x = x - shear * y
    return y / (scale * squeeze) + middle[0], x * squeeze / scale + middle[1]


def displacements(
    noise: np.ndarray, left: np.ndarray, right: np.ndarray
) -> tf.Tensor:
    """Return smooth random displacements down and across, float32 (2, n, height, width).

    Operation by operation: TensorFlow's own product of many small matrices takes half the time of XLA's.

    Args:
        noise: (2, n, height, width), whole numbers from 0 to 255.
        left: (height, height), smooths down the columns, and carries the deviation.
        right: (width, width), smooths along the rows, likewise.
    """
    around = (tf.cast(noise, tf.float32) - 127.5) / NOISE
    return left @ around @ tf.transpose(right)


def _smoothing(side: int, distortion: Distortion) -> np.ndarray:
    """Return a Gaussian as a matrix, float32 (side, side).

    Each row has the length √elastic: applied from both sides to independent numbers of deviation 1, two such matrices give
    numbers of the deviation `elastic`.
    """
    places = np.arange(side)
    apart = (places[:, None] - places) / distortion.smoothness
    rows = np.exp(-(apart**2) / 2)
    rows *= math.sqrt(distortion.elastic) / np.linalg.norm(rows, axis=1)[:, None]
    return rows.astype(np.float32)


def _sample(images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return uint8 images read at the positions (y, x), bilinear, 0 outside."""
    height, width = images.shape[1:]
    y = tf.clip_by_value(y, -1, height)
    x = tf.clip_by_value(x, -1, width)
    top, left = tf.floor(y), tf.floor(x)
    below, right = y - top, x - left
    # One pixel more than the frame on two sides: at `height` the next is read.
    framed = tf.pad(tf.cast(images, tf.int32), ((0, 0), (1, 2), (1, 2)))
    corners = [framed[:, u : u + height + 2, v : v + width + 2] for u, v in CORNERS]
    # Four bytes in one number: what costs time is each reading, not how much is read.
    bits = [
        tf.bitwise.left_shift(corner, 8 * n) for n, corner in enumerate(corners)
    ]
    pixels = tf.reshape(tf.add_n(bits), (-1,))
    row = width + 2
    first = tf.range(AT_ONCE)[:, tf.newaxis, tf.newaxis] * (height + 2) * row
    place = tf.cast(top, tf.int32) * row + tf.cast(left, tf.int32) + row + 1 + first
    four = tf.gather(pixels, place)
    shifted = [tf.bitwise.right_shift(four, 8 * n) for n in range(4)]
    read = [
        tf.cast(tf.bitwise.bitwise_and(one, 255), tf.float32) for one in shifted
    ]
    upper = read[0] + (read[1] - read[0]) * right
    lower = read[2] + (read[3] - read[2]) * right
    return tf.cast(tf.round(upper + (lower - upper) * below), tf.uint8)
