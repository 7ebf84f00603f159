"""Train the runs of chapter 14's ablation: `python tools/one_change.py --run-dir runs/one-change --jobs 2`.

Each run is a `lenet5lib train` in a process and a folder of its own: what is finished is skipped, what was stopped is
resumed. Ctrl-C and SIGTERM stop all of them, saved. With `--records` the runs are added to the tables of recorded runs, and
the test images are read for it, once for each run. `lenet5lib.studies.ablation` says what is trained.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import fields
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import record

from lenet5lib import data, records
from lenet5lib._checks import require_choice
from lenet5lib.cli import NETWORKS
from lenet5lib.data import Dataset, Splits
from lenet5lib.studies import ablation
from lenet5lib.studies.ablation import Step, Variant
from lenet5lib.training import checkpoint, folder, loop

CHILD = """
import sys
from lenet5lib import cli
from lenet5lib.loops import parallel
parallel.limit_threads(int(sys.argv[1]))
sys.exit(cli.main(sys.argv[2:]))
"""
"""The program of a training process: the command line, with its share of the processor's threads."""
Run = tuple[Variant, int, tuple[int, ...]]


def steps_named(names: Sequence[str] | None) -> list[Step]:
    """Return the steps that selected variants of these names; without names, all.

    Raises:
        ValueError: no step selected a variant of this name.
    """
    known = list(dict.fromkeys(step.selected.name for step in ablation.STEPS))
    for name in names or ():
        require_choice("step", name, known)
    return [
        step for step in ablation.STEPS if step.selected.name in (names or known)
    ]


def command(variant: Variant, seed: int, run_dir: Path) -> list[str]:
    """Return the words of the command line that trains a run: `lenet5lib train …` without the first."""
    words = ["train", "--run-dir", str(run_dir), "--epochs", str(variant.epochs)]
    network = next(n for n, one in NETWORKS.items() if one == variant.architecture)
    words += ["--seed", str(seed), "--architecture", network]
    for field in fields(variant.recipe):
        value = getattr(variant.recipe, field.name)
        if value != field.default:
            option = f"--{field.name.replace('_', '-')}"
            words += [option, ablation.as_call(value)]
    return words + ["--train-on-all"] * variant.train_on_all


def is_finished(variant: Variant, seed: int, run_dir: Path, splits: Splits) -> bool:
    """Return whether nothing is left to train in a run's folder; a run of a different configuration is not finished."""
    try:
        found = records.read(run_dir)
    except records.RecordError:
        return False
    asked = loop.configuration(variant.architecture, splits, variant.recipe, seed)
    trained = len(found.epochs) >= variant.epochs and not found.unfinished_epoch
    return trained and not folder.conflicts(found.config, asked)


class Jobs:
    """Training processes, several at a time; if one fails or a signal comes, all stop, saved, and none begins."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[str]] = []
        self.stopping = threading.Event()
        self.signal: int | None = None

    def run(self, commands: dict[str, list[str]], at_once: int) -> list[str]:
        """Run command lines by their runs' names; return a line for each failure: the name, and what was printed last."""
        with loop.Stop() as stop, ThreadPoolExecutor(at_once) as pool:
            futures = [pool.submit(self._train, *job) for job in commands.items()]
            # The short time-out lets Python call the handlers of signals.
            while wait(futures, timeout=0.2).not_done:
                if stop.requested is not None and not self.stopping.is_set():
                    self._stop()
            self.signal = stop.requested
        return [line for line in (one.result() for one in futures) if line]

    def _stop(self) -> None:
        """Let no process begin, and ask those that run to stop."""
        self.stopping.set()
        for process in self.running:
            process.terminate()

    def _train(self, name: str, line: list[str]) -> str | None:
        """Run one process, its output prefixed by the run's name; return what went wrong."""
        if self.stopping.is_set():
            return None
        # The newline in the same write, so that two jobs' lines do not mix.
        print(f"{name}: begins\n", end="", flush=True)
        out, err = subprocess.PIPE, subprocess.STDOUT
        with subprocess.Popen(line, stdout=out, stderr=err, text=True) as process:
            self.running.append(process)
            if self.stopping.is_set():  # Since the question above.
                process.terminate()
            last = "no message"
            for last in process.stdout or ():
                print(f"{name}: {last}", end="", flush=True)
        if process.returncode == 0 or self.stopping.is_set():
            return None
        self._stop()
        return f"{name}: {last.strip().removeprefix('error: ')}"


def unfinished(
    options: argparse.Namespace, planned: dict[str, Run], dataset: Dataset
) -> dict[str, list[str]]:
    """Return the command lines of the planned runs that are not finished, by the runs' names."""
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    data_options = ["--data", str(options.data)] if options.data else []
    splits = [data.split(dataset, train_on_all=on_all) for on_all in (False, True)]
    if options.limit:
        splits = [one.limit(*options.limit) for one in splits]
        data_options += ["--limit", *map(str, options.limit)]
    commands = {}
    for name, (variant, seed, _) in planned.items():
        run_dir = options.run_dir / name
        if not is_finished(variant, seed, run_dir, splits[variant.train_on_all]):
            line = command(variant, seed, run_dir) + data_options
            commands[name] = [sys.executable, "-c", CHILD, str(threads), *line]
    return commands


def run(options: argparse.Namespace, dataset: Dataset) -> int:
    """Train what is not finished, then add the runs to the tables if that is asked for; return the exit code."""
    planned = {
        f"{variant.name}/seed-{seed}": (variant, seed, views)
        for variant, seed, views in ablation.runs(
            steps_named(options.step), options.seeds
        )
    }
    jobs, commands = Jobs(), unfinished(options, planned, dataset)
    print(f"{len(planned)} runs, {len(planned) - len(commands)} of them finished.")
    failed = jobs.run(commands, options.jobs)
    if jobs.signal:
        stopped = signal.Signals(jobs.signal).name
        print(f"Stopped by {stopped}; the same command resumes.", file=sys.stderr)
        return 128 + jobs.signal
    if failed:
        print(*(f"error: {line}" for line in failed), sep="\n", file=sys.stderr)
        return 1
    for name, (_, _, views) in planned.items() if options.records else ():
        record.add(
            options.records,
            f"{ablation.NAME}/{name}",
            options.run_dir / name,
            dataset,
            views,
            weights=checkpoint.LAST,  # The ablation compares last epochs.
            with_steps=False,
        )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and run the experiment."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(": `")[0])
    add = parser.add_argument
    add("--run-dir", type=Path, required=True, help="a folder for all runs")
    add("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    add("--step", action="append", help="a selected variant; again for several")
    add("--seeds", type=int, default=ablation.NUM_SEEDS, help="default: 5")
    add("--data", type=Path, help="as for `lenet5lib train`")
    add("--limit", type=int, nargs=2, help="as for `lenet5lib train`")
    add("--records", type=Path, help="the folder of the tables to add the runs to")
    options = parser.parse_args(arguments)
    try:
        return run(options, data.load_digits(options.data or "auto"))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
