"""Take a finished run into the library's records: `python tools/record.py RUN_DIR EXPERIMENT/NAME`.

Copies the record, and the weights without the optimizer: the best on validation, or the last where all digits were trained
on, since nothing is held out then to choose by. Then reads the test digits, once, and writes what was answered wrongly.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from lenet5lib import checkpoint, data, evaluation, files, records, training


def main() -> int:
    """Record one run; say what was recorded."""
    options = argparse.ArgumentParser(description=__doc__.split(": `")[0])
    options.add_argument("run_dir", type=Path)
    options.add_argument("name", help="EXPERIMENT/NAME")
    chosen = options.parse_args()
    record = records.read(chosen.run_dir)
    name = (
        checkpoint.LAST
        if record.config["data"].get("all digits")
        else checkpoint.BEST
    )
    dataset = data.load_digits()
    if dataset.source != record.source:
        print(
            f"error: the run is of {record.source}, the digits found are {dataset.source}",
            file=sys.stderr,
        )
        return 1
    model = training.load_model(chosen.run_dir, name)
    result = evaluation.evaluate(model, dataset.test)
    folder = records.RECORDED / chosen.name
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / records.NAME, record.to_json().encode())
    checkpoint.save(model, record, folder / name, with_optimizer=False)
    test = {
        "source": dataset.source,
        "digits": result.count,
        "wrong": [
            {
                "position": int(n),
                "label": int(result.labels[n]),
                "answer": int(result.predictions[n]),
            }
            for n in result.mistakes
        ],
    }
    text = json.dumps(test).replace(', {"position"', ',\n {"position"')
    files.write(folder / "test.json", (text + "\n").encode())
    print(f"{folder.relative_to(records.RECORDED.parent.parent)}: {name}, {result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
