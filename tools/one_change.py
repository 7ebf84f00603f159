"""Runs the trainings of chapter 14's experiment, several at a time, each resumable, and reads the test digits at their end.

A run is an ordinary training in a folder of its own. What is finished is skipped, what was stopped goes on. `ablation` says
what is trained.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lenet5lib import data, evaluation, files, records
from lenet5lib._checks import require_choice
from lenet5lib.data.mnist import Dataset, Splits
from lenet5lib.loops import network
from lenet5lib.studies import ablation
from lenet5lib.studies.ablation import Variant
from lenet5lib.training import checkpoint, loop
from lenet5lib.training.loop import RunError
from lenet5lib.training.recipe import Recipe


def train(
    variant: Variant,
    seed: int,
    folder: Path,
    dataset: Dataset,
    *,
    looks: Sequence[int] = (1,),
    small: Sequence[int] | None = None,
    report: Callable[[str], Any] | None = print,
) -> None:
    """Train a variant with a seed, or go on with it, and then read the test digits, once for each number of looks.

    Args:
        variant: what to train.
        seed: of the run.
        folder: of the run; the test results are written beside the record.
        dataset: the digits.
        looks: at each test digit, see `evaluation.evaluate`; none for what was only tried, which is judged on validation.
        small: train on so many digits, and validate on so many.
        report: receives lines of text.
    """
    loop.train(
        variant.architecture,
        data.divide(dataset, variant.all_digits, small),
        folder,
        epochs=variant.epochs,
        recipe=variant.recipe,
        seed=seed,
        report=report,
    )
    for number in looks:
        path = folder / records.result_name(number)
        if not path.exists():
            result = test_result(folder, checkpoint.LAST, dataset, number)
            files.write(path, result.encode())


def test_result(folder: Path, weights: str, dataset: Dataset, looks: int) -> str:
    """Return what a run's weights answer wrong on the test digits, as the JSON text of a `test.json`.

    Args:
        folder: of the run.
        weights: the file's name.
        dataset: whose test digits are read.
        looks: at each digit; more than one are at copies that are distorted as in the training.
    """
    model = loop.load(folder, weights)
    recipe = Recipe.from_dict(records.read(folder).config)
    found = evaluation.evaluate(model, dataset.test, looks, recipe.distortion)
    wrong = [
        {
            "position": int(n),
            "label": int(found.labels[n]),
            "answer": int(found.predictions[n]),
        }
        for n in found.mistakes
    ]
    result = {"source": dataset.source, "digits": found.count, "wrong": wrong}
    return json.dumps(result).replace(', {"position"', ',\n {"position"') + "\n"


def finished(
    variant: Variant,
    seed: int,
    folder: Path,
    looks: Sequence[int],
    splits: Splits,
) -> bool:
    """Return whether nothing is left to do in a run's folder; one of another configuration is not finished."""
    try:
        record = records.read(folder)
    except records.RecordError:
        return False
    asked = loop.configuration(variant.architecture, splits, variant.recipe, seed)
    done = len(record.epochs) >= variant.epochs and record.partial is None
    read = all((folder / records.result_name(number)).exists() for number in looks)
    return done and read and not loop.conflicts(record.config, asked)


def run(
    folder: Path,
    dataset: Dataset,
    *,
    rungs: Sequence[str] | None = None,
    seeds: int = len(ablation.SEEDS),
    small: Sequence[int] | None = None,
    jobs: int = 1,
    child: Sequence[str] = (),
    keep: Path | None = None,
    report: Callable[[str], Any] = print,
) -> None:
    """Train all that the experiment asks for and that is not finished.

    Args:
        folder: holds a folder for each variant, and in it one for each seed.
        dataset: the digits.
        rungs: the names of the rungs' chosen variants; None for all rungs.
        seeds: how many of a chosen variant.
        small: see `train`.
        jobs: trainings at a time. More than one run in processes of their own, which share the processor's threads.
        child: the command that makes one of these, to which the run's name and its threads are added.
        keep: where to copy record and test result of each finished run to; None for nowhere.
        report: receives lines of text.

    Raises:
        RunError: a training failed in its process, or a folder holds a run of another configuration.
        ValueError: a rung of another name.
        Stopped: Ctrl-C or SIGTERM came, and what was running is saved.
    """
    planned = list(ablation.runs(ablation.rungs_named(rungs), seeds))
    left = []
    for variant, seed, looks in planned:
        place = _run_folder(folder, variant, seed)
        splits = data.divide(dataset, variant.all_digits, small)
        if not finished(variant, seed, place, looks, splits):
            left.append((variant, seed, looks))
    report(f"{len(planned)} runs, {len(planned) - len(left)} of them finished.")
    if jobs > 1:
        _in_processes([_name(*one[:2]) for one in left], jobs, child, report)
    else:
        for number, (variant, seed, looks) in enumerate(left, 1):
            report(f"Run {number} of {len(left)}: {_name(variant, seed)}")
            place = _run_folder(folder, variant, seed)
            train(
                variant,
                seed,
                place,
                dataset,
                looks=looks,
                small=small,
                report=report,
            )
    if keep:
        for variant, seed, looks in planned:
            _keep(
                _run_folder(folder, variant, seed),
                keep / _name(variant, seed),
                looks,
            )
        report(f"Records of {len(planned)} runs are in {keep}.")


def run_one(
    name: str,
    folder: Path,
    dataset: Dataset,
    threads: int,
    small: Sequence[int] | None = None,
    seeds: int = len(ablation.SEEDS),
) -> None:
    """Train one run by its name, such as relu/seed-3, with so many threads; what each job of `run` does.

    Raises:
        ValueError: no run of this name.
    """
    network.limit_threads(threads)
    known = {
        _name(variant, seed): (variant, seed, looks)
        for variant, seed, looks in ablation.runs(ablation.rungs_named(), seeds)
    }
    require_choice("run", name, tuple(known))
    variant, seed, looks = known[name]
    place = _run_folder(folder, variant, seed)

    def report(line: str) -> None:
        # In one piece: unbuffered, print would write the line's end by itself, and other jobs write too.
        sys.stdout.write(f"{name}: {line}\n")
        sys.stdout.flush()

    train(variant, seed, place, dataset, looks=looks, small=small, report=report)


def _in_processes(
    names: list[str],
    jobs: int,
    child: Sequence[str],
    report: Callable[[str], Any],
) -> None:
    """Train runs in processes of their own, so many at a time; if one fails or all are to stop, wait for all to save.

    Raises:
        RunError: a run failed; its name and what its process said last are in the text.
        Stopped: Ctrl-C or SIGTERM came.
    """
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    waiting, running, failed, ending = list(names), {}, None, False
    with loop.Stop() as stop:
        while running or waiting:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                report(f"Run {len(names) - len(waiting)} of {len(names)}: {name}")
                sys.stdout.flush()  # Before the process prints.
                command = [*child, "--only", name, "--threads", threads]
                running[name] = subprocess.Popen(
                    command, stderr=subprocess.PIPE, text=True
                )
            for name, process in list(running.items()):
                try:
                    _, errors = process.communicate(timeout=0.2)
                except subprocess.TimeoutExpired:
                    continue
                del running[name]
                if process.returncode and not failed and stop.asked is None:
                    lines = errors.strip().splitlines() or ["no message"]
                    failed = f"{name}: {lines[-1].removeprefix('error: ')}"
            if not ending and (failed or stop.asked is not None):
                ending, waiting = True, []
                for process in running.values():
                    process.terminate()
    if stop.asked is not None:
        raise loop.Stopped(
            f"Stopped by {signal.Signals(stop.asked).name}; what was running is saved. The same command goes on from there.",
            stop.asked,
        )
    if failed:
        raise RunError(failed)


def _name(variant: Variant, seed: int) -> str:
    """Return the name of a run."""
    return f"{variant.name}/seed-{seed}"


def _run_folder(folder: Path, variant: Variant, seed: int) -> Path:
    """Return the folder of a run."""
    return folder / variant.name / f"seed-{seed}"


def _keep(folder: Path, to: Path, looks: Sequence[int]) -> None:
    """Copy a run's record, without the loss within each epoch, and its test results."""
    to.mkdir(parents=True, exist_ok=True)
    record = records.read(folder)
    for line in record.epochs:
        del line["steps"]
    files.write(to / records.NAME, record.to_json().encode())
    for name in map(records.result_name, looks):
        files.write(to / name, (folder / name).read_bytes())
