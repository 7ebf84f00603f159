"""The losses beside the naive ones, their gradients, their limits, and the posterior that belongs to them."""

import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from naive import (
    cross_entropy,
    maximum_a_posteriori,
    maximum_likelihood,
    softmax,
)

from lenet5lib.lenet1998.layers import RBFOutput
from lenet5lib.spec import LENET5, LENET5_1998
from lenet5lib.training.losses import (
    RUBBISH_DISTANCE,
    CrossEntropy,
    MaximumAPosteriori,
    MaximumLikelihood,
    for_keras,
    make_loss,
    posterior,
)

RNG = np.random.default_rng(0)
DISTANCES = RNG.uniform(0, 30, (7, 10))
LABELS = RNG.integers(0, 10, 7).astype(np.uint8)
PROBABILITIES = RNG.dirichlet(np.ones(10), 7).astype(np.float32)
BY_LOOPS = [
    (MaximumLikelihood(), maximum_likelihood),
    (
        MaximumAPosteriori(),
        lambda y, t: maximum_a_posteriori(y, t, RUBBISH_DISTANCE),
    ),
    (
        MaximumAPosteriori(0.5),
        lambda y, t: maximum_a_posteriori(y, t, 0.5),
    ),
]
pairs = pytest.mark.parametrize(("loss", "naive"), BY_LOOPS)


@pairs
def test_each_loss_is_what_the_loops_compute(loss, naive):
    found = loss(LABELS, tf.constant(DISTANCES))
    expected = [naive(y, t) for y, t in zip(DISTANCES, LABELS, strict=True)]
    assert found.shape == (7,)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [
        *((loss, DISTANCES.astype(np.float32)) for loss, _ in BY_LOOPS),
        (CrossEntropy(), PROBABILITIES),
        (CrossEntropy(0.1), PROBABILITIES),
    ],
)
def test_without_tensorflow_each_loss_is_the_same(loss, outputs):
    found = loss.of_arrays(LABELS, outputs)
    np.testing.assert_allclose(found, loss(LABELS, tf.constant(outputs)), rtol=2e-6)


@pairs
@pytest.mark.parametrize("compiled", [False, True])
def test_each_gradient_is_the_slope_of_the_loops(loss, naive, compiled):
    def gradient(distances):
        with tf.GradientTape() as tape:
            tape.watch(distances)
            total = tf.reduce_sum(loss(LABELS, distances))
        return tape.gradient(total, distances)

    compute = tf.function(gradient, autograph=False, jit_compile=compiled)
    found = compute(tf.constant(DISTANCES)).numpy()
    step = 1e-5
    for n, i in itertools.product(range(7), range(10)):
        before, after = DISTANCES[n].copy(), DISTANCES[n].copy()
        before[i] -= step
        after[i] += step
        slope = (naive(after, LABELS[n]) - naive(before, LABELS[n])) / (2 * step)
        assert found[n, i] == pytest.approx(slope, abs=1e-8)


def test_cross_entropy_is_that_of_keras_bit_for_bit():
    expected = keras.losses.SparseCategoricalCrossentropy().call(
        LABELS, tf.constant(PROBABILITIES)
    )
    found = CrossEntropy()(LABELS, tf.constant(PROBABILITIES))
    np.testing.assert_array_equal(found, expected)
    by_hand = -np.log(PROBABILITIES[np.arange(7), LABELS])
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [1e-3, 0.05, 0.1, 0.5, 0.999])
def test_smoothed_cross_entropy_is_what_the_formula_says(smoothing):
    """The label's class is wanted with 1 − ε + ε/10, each other one with ε/10; the loss is −Σ wanted · ln given."""
    wanted = np.full((7, 10), smoothing / 10)
    wanted[np.arange(7), LABELS] += 1 - smoothing
    np.testing.assert_allclose(wanted.sum(axis=1), 1)
    given = PROBABILITIES.astype(float)
    given /= given.sum(axis=1, keepdims=True)
    # Keras keeps probabilities this far from 0, so that no logarithm is infinite.
    given = np.clip(given, keras.config.epsilon(), 1 - keras.config.epsilon())
    expected = -(wanted * np.log(given)).sum(axis=1)
    found = CrossEntropy(smoothing)(LABELS, tf.constant(PROBABILITIES))
    assert found.shape == (7,)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    plain = CrossEntropy()(LABELS, tf.constant(PROBABILITIES)).numpy()
    uniform = -np.log(given).mean(axis=1)
    mixed = (1 - smoothing) * plain + smoothing * uniform
    np.testing.assert_allclose(found, mixed, rtol=1e-5)


def test_a_smoothed_loss_is_least_where_the_answer_is_the_smoothed_label():
    """A certain answer costs more: what smoothing is for."""
    loss, labels = CrossEntropy(0.1), np.array([3])
    wanted = np.full((1, 10), 0.01)
    wanted[0, 3] = 0.91
    certain = np.full((1, 10), 1e-6)
    certain[0, 3] = 1 - 9e-6
    least, more = (
        float(loss(labels, tf.constant(answer, tf.float32))[0])
        for answer in (wanted, certain)
    )
    assert least == pytest.approx(-(wanted * np.log(wanted)).sum(), rel=1e-5)
    assert more > least + 0.5
    assert CrossEntropy()(labels, tf.constant(certain, tf.float32))[0] < least


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("largest", [1.0, 30.0, 1e4])
def test_a_smoothed_loss_and_its_gradient_are_finite(compiled, largest):
    """Even of probabilities that are 0 in float32, as a softmax of large numbers gives them."""
    logits = tf.constant(
        np.random.default_rng(2).normal(size=(7, 10)) * largest, tf.float32
    )

    def compute(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            each = CrossEntropy(0.1)(
                tf.constant(LABELS, tf.int32), tf.nn.softmax(logits)
            )
        return each, tape.gradient(each, logits)

    run = tf.function(compute, autograph=False, jit_compile=compiled)
    each, gradient = run(logits)
    assert np.isfinite(each).all()
    assert (each.numpy() > 0).all()
    assert np.isfinite(gradient).all()


def test_the_gradient_of_a_smoothed_loss_is_given_minus_wanted():
    logits = tf.constant(np.random.default_rng(3).normal(size=(7, 10)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        given = tf.nn.softmax(logits)
        total = tf.reduce_sum(CrossEntropy(0.2)(LABELS, given))
    wanted = np.full((7, 10), 0.02)
    wanted[np.arange(7), LABELS] += 0.8
    np.testing.assert_allclose(
        tape.gradient(total, logits), given - wanted, rtol=1e-4, atol=1e-6
    )


def test_a_loss_is_chosen_by_the_output_and_smoothed_where_asked():
    assert make_loss(LENET5, None, None) == CrossEntropy()
    assert make_loss(LENET5, "cross-entropy", None, 0.1) == CrossEntropy(0.1)
    assert make_loss(LENET5, None, None, 0.1) == CrossEntropy(0.1)
    assert make_loss(LENET5_1998, None, 3.0) == MaximumAPosteriori(3.0)
    assert make_loss(LENET5_1998, "maximum likelihood", None) == MaximumLikelihood()


@pytest.mark.parametrize(
    "name", [None, "maximum a posteriori", "maximum likelihood"]
)
def test_distances_have_no_labels_to_smooth(name):
    with pytest.raises(ValueError, match=r"label_smoothing is 0\.1") as caught:
        make_loss(LENET5_1998, name, None, 0.1)
    assert (name or "maximum a posteriori") in str(caught.value)


def test_without_the_rubbish_class_equation_nine_is_cross_entropy_of_minus_the_distances():
    found = MaximumAPosteriori(j=1e6)(LABELS, tf.constant(DISTANCES))
    expected = [
        cross_entropy(softmax(-y), t)
        for y, t in zip(DISTANCES, LABELS, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_equation_nine_is_zero_or_more_and_no_number_is_lost_or_too_large():
    extreme = np.array([[0.0] + [620.0] * 9, [620.0] + [0.0] * 9, [1e-4] * 10])
    for j in (1e-3, 12.0, 700.0):
        found = MaximumAPosteriori(j)(
            np.zeros(3, int), tf.constant(extreme, tf.float32)
        )
        exact = [
            y[0]
            - np.minimum(y.min(), j)
            + np.log(np.exp(np.minimum(y.min(), j) - np.append(y, j)).sum())
            for y in extreme
        ]
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-7)
        assert (found.numpy() >= 0).all()


def test_a_distance_far_beyond_j_is_not_pushed_up_any_more():
    distances = tf.constant([[1.0, 3.0, 40.0]])
    with tf.GradientTape() as tape:
        tape.watch(distances)
        loss = MaximumAPosteriori(j=5.0)(np.array([0]), distances)
    own, near, far = tape.gradient(loss, distances).numpy()[0]
    assert own > 0 > near
    assert -1e-12 < far <= 0


@pytest.mark.parametrize(
    "function", [MaximumAPosteriori, lambda j: posterior(DISTANCES, j)]
)
@pytest.mark.parametrize("j", [0, -1, float("nan"), float("inf"), "1", None])
def test_a_j_that_is_not_above_zero_is_refused(function, j):
    with pytest.raises(ValueError, match=re.escape(f"j is {j!r};")):
        function(j)


def test_losses_are_values():
    assert CrossEntropy() == CrossEntropy(smoothing=0.0) != CrossEntropy(0.1)
    assert MaximumAPosteriori(3.0) == MaximumAPosteriori(j=3.0)
    assert MaximumAPosteriori() == MaximumAPosteriori(RUBBISH_DISTANCE)


def test_the_posterior_and_the_rubbish_class_share_one():
    found = posterior(DISTANCES, j=4.0)
    powers = np.exp(-DISTANCES)
    expected = powers / (np.exp(-4.0) + powers.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (found.sum(axis=1) < 1).all()
    of_label = -np.log(found[np.arange(7), LABELS])
    loss = MaximumAPosteriori(4.0)(LABELS, tf.constant(DISTANCES))
    np.testing.assert_allclose(of_label, loss, rtol=1e-9)


@pytest.mark.parametrize("largest", [1.0, 84.0, 620.0, 1e6])
def test_the_most_probable_digit_is_the_nearest_however_far_it_is(largest):
    distances = np.random.default_rng(1).uniform(0.9, 1, (500, 10)) * largest
    distances = distances.astype(np.float32)
    found = posterior(distances)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found.argmax(axis=1), distances.argmin(axis=1))


@pytest.mark.parametrize("loss", [MaximumLikelihood(), MaximumAPosteriori()])
def test_keras_trains_with_a_loss_of_the_library(loss):
    inputs = keras.Input((84,))
    outputs = RBFOutput()(keras.layers.Dense(84)(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.01), for_keras(loss))
    values = np.random.default_rng(0).normal(size=(10, 84)).astype("float32")
    expected = tf.reduce_mean(loss(np.arange(10), model(values))).numpy()
    found = model.train_on_batch(values, np.arange(10))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert model.train_on_batch(values, np.arange(10)) < found
