"""Measure the ways to 99 % of the test digits: the recipes of `studies.speedrun`, several seeds, the loops and Keras.

Seconds are those of the whole training, validation and saving included; the loops are compiled before, which is timed apart.
Test digits are read once for each network, after training. Writes JSON, which chapter 15 shows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import load
import run

from lenet5lib import data, files
from lenet5lib.loops import parallel
from lenet5lib.studies import speedrun

GOAL = 0.99


def compile_seconds(splits: data.Splits) -> float:
    """Return the seconds of one short training for each recipe, which leaves the loops compiled."""
    few = splits.limit(train=256, validation=16)
    start = time.perf_counter()
    for name in speedrun.RECIPES:
        speedrun.run(name, 0, few)
    return time.perf_counter() - start


def measure(splits: data.Splits, seeds: int) -> dict[str, Any]:
    """Return what was measured for each recipe: the loops with each seed, Keras with the first."""
    found = {}
    for name, chosen in speedrun.RECIPES.items():
        runs = {
            "loops": [speedrun.run(name, seed, splits) for seed in range(seeds)],
            "keras": [speedrun.run(name, 0, splits, "keras")],
        }
        found[name] = {"epochs": chosen.epochs, **chosen.recipe.to_dict()}
        for engine, results in runs.items():
            found[name][engine] = [asdict(result) for result in results]
        accuracy = statistics.mean(one.test_accuracy for one in runs["loops"])
        seconds = statistics.median(one.seconds for one in runs["loops"])
        print(f"{name}: {accuracy:.2%} in {seconds:.1f} s", flush=True)
    return found


def main() -> None:
    """Measure all recipes and write JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seeds", type=run.at_least(1), default=3)
    options.add_argument("--threads", type=run.at_least(1), default=os.cpu_count())
    options.add_argument("--out", type=Path, default=Path("_build/speedrun.json"))
    chosen = options.parse_args()
    parallel.limit_threads(chosen.threads)
    splits = data.split(data.load_digits())
    others = load.Others()
    compiling = compile_seconds(splits)
    result = {
        "data": {
            "dataset_name": splits.dataset_name,
            "num_train": len(splits.train),
        },
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
