"""Training with Keras: what `loop` asks of an engine, the training step as a TensorFlow graph.

The other engine is `loops_engine`. Chapters 5 and 7 train with this one.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from lenet5lib import data, models
from lenet5lib.data.mnist import Digits
from lenet5lib.lenet1998 import optimizer as lenet1998_optimizer
from lenet5lib.spec import Architecture
from lenet5lib.training import checkpoint
from lenet5lib.training.losses import Loss
from lenet5lib.training.recipe import Recipe

STEPS = 100
"""Steps that TensorFlow takes for each call from Python."""


class KerasEngine:
    """A Keras model, its optimizer, and the training step made one graph.

    Args:
        architecture: what to train.
        recipe: the hyperparameters.
        loss: to train by.
        seed: of the initial weights and of dropout.
        digits: to train on.
    """

    name = "keras"

    def __init__(
        self,
        architecture: Architecture,
        recipe: Recipe,
        loss: Loss,
        seed: int,
        digits: Digits,
    ) -> None:
        self.recipe, self.loss, self.seed = recipe, loss, seed
        built = models.build(architecture, seed, recipe.kernel_initializer)
        self.built = compile_model(built, recipe)
        self.images = data.fit(digits.images, architecture.input_shape)
        self.batch_size = min(int(recipe.batch_size), len(digits))
        self.pixels: tf.Tensor | None = None
        self.shown: np.ndarray | None = None
        self.many_steps = self._graph(architecture, digits)

    def _graph(self, architecture: Architecture, digits: Digits):
        """Return the function that takes up to 100 steps, as a graph."""
        labels = tf.constant(digits.labels.astype(np.int32))
        model, loss, optimizer = self.built, self.loss, self.built.optimizer
        variables = model.trainable_variables
        summed = getattr(optimizer, "summed", False)
        random = [layer for layer in model.layers if hasattr(layer, "step")]

        def step(pixels, rows, rate):
            """Take one step on the digits at these positions, −1 for none; return their losses' sum, the number right."""
            there = rows >= 0
            chosen = tf.maximum(rows, 0)
            truth = tf.gather(labels, chosen)
            weights = tf.cast(there, tf.float32)
            for layer in random:
                layer.step.assign(tf.cast(optimizer.iterations, tf.int32))
            optimizer.learning_rate.assign(rate)
            inputs = models.scaled(tf.gather(pixels, chosen), architecture.scale)
            with tf.GradientTape() as tape:
                outputs = model(inputs, training=True)
                each = weights * loss(truth, outputs)
                total = tf.reduce_sum(each)
                goal = total if summed else total / tf.reduce_sum(weights)
            optimizer.apply(tape.gradient(goal, variables), variables)
            predictions = tf.argmax(loss.best * outputs, 1, tf.int32)
            hits = (predictions == truth) & there
            return total, tf.reduce_sum(tf.cast(hits, tf.int32))

        def steps(pixels, batches, rates, count):
            """Take the first `count` of these steps; return the sum of the digits' losses and the number right."""

            def take(number, total, right):
                more, hits = step(pixels, batches[number], rates[number])
                return number + 1, total + more, right + hits

            start = (tf.constant(0), tf.constant(0.0), tf.constant(0))
            return tf.while_loop(lambda number, *_: number < count, take, start)[1:]

        # For one form of arguments: TensorFlow warns of functions that it traces for many.
        return tf.function(steps, autograph=False).get_concrete_function(
            tf.TensorSpec((len(digits), *architecture.input_shape), tf.uint8),
            tf.TensorSpec((STEPS, self.batch_size), tf.int32),
            tf.TensorSpec((STEPS,), tf.float32),
            tf.TensorSpec((), tf.int32),
        )

    @property
    def threads(self) -> int:
        """The number of threads."""
        given = tf.config.threading.get_intra_op_parallelism_threads()
        return given or os.cpu_count() or 1

    @property
    def versions(self) -> dict[str, str]:
        """The versions of what computes."""
        return {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        }

    def begin_epoch(self, images: np.ndarray, number: int, begun: bool) -> None:
        """Take the images of an epoch, uint8 (n, height, width); estimate the second derivatives where that is due."""
        if self.shown is not images:
            self.pixels = None  # Not two epochs' digits at a time.
            self.pixels = tf.constant(images[..., np.newaxis])
            self.shown = images
        # Within an epoch they are in the checkpoint.
        if self.recipe.optimizer == "levenberg-marquardt" and not begun:
            rows = lenet1998_optimizer.estimation_set(
                self.seed, number, of=len(images)
            )
            inputs = models.prepared(self.built, images[rows])
            found = lenet1998_optimizer.second_derivatives(
                self.built, self.loss, inputs
            )
            self.built.optimizer.set_second_derivatives(found)

    def steps(self, batches: np.ndarray, rates: np.ndarray) -> tuple[float, int]:
        """Take one step for each row of `batches` (steps, batch size), positions or −1; return loss and number correct."""
        rows = np.full((STEPS, self.batch_size), -1, np.int32)
        rows[: len(batches)] = batches
        all_rates = np.zeros(STEPS, np.float32)
        all_rates[: len(rates)] = rates
        total, right = self.many_steps(
            self.pixels,
            tf.constant(rows),
            tf.constant(all_rates),
            tf.constant(len(batches), tf.int32),
        )
        return total.numpy().item(), right.numpy().item()

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Return the network's output for uint8 images, (n, units)."""
        return models.outputs(self.built, images)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the average of the weights, where the recipe asks for one, for as long as the block lasts."""
        with lenet1998_optimizer.averaged(self.built):
            yield

    def take_average(self) -> None:
        """Take the average of the weights for good, where the recipe asks for one."""
        lenet1998_optimizer.take_average(self.built)

    def contents(self, with_optimizer: bool = True) -> bytes:
        """Return a weights file."""
        return checkpoint.keras_contents(self.built, with_optimizer)

    def restore(self, contents: bytes) -> None:
        """Take over weights and optimizer from a weights file that either engine wrote.

        Raises:
            ValueError: it does not fit.
        """
        self.built.load_weights(checkpoint.Memory(contents))

    def model(self) -> keras.Model:
        """Return the model."""
        return self.built


def compile_model(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Give the model its optimizer, the optimizer's state built so that loading can fill it."""
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
        mu = lenet1998_optimizer.MU if recipe.damping is None else recipe.damping
        optimizer = lenet1998_optimizer.DiagonalLevenbergMarquardt(rate, mu)
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)
    return model
