"""The digits: MNIST where it can be had, a stand-in that says so where it cannot, or any file of the same four arrays.

`load_digits` is the only function that looks for data, and the only one that prints: one line that names the source.
That name travels with the arrays into every record and caption. Chapter 1 is about this module.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import io
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lenet5lib import files

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
SIDE = 28
CLASSES = 10
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_DIGEST = "25c98f992c005963b7428e1f38418b233c9b286cc403519287eb8063f0bcfe07"
"""SHA-256 of MNIST's four arrays, as `digest` computes it."""

MNIST_FACTS = {
    "mean pixel": 0.1307,
    "standard deviation": 0.3081,
    "share of zeros": 0.809,
    "largest height and width of ink": (20, 20),
    "digits of each class": (
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ),
    "test digits of each class": (
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ),
}
"""Facts that only MNIST has: pixels scaled to 0–1, training set unless said. A test recomputes them from the arrays."""

MNIST_LABEL_ERRORS = (
    947,
    1621,
    1901,
    2130,
    2462,
    2597,
    2654,
    3520,
    3558,
    5937,
    6651,
    6783,
    8527,
    9679,
    9729,
)
"""Positions in MNIST's test set whose printed label human raters question. Source: see the book's references."""

STAND_IN = "stand-in (scikit-learn's 8×8 digits, enlarged and warped; not MNIST)"
STAND_IN_VERSION = 1
DOWNLOAD_SECONDS = 10


class DataError(ValueError):
    """A data file that cannot be used; the text says what came, what was expected, what to do."""


@dataclass(frozen=True)
class Digits:
    """Some digits: `pictures` uint8 (n, 28, 28), ink 255 on background 0, and `labels` uint8 (n,), 0 to 9."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray | slice) -> Digits:
        """Return the digits at these positions."""
        return Digits(self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class Dataset:
    """A training set and a test set, and the name of their source."""

    train: Digits
    test: Digits
    source: str


@dataclass(frozen=True)
class Splits:
    """Training, validation and test digits, the name of their source, whether validation is held out of training."""

    train: Digits
    validation: Digits
    test: Digits
    source: str
    held_out: bool = True

    def small(self, train: int, validation: int) -> Splits:
        """Return a copy with only the first `train` training and `validation` validation digits; the source says so."""
        source = f"the first {train:,} training digits of {self.source}"
        return dataclasses.replace(
            self,
            train=self.train.take(slice(train)),
            validation=self.validation.take(slice(validation)),
            source=source,
        )


def load_digits(source: str | Path = "auto", report=print) -> Dataset:
    """Load the digits and report in one line where they come from.

    Args:
        source: "auto" tries in order the file that the environment variable LENET5_MNIST names, the file that Keras
            keeps, a download of MNIST, and the stand-in. "stand-in" takes the stand-in. Anything else is the path of
            an `.npz` file with Keras's four arrays. LENET5_MNIST may hold "stand-in" too.
        report: receives the line; None for silence.

    Returns:
        Uint8 arrays; for MNIST and the stand-in 60,000 training and 10,000 test digits.

    Raises:
        DataError: a file that was named cannot be used. A named file never falls through to another source.
    """
    named = os.environ.get("LENET5_MNIST") if source == "auto" else source
    if named == "stand-in":
        dataset = stand_in()
    elif named:
        dataset = read(Path(named))
    else:
        dataset = _kept_by_keras() or _download() or stand_in()
    if report is not None:
        report(
            f"Data: {dataset.source}; {len(dataset.train):,} training and {len(dataset.test):,} test digits."
        )
    return dataset


def read(path: Path) -> Dataset:
    """Read a file of Keras's four arrays: x_train, y_train, x_test, y_test.

    Raises:
        DataError: no such file, not a whole `.npz` file, an array missing, or an array of other type, shape or range.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read the data file {path}: {error.strerror}. Name an existing .npz file."
        ) from None
    return _parse(contents, path.name, str(path))


def _parse(contents: bytes, name: str, shown: str) -> Dataset:
    """Check the bytes of an `.npz` file and return its digits; `shown` names the file in errors."""
    arrays = {}
    try:
        archive = np.load(io.BytesIO(contents), allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DataError(
                f"{shown} holds one bare array; expected an .npz file with {', '.join(ARRAYS)}."
            )
        missing = [key for key in ARRAYS if key not in archive.files]
        if missing:
            raise DataError(
                f"{shown} has no array {', '.join(missing)}; it has {', '.join(archive.files) or 'none'}. "
                f"Save it with numpy.savez and the names {', '.join(ARRAYS)}."
            )
        for key in ARRAYS:
            arrays[key] = archive[key]
            if not isinstance(arrays[key], np.ndarray):
                raise ValueError(f"{key} is not an array")
    except DataError:
        raise
    except Exception as error:  # A damaged archive makes zipfile, zlib, tokenize and NumPy raise a dozen kinds.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{shown} is not a whole .npz file ({len(contents):,} bytes read): {reason}. It may be cut short or hold "
            "pickled objects, which are not loaded; copy or save it again."
        ) from None
    train, test = (
        _checked(arrays[f"x_{part}"], arrays[f"y_{part}"], part, shown)
        for part in ("train", "test")
    )
    source = "MNIST" if digest(train, test) == MNIST_DIGEST else f"the file {name}"
    return Dataset(train, test, source)


def _checked(
    images: np.ndarray, labels: np.ndarray, part: str, shown: str
) -> Digits:
    """Return the two arrays as digits.

    Raises:
        DataError: the array that is wrong, named, with what was expected.
    """
    where = f"{shown}: x_{part}"
    if images.dtype.kind == "f" and np.isnan(images).any():
        raise DataError(
            f"{where} has {np.isnan(images).sum():,} NaN pixels and type {images.dtype}; expected uint8, 0 to 255. "
            "Find out where the NaN come from before converting."
        )
    if images.dtype != np.uint8:
        raise DataError(
            f"{where} is of type {images.dtype}; expected uint8, 0 to 255. Scale to 0–255 and convert."
        )
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or len(images) == 0:
        raise DataError(
            f"{where} has shape {images.shape}; expected (n, {SIDE}, {SIDE}), n at least 1. Reshape it."
        )
    where = f"{shown}: y_{part}"
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{where} is of type {labels.dtype}; expected whole numbers 0 to 9, such as uint8. Convert it."
        )
    if labels.shape != (len(images),):
        raise DataError(
            f"{where} has shape {labels.shape}; expected ({len(images)},), one label an image."
        )
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise DataError(
            f"{where} holds labels from {labels.min()} to {labels.max()}; expected 0 to {CLASSES - 1}. "
            "Number the classes from 0."
        )
    return Digits(images, labels.astype(np.uint8))


def digest(*parts: Digits) -> str:
    """Return the SHA-256 of the digits' shapes and bytes, in hexadecimal: the same for the same arrays, however stored."""
    total = hashlib.sha256()
    for digits in parts:
        for array in (digits.images, digits.labels):
            total.update(repr(array.shape).encode())
            total.update(np.ascontiguousarray(array))
    return total.hexdigest()


def _keras_path() -> Path:
    """Return the path at which Keras keeps its own copy of MNIST."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "datasets" / "mnist.npz"


def _kept_by_keras() -> Dataset | None:
    """Return MNIST from Keras's own copy, or None where there is no whole one."""
    try:
        dataset = read(_keras_path())
    except DataError:
        return None
    return dataset if dataset.source == "MNIST" else None


def _download() -> Dataset | None:
    """Return MNIST from the network and keep it where Keras would, or None; only arrays with MNIST's digest count."""
    try:
        with urllib.request.urlopen(
            MNIST_URL, timeout=DOWNLOAD_SECONDS
        ) as response:
            contents = response.read()
        dataset = _parse(contents, "mnist.npz", "the download")
    except (OSError, http.client.HTTPException, DataError):
        return None
    if dataset.source != "MNIST":
        return None
    try:
        _keras_path().parent.mkdir(parents=True, exist_ok=True)
        files.write(_keras_path(), contents)
    except OSError:
        pass  # A copy that cannot be kept is downloaded again next time.
    return dataset


def stand_in() -> Dataset:
    """Return the stand-in: scikit-learn's 1,797 real 8×8 digits, warped into 60,000 + 10,000 images of 28×28.

    Originals are divided between training and test first, so that no test image is a warp of a training digit. The
    result is the same on every call; it is kept in the user's cache folder after the first.
    """
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "lenet5lib"
    )
    path = cache / f"stand-in-{STAND_IN_VERSION}.npz"
    try:
        kept = read(path)
        return Dataset(kept.train, kept.test, STAND_IN)
    except DataError:
        pass  # Not made yet, or damaged: make it.
    train, test = _make_stand_in()
    buffer = io.BytesIO()
    np.savez(
        buffer,
        x_train=train.images,
        y_train=train.labels,
        x_test=test.images,
        y_test=test.labels,
    )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        files.write(path, buffer.getvalue())
    except OSError:
        pass  # Without a cache it is made again next time.
    return Dataset(train, test, STAND_IN)


def _make_stand_in(
    train: int = 60_000, test: int = 10_000
) -> tuple[Digits, Digits]:
    """Make the stand-in's two sets from scikit-learn's digits."""
    from scipy import ndimage
    from sklearn.datasets import load_digits as load_originals

    originals = load_originals()
    large = ndimage.zoom(originals.images / 16.0, (1, 2.5, 2.5), order=3)
    canvas = np.pad(large.clip(0, 1), ((0, 0), (4, 4), (4, 4))).astype(np.float32)
    train_rows, test_rows = stratified_split(originals.target, 7)
    rng = np.random.default_rng(STAND_IN_VERSION)
    made = []
    for rows, count in ((train_rows, train), (test_rows, test)):
        chosen = rng.permutation(np.resize(rows, count))
        images = np.concatenate(
            [
                _warp(canvas[part], rng)
                for part in np.array_split(chosen, max(1, count // 2000))
            ]
        )
        made.append(Digits(images, originals.target[chosen].astype(np.uint8)))
    return made[0], made[1]


def _warp(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each image (n, 28, 28), 0 to 1, under its own small random affine map, as uint8."""
    n = len(images)
    angle, shear = rng.normal(0, 0.08, n), rng.normal(0, 0.08, n)
    zoom = 1 / rng.uniform(0.9, 1.1, (2, n))
    shift = rng.uniform(-1, 1, (2, n))
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    cosine, sine = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    from_y = (
        zoom[0][:, None, None] * (cosine * y - sine * x)
        + shift[0][:, None, None]
        + (SIDE - 1) / 2
    )
    sheared = x + shear[:, None, None] * y
    from_x = (
        zoom[1][:, None, None] * (sine * y + cosine * sheared)
        + shift[1][:, None, None]
        + (SIDE - 1) / 2
    )
    return np.rint(255 * _sample(images, from_y, from_x)).astype(np.uint8)


def _sample(images: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return each image read at the positions (y, x), all (n, 28, 28), bilinear, zero outside."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    y, x = (np.clip(axis + 1, 0, SIDE + 1 - 1e-6) for axis in (y, x))
    top, left = y.astype(int), x.astype(int)
    below, right = (y - top).astype(np.float32), (x - left).astype(np.float32)
    n = np.arange(len(images))[:, None, None]
    upper = padded[n, top, left] * (1 - right) + padded[n, top, left + 1] * right
    lower = (
        padded[n, top + 1, left] * (1 - right)
        + padded[n, top + 1, left + 1] * right
    )
    return upper * (1 - below) + lower * below


def stratified_split(
    labels: np.ndarray, parts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of a (rest, held out) division: one part in `parts`, every class in proportion, always the same.

    Args:
        labels: (n,), whole numbers.
        parts: 12 holds out a twelfth; n // 12 digits in all.

    Returns:
        Two sorted arrays of positions that together are all n.

    >>> rest, held = stratified_split(np.arange(120) % 10, 12)
    >>> len(rest), len(held), len(set(np.arange(120)[held] % 10))
    (110, 10, 10)
    """
    order = np.random.default_rng(0).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    first = parts // 2
    held = by_class[first::parts][: len(labels) // parts]
    return np.setdiff1d(order, held), np.sort(held)


def split(dataset: Dataset) -> Splits:
    """Hold a twelfth of the training set out for validation, fixed and in proportion to the classes.

    MNIST's 60,000 become 55,000 training and 5,000 validation digits; the 10,000 test digits are left alone.

    Raises:
        DataError: fewer than 12 training digits.
    """
    if len(dataset.train) < 12:
        raise DataError(
            f"{dataset.source} has {len(dataset.train)} training digits; expected 12 or more, since a twelfth is held "
            "out for validation."
        )
    rest, held = stratified_split(dataset.train.labels, 12)
    return Splits(
        dataset.train.take(rest),
        dataset.train.take(held),
        dataset.test,
        dataset.source,
    )


def all_digits(dataset: Dataset) -> Splits:
    """Return all training digits for training, the validation digits among them, for when everything is chosen.

    What is measured on validation then says nothing of other digits: nothing may be chosen by it.

    Raises:
        DataError: fewer than 12 training digits.
    """
    return dataclasses.replace(split(dataset), train=dataset.train, held_out=False)


def divide(
    dataset: Dataset, whole: bool = False, small: Sequence[int] | None = None
) -> Splits:
    """Return training and validation digits as they were asked for.

    Args:
        dataset: the digits.
        whole: `all_digits`, not `split`.
        small: keep only the first N and M of them; None for all.
    """
    splits = all_digits(dataset) if whole else split(dataset)
    return splits.small(*small) if small else splits


def prepare(
    images: np.ndarray,
    input_shape: tuple[int, int, int] = (SIDE, SIDE, 1),
    scale: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Pad with background to the network's input, scale pixels to 0–1 or as the network asks, and add the channel axis.

    Args:
        images: uint8 (n, 28, 28).
        input_shape: (height, width, 1) of the network, at least 28×28.
        scale: the values that background and ink become.

    Returns:
        float32 (n, height, width, 1), 0 to 1, or from one value of the scale to the other.

    Raises:
        ValueError: the images are of another type or shape; the network's input is smaller than they, or has more than one
            map.

    >>> prepare(np.full((2, 28, 28), 255, np.uint8), (32, 32, 1)).shape
    (2, 32, 32, 1)
    """
    low, high = scale
    share = fit(images, input_shape) / np.float32(255)
    return (low + (high - low) * share).astype(np.float32)[..., np.newaxis]


def fit(images: np.ndarray, input_shape: tuple[int, int, int]) -> np.ndarray:
    """Pad uint8 images (n, 28, 28) with background to the network's height and width, evenly on all sides.

    Raises:
        ValueError: the images are of another type or shape; the network's input is smaller than they, or has more than one
            map.
    """
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; expected uint8 (n, height, width), 0 to 255. Convert them."
        )
    height, width = images.shape[1:]
    if input_shape[2] != 1 or input_shape[0] < height or input_shape[1] < width:
        raise ValueError(
            f"the network reads {input_shape}, the images are {height}×{width} with 1 map; expected an input at least "
            "as large, with 1 map. Change the architecture's input_shape."
        )
    rows, columns = input_shape[0] - height, input_shape[1] - width
    sides = (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
    return np.pad(images, ((0, 0), *sides))


def require_inputs(
    values: np.ndarray,
    input_shape: tuple[int, int, int],
    scale: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Check values that were prepared elsewhere: float (n, height, width, maps), within the network's scale.

    Raises:
        ValueError: another type or shape, NaN, or a value outside the scale; the text says which.
    """
    if values.dtype.kind != "f" or values.shape[1:] != tuple(input_shape):
        shape = ", ".join(str(size) for size in input_shape)
        raise ValueError(
            f"inputs are {values.dtype} of shape {values.shape}; expected float (n, {shape}). Prepare images with "
            "lenet5lib.data.prepare."
        )
    low, high = scale
    slack = 1e-5 * (high - low)  # Of 32-bit numbers.
    least, most = (values.min(), values.max()) if values.size else scale
    if not (least >= low - slack and most <= high + slack):
        raise ValueError(
            f"inputs lie between {least:g} and {most:g}; expected {low:g} (background) to {high:g} (ink). Prepare images "
            "with lenet5lib.data.prepare and the network's scale."
        )
