"""Training with Keras: the training step of `step`, repeated inside one TensorFlow graph. Chapters 5 and 7 train with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from lenet5lib import models
from lenet5lib._keras import keras, tf
from lenet5lib.data import Digits
from lenet5lib.lenet1998 import optimizer as lenet1998_optimizer
from lenet5lib.records import Config
from lenet5lib.training import checkpoint
from lenet5lib.training.engine import Engine
from lenet5lib.training.losses import Loss
from lenet5lib.training.recipe import Recipe
from lenet5lib.training.step import train_step


class KerasEngine(Engine):
    """A Keras model and its optimizer; see `Engine`."""

    name = "keras"
    packages = ("tensorflow", "keras", "numpy")

    def __init__(self, config: Config, loss: Loss, digits: Digits) -> None:
        super().__init__(config, loss, digits)
        architecture, recipe = config.architecture, config.recipe
        model = models.build(architecture, config.seed, recipe.kernel_initializer)
        self.trained = compile_model(model, recipe)
        self.pixels: tf.Tensor | None = None
        self.epoch_images: np.ndarray | None = None
        self.graph = self._graph(tf.constant(digits.labels.astype(np.int32)))

    def _graph(self, labels: tf.Tensor) -> Callable:
        """Return a graph that takes pixels, batches and learning rates; see `train_steps`."""

        def train_steps(pixels, batches, learning_rates):
            def next_step(step, loss, num_correct):
                batch = pixels, labels, batches[step], learning_rates[step]
                step_loss, step_correct = self._train_step(*batch)
                return step + 1, loss + step_loss, num_correct + step_correct

            def unfinished(step, loss, num_correct):
                return step < tf.shape(batches)[0]

            start = tf.constant(0), tf.constant(0.0), tf.constant(0)
            return tf.while_loop(unfinished, next_step, start)[1:]

        # Traced once, for arrays of these shapes; the number of steps is free.
        return tf.function(train_steps, autograph=False).get_concrete_function(
            tf.TensorSpec(
                (len(labels), *self.config.architecture.input_shape), tf.uint8
            ),
            tf.TensorSpec((None, self.batch_size), tf.int32),
            tf.TensorSpec((None,), tf.float32),
        )

    def _train_step(self, pixels, labels, rows, learning_rate):
        """Take one step on the images at these positions, −1 for none; return their summed loss and the number correct."""
        model, optimizer = self.trained, self.trained.optimizer
        # The last batch of an epoch is filled up with the first image, which counts 0.
        present, rows = rows >= 0, tf.maximum(rows, 0)
        weights = tf.cast(present, tf.float32)

        def summed(losses):
            return tf.reduce_sum(weights * losses)

        def mean(losses):
            return summed(losses) / tf.reduce_sum(weights)

        sums = getattr(optimizer, "expects_sum_of_losses", False)
        optimizer.learning_rate.assign(learning_rate)
        for layer in model.layers:
            if hasattr(layer, "step"):  # Dropout: its masks depend on the step.
                layer.step.assign(tf.cast(optimizer.iterations, tf.int32))
        images = models.scaled(
            tf.gather(pixels, rows), self.config.architecture.pixel_range
        )
        labels = tf.gather(labels, rows)
        losses, outputs = train_step(
            model, self.loss, optimizer, images, labels, summed if sums else mean
        )
        predictions = tf.argmax(self.loss.score_sign * outputs, 1, tf.int32)
        correct = (predictions == labels) & present
        return summed(losses), tf.reduce_sum(tf.cast(correct, tf.int32))

    @property
    def threads(self) -> int:
        given = tf.config.threading.get_intra_op_parallelism_threads()
        return given or os.cpu_count() or 1

    def begin_epoch(self, images: np.ndarray, epoch: int, begun: bool) -> None:
        if self.epoch_images is not images:
            self.pixels = None  # So that memory holds one epoch's images, not two.
            self.pixels = tf.constant(images[..., np.newaxis])
            self.epoch_images = images
        # Within an epoch the second derivatives are in the checkpoint.
        if self.config.recipe.optimizer == "levenberg-marquardt" and not begun:
            rows = lenet1998_optimizer.estimation_set(
                self.config.seed, epoch, of=len(images)
            )
            inputs = models.prepared(self.trained, images[rows])
            found = lenet1998_optimizer.second_derivatives(
                self.trained, self.loss, inputs
            )
            self.trained.optimizer.set_second_derivatives(found)

    def train_steps(
        self, batches: np.ndarray, learning_rates: np.ndarray
    ) -> tuple[float, int]:
        arrays = tf.constant(batches, tf.int32), tf.constant(learning_rates)
        loss, num_correct = self.graph(self.pixels, *arrays)
        return loss.numpy().item(), num_correct.numpy().item()

    def is_finite(self) -> bool:
        trained = self.trained.trainable_variables
        return all(np.isfinite(one.numpy()).all() for one in trained)

    def outputs(self, images: np.ndarray) -> np.ndarray:
        return models.outputs(self.trained, images)

    def ema_weights(self) -> AbstractContextManager[None]:
        return ema_weights(self.trained)

    def use_ema_weights(self) -> None:
        use_ema_weights(self.trained)

    def contents(self, with_optimizer: bool = True) -> bytes:
        return checkpoint.keras_contents(self.trained, with_optimizer)

    def restore(self, contents: bytes) -> None:
        self.trained.load_weights(checkpoint.Memory(contents))

    def model(self) -> keras.Model:
        return self.trained


def compile_model(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Give a model its optimizer, built, so that its state can be loaded; return the model."""
    rate = float(recipe.learning_rates(np.zeros(1), 1, [])[0])
    average = {}
    if recipe.ema_decay:
        average = {"use_ema": True, "ema_momentum": recipe.ema_decay}
    if recipe.optimizer == "adam":
        decay = recipe.weight_decay or None
        optimizer = keras.optimizers.Adam(rate, weight_decay=decay, **average)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    elif recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=recipe.momentum, **average)
    else:
        given = recipe.damping
        damping = lenet1998_optimizer.DAMPING if given is None else given
        optimizer = lenet1998_optimizer.DiagonalLevenbergMarquardt(rate, damping)
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)
    return model


def use_ema_weights(model: keras.Model) -> None:
    """Replace a model's weights by their exponential moving average, if its optimizer keeps one."""
    model.optimizer.finalize_variable_values(model.trainable_variables)


@contextmanager
def ema_weights(model: keras.Model) -> Iterator[None]:
    """Use the exponential moving average of a model's weights inside a `with` block, if its optimizer keeps one.

    Afterwards the model has its own weights again, bit for bit.
    """
    variables = model.trainable_variables if model.optimizer.use_ema else []
    own = [variable.numpy() for variable in variables]
    use_ema_weights(model)
    try:
        yield
    finally:
        for variable, values in zip(variables, own, strict=True):
            variable.assign(values)
