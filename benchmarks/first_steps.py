"""Record the first 300 steps under five activation functions, which chapter 6 draws: `python benchmarks/first_steps.py`.

Three seeds each, on MNIST's 55,000 training digits. Writes lenet5lib/recorded/first_steps.json.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from lenet5lib import data, files, records
from lenet5lib.studies import first_steps

SEEDS = range(3)


def main() -> None:
    """Train all runs and write them."""
    options = argparse.ArgumentParser(description=__doc__.split(":")[0])
    default = records.RECORDED / "first_steps.json"
    options.add_argument("--out", type=Path, default=default)
    chosen = options.parse_args()
    splits = data.split(data.load_digits())
    runs: dict[str, list[list[float]]] = {}
    for activation in first_steps.ACTIVATIONS:
        runs[activation] = []
        for seed in SEEDS:
            losses = first_steps.train(activation, seed, splits.train)
            runs[activation].append([round(float(loss), 4) for loss in losses])
            print(activation, seed, *runs[activation][-1][::5])
    about = {
        "data": splits.dataset_name,
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "steps per number": 10,
        "runs": runs,
    }
    files.write(chosen.out, f"{json.dumps(about, ensure_ascii=False)}\n".encode())


if __name__ == "__main__":
    main()
