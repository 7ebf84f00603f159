"""The optimizers of the loops against Keras's own: equal initial weights, equal batches, the weights after some steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_loops_gradients import keras_in

from lenet5lib import data, models
from lenet5lib.loops.network import Network
from lenet5lib.loops.trainer import Trainer
from lenet5lib.spec import (
    LENET5,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Pool,
)
from lenet5lib.training.keras_engine import compile_model
from lenet5lib.training.losses import CrossEntropy, Loss
from lenet5lib.training.recipe import Recipe

SEED = 3
SMALL = Architecture(
    "a small network",
    (14, 14, 1),
    (
        Conv("A", 3, 5, activation="relu"),
        Pool("B", "max", 2),
        Flatten(),
        Dense("C", 12, "tanh"),
        Dense("Output", 10, "softmax"),
    ),
)
DROPPING = Architecture(
    "a small network with dropout",
    SMALL.input_shape,
    (*SMALL.layers[:4], Dropout("Dropout", 0.5), SMALL.layers[4]),
)

CASES = {
    "adam": (SMALL, Recipe()),
    "adam with weight decay": (SMALL, Recipe(weight_decay=2.0)),
    "adam with averaged weights": (SMALL, Recipe(ema_decay=0.9)),
    "adam with smoothed labels": (SMALL, Recipe(label_smoothing=0.1)),
    "adam with dropout": (DROPPING, Recipe()),
    "gradient descent": (SMALL, Recipe(optimizer="sgd", learning_rate=0.05)),
    "momentum": (SMALL, Recipe(optimizer="sgd", learning_rate=0.05, momentum=0.9)),
    "averaged momentum": (
        SMALL,
        Recipe(optimizer="sgd", learning_rate=0.05, momentum=0.9, ema_decay=0.9),
    ),
}
"""Name to architecture and recipe."""


@pytest.fixture(scope="module")
def digits() -> data.Digits:
    """The first digits of the stand-in."""
    return data.stand_in().train.select(slice(2000))


def batches_of(count: int, batch_size: int, epochs: int = 1) -> np.ndarray:
    """Return the batches of some epochs, each in its own order, −1 for none at the end of an epoch's last."""
    rows = np.full((epochs, -(-count // batch_size) * batch_size), -1)
    rng = np.random.default_rng(SEED)
    for row in rows:
        row[:count] = rng.permutation(count)
    return rows.reshape(-1, batch_size)


CONSTANTS = (
    "beta_1",
    "beta_2",
    "epsilon",
    "momentum",
    "ema_momentum",
    "weight_decay",
)
"""Of Keras's optimizers, which round a Python number to float32 whatever the weights are, and a NumPy number not."""


class ByKeras:
    """The training of a Keras model, as plain as can be.

    Args:
        architecture, recipe, loss: what to train, and how.
        dtype: of all numbers.
    """

    def __init__(
        self, architecture: Architecture, recipe: Recipe, loss: Loss, dtype: str
    ) -> None:
        self.loss, self.dtype = loss, dtype
        with keras_in(dtype):
            self.model = compile_model(models.build(architecture, SEED), recipe)
        for name in CONSTANTS if dtype == "float64" else ():
            if isinstance(
                value := getattr(self.model.optimizer, name, None), float
            ):
                setattr(self.model.optimizer, name, np.float64(value))
        self.take = tf.function(self._take)

    def _take(self, x: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Take one step on a batch; return the sum of its losses before."""
        optimizer, variables = self.model.optimizer, self.model.trainable_variables
        for layer in self.model.layers:
            if isinstance(getattr(layer, "step", None), tf.Variable):
                layer.step.assign(tf.cast(optimizer.iterations, tf.int32))
        with tf.GradientTape() as tape:
            each = self.loss(labels, self.model(x, training=True))
            mean = tf.reduce_mean(each)
        optimizer.apply(tape.gradient(mean, variables), variables)
        return tf.reduce_sum(each)

    def steps(
        self, x: np.ndarray, labels: np.ndarray, batches: np.ndarray, rate: float
    ) -> float:
        """Take a step for each row; return the sum of the losses."""
        total = 0.0
        with keras_in(self.dtype):
            self.model.optimizer.learning_rate.assign(np.float64(rate))
            for row in batches:
                row = row[row >= 0]
                total += float(self.take(tf.constant(x[row]), labels[row]))
        return total

    def averages(self) -> list[np.ndarray]:
        """Return the averages of the trained weights."""
        optimizer = self.model.optimizer
        return [
            np.asarray(one) for one in optimizer._model_variables_moving_average
        ]


def pair_of(
    architecture: Architecture, recipe: Recipe, dtype: str, batch_size: int
) -> tuple[ByKeras, Trainer]:
    """Return both trainings with equal initial weights."""
    loss = CrossEntropy(recipe.label_smoothing)
    theirs = ByKeras(architecture, recipe, loss, dtype)
    network = Network(
        *(architecture, models.weights(theirs.model)),
        loss=loss,
        seed=SEED,
        dtype=np.dtype(dtype).type,
    )
    return theirs, Trainer(network, recipe, batch_size)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-6), ("float64", 1e-9)])
@pytest.mark.parametrize("name", CASES)
def test_twenty_steps_are_keras_s(name, dtype, limit, digits):
    """One step, then nineteen; the last batch of 20 is a shorter one."""
    architecture, recipe = CASES[name]
    theirs, mine = pair_of(architecture, recipe, dtype, batch_size=20)
    images, labels = digits.images[:391, 7:21, 7:21], digits.labels[:391]
    x = mine.network.levels()[images][..., np.newaxis]
    batches = batches_of(len(images), 20)
    assert (len(batches), (batches[-1] >= 0).sum()) == (20, 11)
    for some in (batches[:1], batches[1:]):
        rates = np.full(len(some), recipe.learning_rate)
        expected = theirs.steps(x, labels, some, recipe.learning_rate)
        loss, _ = mine.steps(images, labels, some, rates)
        assert loss == pytest.approx(expected, rel=limit)
        trained = [one for one in mine.network.plan.parameters if one.trained]
        pairs = [(mine.network.weights, theirs.model.trainable_variables)]
        if recipe.ema_decay:
            pairs.append((mine.ema, theirs.averages()))
        for flat, arrays in pairs:
            for one, array in zip(trained, arrays, strict=True):
                found = one.to_keras(one.piece.of(flat))
                off = np.abs(found - np.asarray(array)).max()
                assert off <= limit, f"{off:.1e} in {one.layer} of {name}"
    assert mine.iterations == 20


RELU = Architecture(
    "LeNet-5 with ReLU and max pooling",
    LENET5.input_shape,
    LENET5.with_hidden_activation("relu")
    .change("S2", mode="max")
    .change("S4", mode="max")
    .layers,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "dtype"),
    [(LENET5, "float32"), (RELU, "float64")],
    ids=["sigmoid", "relu"],
)
def test_loss_curves_of_three_epochs_are_keras_s(architecture, dtype, digits):
    """The mean loss of each epoch of 2,000 digits, to four decimals.

    With ReLU in float64: Keras's Adam computes 1 − 0.999^t in float32, which makes its steps 7 · 10⁻⁶ too short. Where a sum
    near 0 decides what is passed on, that grows, and the losses would differ in the third decimal.
    """
    theirs, mine = pair_of(architecture, Recipe(), dtype, batch_size=32)
    x = models.prepared(theirs.model, digits.images).astype(dtype)
    found = []
    for epoch in np.split(batches_of(len(x), 32, epochs=3), 3):
        rates = np.full(len(epoch), 1e-3)
        loss, _ = mine.steps(digits.images, digits.labels, epoch, rates)
        expected = theirs.steps(x, digits.labels, epoch, 1e-3) / len(x)
        found.append(loss / len(x))
        assert found[-1] == pytest.approx(expected, rel=0, abs=5e-5)
    assert found[2] < found[0]


def test_the_counts_of_correct_predictions_are_numpy_s(digits):
    """Each batch is counted before its step."""
    network = Network(SMALL, loss=CrossEntropy(), seed=SEED)
    images, labels = digits.images[:30, 7:21, 7:21], digits.labels[:30]
    expected = (network.predict(images).argmax(1) == labels).sum()
    trainer = Trainer(network, Recipe(), 30)
    _, correct = trainer.steps(images, labels, np.arange(30)[None], np.full(1, 0.1))
    assert correct == expected


def test_keras_is_left_as_it_was():
    assert keras.config.floatx() == "float32"
    with keras_in("float64"):
        assert keras.config.dtype_policy().name == "float64"
    assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"
