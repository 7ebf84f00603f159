"""The first steps of training at given learning rates: chapter 5's experiment and its range test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lenet5lib import models
from lenet5lib._keras import keras, tf
from lenet5lib.data import Digits
from lenet5lib.training import loop, losses, step


def losses_at(
    model: keras.Model, rates: Sequence[float], digits: Digits, seed: int = 0
) -> np.ndarray:
    """Train by Adam, a step on 32 images at each learning rate; return the loss of each step, in nats.

    Args:
        model: its weights are changed.
        rates: the learning rates, one for each step.
        digits: to train on; as many steps as one epoch has at most.
        seed: of the order.
    """
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    # One loss for all steps: for each new one TensorFlow would trace the step again.
    take, loss, found = tf.function(step.train_step), losses.CrossEntropy(), []
    order = loop.epoch_order(seed, 1, len(digits))[: 32 * len(rates)]
    for rate, rows in zip(rates, order.reshape(-1, 32), strict=True):
        optimizer.learning_rate = rate
        images = tf.constant(models.prepared(model, digits.images[rows]))
        labels = tf.constant(digits.labels[rows])
        found.append(take(model, loss, optimizer, images, labels)[0].numpy().mean())
    return np.array(found)
