"""Measure what saving after every epoch costs, beside the epoch itself and in one run. `make bench` runs this too.

The article's network trains on 55,000 digits. Each save after an epoch is timed, flushes to the disk included, and so is one
more, into another folder, with a record of 200 epochs, since the record grows. Prints a table and writes it as JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import load

from lenet5lib import data, files, records, spec
from lenet5lib.training import folder as run_folder
from lenet5lib.training import loop
from lenet5lib.training.recipe import Recipe

LONG = 200


def timed(save, *arguments) -> float:
    """Return the seconds that a save takes."""
    start = time.perf_counter()
    save(*arguments)
    return time.perf_counter() - start


def measure(splits: data.Splits, batch_size: int, epochs: int) -> list[dict]:
    """Return for each epoch its seconds and those of the two saves."""
    taken: list[dict] = []
    save_best, save_last = run_folder.save_best, run_folder.save_last
    seconds = [0.0]

    def best_timed(*arguments) -> None:
        """Save as training does after an epoch if it is the best so far."""
        seconds[0] = timed(save_best, *arguments)

    def last_timed(engine, record: records.Record, run_dir: Path) -> None:
        """Save the checkpoint as training does; then, elsewhere, as it would after many more epochs."""
        short = seconds[0] + timed(save_last, engine, record, run_dir)
        longer = copy.deepcopy(record)
        longer.epochs *= LONG // len(longer.epochs)
        longest = timed(save_last, engine, longer, side)
        longer.best["val_loss"] = None
        best = timed(save_best, engine, longer, side)
        best += timed(save_last, engine, longer, side)
        names = "saving", "saving at 200", "saving at 200, also best"
        taken.append(dict(zip(names, (short, longest, best), strict=True)))

    run_folder.save_best, run_folder.save_last = best_timed, last_timed
    with tempfile.TemporaryDirectory() as folder:
        side = Path(folder) / "side"
        side.mkdir()
        try:
            run = loop.train(
                spec.LENET5,
                splits,
                Path(folder) / "run",
                epochs=epochs,
                recipe=Recipe(batch_size),
                report=None,
            )
        finally:
            run_folder.save_best, run_folder.save_last = save_best, save_last
    return [
        {"epoch": line["seconds"], **saves}
        for line, saves in zip(run.record.epochs, taken, strict=True)
    ]


def main() -> None:
    """Measure both batch sizes, print a table, write JSON."""
    options = argparse.ArgumentParser(description=__doc__.split(" `make")[0])
    options.add_argument("--epochs", type=int, default=8, help="default: 8")
    options.add_argument("--out", type=Path, default=Path("_build/saving.json"))
    chosen = options.parse_args()
    splits = data.split(data.load_digits())
    others = load.Others()
    result = {"data": splits.dataset_name, "processors": os.cpu_count()}
    for batch_size in (32, 128):
        lines = measure(splits, batch_size, chosen.epochs)[
            1:
        ]  # The first compiles.
        result[f"batch {batch_size}"] = {
            name: round(median(line[name] for line in lines), 4)
            for name in lines[0]
        } | {
            f"share of {name}": round(
                median(line[name] / line["epoch"] for line in lines), 5
            )
            for name in lines[0]
            if name != "epoch"
        }
    result["cores kept busy by others"] = others.cores()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    files.write(chosen.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
