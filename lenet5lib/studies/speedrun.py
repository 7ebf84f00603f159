"""99 % in six seconds: the shortest ways to 99 % of MNIST's test images, as recipes, and one function that runs them.

The network is the article's with ReLU, max pooling and He's initial weights; the learning rate makes one cycle. The rest of
a recipe was chosen on the validation images. Chapter 15 shows the recorded runs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd

from lenet5lib import evaluation
from lenet5lib.data import Splits
from lenet5lib.spec import LENET5_RELU_MAX
from lenet5lib.training import loop
from lenet5lib.training.recipe import Recipe
from lenet5lib.training.schedules import OneCycle


@dataclass(frozen=True)
class Speedrun:
    """A recipe, and the number of epochs, which is the length of its learning-rate cycle."""

    recipe: Recipe
    epochs: int


def _one_cycle(epochs: int) -> Speedrun:
    """Return a recipe with one cycle of the learning rate."""
    rate = OneCycle(0.008, epochs)
    recipe = Recipe(128, rate, kernel_initializer="he", label_smoothing=0.05)
    return Speedrun(recipe, epochs)


RECIPES = {"six": _one_cycle(4), "ten": _one_cycle(6)}
"""The recipes by the seconds that they are meant for."""


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes:
        seed: of the run.
        seconds: of the training run, validation and saving included.
        test_accuracy: of the last epoch's weights, 0 to 1; read once.
        curve: for each epoch the seconds until its end, and the accuracy on the validation images.
    """

    seed: int
    seconds: float
    test_accuracy: float
    curve: list[list[float]]


def run(name: str, seed: int, splits: Splits, engine: str = "loops") -> Result:
    """Train by a recipe, in a folder that is removed afterwards, and read the test images once.

    Args:
        name: one of `RECIPES`.
        seed: of the run.
        splits: the data.
        engine: that trains.
    """
    chosen = RECIPES[name]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = loop.train(
            LENET5_RELU_MAX,
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


def _recorded(result: dict[str, Any]) -> Iterator[tuple[str, int, list[dict]]]:
    """Yield name, epochs and runs of each recipe and engine that `benchmarks/speedrun.py` recorded, runs by seconds."""
    for name, recipe in result["recipes"].items():
        for engine in ("loops", "keras"):
            ordered = sorted(recipe[engine], key=lambda run: run["seconds"])
            yield f"{name}, {engine}", recipe["epochs"], ordered


def recorded_curves(result: dict[str, Any]) -> dict[str, list[list[float]]]:
    """Return a curve for each recipe and engine of a recorded speedrun, of the run with the median of the seconds.

    Returns:
        "recipe, engine" to pairs of seconds and accuracy on the validation images, a pair per epoch.
    """
    found = _recorded(result)
    return {name: runs[len(runs) // 2]["curve"] for name, _, runs in found}


def recorded_table(result: dict[str, Any]) -> pd.DataFrame:
    """Return a recorded speedrun as a table.

    Returns:
        A row for each recipe and engine: `epochs`; `seeds`; `test accuracy, %`, the mean over the seeds; `lowest, %`;
        `seconds`, the median over the seeds.
    """
    rows = {}
    for name, epochs, runs in _recorded(result):
        accuracies = [100 * run["test_accuracy"] for run in runs]
        rows[name] = {
            "epochs": epochs,
            "seeds": len(runs),
            "test accuracy, %": float(np.mean(accuracies)),
            "lowest, %": min(accuracies),
            "seconds": float(np.median([run["seconds"] for run in runs])),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
