"""The training step: what training does with one batch, in Keras. Chapter 5 is about this module.

`keras_engine` runs this very function, as part of a TensorFlow graph.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from lenet5lib import models
from lenet5lib._keras import keras, tf
from lenet5lib.data import Digits
from lenet5lib.training.losses import Loss, require_probabilities


def train_step(
    model: keras.Model,
    loss: Loss,
    optimizer: keras.optimizers.Optimizer,
    images: tf.Tensor,
    labels: tf.Tensor,
    reduction: Callable[[tf.Tensor], tf.Tensor] = tf.reduce_mean,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Take one training step on a batch: forward pass, loss, gradients, update.

    Args:
        model: its trainable variables are updated.
        loss: gives the loss of each image, (n,).
        optimizer: built for these variables.
        images: float (n, height, width, channels), as the model reads them.
        labels: whole numbers, (n,).
        reduction: makes the one number that is minimised of the losses of the images.

    Returns:
        The losses (n,) and the outputs (n, classes) of the images, both before the update.
    """
    with tf.GradientTape() as tape:
        # The forward pass, dropout included; then the loss of each image.
        outputs = model(images, training=True)
        losses = loss(labels, outputs)
        batch_loss = reduction(losses)
    # The backward pass, and the update.
    gradients = tape.gradient(batch_loss, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return losses, outputs


def gradient_sizes(model: keras.Model, digits: Digits) -> pd.Series:
    """Return the mean absolute gradient of the cross-entropy on these images, for the kernel of each layer that has one."""
    kernels = {
        layer.name: layer.kernel
        for layer in model.layers
        if hasattr(layer, "kernel")
    }
    with tf.GradientTape() as tape:
        outputs = model(models.prepared(model, digits.images))
        require_probabilities(outputs.numpy())
        losses = keras.losses.sparse_categorical_crossentropy(
            digits.labels, outputs
        )
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, [kernel.value for kernel in kernels.values()])
    sizes = [float(tf.reduce_mean(tf.abs(gradient))) for gradient in gradients]
    return pd.Series(sizes, pd.Index(kernels, name="kernel of"))
