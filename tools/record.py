"""Add a finished run to the recorded runs: `python tools/record.py RUN_DIR EXPERIMENT/NAME`.

Appends the run's rows to the tables in lenet5lib/recorded, tests its network on the test images, once, and keeps its weights
without the optimizer's state: the best on validation, or the last where nothing was held out.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from lenet5lib import data, evaluation, files, records
from lenet5lib._checks import say
from lenet5lib.data import Dataset
from lenet5lib.records import Record
from lenet5lib.training import checkpoint, weights_file

METRICS = (*records.METRICS, *records.TEST_METRICS)
# fmt: off
COLUMNS = {
    "runs": ("run", "command", "config", "sessions", "best_epoch", "best_val_loss",
             "num_test"),
    "epochs": ("run", "epoch", *METRICS, "training_seconds", "seconds", "steps"),
    "test_errors": ("run", "views", "position", "label", "prediction"),
}
# fmt: on
"""The columns of the tables; what a row lacks stays empty."""

Rows = list[dict[str, Any]]


def add(
    tables: Path,
    name: str,
    run_dir: Path,
    dataset: Dataset,
    views: Sequence[int] = (1,),
    weights: str | None = None,
    with_steps: bool = True,
) -> None:
    """Append a run's rows to the tables in a folder; what they hold already is neither written nor tested again.

    Args:
        tables: the folder; made if it is missing.
        name: of the run, "EXPERIMENT/NAME".
        run_dir: the run's folder.
        dataset: whose test images are read.
        views: of each test image, see `evaluation.evaluate`: each number is a test of its own; none for no test.
        weights: the name of the weights file to test; None for the best on validation, or the last where nothing was held
            out.
        with_steps: keep the losses within each epoch too.

    Raises:
        ValueError: different data, or the tables hold a different run of this name.
    """
    record = records.read(run_dir)
    # A run on the first images of a data set is named "the first … of" it.
    if not f" of {record.dataset_name}".endswith(f" of {dataset.dataset_name}"):
        raise ValueError(
            f"{run_dir} was trained on {record.dataset_name}, but the data found is "
            f"{dataset.dataset_name}. Let LENET5_MNIST name the run's data."
        )
    rows, errors = to_rows(name, record, with_steps), read(tables, "test_errors")
    rows["runs"][0]["num_test"] = len(dataset.test) if views else None
    known = [row for row in read(tables, "runs") if row["run"] == name]
    if not known:
        append(tables, rows)
    elif any(
        known[0][key] != rows["runs"][0][key] for key in ("config", "sessions")
    ):
        raise ValueError(
            f"a different run is recorded as {name}. Name this one differently, or "
            f"delete the rows of the other from the tables in {tables}."
        )
    tested = {int(row["views"]) for row in errors if row["run"] == name}
    path = run_dir / (weights or record.weights_name)
    for number in sorted(set(views) - tested):
        append(tables, {"test_errors": errors_of(name, path, dataset, number)})


def to_rows(name: str, record: Record, with_steps: bool) -> dict[str, Rows]:
    """Return the rows of a record in the tables "runs" and "epochs"."""
    run = {
        "run": name,
        "command": record.command,
        "config": json.dumps(record.config.to_dict(), ensure_ascii=False),
        "sessions": json.dumps(record.sessions),
        "best_epoch": record.best["epoch"],
        "best_val_loss": record.best["val_loss"],
    }
    epochs = [{"run": name, **epoch} for epoch in record.epochs]
    for epoch in epochs:
        epoch["steps"] = json.dumps(epoch["steps"]) if with_steps else None
    return {"runs": [run], "epochs": epochs}


def errors_of(name: str, path: Path, dataset: Dataset, views: int) -> Rows:
    """Return the rows of the test images that a run's network misclassifies, with the weights in a file."""
    network = checkpoint.load(path.parent, path.name)
    distortion = checkpoint.read_record(path).config.recipe.distortion
    found = evaluation.evaluate(network, dataset.test, views, distortion)
    return [
        {
            "run": name,
            "views": views,
            "position": int(position),
            "label": int(found.labels[position]),
            "prediction": int(found.predictions[position]),
        }
        for position in found.mistakes
    ]


def read(tables: Path, table: str) -> list[dict[str, str]]:
    """Return the rows of a table as text; none if there is no such file."""
    path = tables / f"{table}.csv"
    if not path.exists():
        return []
    csv.field_size_limit(10_000_000)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def append(tables: Path, rows: dict[str, Rows]) -> None:
    """Append rows to the tables, each file in one step; the lines before stay as they are."""
    for table, added in rows.items():
        path, text = tables / f"{table}.csv", io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS[table], lineterminator="\n")
        if path.exists():
            text.write(path.read_text(encoding="utf-8"))
        else:
            writer.writeheader()
        writer.writerows(added)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, text.getvalue().encode())


def keep_weights(run_dir: Path, to: Path) -> None:
    """Write a run's weights without the optimizer's state, and the record that stands with them, into a folder."""
    path = run_dir / records.read(run_dir).weights_name
    record = checkpoint.read_record(path)
    architecture, weights = checkpoint.load_weights(path)
    contents = io.BytesIO()
    weights_file.write(contents, architecture, weights)
    to.mkdir(parents=True, exist_ok=True)
    checkpoint.write(contents.getvalue(), record, to / path.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Record one run; say what was recorded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(": `")[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("name", help="EXPERIMENT/NAME")
    options = parser.parse_args(arguments)
    try:
        add(records.RECORDED, options.name, options.run_dir, data.load_digits())
        keep_weights(options.run_dir, records.RECORDED / options.name)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    records.table.cache_clear()
    errors = len(evaluation.recorded_mistakes(options.name))
    say(f"{options.name}: {errors} test images misclassified")
    return 0


if __name__ == "__main__":
    sys.exit(main())
