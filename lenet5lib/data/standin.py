"""The stand-in for MNIST: fallback data where MNIST cannot be had, real handwritten digits of MNIST's shape and size.

scikit-learn's 1,797 digits of 8×8 pixels are enlarged and warped into 60,000 + 10,000 images of 28×28. They are easier than
MNIST, so an error rate on them says nothing about MNIST: their name travels with them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from pathlib import Path

import numpy as np
import platformdirs

from lenet5lib import files
from lenet5lib.data.formats import SIDE, DataError, Digits
from lenet5lib.data.readers import ARRAYS, read_dataset
from lenet5lib.data.splits import Dataset, stratified_split

STAND_IN = "stand-in (scikit-learn's 8×8 digits, enlarged and warped; not MNIST)"
VERSION = 1
"""Of the arrays; also the seed of the warps."""


def stand_in() -> Dataset:
    """Return the stand-in, the same on every call; after the first it is read from the user's cache folder.

    Originals are divided between training and test first, so that no test image is a warp of a training image.
    """
    with contextlib.suppress(DataError, RuntimeError):
        # Not made yet, or damaged: make it.
        return dataclasses.replace(read_dataset(_cache()), dataset_name=STAND_IN)
    train, test = _make(60_000, 10_000)
    arrays = train.images, train.labels, test.images, test.labels
    buffer = io.BytesIO()
    np.savez(buffer, **dict(zip(ARRAYS, arrays, strict=True)))
    with contextlib.suppress(OSError, RuntimeError):
        # Without a cache it is made on every call.
        _cache().parent.mkdir(parents=True, exist_ok=True)
        files.write(_cache(), buffer.getvalue())
    return Dataset(train, test, STAND_IN)


def _cache() -> Path:
    """Return the path of the stand-in in the user's cache folder.

    Raises:
        RuntimeError: the user has no home folder.
    """
    folder = platformdirs.user_cache_path("lenet5lib", appauthor=False).expanduser()
    return folder / f"stand-in-{VERSION}.npz"


def _make(train: int, test: int) -> tuple[Digits, Digits]:
    """Make this many training and test images from scikit-learn's digits."""
    from scipy import ndimage
    from sklearn.datasets import load_digits

    originals = load_digits()
    large = ndimage.zoom(originals.images / 16.0, (1, 2.5, 2.5), order=3)
    canvas = np.pad(large.clip(0, 1), ((0, 0), (4, 4), (4, 4))).astype(np.float32)
    rng = np.random.default_rng(VERSION)
    made = []
    for rows, count in zip(
        stratified_split(originals.target, 7), (train, test), strict=True
    ):
        chosen = rng.permutation(np.resize(rows, count))
        # In parts of 2,000, to bound the memory.
        parts = np.array_split(chosen, max(1, count // 2000))
        images = np.concatenate([_warp(canvas[part], rng) for part in parts])
        made.append(Digits(images, originals.target[chosen].astype(np.uint8)))
    return made[0], made[1]


def _warp(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each image (n, 28, 28), 0 to 1, under a small random affine map, as uint8.

    `training.augment` distorts uint8 images in float32; this computes positions in float64, as the cached arrays were made.
    """
    each = len(images), 1, 1
    angle, shear = rng.normal(0, 0.08, (2, *each))
    zoom_y, zoom_x = 1 / rng.uniform(0.9, 1.1, (2, *each))
    shift_y, shift_x = rng.uniform(-1, 1, (2, *each))
    middle = (SIDE - 1) / 2
    y, x = np.mgrid[:SIDE, :SIDE] - middle
    sheared = x + shear * y
    from_y = zoom_y * (np.cos(angle) * y - np.sin(angle) * x) + shift_y + middle
    from_x = zoom_x * (np.sin(angle) * y + np.cos(angle) * sheared)
    from_x = from_x + shift_x + middle
    return np.rint(255 * _sample(images, from_y, from_x)).astype(np.uint8)


def _sample(images: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return each image read at the positions (y, x), all (n, 28, 28), bilinear, zero outside."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    y, x = (np.clip(axis + 1, 0, SIDE + 1 - 1e-6) for axis in (y, x))
    top, left = y.astype(int), x.astype(int)
    below, right = (y - top).astype(np.float32), (x - left).astype(np.float32)
    n = np.arange(len(images))[:, None, None]

    def row(at: np.ndarray) -> np.ndarray:
        return padded[n, at, left] * (1 - right) + padded[n, at, left + 1] * right

    return row(top) * (1 - below) + row(top + 1) * below
