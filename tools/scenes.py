"""Draw photographs of handwritten digits under many conditions, read them, and print how often that goes right.

The digits are MNIST's test digits that the recorded default network reads rightly, enlarged with a pen's sharp edges and
put on a page of 480×360 pixels: under uneven light, shadow, a table's edge, lines, noise and so on, at four heights. Every
picture goes through `pictures.read` and that network. One counts as wrong in silence where the answer is wrong and
nothing was refused or warned of. Everything is drawn from the seed:

    LENET5_MNIST=mnist.npz python tools/scenes.py [--first 1000] [--digits 50] [--seed 0] [--extra] [--save DIR]
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from lenet5lib import data, evaluation, records
from lenet5lib.data import pictures
from lenet5lib.training import checkpoint

HEIGHT, WIDTH = 360, 480
SHARES = (0.15, 0.3, 0.5, 0.8)
"""Heights of the digit, as shares of the picture's height."""
INK = 0.17
"""How much of the light a pen's ink gives back, of what paper does."""

Rng = np.random.Generator
Step = Callable[[Rng, np.ndarray], np.ndarray]


class Answer(NamedTuple):
    """What became of one picture: refused where `answer` is None."""

    scene: str
    share: float
    label: int | None
    answer: int | None
    surety: float
    remark: str
    picture: np.ndarray
    seen: np.ndarray

    @property
    def right(self) -> bool:
        """Whether the answer is the digit that was drawn."""
        return self.answer is not None and self.answer == self.label

    @property
    def silent(self) -> bool:
        """Whether the answer is wrong and nothing was said."""
        return not self.right and not self.remark


# Digits in ink.


def smoothstep(levels: np.ndarray, middle: float, width: float) -> np.ndarray:
    """Make a blurred edge sharp again: 0 below, 1 above, a ramp of `width` around `middle`."""
    return np.clip((levels - middle) / width + 0.5, 0, 1)


def strokes(digit: np.ndarray, height: int, pen: str, angle: float) -> np.ndarray:
    """Enlarge a digit to strokes of `height` pixels with sharp edges, 0 to 1."""
    rows, columns = (
        np.flatnonzero((digit > 96).any(axis=1)),
        np.flatnonzero((digit > 96).any(axis=0)),
    )
    cut = np.pad(
        digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        / np.float32(255),
        3,
    )
    scale = height / (rows[-1] - rows[0] + 1)
    size = (round(cut.shape[1] * scale), round(cut.shape[0] * scale))
    image = Image.fromarray(cut).resize(size, Image.Resampling.BICUBIC)
    if angle:
        image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    middle = {"thin": 0.65, "pencil": 0.6}.get(pen, 0.45)
    levels = ndimage.gaussian_filter(np.asarray(image), 0.25 * scale)
    ink = smoothstep(levels, middle, 1.5 / scale)
    if pen == "thick":
        ink = ndimage.gaussian_filter(
            ndimage.grey_dilation(ink, footprint=disc(0.5 * scale)), 0.6
        )
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def disc(radius: float) -> np.ndarray:
    """Return a disc as a mask, at least one pixel."""
    reach = int(radius)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.hypot(rows, columns) <= max(radius, 0.5)


def on_page(rng: Rng, ink: np.ndarray) -> np.ndarray:
    """Put ink somewhere on an empty page, a tenth of the height from its edges where it can."""
    page = np.zeros((HEIGHT, WIDTH), np.float32)
    ink = ink[: HEIGHT - 4, : WIDTH - 4]
    corner = []
    for side, length in zip(page.shape, ink.shape, strict=True):
        room = side - length
        margin = min(HEIGHT // 10, room // 2)
        corner.append(int(rng.integers(margin, room - margin + 1)))
    top, left = corner
    page[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return page


def digit_on_page(
    rng: Rng, digit: np.ndarray, share: float, pen: str = "", angle: float = 0
) -> np.ndarray:
    """Return how much ink of one digit lies on each pixel of the page, 0 to 1."""
    ink = strokes(digit, round(share * HEIGHT), pen, angle * rng.choice([-1, 1]))
    if pen == "pencil":
        grain = ndimage.gaussian_filter(rng.normal(size=ink.shape), 0.8)
        ink = ink * np.clip(0.6 + 0.5 * grain, 0.15, 0.85)
    return on_page(rng, ink)


# Light, paper and what stands on it: each takes levels of the empty page and returns others.


def along(rng: Rng, sides: bool = False) -> np.ndarray:
    """Return 0 to 1 across the page in a drawn direction, or from one of its four sides."""
    turn = np.pi / 2 * rng.integers(4) if sides else rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    way = rows * np.sin(turn) + columns * np.cos(turn)
    return (way - way.min()) / np.ptp(way)


def corner_distance(rng: Rng) -> np.ndarray:
    """Return each pixel's distance from a drawn corner, 1 for the page's diagonal."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    top, left = rng.integers(2, size=2)
    return np.hypot(rows - top * HEIGHT, columns - left * WIDTH) / np.hypot(
        HEIGHT, WIDTH
    )


def even(level: float) -> Step:
    return lambda rng, page: np.full_like(page, level)


def fall(bright: float, dark: float) -> Step:
    return lambda rng, page: bright + (dark - bright) * along(rng)


def shadow(bright: float, dark: float, where: str, softness: float) -> Step:
    """A shadow from a corner or over a side; `softness` is its edge's width, of the page's."""

    def step(rng: Rng, page: np.ndarray) -> np.ndarray:
        way = corner_distance(rng) if where == "corner" else along(rng)
        share = smoothstep(way, rng.uniform(0.25, 0.6), softness)
        return dark + (bright - dark) * share * share * (3 - 2 * share)

    return step


def blob_shadow(rng: Rng, page: np.ndarray) -> np.ndarray:
    """The round shadow of a hand or a telephone, somewhere on the page."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    y, x = rng.uniform(0.2, 0.8, 2)
    way = np.hypot((rows - y * HEIGHT) * rng.uniform(0.7, 1.4), columns - x * WIDTH)
    return 225 - 70 * (1 - smoothstep(way, rng.uniform(60, 140), 40))


def blinds(rng: Rng, page: np.ndarray) -> np.ndarray:
    """The shadows of a blind: soft bands across the page."""
    return 190 + 30 * np.clip(2 * np.sin(along(rng) * rng.uniform(20, 45)), -1, 1)


def strip(level: float, smallest: float = 0.04, largest: float = 0.09) -> Step:
    """Something else than paper at one of the four sides: a table."""

    def step(rng: Rng, page: np.ndarray) -> np.ndarray:
        # Of the height, whichever side: never as far as the digit's margin.
        width = rng.uniform(smallest, largest) * HEIGHT
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
        way = [rows, HEIGHT - rows, columns, WIDTH - columns][rng.integers(4)]
        return np.where(way < width, level, page)

    return step


def all_round(rng: Rng, page: np.ndarray) -> np.ndarray:
    """A sheet that lies a little turned on a dark table."""
    sheet = Image.new("L", (4 * WIDTH, 4 * HEIGHT), 0)
    edge = 4 * 0.04 * HEIGHT
    box = (edge, edge, 4 * WIDTH - edge, 4 * HEIGHT - edge)
    ImageDraw.Draw(sheet).rectangle(box, fill=255)
    sheet = sheet.rotate(rng.uniform(-2, 2), Image.Resampling.BICUBIC)
    share = np.asarray(sheet.resize((WIDTH, HEIGHT), Image.Resampling.BOX)) / 255
    return 70 + (page - 70) * share


def frame(inside: bool) -> Step:
    """A drawn rectangle, at the picture's edge or a little inside."""

    def step(rng: Rng, page: np.ndarray) -> np.ndarray:
        start = round(rng.uniform(0.03, 0.06) * HEIGHT) if inside else 0
        thick = int(rng.integers(1, 9))
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
        way = np.minimum(
            np.minimum(rows, HEIGHT - 1 - rows),
            np.minimum(columns, WIDTH - 1 - columns),
        )
        return np.where((way >= start) & (way < start + thick), 50, page)

    return step


def lines(level: float, columns: bool = False, turn: float = 0) -> Step:
    """Ruled paper, or squared; the lines may be turned by up to `turn` degrees."""

    def step(rng: Rng, page: np.ndarray) -> np.ndarray:
        turned = np.deg2rad(rng.uniform(-turn, turn))
        apart, thick = rng.uniform(18, 36), rng.uniform(1, 2.2)
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
        dark = np.zeros_like(page)
        ways = [y * np.cos(turned) + x * np.sin(turned)]
        if columns:
            ways.append(x * np.cos(turned) - y * np.sin(turned))
        for way in ways:
            away = np.abs(
                (way + rng.uniform(0, apart) + 1000 * apart) % apart - apart / 2
            )
            dark = np.maximum(dark, np.clip(thick / 2 - away + 0.5, 0, 1))
        return page + (level - page) * dark

    return step


def cell(rng: Rng, page: np.ndarray) -> np.ndarray:
    """A cell of a form: dark lines round the digit's place that run on over the page."""
    page, edge = page.copy(), round(0.05 * HEIGHT)
    thick = int(rng.integers(1, 4))
    for start in (edge, HEIGHT - edge):
        page[start : start + thick] = 70
    for start in (edge, WIDTH - edge):
        page[:, start : start + thick] = 70
    return page


def specks(rng: Rng, page: np.ndarray) -> np.ndarray:
    """Dust and crumbs: up to twenty dark dots of 1 to 3 pixels' radius."""
    page = page.copy()
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    for _ in range(rng.integers(5, 21)):
        y, x = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH)
        page[np.hypot(rows - y, columns - x) < rng.uniform(0.7, 3)] = rng.uniform(
            40, 120
        )
    return page


def noise(deviation: float) -> Step:
    return lambda rng, page: page + rng.normal(0, deviation, page.shape)


def blur(rng: Rng, page: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(page, rng.uniform(1, 2.5))


def jpeg(rng: Rng, page: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(page)).save(buffer, "JPEG", quality=30)
    return np.asarray(Image.open(buffer), np.float32)


class Scene(NamedTuple):
    """Steps before the ink, steps after it, and the pen."""

    paper: tuple[Step, ...] = (even(230),)
    after: tuple[Step, ...] = (noise(2),)
    pen: str = ""
    angle: float = 0
    look: str = "grey"


SCENES = {
    "clean scan": Scene((even(250),), after=()),
    "even light": Scene(),
    "fall-off 230 to 120": Scene((fall(230, 120),)),
    "fall-off 230 to 180": Scene((fall(230, 180),)),
    **{
        f"soft shadow 220/{dark}, {where}": Scene((shadow(220, dark, where, 0.15),))
        for dark in (180, 150, 120)
        for where in ("corner", "edge")
    },
    "hard shadow": Scene((shadow(220, 130, "edge", 0.005),)),
    "table edge": Scene((even(230), strip(70))),
    "frame at the edge": Scene((even(230), frame(False))),
    "frame inside the edge": Scene((even(230), frame(True))),
    "ruled": Scene((even(230), lines(150))),
    "squared": Scene((even(230), lines(160, columns=True))),
    "faint lines": Scene((even(230), lines(205))),
    "specks": Scene((even(230), specks)),
    "noise 5": Scene(after=(noise(5),)),
    "noise 12": Scene(after=(noise(12),)),
    "noise 20": Scene(after=(noise(20),)),
    "blur": Scene(after=(blur, noise(2))),
    "JPEG at 30": Scene(after=(noise(2), jpeg)),
    "thin pen": Scene(pen="thin"),
    "thick pen": Scene(pen="thick"),
    "pencil": Scene(pen="pencil"),
    "tilt of 10°": Scene(angle=10),
}
"""The scenes of one digit each that the rates over all are counted on."""

EXTRA = {
    "round shadow": Scene((blob_shadow,)),
    "blinds": Scene((blinds,)),
    "corner shadow, fall-off, noise 8": Scene(
        (shadow(225, 110, "corner", 0.3),), after=(noise(8),)
    ),
    "light table": Scene((even(235), strip(165))),
    "sheet on a table": Scene((even(225), all_round)),
    "dark ruled lines": Scene((even(230), lines(90))),
    "turned lines": Scene((even(230), lines(150, turn=6))),
    "form cell": Scene((even(230), cell)),
    "coloured paper": Scene((fall(230, 170),), look="colour"),
    "chalk on a board": Scene((fall(230, 150),), after=(noise(4),), look="board"),
    "ruled in shadow, pencil": Scene(
        (shadow(220, 150, "edge", 0.1), lines(165)), pen="pencil"
    ),
}
"""Scenes beside those, so that the method is seen at what it was not made for."""


def to_bytes(page: np.ndarray) -> np.ndarray:
    """Round levels to uint8."""
    return np.clip(np.rint(page), 0, 255).astype(np.uint8)


def picture(rng: Rng, scene: Scene, ink: np.ndarray) -> np.ndarray:
    """Return a scene with ink (0 to 1 for each pixel) on its page, uint8 grey or RGB."""
    page = np.zeros_like(ink)
    for step in scene.paper:
        page = step(rng, page)
    if scene.look == "board":
        page = page * (0.2 + 0.65 * ink)
    elif scene.look == "colour":
        # Blue ink on yellow paper.
        paper, blue = np.array([1, 0.92, 0.55]), np.array([0.15, 0.25, 0.6])
        colour = page[..., None] * (paper + (blue - paper) * ink[..., None])
        return to_bytes(colour + rng.normal(0, 2, colour.shape))
    else:
        page = page * (1 - (1 - INK) * ink)
    for step in scene.after:
        page = step(rng, page)
    return to_bytes(page)


# Pages without one digit.


def two_digits(rng: Rng, digits: np.ndarray, share: float) -> np.ndarray:
    """Two digits side by side, a fifth to a half of their height apart."""
    height = round(min(share, 0.5) * HEIGHT)
    both = [strokes(one, height, "", 0) for one in rng.permutation(digits)[:2]]
    tall = max(len(one) for one in both)
    gap = round(rng.uniform(0.2, 0.5) * height)
    padded = [np.pad(one, ((tall - len(one), 0), (0, gap))) for one in both]
    return on_page(rng, np.hstack(padded)[:, :-gap])


def scribble(rng: Rng, digits: np.ndarray, share: float) -> np.ndarray:
    """One long line to and fro over `share` of the page, at least a third."""
    knots = ndimage.zoom(rng.uniform(0, 1, (18, 2)), (12, 1), order=3)
    size = max(share, 0.33) * np.array([WIDTH, HEIGHT])
    image = Image.new("L", (int(size[0]) + 10, int(size[1]) + 10), 0)
    points = [tuple(5 + np.clip(knot, 0, 1) * size) for knot in knots]
    ImageDraw.Draw(image).line(points, fill=255, width=int(rng.integers(3, 7)))
    return on_page(rng, np.asarray(image, np.float32) / 255)


def dot(rng: Rng, digits: np.ndarray, share: float) -> np.ndarray:
    """A round dot, a fifth as high as the digit would be."""
    return on_page(rng, disc(0.1 * share * HEIGHT).astype(np.float32))


def blank(rng: Rng, digits: np.ndarray, share: float) -> np.ndarray:
    return np.zeros((HEIGHT, WIDTH), np.float32)


NO_DIGIT = {
    "two digits": two_digits,
    "blank": blank,
    "scribble": scribble,
    "dot": dot,
}
"""Pages that hold no single digit: each must be refused or warned of."""


# Judging.


class Drawn(NamedTuple):
    scene: str
    share: float
    label: int | None
    picture: np.ndarray


def draw(
    digits: data.Digits, scenes: Iterable[str], shares: Iterable[float], seed: int
) -> Iterator[Drawn]:
    """Draw every scene at every height, a picture for each digit."""
    for name in scenes:
        for share in shares:
            rng = np.random.default_rng(
                [seed, zlib.crc32(name.encode()), round(100 * share)]
            )
            for digit, label in zip(digits.images, digits.labels, strict=True):
                if name in NO_DIGIT:
                    ink = NO_DIGIT[name](rng, digits.images, share)
                    scene = Scene(after=(noise(5),))
                    yield Drawn(name, share, None, picture(rng, scene, ink))
                else:
                    scene = SCENES[name] if name in SCENES else EXTRA[name]
                    ink = digit_on_page(rng, digit, share, scene.pen, scene.angle)
                    yield Drawn(name, share, int(label), picture(rng, scene, ink))


def judge(drawn: Iterable[Drawn]) -> list[Answer]:
    """Read pictures and let the default network say what they show."""
    blank_image = np.zeros((28, 28), np.uint8)
    every, seen, remarks = list(drawn), [], []
    for one in every:
        try:
            found = pictures.read(Image.fromarray(one.picture))
            seen.append(found.image)
            remarks.append("; ".join(found.warnings))
        except pictures.ImageError as error:
            seen.append(blank_image)
            remarks.append(f"refused: {error}")
    rows = evaluation.predict(network(), np.stack(seen))
    return [
        Answer(
            one.scene,
            one.share,
            one.label,
            None if remark.startswith("refused") else int(row.argmax()),
            float(row.max()),
            remark,
            one.picture,
            image,
        )
        for one, image, remark, row in zip(every, seen, remarks, rows, strict=True)
    ]


def network():
    """Return the recorded default network."""
    path = records.weights()
    return checkpoint.load(path.parent, path.name, "loops")


def read_rightly(digits: data.Digits) -> data.Digits:
    """Keep the digits that the network reads rightly as they are."""
    right = evaluation.predict(network(), digits.images).argmax(axis=1)
    return digits.select(np.flatnonzero(right == digits.labels))


class Rates(NamedTuple):
    """Shares of some answers; `surest_wrong` is counted in the surer half of those that were given."""

    right: float
    warned_right: float
    refused: float
    remarked: float
    silent: float
    surest_wrong: float

    @classmethod
    def of(cls, answers: list[Answer]) -> Rates:
        """Count."""
        right = [one for one in answers if one.right]
        given = [one for one in answers if one.answer is not None]
        surest = sorted(given, key=lambda one: -one.surety)[: len(given) // 2]
        return cls(
            len(right) / len(answers),
            share(bool(one.remark) for one in right),
            1 - len(given) / len(answers),
            share(bool(one.remark) for one in answers),
            share(one.silent for one in answers),
            share(not one.right for one in surest),
        )


def share(holds: Iterable[bool]) -> float:
    """Return how many of several hold, 0 for none."""
    return float(np.mean([*holds] or [False]))


def row(name: str, answers: list[Answer]) -> str:
    """One line of the table."""
    rates = Rates.of(answers)
    return (
        f"{name:34}{rates.right:8.1%}{rates.warned_right:10.1%}{rates.refused:9.1%}"
        f"{rates.remarked:10.1%}{rates.silent:9.1%}"
        f" ({sum(one.silent for one in answers)} of {len(answers)})"
    )


HEADER = (
    f"{'':34}{'right':>8}{'of these':>10}{'refused':>9}{'warned or':>10}{'wrong in':>9}\n"
    f"{'':34}{'':8}{'warned':>10}{'':9}{'refused':>10}{'silence':>9}"
)


def report(answers: list[Answer]) -> str:
    """The table by scene, then by height, then the rates over all."""
    names = dict.fromkeys(one.scene for one in answers)
    single = [one for one in answers if one.label is not None]
    rows = [HEADER]
    rows += [row(name, [a for a in answers if a.scene == name]) for name in names]
    rows += [
        row(f"digits {share:.0%} high", [a for a in single if a.share == share])
        for share in dict.fromkeys(one.share for one in single)
    ]
    if single:
        worst = max(
            names,
            key=lambda n: Rates.of([a for a in answers if a.scene == n]).silent,
        )
        rows += [
            row("over all", single),
            f"wrong of the surest half of the answers: {Rates.of(single).surest_wrong:.2%}",
            f"most wrong in silence: {worst}",
        ]
    return "\n".join(rows)


def save(answers: list[Answer], folder: Path) -> None:
    """Write pictures that are wrong in silence, each beside what the network saw."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(answer for answer in answers if answer.silent):
        shown = Image.fromarray(one.picture).convert("RGB")
        sheet = Image.new("RGB", (WIDTH + HEIGHT, HEIGHT), "grey")
        sheet.paste(shown, (0, 0))
        seen = Image.fromarray(one.seen).resize((HEIGHT, HEIGHT))
        sheet.paste(seen.convert("RGB"), (WIDTH, 0))
        name = "".join(c if c.isalnum() else "_" for c in one.scene)
        sheet.save(
            folder
            / f"{name}_{one.share:.0%}_{one.label}_as_{one.answer}_{number}.png"
        )


def mnist() -> data.Digits:
    """Return MNIST's test digits, or stop where there are none."""
    named = os.environ.get("LENET5_MNIST", "")
    if named in ("", "stand-in"):
        sys.exit("This needs MNIST: set LENET5_MNIST to its .npz file.")
    return data.read(Path(named)).test


def main() -> None:
    """Draw, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--digits", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--extra", action="store_true", help="the scenes beside")
    parser.add_argument("--only", nargs="+", help="names of scenes")
    parser.add_argument("--save", type=Path, help="a folder for those still wrong")
    options = parser.parse_args()
    chosen = slice(options.first, options.first + options.digits)
    digits = read_rightly(mnist().select(chosen))
    scenes = options.only or (EXTRA if options.extra else [*SCENES, *NO_DIGIT])
    answers = []
    for name in scenes:
        # Only pictures that may be saved are kept.
        found = judge(draw(digits, [name], SHARES, options.seed))
        none = np.zeros((0, 0), np.uint8)
        answers += [a if a.silent else a._replace(picture=none) for a in found]
    print(report(answers))
    if options.save:
        save(answers, options.save)


if __name__ == "__main__":
    main()
