"""Bringing an ordinary picture of one digit to MNIST's format, so that the network sees what it was trained on.

MNIST's digits are light on dark, their ink fits a box of 20×20 pixels with the aspect ratio kept, and the box is placed so
that the ink's centre of mass falls on the centre of a 28×28 image. A demonstration that skips these steps fails on its
visitors' digits.

Before that the digit must be found. A photograph also shows shadows, lines, specks and the table, so `read` compares every
pixel with the paper near it, and keeps the piece of ink that can be a digit. What it doubts, it says.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from lenet5lib.data.formats import SIDE

BOX = 20
"""Height and width, in pixels, of the box that holds the ink."""
CENTRE = 14.0
"""Row and column on which MNIST's centres of mass lie, counting pixels from 0: measured, 14.0 with a spread of 0.3."""
FAINT = 0.12
"""Ink below this fraction of the darkest counts as background when the digit's box is found."""
LEAST_CONTRAST = 20
"""The least difference between ink and background, in grey levels of 255."""
MOST_PIXELS = 100_000_000
"""The most pixels of a picture that is read."""
# fmt: off
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm",
    ".heic", ".heif",
)
# fmt: on
"""The endings by which a folder's pictures are known; HEIC is among them so that it is refused rather than passed over."""
WORKING = 400
"""The longer side, in pixels, to which a picture is brought before the digit is looked for."""
WIDEST = 0.35
"""The widest stroke, as a share of the picture's shorter side: what is wider is paper in shadow, or a table."""
HALF = 0.45
"""Contrast above this fraction of the digit's darkness is ink when pieces are separated."""
SMALLEST = 0.06
"""The smallest digit, as a share of the picture's shorter side: what is smaller is a speck."""


# fmt: off
_NO_IMAGES = {
    b"ftyphe": "it is in HEIC, the format of telephones. Convert it to JPEG.",
    b"ftypmi": "it is in HEIC, the format of telephones. Convert it to JPEG.",
    b"%PDF": "it is a PDF document. Save the page as PNG.",
    b"<svg": "it is an SVG drawing. Export it as PNG.",
}
# fmt: on
"""Bytes with which other files than images begin, and what to do with these."""

Box = tuple[slice, slice]
"""Rows and columns."""


class ImageError(ValueError):
    """An image that cannot be used; the text says what came, what was expected, what to do."""


class Picture(NamedTuple):
    """A digit in MNIST's format, uint8 (28, 28), and what makes its reading doubtful, each a short phrase."""

    image: np.ndarray
    warnings: tuple[str, ...]


def read_digit(source: str | Path | bytes | Image.Image) -> np.ndarray:
    """Read a picture of one digit and return it in MNIST's format, uint8 (28, 28); `read` says, too, what is doubtful."""
    return read(source).image


def read(source: str | Path | bytes | Image.Image) -> Picture:
    """Read a picture of one digit, find the digit and bring it to MNIST's format.

    Args:
        source: a file, its bytes, or an image of Pillow's: PNG, JPEG or any other format that Pillow reads, of any size up
            to `MOST_PIXELS` and any mode; dark on light or light on dark.

    Raises:
        ImageError: no such file, not an image, cut short, too large, or no digit found on it.
    """
    name = str(source) if isinstance(source, (str, Path)) else "the picture"
    data = b""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of sizes and damaged notes.
            if isinstance(source, bytes):
                data = source
            elif not isinstance(source, Image.Image):
                data = Path(source).read_bytes()
            if not isinstance(source, Image.Image):
                source = Image.open(io.BytesIO(data))
            if source.width * source.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            if source.width * source.height == 0:
                raise ImageError("it has no pixels. Name a picture of a digit.")
            grey = _grey(ImageOps.exif_transpose(source))
    except FileNotFoundError:
        raise ImageError(f"there is no image {name}. Check the name.") from None
    except Exception as error:
        # A damaged file makes Pillow raise a dozen kinds.
        reason = _reason(error, data[:1000].lstrip())
        raise ImageError(f"cannot read {name} as an image: {reason}") from None
    try:
        return _find(grey)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None


def _reason(error: Exception, start: bytes) -> str:
    """Return why a file that starts with these bytes is no image, and what to do."""
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MOST_PIXELS:,} pixels. Make it smaller."
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        return f"{error.strerror}. Name a file that holds one image."
    for beginning, text in _NO_IMAGES.items():
        if beginning in start:
            return text
    what = "no known format" if isinstance(error, UnidentifiedImageError) else error
    return f"{what}. Expected a PNG or JPEG file; save or copy it again."


def _grey(image: Image.Image) -> np.ndarray:
    """Return an image's grey levels, 0 to 255, float32 (height, width); what is transparent lies on white or black paper."""
    if image.mode.startswith(("I", "F")):
        return _to_255(np.asarray(image, np.float64))
    if not ({"A", "a"} & set(image.getbands()) or "transparency" in image.info):
        return np.asarray(image.convert("RGB").convert("L"), np.float32)
    ink = image.convert("RGBA")
    sheets = [Image.new("RGBA", ink.size, colour) for colour in ("white", "black")]
    seen = [Image.alpha_composite(sheet, ink).convert("L") for sheet in sheets]
    on_white, on_black = (np.asarray(one, np.float32) for one in seen)
    return on_white if np.ptp(on_white) >= LEAST_CONTRAST else on_black


def _to_255(levels: np.ndarray) -> np.ndarray:
    """Bring levels of 9 to 32 bits, or fractions, to 0–255: full scale is 1 or the least power of two above them."""
    if not np.isfinite(levels).all():
        raise ImageError(
            "some levels are NaN or infinite. Save it with finite ones."
        )
    least, most = levels.min(), levels.max()
    full = 1.0 if most <= 1 else 2.0 ** np.ceil(np.log2(most + 1)) - 1
    if least < 0:
        levels, full = levels - least, max(most - least, 1e-9)
    return (levels * (255 / full)).astype(np.float32)


def to_mnist_format(grey: np.ndarray) -> np.ndarray:
    """Bring one digit to MNIST's format: light on dark, 20×20 box, centre of mass in the middle of 28×28.

    This is for a digit on clean paper, as a scan or a drawing page gives it; `read` also finds one on a photograph.

    Args:
        grey: (height, width), any range of levels; the border's median counts as the background.

    Returns:
        uint8 (28, 28), ink up to 255 on background 0.

    Raises:
        ImageError: ink and background differ too little.
    """
    return _centred(_cut(_plain_ink(grey)))


def _plain_ink(grey: np.ndarray) -> np.ndarray:
    """Return how far each level lies from the border's median, 0 to 1, what is faint set to 0."""
    ink = np.abs(grey - np.median(_border(grey)))
    if ink.max() < LEAST_CONTRAST:
        raise ImageError(
            "found no digit: the levels differ from the background by at most "
            f"{ink.max():.0f} of 255, expected {LEAST_CONTRAST} or more. Draw it with "
            "more contrast."
        )
    ink = ink / ink.max()
    ink[ink < FAINT] = 0
    return ink


def _border(pixels: np.ndarray) -> np.ndarray:
    """Return the pixels of the four sides."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _box(ink: np.ndarray) -> Box:
    """Return the rows and the columns of the box around all ink."""
    return ndimage.find_objects((ink > 0).view(np.int8))[0]


def _cut(ink: np.ndarray) -> np.ndarray:
    """Return the part of an array that lies in the box around all ink."""
    return ink[_box(ink)]


def _find(grey: np.ndarray) -> Picture:
    """Find the digit on grey levels (height, width), 0 to 255, and bring it to MNIST's format.

    On clean paper the plain way says where ink is. Elsewhere dark and light ink are looked for with several thresholds. The
    best piece of all shows how dark the digit is. Where the plain way finds the same box, its result stands.
    """
    plain = _box(_plain_ink(grey))
    scale = min(4, WORKING / max(grey.shape))
    size = [max(1, round(side * scale)) for side in reversed(grey.shape)]
    small = Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR)
    levels = ndimage.gaussian_filter(np.asarray(small), 1)
    ink = _plain_ink(levels)
    # No shadow, no uneven light: faint ink lies only where dark ink does.
    even = _apart(_box(ink), _box(ink > 0.5)) <= 2 + 0.12 * max(_cut(ink).shape)
    if even and _fills(ink):
        return Picture(to_mnist_format(grey), ("ink touches the edge",))
    clean = even and not _touches(_box(ink), ink.shape) and not _is_sheet(ink > 0.5)
    best = (
        _best(_Page(255 * (1 - ink), np.full_like(ink, 255), ink))
        if clean
        else None
    )
    best = best or _best(_page(levels), _page(255 - levels))
    if best is None:
        raise ImageError(
            "found no digit: nothing has the size, contrast and edges of strokes. "
            "Draw it larger or darker, or cut the picture to the digit."
        )
    page, piece = best
    mask, doubts = _digit(page, piece)
    reach = max(2, max(_cut(mask).shape) // 20)
    near = ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=reach)
    ink = near * np.clip((page.contrast / piece.dark - 0.2) / 0.7, 0, 1)
    ink[ink < FAINT] = 0
    if _apart(_box(ink), plain, scale) <= 1.5 * scale + 4:
        return Picture(to_mnist_format(grey), doubts)
    return Picture(_centred(_cut(ink)), doubts)


def _apart(box: Box, other: Box, scale: float = 1) -> float:
    """Return by how much a side of a box differs at most from that of another, which is brought to scale."""
    ends = [(one.start, one.stop) for one in box]
    return np.abs(
        np.subtract(ends, [(scale * s.start, scale * s.stop) for s in other])
    ).max()


def _fills(ink: np.ndarray) -> bool:
    """Return whether a picture is cut close to the digit: ink in one piece reaches all sides, on few of their pixels."""
    single = ndimage.label(ink > 0.5, np.ones((3, 3)))[1] == 1
    near = _apart(_box(ink), _box(np.ones_like(ink))) <= 0.06 * max(ink.shape)
    few = np.mean(ink > 0.5) < 0.7 and 0 < np.mean(_border(ink) > 0) < 0.5
    return single and near and bool(few)


def _is_sheet(ink: np.ndarray) -> bool:
    """Return whether ink lies all along its box, as a sheet of paper on a table does."""
    cut = _cut(ink)
    inset = min(max(cut.shape) // 16, (min(cut.shape) - 1) // 2)
    rows, columns = (slice(inset, side - inset) for side in cut.shape)
    broad = min(cut.shape) > 0.5 * max(cut.shape)  # Not a 1.
    return bool(broad and _border(cut[rows, columns]).mean() > 0.8)


def _touches(box: Box, shape: tuple[int, ...]) -> bool:
    """Return whether a box comes to the picture's edge."""
    ends = zip(box, shape, strict=True)
    return any(s.start <= 1 or s.stop >= side - 1 for s, side in ends)


class _Piece(NamedTuple):
    """A connected piece of ink: its box, its pixels in the box, how dark it is, how much it looks like a digit."""

    box: Box
    mask: np.ndarray
    dark: float
    score: float


class _Page:
    """A picture at working size with dark ink: its levels, the paper's, and the ink's contrast, all (height, width)."""

    def __init__(self, levels: np.ndarray, paper: np.ndarray, contrast: np.ndarray):
        self.levels, self.paper, self.contrast = levels, paper, contrast
        most, least = (
            ndimage.maximum_filter(levels, 7),
            ndimage.minimum_filter(levels, 7),
        )
        self.steps = (most - least) / np.maximum(most, 40)

    def pieces(self, threshold: float, least: float) -> list[_Piece]:
        """Return the connected pieces of more contrast than a threshold, from a size on, the highest score first."""
        labels, _ = ndimage.label(self.contrast > threshold, np.ones((3, 3)))
        found = []
        for number, box in enumerate(ndimage.find_objects(labels), 1):
            mask = labels[box] == number
            if (size := max(mask.shape)) >= least:
                dark = float(np.quantile(self.contrast[box][mask], 0.9))
                score = size * dark * self.trust(box, mask, dark) ** 3
                found.append(_Piece(box, mask, dark, score))
        return sorted(found, key=lambda one: (-one.score, -max(one.mask.shape)))

    def trust(self, box: Box, mask: np.ndarray, dark: float) -> float:
        """Return how surely a piece is ink, 0 to 1.

        Ink has an edge all along its outline, which a shadow has not. It is the lesser part of what lies around, which
        the gap between two things is not. And it neither goes round all the picture, as a frame does, nor leaves it.
        """
        outline = mask ^ ndimage.binary_erosion(mask)
        edged = float(np.mean(self.steps[box][outline] > 0.4 * dark))
        reach, shape = max(mask.shape) // 2, self.levels.shape
        around = tuple(slice(max(s.start - reach, 0), s.stop + reach) for s in box)
        level, paper = (
            np.median(of[box][mask]) for of in (self.levels, self.paper)
        )
        rare = float(np.mean(self.levels[around] > level + 0.25 * (paper - level)))
        frame = min(np.divide(mask.shape, shape)) > 0.84 and mask.mean() < 0.12
        if edged < 0.7 or rare < 0.3 or frame or _is_sheet(mask):
            return 0
        return edged * rare * (0.5 if _touches(box, shape) else 1)


def _page(levels: np.ndarray) -> _Page:
    """Compare each pixel of a picture with dark ink with the paper near it.

    The paper's level is the picture's closing with a square wider than any stroke: what is dark and narrower than the square
    takes the level around it. So strokes vanish, while shadows and tables, wider or at the picture's edge, stay.
    """
    width = int(WIDEST * min(levels.shape)) | 1
    padded = ndimage.grey_closing(
        np.pad(levels, width, mode="edge"), (width, width)
    )
    paper = padded[width:-width, width:-width]
    contrast = (paper - levels) / np.maximum(paper, 40)
    contrast -= np.median(contrast)  # Noise lifts the closing.
    return _Page(levels, paper, _without_lines(contrast))


def _without_lines(contrast: np.ndarray) -> np.ndarray:
    """Remove thin lines that run along five sixths of a row or column, except where darker ink crosses them."""
    line = np.zeros_like(contrast)
    for axis, side in enumerate(contrast.shape):
        near = ndimage.maximum_filter1d(contrast, 3, axis=axis)
        level = np.quantile(near, 1 / 6, axis=1 - axis, keepdims=True)
        thick = ndimage.grey_opening(level, np.roll((max(3, side // 20), 1), axis))
        line = np.maximum(line, level - thick)
    return np.where((line > 0.04) & (contrast < 1.3 * line), 0, contrast)


def _best(*pages: _Page) -> tuple[_Page, _Piece] | None:
    """Return the piece most like a digit, and its page, whatever the threshold above noise; None where there is none."""
    found = []
    for page in pages:
        # Most of a page is paper: five standard deviations of its noise.
        noise = 7.4 * float(np.median(np.abs(page.contrast)))
        for threshold in np.geomspace(np.clip(noise, 0.08, 0.5), 0.6, 5):
            pieces = page.pieces(threshold, SMALLEST * min(page.levels.shape))
            found += [(page, piece) for piece in pieces[:1] if piece.score]
    return max(found, key=lambda one: one[1].score, default=None)


def _digit(page: _Page, best: _Piece) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the pixels of the digit whose darkness the best piece shows, and what is doubtful about it.

    Pieces near the first belong to it, as the top bar of a 5; one as high and beside it is another digit.
    One as high whose box overlaps the first's may be either: a stroke of a 4, or a digit written closely.
    """
    pieces = page.pieces(HALF * best.dark, 2)
    mask, others, alike = np.zeros(page.levels.shape, bool), 0, False
    mask[pieces[0].box] = pieces[0].mask
    height, size = len(pieces[0].mask), max(pieces[0].mask.shape)
    for piece in sorted(pieces[1:], key=lambda one: -max(one.mask.shape)):
        sides = zip(piece.box, _box(mask), strict=True)
        down, across = (max(a.start - b.stop, b.start - a.stop) for a, b in sides)
        share = max(piece.mask.shape) / size
        twin = across >= 0 and len(piece.mask) > 0.6 * height
        near = share < 1.2 and max(down, across) <= 0.15 * size * (share > 0.12)
        if near and not twin and not _touches(piece.box, mask.shape):
            mask[piece.box] |= piece.mask
            alike |= min(height, len(piece.mask)) > 0.6 * len(_cut(mask))
        elif share >= 0.4 and piece.score and not _touches(piece.box, mask.shape):
            others += 1
    digit = np.pad(_cut(mask), 1)
    if 2 * ndimage.distance_transform_edt(digit).max() > 0.6 * max(digit.shape):
        raise ImageError("found only a dot of ink. Draw a digit of strokes.")
    areas = np.bincount(ndimage.label(~digit)[0].ravel())[2:]
    crossed = max(_crossings(digit), _crossings(digit.T))
    doubts = {
        f"{1 + others} pieces of ink": others > 0,
        "2 pieces of ink of similar size, taken together": alike,
        "ink touches the edge": _leaves(page, mask),
        "more strokes than a digit has": crossed > 4 or np.sum(areas > 8) > 3,
    }
    return mask, tuple(text for text, holds in doubts.items() if holds)


def _leaves(page: _Page, mask: np.ndarray) -> bool:
    """Return whether the digit, or ink close to it, reaches the edge: a stroke along the edge is taken for a table."""
    reach = 2 + max(_cut(mask).shape) // 12
    near = tuple(slice(max(s.start - reach, 0), s.stop + reach) for s in _box(mask))
    middle = (np.median(page.levels[mask]) + np.median(page.paper[mask])) / 2
    ink = mask | (page.levels < middle)
    ink[2:-2, 2:-2] = False
    return bool(ink[near].any())


def _crossings(mask: np.ndarray) -> float:
    """Return how many strokes a row crosses: at most so many in all rows but the fullest seventh."""
    starts = np.diff(mask.astype(np.int8), axis=1) > 0
    return float(np.quantile(starts.sum(axis=1), 0.85))


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
