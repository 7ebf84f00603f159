"""Images of visitors' digits, made here with Pillow, brought to MNIST's format: size, place, polarity, refusals."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
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


def test_a_single_dot_is_a_digit_too(tmp_path):
    image = Image.new("L", (50, 50), 255)
    image.putpixel((10, 40), 0)
    found = read(image, tmp_path)
    assert found.dtype == np.uint8
    assert ink_box(found) == (20, 20)


def refusal(path):
    """Return the text with which `read_digit` refuses a file."""
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
