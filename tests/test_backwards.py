"""Chapter 6: the backward pass of one image against TensorFlow and differences, its loops, and the first steps."""

import numpy as np
import pytest
import tensorflow as tf

from lenet5lib import models, records
from lenet5lib.data import Digits
from lenet5lib.loops import plain
from lenet5lib.spec import LENET5
from lenet5lib.studies import backwards, first_steps
from lenet5lib.training import checkpoint

RNG = np.random.default_rng(0)
IMAGE, LABEL = RNG.random((28, 28, 1)), 3
NUM = 61_706


def trained():
    return checkpoint.load_model(records.weights("lenet5-200/seed-0").parent)


def tape(model):
    """Return the gradients by TensorFlow, as `backwards.gradients` does."""
    batch = tf.constant(IMAGE[np.newaxis], tf.float32)
    with tf.GradientTape() as recording:
        recording.watch(batch)
        loss = -tf.math.log(model(batch)[0, LABEL])
    wanted = [*model.trainable_variables, batch]
    *arrays, pixels = (one.numpy() for one in recording.gradient(loss, wanted))
    pairs = zip(arrays[::2], arrays[1::2], strict=True)
    return dict(zip(models.weights(model), pairs, strict=True)), pixels[0]


@pytest.mark.parametrize(
    "make", [lambda: models.build(LENET5, seed=1), trained], ids=["new", "trained"]
)
def test_three_witnesses_agree_in_each_of_61706(make):
    model = make()
    weights = models.weights(model)
    found, pixels = backwards.gradients(weights, IMAGE, LABEL)
    expected, expected_pixels = tape(model)
    # Logits above 10 lose some of float32's seven digits, so the trained network needs more room.
    assert backwards.num_agreeing(found, expected, 1e-4) == NUM
    np.testing.assert_allclose(
        pixels, expected_pixels, atol=1e-4 * np.abs(pixels).max()
    )
    moved = backwards.differences(weights, IMAGE, LABEL, 1e-5)
    assert backwards.num_agreeing(found, moved, 1e-5) == NUM


def test_the_gradient_at_the_pixels_is_that_of_differences():
    weights = models.weights(models.build(LENET5))
    _, pixels = backwards.gradients(weights, IMAGE, LABEL)
    for place in ((0, 0, 0), (0, 27, 0), (14, 9, 0), (27, 27, 0)):
        ends = []
        for sign in (1, -1):
            moved = IMAGE.copy()
            moved[place] += sign * 1e-2
            q = plain.forward(LENET5, weights, moved)["Output"]
            ends.append(plain.cross_entropy(q, LABEL))
        # So wide a step leaves digits in the difference of two losses near 2.3.
        assert pixels[place] == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-5)


def test_a_number_agrees_within_the_tolerance_of_its_array():
    expected = {"A": (np.array([10.0, 0.0]), np.array([0.0, 1.0]))}
    found = {"A": (np.array([10.09, 0.11]), np.array([0.0, 1.02]))}
    assert backwards.num_agreeing(found, expected, 0.01) == 2


def by_tape(function, *arrays):
    """Return the gradients of a function's sum, weighted by its last argument, for all others, in float64."""
    *inputs, g = (tf.constant(array, tf.float64) for array in arrays)
    with tf.GradientTape() as recording:
        recording.watch(inputs)
        total = tf.reduce_sum(g * function(*inputs))
    return [one.numpy() for one in recording.gradient(total, inputs)]


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (5, 5)])
def test_convolution_back_is_tensorflows(kernel):
    x, w, b = (
        RNG.normal(size=(2, 6, 7)),
        RNG.normal(size=(3, 2, *kernel)),
        np.ones(3),
    )
    g = RNG.normal(size=plain.convolve(x, w, b).shape)

    def convolve(x, w, b):
        read, kernels = (
            tf.transpose(x[None], (0, 2, 3, 1)),
            tf.transpose(w, (2, 3, 1, 0)),
        )
        y = tf.nn.convolution(read, kernels, padding="VALID") + b
        return tf.transpose(y[0], (2, 0, 1))

    gx, dw, db = by_tape(convolve, x, w, b, g)
    np.testing.assert_allclose(plain.convolve_inputs(g, w), gx, atol=1e-12)
    for found, expected in zip(plain.convolve_weights(x, g), (dw, db), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("mode", ["average", "max"])
@pytest.mark.parametrize("shape", [(2, 4, 6), (1, 5, 3)])
def test_pooling_back_is_tensorflows_ties_included(mode, shape):
    x = RNG.integers(0, 3, shape).astype(float)
    g = RNG.normal(size=plain.pool(x, mode=mode).shape)
    pool = {"average": tf.nn.avg_pool2d, "max": tf.nn.max_pool2d}[mode]

    def pooled(x):
        y = pool(tf.transpose(x[None], (0, 2, 3, 1)), 2, 2, "VALID")
        return tf.transpose(y[0], (2, 0, 1))

    (expected,) = by_tape(pooled, x, g)
    np.testing.assert_allclose(plain.pool_inputs(x, g, mode), expected)


def test_dense_and_sigmoid_back_are_tensorflows():
    x, w, b = RNG.normal(size=4), RNG.normal(size=(4, 3)), np.ones(3)
    g = RNG.normal(size=3)
    gx, dw, db = by_tape(
        lambda x, w, b: tf.linalg.matvec(w, x, True) + b, x, w, b, g
    )
    np.testing.assert_allclose(plain.dense_inputs(g, w), gx)
    for found, expected in zip(plain.dense_weights(x, g), (dw, db), strict=True):
        np.testing.assert_allclose(found, expected)
    (expected,) = by_tape(tf.sigmoid, w, RNG.normal(size=w.shape) * 0 + 2)
    given = np.full(w.shape, 2.0)
    np.testing.assert_allclose(
        plain.sigmoid_inputs(plain.sigmoid(w), given), expected
    )
    assert (given == 2).all(), "the argument is left as it was"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plain.dense_inputs(np.ones(3), np.ones((4, 2))), "(inputs, 3)"),
        (lambda: plain.sigmoid_inputs(np.ones(3), np.ones(2)), "expected (2)"),
        (
            lambda: plain.pool_inputs(np.ones((1, 4, 4)), np.ones((1, 4, 4))),
            "g has",
        ),
        (
            lambda: plain.convolve_weights(np.ones((3, 3)), np.ones((1, 2, 2))),
            "x has",
        ),
        (
            lambda: plain.convolve_inputs(
                np.ones((2, 3, 3)), np.ones((1, 1, 2, 2))
            ),
            "w has",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    assert words in str(caught.value)


def test_the_first_steps_begin_from_the_same_weights_and_differ_by_the_activation():
    points = np.linspace(-2, 2, 5)
    expected = {
        "sigmoid": plain.sigmoid(points),
        "sigmoid − ½": plain.sigmoid(points) - 0.5,
        "sigmoid(4z)": plain.sigmoid(4 * points),
        "tanh": np.tanh(points),
        "ReLU": np.maximum(points, 0),
    }
    assert list(first_steps.ACTIVATIONS) == list(expected)
    plainly = models.build(LENET5, seed=2).get_weights()
    outputs = []
    for name, values in expected.items():
        model = first_steps.build(name, seed=2)
        for one, other in zip(model.get_weights(), plainly, strict=True):
            np.testing.assert_array_equal(one, other)
        f6 = model.get_layer("F6").activation(tf.constant(points))
        np.testing.assert_allclose(f6, values, atol=1e-6)
        outputs.append(model(IMAGE[np.newaxis].astype(np.float32)).numpy().ravel())
    assert len(np.unique(np.round(outputs, 7), axis=0)) == len(expected)


def test_first_steps_are_means_of_ten_and_lower_the_loss(monkeypatch):
    monkeypatch.setattr(first_steps, "STEPS", 30)
    images = np.zeros((960, 28, 28), np.uint8)
    labels = np.arange(960) % 2
    images[labels == 1, 10:18, 10:18] = 255
    found = first_steps.train("tanh", 0, Digits(images, labels.astype(np.uint8)))
    assert found.shape == (3,)
    assert found[2] < 0.1 < 1 < found[0]


def test_the_recorded_first_steps_show_what_chapter_6_says():
    runs = first_steps.recorded()
    assert list(runs) == list(first_steps.ACTIVATIONS)
    assert all(one.shape == (3, 30) for one in runs.values())
    second = {name: one[:, 10:20].mean(axis=1) for name, one in runs.items()}
    assert np.abs(second.pop("sigmoid") - np.log(10)).max() < 0.05
    assert all(one.max() < 1.3 for one in second.values())
