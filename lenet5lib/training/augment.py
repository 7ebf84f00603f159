"""Data augmentation: random distortions of the training images, a function of (seed, epoch) and each image's position alone.

The distortions of the 1998 paper (translation, scaling, squeezing, horizontal shear), rotation, and the elastic ones of
Simard, Steinkraus and Platt (2003), added up to one displacement of each pixel, so that every image is sampled once.

NumPy draws and smooths the random numbers; the loops over pixels are compiled where numba is installed, with the same result
without.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lenet5lib.loops import compiled
from lenet5lib.training.recipe import Distortion

NOISE = math.sqrt((256**2 - 1) / 12)
"""Standard deviation of whole numbers that are uniform from 0 to 255."""

CHUNK = 5_000
"""Images with one generator of random numbers; the chunks are distorted in parallel."""

BLOCK = 100
"""Images whose displacements are in memory at a time: few enough for a processor's cache."""


def distort(
    images: np.ndarray, distortion: Distortion, seed: int, epoch: int
) -> np.ndarray:
    """Return a randomly distorted copy of each image.

    Args:
        images: uint8 (n, height, width).
        distortion: how far.
        seed: of the run, 0 or more.
        epoch: each epoch has its own distortions.

    Returns:
        uint8 (n, height, width), bilinear between pixels, rounded; outside an image pixels are 0.
    """
    made = np.empty(images.shape, np.uint8)

    def distort_chunk(chunk: int) -> None:
        part = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        rng = np.random.default_rng([seed, epoch, chunk])
        amounts = rng.uniform(-1, 1, (6, CHUNK)) * _half_widths(distortion)
        noise = _noise(rng, images.shape[1:]) if distortion.elastic else None
        _warp_chunk(images[part], distortion, amounts, noise, made[part])

    # Each chunk has its own random numbers, so their order does not matter.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(distort_chunk, range(-(-len(images) // CHUNK))))
    return made


def _half_widths(distortion: Distortion) -> np.ndarray:
    """Return the largest values of the six amounts that `_terms` reads: (6, 1)."""
    widths = [
        distortion.translation,
        distortion.translation,
        math.radians(distortion.rotation),
        distortion.shear,
        distortion.scaling,
        distortion.squeezing,
    ]
    return np.reshape(widths, (6, 1))


def _noise(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Return uniform whole numbers from 0 to 255 for each pixel of a chunk, down and across: uint8 (2, CHUNK, *size)."""
    shape = 2, CHUNK, *size
    # The numbers of rng.integers(0, 256, shape, np.uint8), eight at a time, in a third of the time.
    eights = rng.integers(0, 2**64, -(-math.prod(shape) // 8), np.uint64)
    noise = eights.astype("<u8", copy=False).view(np.uint8)
    return noise[: math.prod(shape)].reshape(shape)


def _warp_chunk(images, distortion, amounts, noise, made) -> None:
    """Write the images, distorted by these amounts and, unless it is None, by this noise, into `made`."""
    size = images.shape[1:]
    smoothings = [_smoothing(side, distortion) for side in size]
    terms, moved = _terms(amounts), None
    for first in range(0, len(images), BLOCK):
        part = slice(first, min(first + BLOCK, len(images)))
        framed = _frame(images[part])
        count = len(framed)
        if noise is not None:
            moved = displacements(noise[:, part], *smoothings)
            moved = moved.reshape(2, count, -1)
        warped = made[part].reshape(count, -1)
        _warp(framed.reshape(count, -1), terms[:, part], moved, size, warped)


def _frame(images: np.ndarray) -> np.ndarray:
    """Return uint8 images (n, height + 3, width + 3) with zeros around them: one before the image, two after it."""
    count, height, width = images.shape
    # Two, not one: the pixels below and right of a position are read even where it lies at the end, at `height`.
    framed = np.zeros((count, height + 3, width + 3), np.uint8)
    framed[:, 1 : height + 1, 1 : width + 1] = images
    return framed


def _terms(amounts: np.ndarray) -> np.ndarray:
    """Return what `_positions` computes with, float32 (7, n).

    Args:
        amounts: (6, n): translation down and across in pixels, rotation in radians, shear, scaling, squeezing.
    """
    down, across, angle, shear, scaled, squeezed = amounts.astype(np.float32)
    # In float64, so that the last bit is the same wherever it is computed.
    turn = angle.astype(np.float64)
    sine, cosine = np.sin(turn), np.cos(turn)
    terms = [down, across, sine, cosine, shear, 1 + scaled, 1 + squeezed]
    return np.stack([term.astype(np.float32) for term in terms])


def displacements(
    noise: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Return smooth random displacements down and across, float32 (2, n, height, width).

    Args:
        noise: (2, n, height, width), whole numbers from 0 to 255.
        left: (height, height), smooths down the columns, and carries the deviation.
        right: (width, width), smooths along the rows, likewise.
    """
    around = (noise.astype(np.float32) - 127.5) / NOISE
    # Written out, the transposed matrix multiplies faster.
    return left @ around @ np.ascontiguousarray(right.T)


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


def _compiled(function: Callable) -> Callable:
    """Return a function compiled by numba, or, where numba is missing, the function itself.

    Sums keep their order and their roundings (no `fastmath`), so that the result is the same on every processor.
    """
    if not compiled.available():
        return function
    return compiled.cached(compiled.numba.njit, fastmath=False)(function)


def _all_at_once(count: int) -> list[slice]:
    """Return one slice over all: a loop over it is a single step, on whole arrays."""
    return [slice(count)]


# numba compiles the loops pixel by pixel; without it NumPy takes all pixels at once.
each = range if compiled.available() else _all_at_once


@_compiled
def _fused(a, b, c):
    """Return a · b + c, rounded once, as a processor's fused multiply–add does: in float64 the product is exact."""
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))


@_compiled
def _warp(framed, terms, moved, size, made):
    """Write n distorted images into `made`.

    Args:
        framed: uint8 (n, (height + 3) · (width + 3)), a row and a column of zeros before each image and two after it.
        terms: float32 (7, n), see `_terms`.
        moved: float32 (2, n, height · width), how far each pixel is displaced down and across; or None.
        size: height and width.
        made: uint8 (n, height · width).
    """
    height, width = size
    middle = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
    places = np.arange(height * width)
    rows = (places // width).astype(np.float32) - middle[0]
    columns = (places % width).astype(np.float32) - middle[1]
    y, x = np.empty_like(rows), np.empty_like(rows)
    for n in range(len(made)):
        _positions(rows, columns, terms[:, n], middle, y, x)
        if moved is not None:
            y += moved[0, n]
            x += moved[1, n]
        _sample(framed[n], y, x, size, made[n])


@_compiled
def _positions(rows, columns, terms, middle, y, x):
    """Write into y and x, for each pixel of the result, the position in the image from which it is read.

    The image is squeezed and scaled, sheared, rotated, and translated, in this order; positions are found by undoing each,
    from the last to the first.

    Args:
        rows, columns: of each pixel, counted from the middle: float32 (height · width,), as are y and x.
        terms: float32 (7,), see `_terms`.
        middle: row and column of the image's middle.
    """
    down, across, sine, cosine = terms[0], terms[1], terms[2], terms[3]
    shear, scale, squeeze = terms[4], terms[5], terms[6]
    both = scale * squeeze
    for p in each(len(y)):
        v, u = rows[p] - down, columns[p] - across
        turned_v = _fused(cosine, v, -(sine * u))
        turned_u = _fused(sine, v, cosine * u)
        straight = _fused(-shear, turned_v, turned_u)
        y[p] = turned_v / both + middle[0]
        x[p] = straight * squeeze / scale + middle[1]


@_compiled
def _sample(framed, y, x, size, made):
    """Write one image, sampled at the positions (y, x), into `made`: bilinear, 0 outside. y and x are overwritten.

    A processor does each step for several pixels at a time, except for the reading itself.
    """
    height, width = size
    row = width + 3
    place = np.zeros(len(y), np.int32)
    _split(y, np.float32(height), np.int32(row), place)
    _split(x, np.float32(width), np.int32(1), place)
    corners = np.empty((4, len(y)), np.uint8)
    for n, shift in enumerate((0, 1, row, row + 1)):
        _read(framed[shift:], place, corners[n])
    _blend(corners, y, x, made)


@_compiled
def _split(position, side, stride, place):
    """Split positions along one side into a whole part, added to `place` in strides, and a fraction, which stays."""
    for p in each(len(position)):
        inside = np.minimum(np.maximum(position[p], np.float32(-1)), side)
        whole = np.floor(inside)
        position[p] = inside - whole
        place[p] += (np.int32(whole) + np.int32(1)) * stride


@_compiled
def _read(pixels, place, values):
    """Write the pixels at these places into `values`."""
    for p in each(len(place)):
        # Unsigned: numba need not ask whether a place counts from the end.
        values[p] = pixels[np.uint32(place[p])]


@_compiled
def _blend(corners, below, right, made):
    """Write the mean of four pixels, weighted by how far below and right of the first a position lies, into `made`."""
    for p in each(len(made)):
        first, third = np.float32(corners[0, p]), np.float32(corners[2, p])
        upper = _fused(np.float32(corners[1, p]) - first, right[p], first)
        lower = _fused(np.float32(corners[3, p]) - third, right[p], third)
        value = np.rint(_fused(lower - upper, below[p], upper))
        made[p] = np.uint8(np.int32(value))
