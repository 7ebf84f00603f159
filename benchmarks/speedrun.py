"""Measure the way to 99 % of the test digits: short recipes, several seeds, by the loops and by Keras. Writes JSON.

A recipe is ReLU for sigmoid, max pooling, He's initial weights and one cycle of the learning rate over a few epochs. Seconds
are those of the whole training, validation and saving included; the loops are compiled before, which is timed apart. Test
digits are read once for each network, after training. Chapter 14 shows the result.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import load
import run

from lenet5lib import data, files, training
from lenet5lib.loops import network
from lenet5lib.recipe import OneCycle, Recipe
from lenet5lib.spec import LENET5, Pool

GOAL = 0.99
ARCHITECTURE = LENET5.with_hidden_activation("relu")
for layer in LENET5.layers:
    if isinstance(layer, Pool):
        ARCHITECTURE = ARCHITECTURE.change(layer.name, mode="max")
RECIPES = {
    f"{epochs} epochs, batch {batch}": (epochs, batch, peak)
    for epochs, batch, peak in ((4, 128, 0.004), (4, 64, 0.003))
}
"""Name to epochs, batch size and the highest learning rate."""


def train(splits: data.Splits, name: str, seed: int, engine: str) -> dict[str, Any]:
    """Train one network and return its seconds, its curve on validation and its accuracy on the test digits."""
    epochs, batch_size, peak = RECIPES[name]
    recipe = Recipe(batch_size, OneCycle(peak, epochs), initial="he")
    asked = {"epochs": epochs, "recipe": recipe, "seed": seed, "engine": engine}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = training.train(ARCHITECTURE, splits, folder, **asked, report=None)
        seconds = time.perf_counter() - start
    outputs = done.engine.outputs(splits.test.images)
    correct = outputs.argmax(axis=1) == splits.test.labels
    ends = accumulate(done.record.column("seconds"))
    curve = list(zip(ends, done.record.column("val_accuracy"), strict=True))
    return {
        "seed": seed,
        "seconds": seconds,
        "test_accuracy": float(correct.mean()),
        "curve": [[round(end, 3), value] for end, value in curve],
    }


def compile_seconds(splits: data.Splits) -> float:
    """Return the seconds of a training on two batches, which leaves the loops compiled."""
    start = time.perf_counter()
    for name in RECIPES:
        train(splits.small(train=256, validation=16), name, 0, "loops")
    return time.perf_counter() - start


def measure(splits: data.Splits, seeds: int) -> dict[str, Any]:
    """Return what was measured for each recipe: the loops with each seed, Keras with the first."""
    found = {}
    for name, (epochs, batch_size, peak) in RECIPES.items():
        runs = [train(splits, name, seed, "loops") for seed in range(seeds)]
        found[name] = {
            "epochs": epochs,
            "batch_size": batch_size,
            "peak_learning_rate": peak,
            "loops": runs,
            "keras": [train(splits, name, 0, "keras")],
        }
        accuracy = statistics.mean(one["test_accuracy"] for one in runs)
        seconds = statistics.median(one["seconds"] for one in runs)
        print(f"{name}: {accuracy:.2%} in {seconds:.1f} s", flush=True)
    return found


def main() -> None:
    """Measure all recipes and write JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seeds", type=run.at_least(1), default=3)
    options.add_argument("--threads", type=run.at_least(1), default=os.cpu_count())
    options.add_argument("--out", type=Path, default=Path("_build/speedrun.json"))
    chosen = options.parse_args()
    network.limit_threads(chosen.threads)
    splits = data.split(data.load_digits())
    others = load.Others()
    compiling = compile_seconds(splits)
    result = {
        "data": {"source": splits.source, "training_digits": len(splits.train)},
        "machine": {"cpu": run.cpu(), "threads": chosen.threads},
        "goal": GOAL,
        "compile_seconds": compiling,
        "recipes": measure(splits, chosen.seeds),
        "other_cores": others.cores(),
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    files.write(chosen.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
