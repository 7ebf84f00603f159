"""Images of visitors' digits, made here with Pillow, brought to MNIST's format: size, place, polarity, refusals."""

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
import scenes
from PIL import Image, ImageDraw, ImageOps

from lenet5lib import data
from lenet5lib.data import pictures
from lenet5lib.data.pictures import ImageError

NAMED = os.environ.get("LENET5_MNIST", "")
SIZES = [(20, 20), (28, 28), (64, 48), (200, 300), (900, 600)]
CENTRE = (0.5, 0.5)


def drawing(
    size=(200, 200),
    ink=0,
    paper=255,
    mode="L",
    centre=CENTRE,
    height=0.6,
    digit="4",
):
    """Draw a digit of strokes: `height` of the shorter side high, its middle at `centre` (shares of width, height)."""
    image = Image.new(mode, size, paper)
    side = height * min(size)
    left, top = centre[0] * size[0] - side / 2, centre[1] * size[1] - side / 2
    strokes = {
        "4": [[(0.55, 0), (0.1, 0.65), (0.9, 0.65)], [(0.65, 0.3), (0.65, 1)]],
        "1": [[(0.5, 0), (0.5, 1)]],
        "7": [[(0.1, 0), (0.9, 0), (0.4, 1)]],
    }
    for stroke in strokes[digit]:
        points = [(left + x * side, top + y * side) for x, y in stroke]
        ImageDraw.Draw(image).line(
            points, fill=ink, width=max(2, round(side / 9)), joint="curve"
        )
    return image


def read(image, tmp_path, name="digit.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return pictures.read_digit(path)


def ink_box(digit):
    """Return (height, width) of the box around all ink."""
    rows, columns = (
        np.flatnonzero(digit.any(axis=1)),
        np.flatnonzero(digit.any(axis=0)),
    )
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def centre_of_mass(digit):
    """Return (row, column) of the centre of mass, pixels counted from 0."""
    total = digit.sum()
    return digit.sum(axis=1) @ np.arange(28) / total, digit.sum(axis=0) @ np.arange(
        28
    ) / total


def assert_in_mnist_format(digit):
    assert (digit.shape, digit.dtype) == ((28, 28), np.uint8)
    assert digit.max() == 255
    assert abs(max(ink_box(digit)) - 20) <= 1
    assert all(13.5 <= centre <= 14.5 for centre in centre_of_mass(digit))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["digit.png", "digit.jpg"])
@pytest.mark.parametrize(
    ("ink", "paper"), [(0, 255), (255, 0)], ids=["dark on light", "light on dark"]
)
def test_a_drawing_of_any_size_comes_to_mnists_format(
    size, name, ink, paper, tmp_path
):
    assert_in_mnist_format(read(drawing(size, ink, paper), tmp_path, name))


@pytest.mark.parametrize("digit", ["4", "1", "7"])
def test_the_aspect_ratio_is_kept(digit, tmp_path):
    found = read(drawing(digit=digit), tmp_path)
    assert_in_mnist_format(found)
    ink = np.asarray(drawing(digit=digit)) < 128
    height, width = (
        np.count_nonzero(ink.any(axis=1)),
        np.count_nonzero(ink.any(axis=0)),
    )
    assert ink_box(found)[1] == pytest.approx(20 * width / height, abs=1.5)


@pytest.mark.parametrize("size", SIZES[2:], ids=str)
def test_polarity_does_not_matter(size, tmp_path):
    dark, light = (
        read(drawing(size, *levels), tmp_path).astype(int)
        for levels in ((0, 255), (255, 0))
    )
    assert np.abs(dark - light).max() <= 2


@pytest.mark.parametrize("centre", [(0.32, 0.5), (0.5, 0.66), (0.66, 0.34)])
def test_where_the_digit_was_drawn_does_not_matter(centre, tmp_path):
    middle, shifted = (
        read(drawing(centre=place), tmp_path) for place in (CENTRE, centre)
    )
    np.testing.assert_array_equal(shifted, middle)


@pytest.mark.parametrize("height", [0.2, 0.9])
def test_how_large_the_digit_was_drawn_matters_little(height, tmp_path):
    middle, other = (
        read(drawing((600, 600), height=h), tmp_path).astype(int)
        for h in (0.6, height)
    )
    assert np.abs(middle - other).mean() < 5


def test_grey_levels_and_colours_do_not_matter(tmp_path):
    black = read(drawing(), tmp_path).astype(int)
    faint = read(drawing(ink=150, paper=210), tmp_path).astype(int)
    blue = read(
        drawing(ink=(20, 30, 160), paper=(250, 240, 210), mode="RGB"), tmp_path
    ).astype(int)
    assert np.abs(faint - black).max() <= 2
    assert np.abs(blue - black).max() <= 2


def test_a_transparent_background_counts_as_paper(tmp_path):
    opaque = read(drawing(), tmp_path)
    for hidden in (0, 255):
        clear = drawing(
            ink=(0, 0, 0, 255), paper=(hidden, hidden, hidden, 0), mode="RGBA"
        )
        np.testing.assert_array_equal(read(clear, tmp_path), opaque)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGB", "CMYK"])
def test_every_common_mode_gives_the_same_digit(mode, tmp_path):
    name = "digit.tiff" if mode == "CMYK" else "digit.png"
    np.testing.assert_array_equal(
        read(drawing().convert(mode), tmp_path, name), read(drawing(), tmp_path)
    )


def test_a_photograph_is_turned_as_its_camera_noted(tmp_path):
    upright = drawing((120, 160))
    noted = Image.Exif()
    noted[0x0112] = 6
    turned = read(
        upright.transpose(Image.Transpose.ROTATE_90),
        tmp_path,
        "turned.png",
        exif=noted,
    )
    np.testing.assert_array_equal(turned, read(upright, tmp_path))


def test_faint_noise_on_the_paper_does_not_enlarge_the_digit(tmp_path):
    clean = drawing((300, 300))
    noise = np.random.default_rng(0).integers(-12, 13, (300, 300))
    noisy = Image.fromarray(
        np.clip(np.asarray(clean) + noise, 0, 255).astype(np.uint8)
    )
    found = read(noisy, tmp_path)
    assert_in_mnist_format(found)
    assert np.abs(found.astype(int) - read(clean, tmp_path)).mean() < 5


def test_ink_of_a_tenth_of_the_darkest_does_not_enlarge_the_box():
    grey = np.full((60, 60), 255, np.float32)
    grey[20:40, 25:35] = 0
    plain = pictures.to_mnist_format(grey)
    grey[10:50, 10:50] = np.minimum(grey[10:50, 10:50], 255 * 0.9)
    np.testing.assert_array_equal(pictures.to_mnist_format(grey), plain)


def test_reducing_takes_the_mean_of_neighbouring_pixels():
    grey = np.full((60, 60), 255, np.float32)
    grey[10:50, 10:50] = np.where(np.indices((40, 40)).sum(axis=0) % 2, 0, 255)
    inside = pictures.to_mnist_format(grey)[8:20, 8:20]
    assert np.ptp(inside.astype(int)) <= 2  # A uniform grey, not a pattern.


def test_a_digit_already_in_mnists_format_hardly_changes():
    once = pictures.to_mnist_format(np.asarray(drawing((300, 300)), np.float32))
    again = pictures.to_mnist_format(once.astype(np.float32))
    assert np.abs(again.astype(int) - once).mean() < 2


def levels_of(size=(300, 300), **options):
    """Return a drawing as float levels, 0 to 255."""
    return np.asarray(drawing(size, **options), np.float32)


def paper_16(levels):
    """Bring 0–255 to the 16-bit levels of a scanner, ink 5,140 and paper 51,400."""
    return 5140 + levels * (46260 / 255)


DEEP = {
    "16 bits": ("png", lambda levels: paper_16(levels).astype(np.uint16)),
    "16 bits, TIFF": ("tiff", lambda levels: paper_16(levels).astype(np.uint16)),
    "12 bits in 16": ("png", lambda levels: (levels * 16).astype(np.uint16)),
    "8 bits in 16": ("png", lambda levels: levels.astype(np.uint16)),
    "light on dark": ("png", lambda v: paper_16(255 - v).astype(np.uint16)),
    "32-bit integers": ("tiff", lambda levels: (levels * 2**20).astype(np.int32)),
    "integers below 0": ("tiff", lambda levels: (levels - 200).astype(np.int32)),
    "fractions": ("tiff", lambda levels: levels / np.float32(255)),
    "large fractions": ("tiff", lambda levels: levels * np.float32(1000)),
}


@pytest.mark.parametrize("kind", DEEP)
def test_levels_of_more_than_eight_bits_give_the_same_digit(kind, tmp_path):
    ending, convert = DEEP[kind]
    image = Image.fromarray(convert(levels_of()))
    found = read(image, tmp_path, f"deep.{ending}").astype(int)
    plain = read(drawing((300, 300)), tmp_path).astype(int)
    assert np.abs(found - plain).max() <= 2


@pytest.mark.parametrize("level", [np.nan, np.inf])
def test_levels_that_are_not_finite_are_refused(level, tmp_path):
    levels = levels_of() / 255
    levels[0, 0] = level
    Image.fromarray(levels).save(path := tmp_path / "nan.tiff")
    assert "NaN" in refusal(path)


@pytest.mark.parametrize("ink", [0, 128, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_ink_of_any_level_on_transparency_is_seen(ink, mode, tmp_path):
    shape = drawing((300, 300), ink=255, paper=0)
    image = Image.new("L", shape.size, ink).convert(mode)
    image.putalpha(shape)
    expected = read(drawing((300, 300)), tmp_path).astype(int)
    assert np.abs(read(image, tmp_path).astype(int) - expected).max() <= 2


def test_a_picture_is_read_from_bytes_and_from_pillow_too(tmp_path):
    expected = read(drawing(), tmp_path)
    contents = (tmp_path / "digit.png").read_bytes()
    for source in (drawing(), contents, str(tmp_path / "digit.png")):
        np.testing.assert_array_equal(pictures.read_digit(source), expected)
        found = pictures.read(source)
        np.testing.assert_array_equal(found.image, expected)
        assert found.warnings == ()


def refusal(path):
    """Return the text with which `read_digit` refuses a file or picture."""
    with pytest.raises(ImageError) as caught:
        pictures.read_digit(path)
    return str(caught.value)


def test_a_missing_image_is_refused(tmp_path):
    path = tmp_path / "missing.png"
    assert f"no image {path}" in refusal(path)


def assert_no_image(path):
    assert f"cannot read {path} as an image" in refusal(path)


@pytest.mark.parametrize(
    "contents",
    [b"", b"this is a text\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"],
)
def test_a_file_that_is_no_image_is_refused(contents, tmp_path):
    path = tmp_path / "text.png"
    path.write_bytes(contents)
    assert_no_image(path)


def test_a_folder_is_refused(tmp_path):
    assert_no_image(tmp_path)


FOREIGN = {
    "JPEG": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "PDF": b"%PDF-1.7\n",
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
}


@pytest.mark.parametrize("named", FOREIGN)
def test_a_foreign_file_is_refused_with_what_to_do(named, tmp_path):
    path = tmp_path / "foreign.jpg"
    path.write_bytes(FOREIGN[named])
    assert_no_image(path)
    assert named in refusal(path)


def test_a_huge_picture_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 100 * 100)
    assert pictures.read_digit(drawing((100, 100))).shape == (28, 28)
    assert "smaller" in refusal(drawing((101, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 40)
    buffer = io.BytesIO()
    drawing((60, 60)).save(buffer, "PNG")
    assert "smaller" in refusal(buffer.getvalue())
    buffer = io.BytesIO()
    drawing((50, 50)).save(
        buffer, "PNG"
    )  # Pillow would warn, and a warning fails here.
    assert pictures.read_digit(buffer.getvalue()).shape == (28, 28)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_truncated_image_is_refused(format, tmp_path):
    buffer = io.BytesIO()
    drawing((120, 120)).save(buffer, format)
    whole, path = buffer.getvalue(), tmp_path / "cut.png"
    for share in (0.02, 0.1, 0.5, 0.8, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        assert_no_image(path)


@pytest.mark.parametrize(
    ("paper", "ink"), [(255, 255), (0, 0), (128, 128), (128, 147)]
)
def test_an_image_without_contrast_is_refused(paper, ink, tmp_path):
    path = tmp_path / "blank.png"
    drawing(ink=ink, paper=paper).save(path)
    text = refusal(path)
    assert f"{path}: found no digit" in text
    assert f" {ink - paper} of 255" in text


def test_the_least_contrast_is_enough(tmp_path):
    assert_in_mnist_format(read(drawing(ink=148, paper=128), tmp_path))


def test_an_image_of_one_pixel_is_refused(tmp_path):
    path = tmp_path / "dot.png"
    Image.new("L", (1, 1), 0).save(path)
    assert "found no digit" in refusal(path)


RNG_SEED = 3


def photograph(change=lambda levels: levels, share=0.3, digit="4"):
    """Draw a 4 of `share` of the height on a page of 480×360, then change the page's light or what lies on it."""
    image = drawing((480, 360), ink=40, paper=230, height=share, digit=digit)
    changed = change(np.asarray(image, np.float64).copy())
    noise = np.random.default_rng(RNG_SEED).normal(0, 2, changed.shape)
    return Image.fromarray(np.clip(changed + noise, 0, 255).astype(np.uint8))


ROWS, COLUMNS = np.mgrid[0:360, 0:480]


def soft(way, middle, width):
    """Return a soft step, 0 to 1, around `middle`."""
    return np.clip((way - middle) / width + 0.5, 0, 1)


def frame(levels, start, thick):
    for inner in range(start, start + thick):
        edge = levels[inner : 360 - inner, inner : 480 - inner]
        edge[[0, -1]], edge[:, [0, -1]] = 40, 40
    return levels


def with_table(side):
    def change(levels):
        levels[[np.s_[:25], np.s_[-25:], np.s_[:, :25], np.s_[:, -25:]][side]] = 70
        return levels

    return change


def with_lines(level, across):
    def change(levels):
        lines = (ROWS % 25 == 0) | (across & (COLUMNS % 25 == 0))
        return np.where(lines, np.minimum(levels, level), levels)

    return change


def with_specks(levels):
    for row, column in np.random.default_rng(RNG_SEED).integers(5, 350, (15, 2)):
        levels[row : row + 3, column : column + 3] = 60
    return levels


CHANGES = {
    "nothing": lambda levels: levels,
    "fall-off": lambda levels: levels * (1 - 0.45 * COLUMNS / 480),
    "soft shadow": lambda v: v * (1 - 0.45 * soft(COLUMNS + ROWS / 2, 330, 60)),
    "hard shadow": lambda v: v * (1 - 0.45 * (COLUMNS + ROWS / 2 > 330)),
    "shadow in a corner": lambda v: (
        v * (1 - 0.45 * soft(-np.hypot(ROWS, COLUMNS), -250, 60))
    ),
    "table above": with_table(0),
    "table below": with_table(1),
    "table on the left": with_table(2),
    "table on the right": with_table(3),
    "frame at the edge": lambda levels: frame(levels, 0, 6),
    "frame inside": lambda levels: frame(levels, 15, 3),
    "ruled": with_lines(150, False),
    "squared": with_lines(150, True),
    "faint lines": with_lines(205, False),
    "specks": with_specks,
    "a board": lambda levels: 0.7 * (255 - levels) * (1 - 0.3 * COLUMNS / 480),
}


@pytest.mark.parametrize("share", [0.15, 0.5])
@pytest.mark.parametrize("name", CHANGES)
def test_the_digit_is_found_on_a_photograph(name, share):
    found = pictures.read(photograph(CHANGES[name], share))
    expected = pictures.to_mnist_format(levels_of(height=0.6))
    assert_in_mnist_format(found.image)
    assert np.abs(found.image.astype(int) - expected).mean() < 18
    assert found.warnings == ()


def blank(levels):
    return np.full_like(levels, 230)


def shadow_alone(levels):
    return CHANGES["soft shadow"](blank(levels))


def dot(levels):
    return np.where(np.hypot(ROWS - 180, COLUMNS - 240) < 20, 40, blank(levels))


@pytest.mark.parametrize("change", [blank, shadow_alone, dot])
def test_a_page_without_a_digit_is_refused(change):
    assert "found" in refusal(photograph(change))


def test_a_single_pixel_is_refused():
    image = Image.new("L", (50, 50), 255)
    image.putpixel((10, 40), 0)
    assert "found" in refusal(image)


def test_a_blank_page_with_noise_is_refused():
    noise = np.random.default_rng(0).normal(220, 5, (500, 500))
    assert "found no digit" in refusal(Image.fromarray(noise.astype(np.uint8)))


def test_two_digits_are_warned_of():
    page = np.hstack([levels_of((150, 200), digit=one) for one in "17"])
    [warning] = pictures.read(Image.fromarray(page.astype(np.uint8))).warnings
    assert "2 pieces" in warning


@pytest.mark.parametrize(("end", "said"), [((140, 200), True), ((170, 120), False)])
def test_a_loose_stroke_as_high_as_the_digit_is_warned_of(end, said):
    image = Image.new("L", (300, 300), 255)
    for stroke in ([(150, 100), (100, 200)], [(190, 100), end]):
        ImageDraw.Draw(image).line(stroke, fill=0, width=10)
    assert ("similar size" in str(pictures.read(image).warnings)) == said


@pytest.mark.parametrize(
    "centre", [(0.5, 0.9), (0.8, 0.5), (0.5, 0.8), (0.25, 0.5)]
)
def test_a_digit_that_leaves_the_picture_is_warned_of(centre):
    image = drawing((300, 300), centre=centre)
    assert any("edge" in one for one in pictures.read(image).warnings)


def test_a_digit_cut_close_is_read_as_before_and_warned_of():
    page = levels_of()
    rows, columns = (np.flatnonzero((page < 200).any(axis=axis)) for axis in (1, 0))
    tight = page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    found = pictures.read(Image.fromarray(tight.astype(np.uint8)))
    np.testing.assert_array_equal(found.image, pictures.to_mnist_format(tight))
    assert any("edge" in one for one in found.warnings)


def test_a_scribble_is_warned_of():
    image = Image.new("L", (400, 300), 255)
    points = np.random.default_rng(1).uniform((40, 40), (360, 260), (40, 2))
    ImageDraw.Draw(image).line([tuple(one) for one in points], fill=0, width=4)
    assert pictures.read(image).warnings


@pytest.mark.slow
def test_a_photograph_of_twelve_megapixels_takes_little_time():
    image = drawing(
        (4000, 3000), ink=(40, 40, 60), paper=(230, 225, 210), mode="RGB"
    )
    start = time.perf_counter()
    pictures.read(image)
    assert (
        time.perf_counter() - start < 5
    )  # About one second where nothing else runs.


@pytest.fixture(scope="module")
def mnist():
    if NAMED in ("", "stand-in"):
        pytest.skip("needs MNIST: set LENET5_MNIST to its .npz file")
    dataset = data.read(Path(NAMED))
    if dataset.dataset_name != "MNIST":
        pytest.skip(f"needs MNIST: LENET5_MNIST names {dataset.dataset_name}")
    return dataset.test


def test_mnists_own_digits_come_back_nearly_unchanged(mnist):
    digits = mnist.images[:500]
    found = np.stack(
        [pictures.to_mnist_format(digit.astype(np.float32)) for digit in digits]
    )
    differences = np.abs(found.astype(int) - digits).mean(axis=(1, 2))
    assert np.median(differences) < 1
    assert np.mean(differences) < 2


def test_mnists_digits_survive_being_printed_large_dark_on_light_and_off_centre(
    mnist, tmp_path
):
    digits = mnist.images[:50]
    found = []
    for digit in digits:
        large = ImageOps.invert(
            Image.fromarray(digit).resize((280, 280), Image.Resampling.BICUBIC)
        )
        page = Image.new("L", (500, 400), 255)
        page.paste(large, (190, 30))
        found.append(read(page, tmp_path, "page.jpg"))
    differences = np.abs(np.stack(found).astype(int) - digits).mean(axis=(1, 2))
    assert np.mean(differences) < 10


def test_mnists_digits_stand_where_this_module_puts_the_others(mnist):
    centres = np.array([centre_of_mass(digit) for digit in mnist.images[:2000]])
    assert np.abs(centres.mean(axis=0) - pictures.CENTRE).max() < 0.1
    assert (
        np.median([max(ink_box(digit)) for digit in mnist.images[:2000]])
        == pictures.BOX
    )


def test_mnists_digits_of_28_by_28_pixels_are_read_by_the_plain_way(mnist):
    for digit in mnist.images[:60]:
        found = pictures.read(Image.fromarray(digit))
        np.testing.assert_array_equal(
            found.image, pictures.to_mnist_format(digit.astype(np.float32))
        )


@pytest.mark.slow
def test_scenes_are_read_rightly_or_refused_or_warned_of(mnist):
    digits = scenes.read_rightly(mnist.select(slice(1000, 1005)))
    names = [*scenes.SCENES, *scenes.EXTRA]
    answers = scenes.judge(scenes.draw(digits, names, (0.15, 0.5), 1))
    rates = scenes.Rates.of(answers)
    assert rates.right >= 0.85
    assert rates.silent <= 0.02
    assert rates.surest_wrong <= 0.003
    clean = [one for one in answers if one.scene == "clean scan"]
    assert scenes.Rates.of(clean).right >= 0.98
    others = scenes.judge(scenes.draw(digits, scenes.NO_DIGIT, (0.3,), 1))
    assert all(one.remark for one in others)
