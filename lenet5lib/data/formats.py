"""Files of images and labels: what may stand in them, and the errors that say what does not.

`read_npz` reads the format in which Keras distributes MNIST: one `.npz` file with the arrays x_train, y_train, x_test
and y_test.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
SIDE = 28
"""Height and width of an image, in pixels."""
CLASSES = 10


class DataError(ValueError):
    """A data file that cannot be used; the text says what came, what was expected, what to do."""


@dataclass(frozen=True)
class Digits:
    """Labelled images: `images` uint8 (n, 28, 28), ink 255 on background 0, and `labels` uint8 (n,), 0 to 9."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, positions: np.ndarray | slice) -> Digits:
        """Return the examples at these positions."""
        return Digits(self.images[positions], self.labels[positions])


def checksum(*parts: Digits) -> str:
    """Return the SHA-256 of shapes and bytes, in hexadecimal: the same for the same arrays, however they are stored."""
    total = hashlib.sha256()
    for part in parts:
        for array in (part.images, part.labels):
            total.update(repr(array.shape).encode())
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def read_npz(path: Path) -> tuple[Digits, Digits]:
    """Read training and test examples from an `.npz` file of Keras's four arrays.

    Raises:
        DataError: no such file, not a complete `.npz` file, an array missing, or an array of a different type, shape or
            range.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read the data file {path}: {error.strerror}. Name an existing "
            ".npz file."
        ) from None
    return parse_npz(contents, str(path))


def parse_npz(contents: bytes, name: str) -> tuple[Digits, Digits]:
    """Check the bytes of an `.npz` file and return its training and test examples; `name` names the file in errors."""
    try:
        archive = np.load(io.BytesIO(contents), allow_pickle=False)
        present = getattr(archive, "files", ["one bare array"])
        arrays = {key: archive[key] for key in ARRAYS if key in present}
        for key, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise ValueError(f"{key} is not an array")
    except Exception as error:
        # A damaged archive makes zipfile, zlib, tokenize and NumPy raise a dozen kinds.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{name} is not a complete .npz file ({len(contents):,} bytes read): "
            f"{reason}. It may be cut short or hold pickled objects, which are not "
            "loaded; copy or save it again."
        ) from None
    if missing := [key for key in ARRAYS if key not in arrays]:
        raise DataError(
            f"{name} has no array {', '.join(missing)}; it has "
            f"{', '.join(present) or 'none'}. Save it with numpy.savez and the names "
            f"{', '.join(ARRAYS)}."
        )
    x_train, y_train, x_test, y_test = arrays.values()
    _check_images(x_train, f"{name}: x_train")
    _check_images(x_test, f"{name}: x_test")
    _check_labels(y_train, len(x_train), f"{name}: y_train")
    _check_labels(y_test, len(x_test), f"{name}: y_test")
    return (
        Digits(x_train, y_train.astype(np.uint8)),
        Digits(x_test, y_test.astype(np.uint8)),
    )


def _check_images(images: np.ndarray, name: str) -> None:
    """Raise DataError unless an array is uint8 (n, 28, 28), n at least 1."""
    fits = images.shape[1:] == (SIDE, SIDE) and len(images) > 0
    if images.dtype != np.uint8 or not fits:
        nan = np.count_nonzero(images != images)  # NaN alone differs from itself.
        raise DataError(
            f"{name} is {images.dtype} of shape {images.shape}"
            f"{f' with {nan:,} NaN pixels' if nan else ''}; expected uint8 "
            f"(n, {SIDE}, {SIDE}), n at least 1, levels 0 to 255. Bring it to that."
        )


def _check_labels(labels: np.ndarray, count: int, name: str) -> None:
    """Raise DataError unless an array holds `count` whole numbers from 0 to 9."""
    fits = labels.dtype.kind in "iu" and labels.shape == (count,)
    if not fits or labels.min() < 0 or labels.max() >= CLASSES:
        found = f" from {labels.min()} to {labels.max()}" if fits else ""
        raise DataError(
            f"{name} is {labels.dtype} of shape {labels.shape}{found}; expected "
            f"whole numbers from 0 to {CLASSES - 1} of shape ({count},), one per "
            "image. Convert them, or number the classes from 0."
        )
