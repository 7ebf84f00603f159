"""Distortions: nothing changes where nothing is asked; each kind does what its name says; all is a function of the seed."""

import hashlib
import importlib.util

import numpy as np
import pytest

from lenet5lib import data
from lenet5lib.loops import compiled
from lenet5lib.training import augment
from lenet5lib.training.recipe import AFFINE, Distortion

BENT = Distortion(2, 0.1, 0.1, 0.2, rotation=10, elastic=1.0)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return data.stand_in().train.images[:300]


def distort(images, distortion, seed=0, epoch=1):
    return augment.distort(images, distortion, seed, epoch)


def test_no_distortion_leaves_every_pixel(images):
    assert (distort(images, Distortion()) == images).all()


def test_the_same_seed_and_epoch_give_the_same_and_others_do_not(images):
    first = distort(images, BENT)
    assert (distort(images, BENT) == first).all()
    for other in (distort(images, BENT, seed=1), distort(images, BENT, epoch=2)):
        assert ((other != first).any(axis=(1, 2))).mean() > 0.99
    assert first.dtype == np.uint8
    assert first.shape == images.shape


def test_equal_images_are_distorted_differently(images):
    same = np.repeat(images[:1], 50, axis=0)
    assert len(np.unique(distort(same, BENT), axis=0)) > 48


def test_what_a_digit_becomes_does_not_depend_on_those_after_it(images):
    assert (distort(images[:7], BENT) == distort(images, BENT)[:7]).all()


def test_a_second_group_is_distorted_in_its_own_way(images, monkeypatch):
    monkeypatch.setattr(augment, "CHUNK", 150)
    same = np.repeat(images[:1], 300, axis=0)
    made = distort(same, BENT)
    assert (made[:150] != made[150:]).any()


def centre(images: np.ndarray) -> np.ndarray:
    """Return each image's centre of mass (row, column): (n, 2)."""
    weights = images / images.sum(axis=(1, 2), keepdims=True)
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    return np.stack(
        [(weights * rows).sum((1, 2)), (weights * columns).sum((1, 2))], -1
    )


def blob(side: int = 28) -> np.ndarray:
    """Return 4,000 copies of a square of ink in the middle."""
    image = np.zeros((side, side), np.uint8)
    image[10:18, 10:18] = 255
    return np.repeat(image[None], 4000, axis=0)


def test_translation_is_uniform_in_both_directions():
    moved = centre(distort(blob(), Distortion(translation=3))) - 13.5
    assert np.abs(moved).max() <= 3.01
    assert np.abs(moved.mean(axis=0)).max() < 0.1
    # A uniform distribution of half-width 3 has the deviation 3 / sqrt(3).
    assert moved.std(axis=0) == pytest.approx([np.sqrt(3)] * 2, rel=0.05)
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.1


def spread(images: np.ndarray) -> np.ndarray:
    """Return each image's covariance of ink: (n, 3), rows, columns, rows with columns."""
    weights = images / images.sum(axis=(1, 2), keepdims=True)
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    middle = centre(images)
    down = rows - middle[:, 0, None, None]
    across = columns - middle[:, 1, None, None]
    return np.stack(
        [
            (weights * down * down).sum((1, 2)),
            (weights * across * across).sum((1, 2)),
            (weights * down * across).sum((1, 2)),
        ],
        -1,
    )


def test_scaling_changes_both_axes_alike_and_squeezing_one_against_the_other():
    before = spread(blob())[0]
    scaled = spread(distort(blob(), Distortion(scaling=0.3)))
    assert np.corrcoef(scaled[:, 0], scaled[:, 1])[0, 1] > 0.99
    assert scaled[:, 0].max() == pytest.approx(before[0] * 1.3**2, rel=0.08)
    assert scaled[:, 0].min() == pytest.approx(before[0] * 0.7**2, rel=0.12)
    squeezed = spread(distort(blob(), Distortion(squeezing=0.3)))
    assert np.corrcoef(squeezed[:, 0], squeezed[:, 1])[0, 1] < -0.9
    product = np.sqrt(squeezed[:, 0] * squeezed[:, 1])
    assert product == pytest.approx(before[0], rel=0.1)  # Blurred a little.


def test_shear_moves_rows_sideways_and_leaves_the_height():
    before, sheared = (
        spread(blob())[0],
        spread(distort(blob(), Distortion(shear=0.5))),
    )
    assert sheared[:, 0] == pytest.approx(before[0], rel=1e-3)
    # Row y moves by shear times y: so does its covariance with the columns.
    assert np.abs(sheared[:, 2] / before[0]).max() == pytest.approx(0.5, abs=0.02)


def test_rotation_keeps_the_ink_and_turns_it():
    before = spread(blob())[0]
    turned = spread(distort(blob(), Distortion(rotation=45)))
    trace = turned[:, 0] + turned[:, 1]
    # Bilinear sampling blurs a little.
    assert trace == pytest.approx(before[0] + before[1], rel=0.06)
    assert np.abs(turned[:, 2]).max() < 0.1  # A square stays one.


def test_elastic_displacements_have_the_deviation_and_the_smoothness_asked():
    noise = np.random.default_rng(0).integers(0, 256, (2, 400, 28, 28), np.uint8)
    smooth = augment._smoothing(28, Distortion(elastic=1.5, smoothness=4))
    moved = augment.displacements(noise, smooth, smooth)
    down, across = moved
    assert moved.dtype == np.float32
    assert down.std() == pytest.approx(1.5, rel=0.05)
    assert across.std() == pytest.approx(1.5, rel=0.05)
    # White noise under a Gaussian of deviation s is correlated over d as exp(-d² / 4s²).
    inner = down[:, 10:18]
    near = np.corrcoef(inner[..., 10].ravel(), inner[..., 14].ravel())[0, 1]
    assert near == pytest.approx(np.exp(-(4**2) / (4 * 4**2)), abs=0.05)


def sampled(images, y, x, module=augment) -> np.ndarray:
    """Return images read at these positions (n, height, width), which are left as they are."""
    framed, made = module._frame(images), np.empty(images.shape, np.uint8)
    for n, frame in enumerate(framed):
        # Read-only arrays would be another type to compile for.
        places = [np.array(axis[n], np.float32).ravel() for axis in (y, x)]
        module._sample(
            frame.ravel(), *places, images.shape[1:], made[n].reshape(-1)
        )
    return made


def test_pixels_between_pixels_are_bilinear():
    """A shift by (0.25, 0.5), read off by hand."""
    images = np.array([[[0, 80, 160], [40, 120, 200], [8, 16, 24]]], np.uint8)
    rows, columns = np.mgrid[:3, :3].astype(np.float32)[:, None]
    made = sampled(images, rows + 0.25, columns + 0.5)[0]
    assert made.tolist() == [[50, 130, 85], [63, 125, 78], [9, 15, 9]]


def naive_sample(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return an image read at the positions, pixel by pixel in float64, not rounded; outside it is 0."""
    height, width = image.shape
    read = np.zeros(y.shape)
    for place in np.ndindex(y.shape):
        top, left = int(np.floor(y[place])), int(np.floor(x[place]))
        for u, v in ((0, 0), (0, 1), (1, 0), (1, 1)):
            row, column = top + u, left + v
            if 0 <= row < height and 0 <= column < width:
                share = (1 - abs(y[place] - row)) * (1 - abs(x[place] - column))
                read[place] += share * image[row, column]
    return read


def test_pixels_of_every_value_are_read_as_a_naive_bilinear_reading_does(without):
    """All 256 values beside all others, 255 in each of the four corners of a reading, positions inside and far outside."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 9, 7), np.uint8)
    images[0] = 255
    images[1] = np.where(np.indices((9, 7)).sum(axis=0) % 2, 255, 0)
    images[2:7] = rng.choice(np.array([0, 1, 127, 128, 254, 255]), (5, 9, 7))
    images[7:12].reshape(-1)[:256] = np.arange(256)
    assert len(np.unique(images)) == 256
    y = rng.uniform(-4, 13, images.shape).astype(np.float32)
    x = rng.uniform(-4, 11, images.shape).astype(np.float32)
    # Quarters, and whole numbers, the ends among them.
    y[::2], x[::2] = np.round(4 * y[::2]) / 4, np.round(4 * x[::2]) / 4
    y[::4], x[::4] = np.round(y[::4]), np.round(x[::4])
    found = sampled(images, y, x)
    np.testing.assert_array_equal(sampled(images, y, x, without), found)
    assert found.dtype == np.uint8
    for n, image in enumerate(images):
        exact = naive_sample(image, y[n].astype(float), x[n].astype(float))
        # Rounded to the nearest, or, where float32 decides on a half, to its neighbour.
        assert np.abs(found[n] - exact).max() <= 0.5 + 1e-3
    inside = naive_sample(images[0], y[0].astype(float), x[0].astype(float)) == 255
    assert inside.any()
    assert (found[0][inside] == 255).all()


@pytest.mark.parametrize("value", [0, 1, 127, 128, 129, 254, 255])
def test_a_pixel_of_any_value_is_read_unchanged_where_it_lies(value):
    images = np.full((1, 5, 5), value, np.uint8)
    rows, columns = np.mgrid[:5, :5].astype(np.float32)[:, None]
    for shift in (0, 0.25, 0.5):
        made = sampled(images, rows + shift, columns + shift)
        assert (made[0, :4, :4] == value).all()


def test_epochs_are_distorted_alike_in_any_order_and_between_any_others(images):
    """Nothing is drawn from a state that an earlier call has left."""
    asked = [(0, 1), (0, 2), (3, 1)]
    first = {one: distort(images[:50], BENT, *one) for one in asked}
    np.random.seed(4)
    for seed, epoch in reversed(asked):
        distort(images[:20], AFFINE, seed + 1, epoch)
        again = distort(images[:50], BENT, seed, epoch)
        np.testing.assert_array_equal(again, first[seed, epoch])
    assert len({made.tobytes() for made in first.values()}) == len(asked)


def test_a_displacement_of_the_elastic_part_alone_moves_ink_and_keeps_it(images):
    made = distort(images, Distortion(elastic=1.0))
    assert (made != images).any(axis=(1, 2)).all()
    ink = made.sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    assert 0.7 < ink.min() <= ink.max() < 1.4
    assert ink.mean() == pytest.approx(1, abs=0.05)


GOLDEN = {
    Distortion(translation=2): {"86f94a1eb4b08d01"},
    Distortion(scaling=0.1): {"3ff397cdd638a070"},
    Distortion(squeezing=0.1): {"b9b93f59721ac995"},
    Distortion(shear=0.2): {"32510529d674a26c"},
    Distortion(rotation=10): {"2fc0bba3d484fd51"},
    Distortion(2, 0.1, 0.1, 0.2, rotation=10): {"bddfa6a355cda819"},
    Distortion(elastic=0.4): {"67db120105b4f3d9", "7762b5ed357f1b4f"},
    Distortion(2, 0.1, 0.1, 0.2, rotation=10, elastic=2.1): {
        "32e03108ed0ce080",
        "dd97d006feb6e0fa",
    },
}
"""The first letters of SHA-256 checksums of images distorted by TensorFlow and XLA, as this library did before.

The second of two was computed on a processor without AVX-512.
"""


@pytest.mark.parametrize("distortion", GOLDEN)
def test_images_are_those_that_the_recorded_runs_were_trained_on(distortion):
    images = np.random.default_rng(0).integers(0, 256, (300, 28, 28), np.uint8)
    made = distort(images, distortion, seed=3, epoch=2)
    checksum = hashlib.sha256(made.tobytes()).hexdigest()
    assert checksum[:16] in GOLDEN[distortion]


def test_noise_is_drawn_as_single_bytes():
    shape = (2, augment.CHUNK, 3, 5)
    noise = augment._noise(np.random.default_rng(1), shape[2:])
    expected = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(noise, expected)


def fresh_module():
    """Return the module `augment`, imported a second time."""
    spec = importlib.util.spec_from_file_location(
        "fresh_distortions", augment.__file__
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def without():
    """Return the module as it is where numba is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "numba", None)
        module = fresh_module()
    assert module.each is not range
    return module


def test_without_numba_the_result_is_the_same(images, without):
    for distortion in (AFFINE, BENT):
        made = without.distort(images[:60], distortion, 3, 2)
        np.testing.assert_array_equal(made, distort(images[:60], distortion, 3, 2))


def test_compiled_programs_that_cannot_be_kept_are_no_error(images, monkeypatch):
    numba = pytest.importorskip("numba")

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: ("compiled", function)

    monkeypatch.setattr(numba, "njit", njit)
    assert augment._compiled(len) == ("compiled", len)


def test_neither_threads_nor_parts_change_the_result(images, monkeypatch):
    monkeypatch.setattr(augment, "CHUNK", 70)
    made = []
    for threads, block in ((1, 100), (4, 100), (3, 17)):
        monkeypatch.setattr(augment.os, "cpu_count", lambda count=threads: count)
        monkeypatch.setattr(augment, "BLOCK", block)
        made.append(distort(images, BENT))
    np.testing.assert_array_equal(made[1], made[0])
    np.testing.assert_array_equal(made[2], made[0])


def test_images_may_be_none_read_only_or_a_view(images):
    assert distort(images[:0], BENT).shape == (0, *images.shape[1:])
    frozen = images[:20].copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(distort(frozen, BENT), distort(images[:20], BENT))
    view = images[:20].transpose(0, 2, 1)
    expected = distort(view.copy(), BENT)
    np.testing.assert_array_equal(distort(view, BENT), expected)


def test_the_kinds_of_the_paper_keep_digits_inside_the_image(images):
    made = distort(images, AFFINE)
    ink = made.sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    assert ink.min() > 0.6
