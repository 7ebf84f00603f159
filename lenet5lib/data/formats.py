"""Labelled images: what may stand in them, the conversions that lose nothing, and the errors that say what does not fit.

Every array enters through `Digits`, which checks types, shapes and counts. `require_ink` looks at what the images show; a
`Dataset` and `Splits` ask it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SIDE = 28
"""Height and width of an image, in pixels."""
CLASSES = 10
"""The number of classes of MNIST."""
MIN_PEAK = 32
"""The brightest levels in a set of images are at least this."""
LIGHT = 64
"""A background from this level on is paper, if its levels differ by less than this."""


class DataError(ValueError):
    """Data that cannot be used; the text says what came, what was expected, what to do."""


@dataclass(frozen=True)
class Digits:
    """Labelled images: `images` uint8 (n, height, width), ink 255 on background 0, and `labels` (n,), whole numbers from 0.

    Conversions that lose nothing are made: whole numbers from 0 to 255 of any type to uint8, an axis of size 1 at the end is
    dropped. `class_names`, if they are given, have a name for each class, as Fashion-MNIST's garments and letters have.

    Raises:
        DataError: an array of a different type, shape or range, not a label for each image, or a label without a name.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        images = as_images(self.images, "images")
        labels = as_labels(self.labels, len(images), "labels")
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels)
        if self.class_names is not None:
            names = tuple(str(name) for name in self.class_names)
            object.__setattr__(self, "class_names", names)
            require_classes(labels, len(names), "class_names")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """The number of classes: of their names, or one more than the largest label."""
        return len(self.class_names or range(int(self.labels.max(initial=0)) + 1))

    def select(self, positions: np.ndarray | slice) -> Digits:
        """Return the examples at these positions."""
        chosen = self.images[positions], self.labels[positions]
        return Digits(*chosen, self.class_names)


def checksum(*parts: Digits) -> str:
    """Return the SHA-256 of shapes and bytes, in hexadecimal: the same for the same arrays, however they are stored."""
    total = hashlib.sha256()
    for part in parts:
        for array in (part.images, part.labels):
            total.update(repr(array.shape).encode())
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def as_images(images: np.ndarray, name: str) -> np.ndarray:
    """Return images as uint8 (n, height, width), if that loses nothing; `name` names them in errors.

    Raises:
        DataError: a different shape, or levels that are not whole numbers from 0 to 255; the text has the line to convert.
    """
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim == 3 and images.dtype == np.uint8:
        return images
    low, high = _range(images)
    fits = images.ndim == 3 and images.dtype.kind in "iuf"
    if fits and low >= 0 and high <= 255 and not (images % 1).any():
        return images.astype(np.uint8)
    remedies = {2: f"x.reshape(-1, {SIDE}, {SIDE})", 4: "x.mean(axis=-1).round()"}
    if -np.inf < low < high < np.inf:
        remedies[3] = f"((x - {low:g}) * {255 / (high - low):g}).round()"
    raise DataError(
        f"{name}: {images.dtype} of shape {images.shape}, {low:g} to {high:g}; expected "
        f"uint8 (n, {SIDE}, {SIDE}), 0 to 255. Bring them to that"
        f"{f': {remedies[images.ndim]}' if images.ndim in remedies else ''}."
    )


def as_labels(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    """Return labels as whole numbers (n,), one for each of `count` images; `name` names them in errors.

    Raises:
        DataError: a different shape or number, or labels that are not whole numbers from 0; the text has the line to convert
            them.
    """
    labels = np.asarray(labels)
    if labels.shape in ((count, 1), (1, count)):
        labels = labels.ravel()
    low, high = _range(labels)
    fits = labels.shape == (count,) and labels.dtype.kind in "iuf"
    if fits and low >= 0 and high < np.inf and not (labels % 1).any():
        return labels.astype(np.min_scalar_type(int(high)), copy=False)
    remedy = f"Give {count}, the labels of these images"
    if labels.shape[:1] == (count,) and labels.ndim <= 2:
        lines = "np.unique(labels, return_inverse=True)[1]", "labels.argmax(axis=1)"
        remedy = f"Bring them to that: {lines[labels.ndim - 1]}"
    raise DataError(
        f"{name}: {labels.dtype} of shape {labels.shape}, {low:g} to {high:g}; expected "
        f"whole numbers from 0 of shape ({count},), one per image. {remedy}."
    )


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest of some numbers; 0 and 0 if there are none."""
    if values.dtype.kind not in "biuf" or not values.size:
        return 0.0, 0.0
    return float(values.min()), float(values.max())


def require_classes(labels: np.ndarray, classes: int, name: str) -> None:
    """Raise DataError if a label is beyond a number of classes; `name` is what has them."""
    if len(labels) and labels.max() >= classes:
        raise DataError(
            f"labels from {labels.min()} to {labels.max()}, but {name} has {classes} "
            f"classes; expected 0 to {classes - 1}. Number the classes from 0."
        )


def require_ink(images: np.ndarray, name: str) -> None:
    """Check that images differ, use the levels to 255, and show light ink on a dark background.

    The brightest 25th of the ink of each image, or a tenth of the images, does not count as use of the levels.

    Args:
        images: uint8 (n, height, width).
        name: of the images, for errors.

    Raises:
        DataError: no images, all the same, levels below 32, dark ink, or a light background; the text has the line to
            convert them.
    """
    if not len(images):
        raise DataError(f"{name}: none; expected 1 or more. Add some.")
    first = images[0] if len(images) > 1 else images[0, 0, 0]
    sample = images[:: len(images) // 1000 + 1].astype(np.int16)
    # A few images, or pixels, may have other levels than the rest.
    ranked = np.sort(sample.reshape(len(sample), -1))
    passed = np.count_nonzero(ranked, axis=1) // 25
    peak = int(np.quantile(ranked[np.arange(len(ranked)), -1 - passed], 0.9))
    background, frame, light = _background(sample)
    darker, lighter = (
        background - sample.clip(max=background),
        sample.clip(background),
    )
    found = None
    if all((image == first).all() for image in images):
        found = f"all the same, of largest level {peak}", "Check what made them"
    elif peak < MIN_PEAK:
        found = (
            f"nearly all levels are at most {peak} of 255",
            f"Convert: x.clip(max={peak}) * {255 // max(peak, 1)}",
        )
    elif darker.sum() > 3 * (lighter - background).sum():
        around = f" in a frame {frame} wide (set it to {background} first)"
        found = (
            f"dark ink on background {background}{around if frame else ''}",
            f"Convert: {background} - x.clip(max={background})",
        )
    elif light:
        found = (
            f"light ink on background {background}",
            f"Convert: x.clip({background}) - {background}",
        )
    if found is not None:
        raise DataError(
            f"{name}: {found[0]}; expected different images of light ink, 255, on "
            f"background 0. {found[1]}."
        )


def _background(images: np.ndarray) -> tuple[int, int, bool]:
    """Return the background's level, the width of a frame around it, and whether it is paper, light and even.

    Garments may fill an image, but not all around and with one level.
    """
    levels = []
    for inset in range(min(images.shape[1:]) // 10 + 1):
        rows, columns = (slice(inset, side - inset) for side in images.shape[1:])
        inner = images[:, rows, columns]
        border = np.append(inner[:, [0, -1]], inner[:, :, [0, -1]])
        low, middle, high = np.quantile(border, [0.1, 0.5, 0.9])
        levels.append(int(middle))
        if low >= LIGHT and high - low < LIGHT:
            return levels[-1], inset, True
    return levels[0], 0, False
