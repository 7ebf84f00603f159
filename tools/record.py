"""Take a finished run into the library's records: `python tools/record.py RUN_DIR EXPERIMENT/NAME`.

Copies the record, and the weights without the optimizer: the best on validation, or the last where all digits were trained
on, since nothing is held out then to choose by. Then reads the test digits, once, and writes what was answered wrongly.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import one_change

from lenet5lib import data, evaluation, files, records
from lenet5lib.training import checkpoint, loop


def main() -> int:
    """Record one run; say what was recorded."""
    options = argparse.ArgumentParser(description=__doc__.split(": `")[0])
    options.add_argument("run_dir", type=Path)
    options.add_argument("name", help="EXPERIMENT/NAME")
    chosen = options.parse_args()
    record = records.read(chosen.run_dir)
    name = loop.weights_to_use(record)
    dataset = data.load_digits()
    if dataset.source != record.source:
        print(
            f"error: the run is of {record.source}, the digits found are {dataset.source}",
            file=sys.stderr,
        )
        return 1
    model = loop.load_model(chosen.run_dir, name)
    folder = records.RECORDED / chosen.name
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / records.NAME, record.to_json().encode())
    checkpoint.save(model, record, folder / name, with_optimizer=False)
    result = one_change.test_result(chosen.run_dir, name, dataset, looks=1)
    files.write(folder / records.TEST, result.encode())
    wrong = len(evaluation.recorded_mistakes(folder))
    print(
        f"{folder.relative_to(records.RECORDED.parent.parent)}: {name}, {wrong} of {len(dataset.test):,} wrong"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
