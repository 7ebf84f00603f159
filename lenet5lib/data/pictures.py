"""Bringing an ordinary image of one digit to MNIST's form, so that the network sees what it was trained on.

MNIST's digits are light on dark, their ink fits a box of 20×20 pixels with the aspect ratio kept, and the box stands so
that the ink's centre of mass falls on the centre of a 28×28 field. A demonstration that skips these steps fails on its
visitors' digits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SIDE, BOX = 28, 20
CENTRE = 14.0
"""Row and column on which MNIST's centres of mass lie, counting pixels from 0: measured, 14.0 with a spread of 0.3."""
FAINT = 0.12
"""Ink below this share of the darkest counts as background when the digit's box is found."""
LEAST_CONTRAST = 20
"""Grey levels, of 255, that must lie between ink and background."""


class ImageError(ValueError):
    """An image that cannot be used; the text says what came, what was expected, what to do."""


def read_digit(path: str | Path) -> np.ndarray:
    """Read an image file of one digit and return it in MNIST's form, uint8 (28, 28).

    Args:
        path: PNG, JPEG or whatever else Pillow reads; any size; dark on light or light on dark.

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
            f"cannot read {path} as an image: {error}. Expected a PNG or JPEG file; save or copy it again."
        ) from None
    try:
        return to_mnist_form(grey)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def to_mnist_form(grey: np.ndarray) -> np.ndarray:
    """Bring one digit to MNIST's form: light on dark, 20×20 box, centre of mass in the middle of 28×28.

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
            f"found no digit: the levels differ from the background by at most {ink.max():.0f} of 255, expected "
            f"{LEAST_CONTRAST} or more. Draw it with more contrast."
        )
    ink = ink / ink.max()
    ink[ink < FAINT] = 0
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return centred(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def centred(ink: np.ndarray) -> np.ndarray:
    """Fit ink (height, width), 0 to 1, into a 20×20 box and place its centre of mass in the middle of 28×28, as uint8."""
    scale = BOX / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    box = Image.fromarray(ink.astype(np.float32)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    small = np.asarray(box) / max(float(np.asarray(box).max()), 1e-6)
    field = np.zeros((SIDE, SIDE), np.float32)
    top, left = (
        _corner(small.sum(axis=1 - axis, dtype=np.float64)) for axis in (0, 1)
    )
    field[top : top + height, left : left + width] = small
    return np.rint(255 * field).astype(np.uint8)


def _corner(ink: np.ndarray) -> int:
    """Return where a box begins whose centre of mass shall fall on the centre: the start along one side.

    A tie, as of a symmetric digit, is settled before rounding and to the even side, so that the order in which the ink was
    added up, here or in a browser, does not decide it.
    """
    mass = (ink @ np.arange(len(ink))) / ink.sum()
    return int(np.clip(np.rint(np.round(CENTRE - mass, 6)), 0, SIDE - len(ink)))
