"""99 % in six seconds: the shortest ways to 99 % of MNIST's test digits, as recipes, and one function that runs them.

The layers are the article's, with ReLU, max pooling and He's initial weights; the learning rate makes one cycle. What else a
recipe says was chosen on the validation digits. Chapter 15 shows what came of it.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from itertools import accumulate

from lenet5lib import evaluation
from lenet5lib.data.mnist import Splits
from lenet5lib.spec import LENET5
from lenet5lib.training import loop
from lenet5lib.training.recipe import Recipe
from lenet5lib.training.schedules import OneCycle

ARCHITECTURE = (
    LENET5.with_hidden_activation("relu")
    .change("S2", mode="max")
    .change("S4", mode="max")
)


@dataclass(frozen=True)
class Speedrun:
    """A recipe for few seconds.

    Attributes:
        recipe: the hyperparameters.
        epochs: how many, the cycle of the learning rate among them.
    """

    recipe: Recipe
    epochs: int


def _one_cycle(
    batch_size: int, peak: float, epochs: int, **more: float
) -> Speedrun:
    """Return a recipe with one cycle of the learning rate."""
    rate = OneCycle(peak, epochs)
    return Speedrun(
        Recipe(batch_size, rate, kernel_initializer="he", **more), epochs
    )


RECIPES = {
    "six": _one_cycle(128, 0.008, 4, label_smoothing=0.05),
    "ten": _one_cycle(128, 0.008, 6, label_smoothing=0.05),
}
"""The recipes by the seconds that they are meant for."""


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        seed: of the run.
        seconds: of the training, validation and saving included.
        test_accuracy: of the last epoch's weights, 0 to 1; read once.
        curve: for each epoch the seconds until its end, and the accuracy on the validation digits.
    """

    seed: int
    seconds: float
    test_accuracy: float
    curve: list[list[float]]


def run(name: str, seed: int, splits: Splits, engine: str = "loops") -> Result:
    """Train by a recipe, in a folder that is removed afterwards, and read the test digits once.

    Args:
        name: one of `RECIPES`.
        seed: of the run.
        splits: the digits.
        engine: that trains.
    """
    chosen = RECIPES[name]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = loop.train(
            ARCHITECTURE,
            splits,
            folder,
            epochs=chosen.epochs,
            recipe=chosen.recipe,
            seed=seed,
            engine=engine,
            report=None,
        )
        seconds = time.perf_counter() - start
    outputs = done.engine.outputs(splits.test.images)
    found = evaluation.Evaluation(outputs, splits.test.labels)
    ends = accumulate(done.record.column("seconds"))
    pairs = zip(ends, done.record.column("val_accuracy"), strict=True)
    curve = [[round(end, 3), accuracy] for end, accuracy in pairs]
    return Result(seed, seconds, 1 - found.error, curve)
