"""Measure training side by side: the article's script, Keras, ours, PyTorch, the machine's limit. `make bench` runs this.

Each program runs in a process of its own (`programs.py`), once a round, in an order that moves on by one each round, so that
a change in the machine's speed meets all of them. Prints a table and writes all numbers as JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import load
import numpy as np
import results

from lenet5lib import data, files

HERE = Path(__file__).parent
GOAL = 0.985
MOST_EPOCHS = 40
VALIDATION = 5_000
INFORMATION = ("ours-plain-32", "ours-plain-128")
NAMES = (
    "limit",
    "article-32",
    *(f"{kind}-{size}" for kind in ("keras", "ours") for size in (32, 128)),
    *INFORMATION,
    "torch-32",
    "torch-128",
)


class BenchmarkError(Exception):
    """A benchmark that cannot be run; the text says why and what to do."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> None:
        self.exit(2, f"error: {message}\n")


def at_least(least: int):
    """Return a reader of whole numbers that are `least` or more."""

    def read(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number of {least} or more"
            )
        return int(text)

    return read


def parser() -> Parser:
    """Return the options' parser."""
    made = Parser(description=__doc__.split(" `make")[0])
    add = made.add_argument
    add("--rounds", type=at_least(1), default=3, help="default: 3")
    add(
        "--epochs",
        type=at_least(2),
        default=2,
        help="epochs of each program in each round, the first of which is only warm-up; default: 2",
    )
    add(
        "--threads",
        type=at_least(1),
        default=os.cpu_count(),
        help="of every program; default: all",
    )
    add("--only", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    add(
        "--accuracy",
        action=argparse.BooleanOptionalAction,
        default=True,
        help=f"also train to {GOAL:.1%} of the validation digits; default: yes".replace(
            "%", "%%"
        ),
    )
    add(
        "--onednn",
        action=argparse.BooleanOptionalAction,
        help="switch TensorFlow's oneDNN operations on or off; default: as TensorFlow finds the processor",
    )
    add("--digits", type=at_least(12), help="only the first so many, to try it out")
    add(
        "--torch-python", type=Path, metavar="PATH", help="interpreter with PyTorch"
    )
    add("--out", type=Path, default=HERE / "result.json", help="the JSON file")
    return made


def torch_python(options: argparse.Namespace) -> Path | None:
    """Return an interpreter that can import PyTorch, or None.

    Raises:
        BenchmarkError: the one that was named cannot.
    """
    if options.torch_python is None:
        found = importlib.util.find_spec("torch") is not None
        return Path(sys.executable) if found else None
    command = [options.torch_python, "-c", "import torch"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise BenchmarkError(
            f"{options.torch_python} cannot import torch. Install benchmarks/requirements.txt and numpy there."
        ) from None
    return options.torch_python


def chosen(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the programs to run, and the notes on what is left out.

    Raises:
        BenchmarkError: nothing can be run.
    """
    wanted = [name for name in NAMES if not options.only or name in options.only]
    names = [n for n in wanted if options.python or not n.startswith("torch")]
    note = "PyTorch is left out: it is not installed here (benchmarks/requirements.txt)"
    if not names:
        raise BenchmarkError(f"{note}. Name its interpreter with --torch-python.")
    return names, [note] if len(names) < len(wanted) else []


def save_digits(path: Path, train: data.Digits, validation: data.Digits) -> Path:
    """Write the digits that the programs read."""
    parts = {"train": train, "val": validation}
    images = {f"x_{part}": digits.images for part, digits in parts.items()}
    labels = {f"y_{part}": digits.labels for part, digits in parts.items()}
    np.savez(path, **images, **labels)
    return path


def child(
    name: str, options: argparse.Namespace, *arguments: Any
) -> dict[str, Any]:
    """Run one program in a process of its own and return what it measured.

    Raises:
        BenchmarkError: it failed; the last line that it wrote is in the text.
    """
    kind, _, batch_size = (
        name.rpartition("-") if name != "limit" else (name, "", 32)
    )
    python = options.python if kind == "torch" else sys.executable
    command = [python, HERE / "programs.py", kind, "--batch-size", batch_size]
    command += ["--threads", options.threads, *arguments]
    environment = dict(os.environ)
    if options.onednn is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = str(int(options.onednn))
    others = load.Others()
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
        raise BenchmarkError(f"{name} ended with code {done.returncode}: {last}")
    measured = json.loads(done.stdout.splitlines()[-1])
    return measured | {"other_cores": others.cores()}


def measure(
    names: list[str], options: argparse.Namespace, path: Path
) -> dict[str, list[dict]]:
    """Run every program once a round and return its answers in the order of the rounds."""
    answers: dict[str, list[dict]] = {name: [] for name in names}
    for number in range(options.rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            answer = child(
                name, options, "--data", path, "--epochs", options.epochs
            )
            answers[name].append(answer)
            if name == "limit":
                text = f"{max(answer['gflops']):.0f} GFLOP/s"
            else:
                seconds = [epoch["seconds"] for epoch in answer["epochs"]]
                text = f"{median(seconds[1:]):.3f} s an epoch (first {seconds[0]:.2f} s)"
            print(
                f"round {number + 1}/{options.rounds}  {name}: {text}", flush=True
            )
    return answers


def to_goal(
    names: list[str], options: argparse.Namespace, path: Path
) -> dict[str, dict]:
    """Train every program once until the validation accuracy is reached."""
    found = {}
    for name in names:
        if name == "limit" or name in INFORMATION:
            continue
        asked = ("--data", path, "--epochs", MOST_EPOCHS, "--goal", GOAL)
        run = found[name] = results.accuracy(child(name, options, *asked), GOAL)
        missed = "" if run["reached"] else ", not reached"
        print(
            f"to {GOAL:.1%}  {name}: {run['epochs']} epochs, {run['seconds']:.1f} s{missed}",
            flush=True,
        )
    return found


def cpu() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [
        line.split(":", 1)[1] for line in lines if line.startswith("model name")
    ]
    return " ".join(
        (names or [platform.processor() or platform.machine()])[0].split()
    )


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything that was asked for and return the result.

    Raises:
        BenchmarkError: a program failed, or nothing can be run.
        DataError: the digits cannot be used.
    """
    options.python = torch_python(options)
    names, notes = chosen(options)
    dataset = data.load_digits("auto", report=None)
    train = dataset.train.take(slice(options.digits))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.npz"
        # Validation is timed apart here and chooses nothing, so a slice of the training set serves.
        save_digits(path, train, train.take(slice(VALIDATION)))
        answers = measure(names, options, path)
        splits = data.split(data.Dataset(train, dataset.test, dataset.source))
        save_digits(path, splits.train, splits.validation)
        accuracy = to_goal(names, options, path) if options.accuracy else {}
    result = numbers(answers, len(train)) | {"accuracy": accuracy}
    return {
        "data": {"source": dataset.source, "training_digits": len(train)},
        "machine": machine(answers, options.threads),
        "settings": {
            name: getattr(options, name) for name in ("rounds", "epochs", "onednn")
        },
        "notes": notes,
        "flop_a_training_image": results.flop(),
        **result,
        "disturbed": results.disturbed(result),
    }


def machine(answers: dict[str, list[dict]], threads: int) -> dict[str, Any]:
    """Return the facts on which the numbers depend: processor, threads, system, versions."""
    versions: dict[str, str] = {}
    for rounds in answers.values():
        versions |= rounds[0]["versions"]
    return {
        "cpu": cpu(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def numbers(answers: dict[str, list[dict]], digits: int) -> dict[str, Any]:
    """Return the limit, each program's numbers and the ratios."""
    limit = results.limit(answers.get("limit", []))
    programs = {
        name: results.program(name, rounds, digits, limit)
        for name, rounds in answers.items()
        if name != "limit"
    }
    return {
        "limit": limit,
        "programs": programs,
        "ratios": results.ratios(programs),
    }


def main() -> int:
    """Run the benchmark and return the exit code."""
    options = parser().parse_args()
    try:
        if not options.out.absolute().parent.is_dir():
            raise BenchmarkError(
                f"no folder {options.out.parent} for the result. Make it first."
            )
        result = benchmark(options)
        print("", results.table(result), sep="\n")
        text = json.dumps(result, indent=2, ensure_ascii=False)
        files.write(options.out, f"{text}\n".encode())
    except (BenchmarkError, ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; no result was written.", file=sys.stderr)
        return 130
    print(f"\nAll numbers: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
