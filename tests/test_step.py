"""The training step: Keras's own step comes to the same weights, and the engine runs this one."""

import ast
import dataclasses
import inspect

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

from lenet5lib import models
from lenet5lib.spec import LENET5, LENET5_1998, Dropout
from lenet5lib.training import keras_engine, loop, losses, step
from lenet5lib.training.recipe import Recipe

RELU = LENET5.with_hidden_activation("relu")
DROPOUT = dataclasses.replace(
    RELU, layers=(*RELU.layers[:-1], Dropout("Dropout", 0.5), RELU.layers[-1])
)
RECIPES = {
    "Adam": (RELU, Recipe(learning_rate=0.01)),
    "Adam with weight decay": (RELU, Recipe(weight_decay=0.1)),
    "momentum": (RELU, Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9)),
    "label smoothing": (RELU, Recipe(learning_rate=0.01, label_smoothing=0.1)),
    "dropout": (DROPOUT, Recipe(learning_rate=0.01)),
    "RBF": (LENET5_1998, Recipe(learning_rate=0.001)),
}
LEVENBERG = Recipe(20, 1e-4, optimizer="levenberg-marquardt", damping=0.02)


def compiled(architecture, recipe) -> keras.Model:
    """A model with its initial weights and its optimizer."""
    model = models.build(architecture, 0, recipe.kernel_initializer)
    return keras_engine.compile_model(model, recipe)


def make_loss(architecture, recipe) -> losses.Loss:
    return losses.make_loss(architecture, None, None, recipe.label_smoothing)


def batches(model, count=3, size=20):
    """Images as the model reads them, with their labels, in batches."""
    digits = small.splits().train
    for first in range(0, count * size, size):
        part = slice(first, first + size)
        images = models.prepared(model, digits.images[part])
        yield tf.constant(images), digits.labels[part].astype(np.int32)


def assert_same_weights(model, other):
    for weights, others in zip(
        model.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_allclose(weights, others, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_ends_with_the_weights_of_train_on_batch(name):
    architecture, recipe = RECIPES[name]
    loss = make_loss(architecture, recipe)
    model, other = (compiled(architecture, recipe) for _ in range(2))
    other.compile(other.optimizer, losses.for_keras(loss))
    start = model.get_weights()
    for images, labels in batches(model):
        found, outputs = step.train_step(
            model, loss, model.optimizer, images, labels
        )
        assert found.shape == (20,)
        assert outputs.shape == (20, 10)
        other.reset_metrics()  # Or it returns the mean of all batches so far.
        expected = other.train_on_batch(images, labels)
        assert np.mean(found) == pytest.approx(float(expected), rel=1e-5)
    assert_same_weights(model, other)
    assert np.abs(model.get_weights()[0] - start[0]).max() > 1e-4


@pytest.mark.parametrize(
    ("architecture", "recipe", "reduction", "count"),
    [
        (RELU, Recipe(20, 0.001), tf.reduce_mean, 47),
        (DROPOUT, Recipe(20, 0.001), tf.reduce_mean, 60),
        (LENET5_1998, LEVENBERG, tf.reduce_sum, 47),
    ],
)
def test_the_engine_takes_this_step_on_each_batch(
    architecture, recipe, reduction, count
):
    """A last batch of 7 images is given here without filling it up to 20. Dropout's masks are those of the step."""
    splits = small.splits().limit(count, 10)
    config = loop.configuration(architecture, splits, recipe, 0)
    loss = make_loss(architecture, recipe)
    engine = keras_engine.KerasEngine(config, loss, splits.train)
    engine.begin_epoch(engine.images, 1, begun=False)
    rows = np.where(np.arange(60) < count, np.arange(60), -1).reshape(3, 20)
    rates = np.array([1, 0.5, 0.2]) * recipe.learning_rate
    model = compiled(architecture, recipe)
    for ours, theirs in zip(
        model.optimizer.variables, engine.model().optimizer.variables, strict=True
    ):
        ours.assign(theirs)
    total, num_correct = engine.train_steps(rows, rates.astype(np.float32))
    expected, correct = 0.0, 0
    for number, (row, rate) in enumerate(zip(rows, rates, strict=True)):
        row = row[row >= 0]
        if architecture is DROPOUT:
            model.get_layer("Dropout").step.assign(number)
        labels = splits.train.labels[row].astype(np.int32)
        images = tf.constant(models.prepared(model, splits.train.images[row]))
        model.optimizer.learning_rate.assign(rate)
        found, outputs = step.train_step(
            model, loss, model.optimizer, images, labels, reduction
        )
        expected += float(tf.reduce_sum(found))
        scores = loss.score_sign * outputs.numpy()
        correct += int((scores.argmax(axis=1) == labels).sum())
    assert total == pytest.approx(expected, rel=1e-5)
    assert num_correct == correct
    assert_same_weights(engine.model(), model)


def test_the_step_can_be_read_at_a_glance():
    source = inspect.getsource(step.train_step)
    (function,) = ast.parse(source).body
    docstring, *body = function.body
    kinds = {type(node) for part in body for node in ast.walk(part)}
    assert not kinds & {ast.If, ast.IfExp, ast.For, ast.While, ast.Lambda}
    code = [
        line
        for n, line in enumerate(source.splitlines(), 1)
        if not docstring.lineno <= n <= docstring.end_lineno
        and line.strip()
        and not line.strip().startswith("#")
    ]
    assert len(code) <= 15


def test_the_engine_traces_the_function_that_the_chapter_shows(monkeypatch):
    seen = []

    def train_step(*arguments):
        seen.append(arguments)
        return step.train_step(*arguments)

    monkeypatch.setattr(keras_engine, "train_step", train_step)
    assert keras_engine.train_step is not step.train_step
    splits = small.splits().limit(20, 10)
    config = loop.configuration(RELU, splits, Recipe(), 0)
    keras_engine.KerasEngine(config, losses.CrossEntropy(), splits.train)
    assert len(seen) == 1
