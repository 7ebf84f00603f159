"""Measure training side by side: the article's script, Keras, PyTorch, the loops. `make bench` runs this.

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
MEASURED = ("limit", "layers", "ready")
"""What is measured beside the programs that train."""
KINDS = {
    "article": (32,),
    **dict.fromkeys(("keras", "keras-jit", "loops", "torch"), (32, 128)),
    **dict.fromkeys(("torch-compile", "keras-engine", "loops-1-thread"), (32, 128)),
    "loops-distorted": (32,),
}
"""The programs that train, and their batch sizes."""
NAMES = (
    *MEASURED,
    *(f"{kind}-{size}" for kind, sizes in KINDS.items() for size in sizes),
)
TO_GOAL = ("article", "keras", "loops", "torch")
"""The kinds of programs that also train until an accuracy is reached."""


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
    add(
        "--avx2",
        action="store_true",
        help="compile the loops as for a processor without AVX-512, which is simulated so",
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


def compiles(options: argparse.Namespace) -> bool:
    """Return whether `torch.compile` works in the interpreter with PyTorch: it needs a C++ compiler, too."""
    code = "import torch; torch.compile(torch.nn.Linear(2, 2))(torch.ones(1, 2))"
    command = [options.python, "-c", code]
    return subprocess.run(command, capture_output=True).returncode == 0


def chosen(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the programs to run, and the notes on what is left out.

    Raises:
        BenchmarkError: nothing can be run.
    """
    names = [name for name in NAMES if not options.only or name in options.only]
    notes = []
    reasons = {
        "torch": "PyTorch is left out: it is not installed here (benchmarks/requirements.txt)",
        "torch-compile": "torch.compile is left out: it does not work here; it needs a C++ compiler",
    }
    for start, reason in reasons.items():
        kept = [name for name in names if not name.startswith(start)]
        if kept == names:
            continue
        missing = options.python is None
        if missing or (start == "torch-compile" and not compiles(options)):
            names = kept
            notes.append(reason)
    if not names:
        raise BenchmarkError(
            f"{notes[0]}. Name its interpreter with --torch-python."
        )
    return names, notes


def without_avx512() -> str:
    """Return this processor's features, as numba takes them, without AVX-512."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    wanted = {
        name: has and not name.startswith(("avx512", "evex", "amx", "avx10"))
        for name, has in features.items()
    }
    return ",".join(f"{'+' if has else '-'}{name}" for name, has in wanted.items())


def save_digits(path: Path, train: data.Digits, validation: data.Digits) -> Path:
    """Write the digits that the programs read."""
    parts = {"train": train, "val": validation}
    images = {f"x_{part}": digits.images for part, digits in parts.items()}
    labels = {f"y_{part}": digits.labels for part, digits in parts.items()}
    np.savez(path, **images, **labels)
    return path


def child(
    name: str,
    options: argparse.Namespace,
    *arguments: Any,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Run one program in a process of its own and return what it measured.

    Args:
        name: of `NAMES`.
        options: of the command line.
        arguments: further ones for the program.
        cache: where numba keeps machine code; None for where it usually does.

    Raises:
        BenchmarkError: it failed; the last line that it wrote is in the text.
    """
    kind, batch_size = name, 32
    if name not in MEASURED:
        kind, _, batch_size = name.rpartition("-")
    python = options.python if kind.startswith("torch") else sys.executable
    command = [python, HERE / "programs.py", kind, "--batch-size", batch_size]
    command += ["--threads", options.threads, *arguments]
    environment = dict(os.environ) | {"OPENBLAS_NUM_THREADS": str(options.threads)}
    if options.onednn is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = str(int(options.onednn))
    if options.avx2:
        environment["NUMBA_CPU_NAME"] = "haswell"
        environment["NUMBA_CPU_FEATURES"] = without_avx512()
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
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
    answers: dict[str, list[dict]] = {name: [] for name in names if name != "ready"}
    order = list(answers)
    for number in range(options.rounds):
        shift = number % len(order) if order else 0
        for name in order[shift:] + order[:shift]:
            answer = child(
                name, options, "--data", path, "--epochs", options.epochs
            )
            answers[name].append(answer)
            if name == "limit":
                text = f"{max(answer['gflops'].values()):.0f} GFLOP/s"
            elif name == "layers":
                text = f"{answer['gflops']:.0f} GFLOP/s in one thread"
            else:
                seconds = [epoch["seconds"] for epoch in answer["epochs"]]
                text = (
                    f"{median(seconds[1:]):.3f} s/epoch (first {seconds[0]:.2f} s)"
                )
            print(
                f"round {number + 1}/{options.rounds}  {name}: {text}", flush=True
            )
    return answers


def compile_seconds(options: argparse.Namespace, path: Path) -> dict[str, float]:
    """Return the seconds until the loops are ready: with nothing kept of an earlier process, and from what it kept."""
    with tempfile.TemporaryDirectory() as folder:
        first, later = (
            child("ready", options, "--data", path, cache=Path(folder))["seconds"]
            for _ in range(2)
        )
    return {"first": first, "from_cache": later}


def to_goal(
    names: list[str], options: argparse.Namespace, path: Path
) -> dict[str, dict]:
    """Train every program once until the validation accuracy is reached."""
    found = {}
    for name in names:
        if name in MEASURED or name.rpartition("-")[0] not in TO_GOAL:
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
    train = dataset.train.select(slice(options.digits))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.npz"
        # Validation is timed apart here and chooses nothing, so a slice of the training set serves.
        save_digits(path, train, train.select(slice(VALIDATION)))
        answers = measure(names, options, path)
        compiling = compile_seconds(options, path) if "ready" in names else {}
        splits = data.split(data.Dataset(train, dataset.test, dataset.dataset_name))
        save_digits(path, splits.train, splits.validation)
        accuracy = to_goal(names, options, path) if options.accuracy else {}
    result = numbers(answers, len(train)) | {
        "compile_seconds": compiling,
        "accuracy": accuracy,
    }
    return {
        "data": {"dataset_name": dataset.dataset_name, "num_train": len(train)},
        "machine": machine(answers, options),
        "settings": {
            name: getattr(options, name) for name in ("rounds", "epochs", "onednn")
        },
        "notes": notes,
        "flop_per_training_image": results.flop(),
        **result,
        "disturbed": results.disturbed(result),
    }


def machine(
    answers: dict[str, list[dict]], options: argparse.Namespace
) -> dict[str, Any]:
    """Return the facts on which the numbers depend: processor, threads, system, versions, what was simulated."""
    versions: dict[str, str] = {}
    for rounds in answers.values():
        versions |= rounds[0]["versions"]
    return {
        "cpu": cpu(),
        "threads": options.threads,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "simulated": "The loops are compiled as for a processor without AVX-512: simulated"
        if options.avx2
        else "",
    }


def numbers(answers: dict[str, list[dict]], digits: int) -> dict[str, Any]:
    """Return the limits, each program's numbers, the ratios and the goals."""
    limit = results.limit(answers.get("limit", []))
    programs = {
        name: results.program(rounds, digits, limit)
        for name, rounds in answers.items()
        if name not in MEASURED
    }
    return {
        "limit": limit,
        "layers": results.layers(answers.get("layers", [])),
        "programs": programs,
        "ratios": results.ratios(programs),
        "goals": results.goals(programs),
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
