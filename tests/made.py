"""Records and tables of recorded runs that are made by hand, for tests of what reads them."""

from pathlib import Path
from typing import Any

import record as recorder

from lenet5lib import records
from lenet5lib.records import METRICS, Config, DataInfo, Record
from lenet5lib.spec import LENET5, Architecture
from lenet5lib.training.recipe import DEFAULT_RECIPE, Recipe


def config(
    seed: int = 0,
    recipe: Recipe = DEFAULT_RECIPE,
    architecture: Architecture = LENET5,
    **data: Any,
) -> Config:
    """Return the configuration of a run on a small file; `data` replaces fields of `DataInfo`."""
    info = {"dataset_name": "the file small.npz", "checksum": "00"}
    info |= {"num_train": 50, "num_validation": 10}
    return Config(architecture, recipe, seed, DataInfo(**info | data))


def epoch(number: int, **metrics: float) -> dict[str, Any]:
    """Return an epoch of a record; metrics that are not given are 0.5."""
    return {"epoch": number, **dict.fromkeys(METRICS, 0.5), **metrics}


def write_tables(
    folder: Path,
    runs: dict[str, Record],
    errors: dict[tuple[str, int], list[int]] | None = None,
    num_test: int = 10,
) -> None:
    """Write the three tables of recorded runs into a folder, and forget the tables that were read before.

    Args:
        folder: the folder.
        runs: the records by their runs' names.
        errors: the positions of the misclassified test images by run and views; all of them are 1 and read as 7.
        num_test: the number of test images of each run that has any.
    """
    recorder.append(folder, {"runs": [], "epochs": [], "test_errors": []})
    for name, made in runs.items():
        rows = recorder.to_rows(name, made, with_steps=False)
        if any(run == name for run, _ in errors or {}):
            rows["runs"][0]["num_test"] = num_test
        recorder.append(folder, rows)
    for (name, views), positions in (errors or {}).items():
        row = {"run": name, "views": views, "label": 1, "prediction": 7}
        found = [row | {"position": position} for position in positions]
        recorder.append(folder, {"test_errors": found})
    records.table.cache_clear()
