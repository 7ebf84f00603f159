"""The questions of chapter 9, asked of arrays made by hand and of a small network."""

import numpy as np
import pytest

from lenet5lib import models
from lenet5lib.spec import LENET5
from lenet5lib.studies import inside


@pytest.fixture(scope="module")
def model():
    return models.build(LENET5)


def test_the_outputs_are_those_of_each_image_by_itself(model):
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    found = inside.layer_outputs(model, images)
    alone = models.activations(model, images[2])
    assert list(found) == ["pixels", "C1", "S2", "C3", "S4", "C5", "F6", "Output"]
    np.testing.assert_allclose(found["pixels"][..., 0], images / 255, atol=1e-6)
    for name in list(found)[1:]:
        np.testing.assert_allclose(found[name][2], alone[name], atol=1e-5)


def test_the_read_out_finds_what_is_linear_and_no_more():
    rng = np.random.default_rng(1)
    labels = np.arange(600) % 10
    x = np.eye(10)[labels] + rng.normal(0, 0.1, (600, 10))
    signs = rng.choice([-1, 1], (600, 1))

    def error(x):
        return inside.read_out_error(
            (x[:300], x[300:]), (labels[:300], labels[300:])
        )

    assert error(x.reshape(600, 5, 2)) == 0
    assert error(1e-3 * x + 5) == 0
    assert error(signs * x) > 0.5
    assert error(np.ones((600, 2))) == pytest.approx(0.9)


def test_the_strongest_patches_are_cut_where_the_unit_looks():
    images = np.arange(1, 4, dtype=np.uint8)[:, None, None] * np.ones(
        (28, 28), np.uint8
    )
    images[1, 8:22, 10:24] = 200
    outputs = np.zeros((3, 10, 10, 2))
    outputs[1, 5, 6, 0], outputs[2, 0, 0, 0] = 2, 1
    outputs[0, 9, 9, 1], outputs[1, 0, 0, 1] = 2, 1
    found = inside.strongest_patches(LENET5, "C3", outputs, images, 2)
    assert found.shape == (2, 2, 14, 14)
    assert (found[0, 0] == 200).all()
    corner = np.pad(np.full((12, 12), 3), ((2, 0), (2, 0)))
    np.testing.assert_array_equal(found[1, 0], corner)
    assert (found[0, 1, :12, :12] == 1).all()
    assert not found[0, 1, 12:].any()


def test_the_nearest_is_the_one_at_the_least_distance():
    x, y = np.random.default_rng(2).random((2, 20, 4, 3)).astype(np.float32)
    distances = ((x[:, None] - y) ** 2).sum(axis=(2, 3))
    np.testing.assert_array_equal(inside.nearest(x, y), distances.argmin(axis=1))


def test_covering_paper_changes_nothing_and_covering_ink_does(model):
    image = np.zeros((28, 28), np.uint8)
    image[10:14, 10:14] = 255
    found = inside.occlusion(model, image)
    blank, whole = models.predict(model, np.stack([np.zeros_like(image), image]))
    assert found.shape == (28, 28, 10)
    np.testing.assert_allclose(found[12, 12], blank, atol=1e-6)
    for place in ((0, 0), (27, 27), (7, 12), (12, 16)):
        np.testing.assert_allclose(found[place], whole, atol=1e-6)
