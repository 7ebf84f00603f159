"""Bringing an ordinary image of one digit to MNIST's format, so that the network sees what it was trained on.

MNIST's digits are light on dark, their ink fits a box of 20×20 pixels with the aspect ratio kept, and the box is placed so
that the ink's centre of mass falls on the centre of a 28×28 image. A demonstration that skips these steps fails on its
visitors' digits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lenet5lib.data.formats import SIDE

BOX = 20
"""Height and width, in pixels, of the box that holds the ink."""
CENTRE = 14.0
"""Row and column on which MNIST's centres of mass lie, counting pixels from 0: measured, 14.0 with a spread of 0.3."""
FAINT = 0.12
"""Ink below this fraction of the darkest counts as background when the digit's box is found."""
LEAST_CONTRAST = 20
"""The least difference between ink and background, in grey levels of 255."""


class ImageError(ValueError):
    """An image that cannot be used; the text says what came, what was expected, what to do."""


def read_digit(path: str | Path) -> np.ndarray:
    """Read an image file of one digit and return it in MNIST's format, uint8 (28, 28).

    Args:
        path: PNG, JPEG or any other format that Pillow reads; any size; dark on light or light on dark.

    Raises:
        ImageError: no such file, not an image, cut short, or nothing drawn on it.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGBA")
            paper = Image.new("RGBA", upright.size, "white")
            grey = np.asarray(
                Image.alpha_composite(paper, upright).convert("L"), dtype=np.float32
            )
    except FileNotFoundError:
        raise ImageError(f"there is no image {path}. Check the name.") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:
        raise ImageError(
            f"cannot read {path} as an image: {error}. Expected a PNG or JPEG file; "
            "save or copy it again."
        ) from None
    try:
        return to_mnist_format(grey)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def to_mnist_format(grey: np.ndarray) -> np.ndarray:
    """Bring one digit to MNIST's format: light on dark, 20×20 box, centre of mass in the middle of 28×28.

    Args:
        grey: (height, width), any range of levels; the border's median counts as the background.

    Returns:
        uint8 (28, 28), ink up to 255 on background 0.

    Raises:
        ImageError: ink and background differ too little.
    """
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = np.abs(grey - np.median(border))
    if ink.max() < LEAST_CONTRAST:
        raise ImageError(
            "found no digit: the levels differ from the background by at most "
            f"{ink.max():.0f} of 255, expected {LEAST_CONTRAST} or more. Draw it with "
            "more contrast."
        )
    ink = ink / ink.max()
    ink[ink < FAINT] = 0
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return _centred(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _centred(ink: np.ndarray) -> np.ndarray:
    """Fit ink (height, width), 0 to 1, into a 20×20 box and place its centre of mass in the middle of 28×28, as uint8."""
    factor = BOX / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    box = Image.fromarray(ink.astype(np.float32))
    small = np.asarray(box.resize((width, height), Image.Resampling.BILINEAR))
    small = small / max(float(small.max()), 1e-6)
    top = _corner(small.sum(axis=1, dtype=np.float64))
    left = _corner(small.sum(axis=0, dtype=np.float64))
    image = np.zeros((SIDE, SIDE), np.float32)
    image[top : top + height, left : left + width] = small
    return np.rint(255 * image).astype(np.uint8)


def _corner(ink: np.ndarray) -> int:
    """Return the row or column at which the box begins, so that its centre of mass falls on the image's centre.

    A tie, as of a symmetric digit, is settled before rounding and to the even side, so that the order in which the ink is
    added up, here or in a browser, does not decide it.
    """
    mass = (ink @ np.arange(len(ink))) / ink.sum()
    return int(np.clip(np.rint(np.round(CENTRE - mass, 6)), 0, SIDE - len(ink)))
