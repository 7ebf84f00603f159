"""Exercises of chapter 5: training."""

from __future__ import annotations

from math import ceil, log2, log10

import numpy as np

from lenet5lib import data
from lenet5lib.exercises import (
    NumericAnswer,
    Unanswered,
    attempt,
    exercise,
    number_exercise,
)
from lenet5lib.loops import plain


@number_exercise("05.1", "a whole number of steps")
def steps() -> NumericAnswer:
    digits = sum(data.MNIST_FACTS["digits of each class"])
    batch, epochs = 128, 5
    return NumericAnswer(
        ceil(digits / batch) * epochs,
        [
            (
                digits // batch * epochs,
                "The last batch of each epoch is smaller, but it is a step too.",
            ),
            (ceil(digits / batch), "That is one epoch."),
            (
                ceil(digits * epochs / batch),
                "A batch does not reach into the next epoch: round up in each epoch.",
            ),
            (
                digits * epochs,
                "That is how many digits are read. A step reads 128 of them.",
            ),
        ],
        "Steps in an epoch, rounded up, times epochs.",
    )


@number_exercise("05.2", "a loss in nats, to three decimals")
def loss() -> NumericAnswer:
    q = plain.softmax(np.array([3.0, 1.0, 0.0]))
    label = 1
    right = plain.cross_entropy(q, label)
    return NumericAnswer(
        right,
        [
            (
                plain.cross_entropy(q, 0),
                "That is the loss if the label were 0. Classes are counted from 0.",
            ),
            (
                plain.cross_entropy(q, 2),
                "That is the loss if the label were 2. Classes are counted from 0.",
            ),
            (
                -right,
                "The loss has a minus sign in front of the logarithm and is never negative.",
            ),
            (
                -log2(q[label]),
                "That is in bits. The loss takes the natural logarithm.",
            ),
            (
                -log10(q[label]),
                "That is with the logarithm to base 10. The loss takes the natural one.",
            ),
            (
                float(q[label]),
                "That is the probability of the label. The loss is minus its logarithm.",
            ),
            (1 - float(q[label]), "That is the probability of all other classes."),
        ],
        "First the softmax (5.1), then minus the logarithm of the label's probability (5.2).",
        tolerance=2e-3,
    )


@exercise("05.3", "a function that takes logits and returns probabilities")
def stable_softmax(answer) -> str:
    sums = np.array([2.0, 1.0, 0.0])
    found = np.asarray(attempt(answer, sums), dtype=float)
    if found.shape != sums.shape:
        return f"For three logits it returns the shape {found.shape}; expected three probabilities."
    if np.allclose(found, np.exp(sums)):
        return "Those are the powers of e. Divide each by their total."
    if not np.allclose(found, plain.softmax(sums)):
        return f"For the logits 2, 1 and 0 it gives {found.round(3).tolist()}; the chapter has [0.665, 0.245, 0.09]."
    for large in (
        np.array([1000.0, 0.0, -5.0]),
        np.array([-1000.0, -1000.0, -1001.0]),
        np.array([2000.0, 0.0, 0.0]),
        np.array([1000.0] + 9 * [0.0]),
    ):
        with np.errstate(all="ignore"):
            found = np.asarray(attempt(answer, large), dtype=float)
        if not np.isfinite(found).all():
            return (
                f"For the logits {large.tolist()} it gives {found.tolist()}: e to such a power is too large or too small. "
                "What happens to the probabilities if the same number is subtracted from every logit?"
            )
        if not np.allclose(found, plain.softmax(large)):
            return f"For the logits {large.tolist()} it gives {found.round(3).tolist()}, which are not the probabilities."
    return ""


def _watched():
    """Return (model, loss) of exercise 5.4: a network that notes how it was called, and a loss for whole labels."""
    from lenet5lib._keras import keras

    class Watched(keras.Sequential):
        training: bool | None = None

        def call(self, inputs, training=None):
            self.training = training
            return super().call(inputs, training=training)

    def cross_entropy(labels, probabilities):
        if len(np.shape(labels)) != 1:
            raise ValueError(
                "the labels are no longer whole numbers; expected the labels as given"
            )
        return keras.losses.sparse_categorical_crossentropy(labels, probabilities)

    layers = keras.layers.Dropout(0.0), keras.layers.Dense(3, activation="softmax")
    return Watched([keras.Input((6,)), *layers]), cross_entropy


def _step_mistake(ratio: float, count: int, updates: int) -> str:
    """Return the hint for a step of exercise 5.4, "" if it is right.

    Args:
        ratio: of the move to the gradient of the mean loss; NaN if it is not the same everywhere.
        count: of the images.
        updates: how often the optimizer was applied.
    """
    if np.isclose(ratio, 0.1, rtol=1e-3):
        return "The weights move with the gradient: uphill. `optimizer.apply` subtracts it by itself."
    if np.isclose(ratio, -0.1 * count, rtol=1e-3):
        return "The step is as many times too long as there are images. Take the mean of the losses, not their sum."
    if updates > 1:
        return f"The update is made {updates} times. One batch is one step."
    if not np.isclose(ratio, -0.1, rtol=1e-3):
        return "The weights have moved, but not by −0.1 times the gradient of the mean loss, as SGD at that rate moves them."
    return ""


@exercise("05.4", "a function that takes one step and returns the mean loss")
def training_step(answer) -> str:
    from lenet5lib._keras import keras, tf

    if not callable(answer):
        return f"The answer is {answer!r}; expected a function. Give its name, without calling it."
    rng, (model, loss) = np.random.default_rng(0), _watched()
    images, labels = rng.random((8, 6)).astype("float32"), rng.integers(3, size=8)
    with tf.GradientTape() as tape:
        before = tf.reduce_mean(loss(labels, model(images)))
    slopes = tape.gradient(before, model.trainable_variables)
    start, model.training = model.get_weights(), None
    optimizer = keras.optimizers.SGD(0.1)
    try:
        found = answer(model, loss, optimizer, images, labels)
    except Exception as error:
        return f"The function fails with {type(error).__name__}: {error}"
    pairs = zip(model.get_weights(), start, strict=True)
    moved = np.concatenate([(end - one).ravel() for end, one in pairs])
    g = np.concatenate([np.ravel(slope) for slope in slopes])
    if not moved.any():
        if found is None:
            raise Unanswered
        return "No weight has moved. Give the gradients and the variables to `optimizer.apply`."
    ratio = float(moved @ g / (g @ g))
    ratio = ratio if np.allclose(moved, ratio * g, atol=1e-6) else float("nan")
    if hint := _step_mistake(ratio, len(labels), int(optimizer.iterations)):
        return hint
    if model.training is not True:
        return "Dropout is not at work: call model(images, training=True)."
    if found is None or np.size(found) != 1:
        return f"It returns {found!r}; expected the mean loss of the batch, one number."
    if not np.isclose(float(np.squeeze(found)), float(before)):
        return f"It returns {float(np.squeeze(found)):.4f}; the mean loss before the update is {float(before):.4f}."
    return ""
