"""A run's folder: opened for a new run or to resume one, its files saved and moved aside. Chapter 7 is about this module.

The folder holds `last.weights.h5` (weights, optimizer and record), `previous.weights.h5` (the same, of the save before),
`best.weights.h5` (the weights of the lowest validation loss) and `record.json`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from lenet5lib import files, records
from lenet5lib._checks import differences, to_plain
from lenet5lib.records import Config, Record
from lenet5lib.training import checkpoint
from lenet5lib.training.checkpoint import BEST, LAST, PREVIOUS
from lenet5lib.training.engine import Engine

FILES = (LAST, PREVIOUS, BEST, records.NAME)
"""The files of a run; all others in its folder are left alone."""


class RunError(ValueError):
    """A run folder that does not fit what is asked; the text says what came, what was expected, what to do."""


def named(run_dir: str | Path) -> Path:
    """Return the path of a run's folder, which must not be an empty text, such as a variable that was never set."""
    if not str(run_dir).strip():
        raise RunError(f"run_dir is {run_dir!r}; expected a folder. Name one.")
    return Path(run_dir)


@contextlib.contextmanager
def opened(
    run_dir: Path, resume: bool, report: Callable[[str], Any]
) -> Iterator[None]:
    """Make a run's folder if it is missing, and lock it; without `resume`, move an earlier run aside first.

    Raises:
        RunError: the folder cannot be made, or not be moved.
        LockedError: another process is training in it.
    """
    if not resume and run_dir.is_dir():
        with files.locked(run_dir):  # Not while another process trains there.
            move_aside(run_dir, report)
    make(run_dir)
    with files.locked(run_dir) as is_locked:
        if is_locked:
            files.remove_leftovers(run_dir, FILES)
        yield


def make(run_dir: Path) -> None:
    """Make the run's folder if it is missing.

    Raises:
        RunError: it cannot be made.
    """
    try:
        # What a link names may have been moved aside.
        real = Path(os.path.realpath(run_dir)) if run_dir.is_symlink() else run_dir
        real.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make the folder {run_dir}: {error.strerror}. Name a folder "
            "that can be written to."
        ) from None


def move_aside(run_dir: Path, report: Callable[[str], Any]) -> None:
    """Rename an earlier run's folder to the first free name of run_dir.1, run_dir.2, …; of a link, the folder it names.

    Raises:
        RunError: it cannot be renamed, or is the current folder.
    """
    if not any((run_dir / name).exists() for name in FILES):
        return
    real = Path(os.path.realpath(run_dir))
    if Path.cwd().is_relative_to(real):
        raise RunError(
            f"cannot move {real} aside: it is the current folder, or holds it. Name a "
            "different folder for the new run."
        )
    whole = run_dir.is_symlink() or run_dir.name in ("", "..")
    folder = real if whole else run_dir
    aside = _first_free(folder, "{}.{}")
    try:
        folder.rename(aside)
    except OSError as error:
        raise RunError(
            f"cannot move {run_dir} aside: {error.strerror}. Name a different "
            "folder for the new run."
        ) from None
    with contextlib.suppress(OSError):
        (aside / files.LOCK).unlink()
    report(f"The old run is now in {aside}.")


def _first_free(path: Path, pattern: str) -> Path:
    """Return the first path beside this one, by its name and a number from 1, that does not exist."""
    paths = (path.with_name(pattern.format(path.name, n)) for n in count(1))
    return next(path for path in paths if not path.exists())


def resume(
    run_dir: Path, engine: Engine, new: Record, report: Callable[[str], Any]
) -> Record:
    """Load the newest whole checkpoint into the engine and return its record; without checkpoints, return the new record.

    Raises:
        RunError: the folder holds a run of a different configuration; each difference is named.
        CheckpointError: all checkpoints are damaged, or do not fit.
    """
    path, notice = checkpoint.newest(run_dir)
    if path is None:
        best, lost = run_dir / BEST, (run_dir / records.NAME).exists()
        # Weights of the first epoch are all that a run has that died before its first checkpoint.
        if lost or (best.exists() and len(checkpoint.read_record(best).epochs) > 1):
            raise RunError(
                f"{run_dir} holds a run's {'record' if lost else 'best weights'} but no {LAST}; "
                "expected both or neither. Restore the checkpoint, or start again from epoch 1 with "
                "--no-resume (resume=False), which moves the folder aside."
            )
        return new
    contents, record = checkpoint.read(path)
    _require_same_run(run_dir, record, new.config, engine)
    try:
        engine.restore(contents)
    except (ValueError, KeyError) as error:
        raise checkpoint.misfit(path, error) from None
    if notice:
        report(f"Notice: {notice}, {progress(record)}.")
        _set_aside(run_dir / LAST, report)
    _adopt_best(engine, record, run_dir, report)
    _write_record(record, run_dir)
    report(f"Resuming {run_dir} {progress(record)}.")
    return record


def _require_same_run(
    run_dir: Path, record: Record, asked: Config, engine: Engine
) -> None:
    """Raise RunError unless the run can be resumed as it is asked for."""
    found = conflicts(record.config, asked)
    if (kept := record.sessions[-1]["engine"]) != engine.name:
        found.append(f"engine: {kept} in the folder, {engine.name} asked for")
    if found:
        cyclic = any("learning_rate.epochs" in one for one in found)
        cycle = " The length of a cycle is fixed when its run begins." * cyclic
        raise RunError(
            f"{run_dir} holds a run of a different configuration. "
            f"{'; '.join(found)}.{cycle} Use the run's own values, name a different folder, "
            "or start again from epoch 1 with --no-resume (resume=False), which moves "
            "the old run aside."
        )
    unfinished = record.unfinished_epoch or {}
    steps = unfinished.get("steps_per_execution", engine.steps_per_execution)
    if steps != engine.steps_per_execution:
        raise RunError(
            f"{run_dir} was saved within an epoch by a version with {steps} steps "
            f"per execution, this one has {engine.steps_per_execution}. Resume with "
            "that version until the epoch ends."
        )


def conflicts(kept: Config, asked: Config) -> list[str]:
    """Return the differences of two configurations if one run cannot be resumed as the other: names and both values.

    The same data under a different name is no reason.
    """
    plain = [to_plain(config, defaults=True) for config in (kept, asked)]
    found = list(differences(*plain))
    if all(name == "data.dataset_name" for name, _, _ in found):
        return []
    return [
        f"{name}: {_short(before)} in the folder, {_short(after)} asked for"
        for name, before, after in found
    ]


def _short(value: Any) -> str:
    """Return a configuration's value in a few words."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return ", ".join(entry["name"] for entry in value)
    is_checksum = isinstance(value, str) and len(value) == 64
    return f"{value[:12]}…" if is_checksum else str(value)


def _set_aside(path: Path, report: Callable[[str], Any]) -> None:
    """Rename a file that cannot be used, if it is there, to the first free name of damaged-1.weights.h5, damaged-2 …"""
    if path.exists():
        aside = _first_free(path, "damaged-{1}.weights.h5")
        path.rename(aside)
        report(f"The file is now {aside.name}.")


def _adopt_best(
    engine: Engine, record: Record, run_dir: Path, report: Callable[[str], Any]
) -> None:
    """Take epoch and loss of the best weights from their own record; if they cannot be used, go on without them.

    The best weights are saved before the checkpoint, so they may be an epoch ahead of it, or two ahead of the previous one.
    That epoch is trained again; if a different machine then gives a slightly higher loss, the better weights stay. In place
    of weights that cannot be used, those of the last epoch are the best until better ones come.
    """
    path, reason = run_dir / BEST, f"there is no {BEST} in {run_dir}"
    if path.exists():
        try:
            kept = checkpoint.read_record(path)
            if kept.config == record.config:
                record.best = kept.best
                return
            reason = f"{path} is of a different run"
        except checkpoint.CheckpointError as error:
            reason = getattr(error, "reason", str(error))
    elif not record.best["epoch"]:
        return
    report(f"Notice: {reason}. The best of the epochs from here on is kept.")
    _set_aside(path, report)
    record.best = {"epoch": 0, "val_loss": None}
    if record.epochs and not record.unfinished_epoch:
        with engine.ema_weights():
            save_best(engine, record, run_dir)


def unfinished_steps(record: Record) -> int:
    """Return the number of steps that are done of an epoch that was saved before its end, 0 between epochs."""
    if not (unfinished := record.unfinished_epoch):
        return 0
    config = record.config
    steps_per_epoch = -(-config.data.num_train // config.recipe.batch_size)
    steps = len(unfinished["losses"]) * unfinished["steps_per_execution"]
    return min(steps, steps_per_epoch)


def progress(record: Record) -> str:
    """Return in words how far a run has come."""
    if not record.unfinished_epoch:
        return f"after epoch {len(record.epochs)}"
    steps = unfinished_steps(record)
    return f"in epoch {record.unfinished_epoch['epoch']} after {steps:,} steps"


def save_best(engine: Engine, record: Record, run_dir: Path) -> None:
    """Save the best weights if the last epoch has the lowest validation loss.

    The checkpoint comes second: if the program dies between the two, the epoch is trained again with the same result, and
    the best weights are written again.
    """
    last, known = record.epochs[-1], record.best["val_loss"]
    if known is None or last["val_loss"] < known:
        record.best = {name: last[name] for name in ("epoch", "val_loss")}
        contents = engine.contents(with_optimizer=False)
        checkpoint.write(contents, record, run_dir / BEST)


def save_last(engine: Engine, record: Record, run_dir: Path) -> None:
    """Save the checkpoint, keeping the one before, and then the record."""
    text = record.to_json()  # Made once: that of a long run takes time.
    checkpoint.write(engine.contents(), text, run_dir / LAST, run_dir / PREVIOUS)
    _write_record(record, run_dir, text)


def _write_record(record: Record, run_dir: Path, text: str | None = None) -> None:
    """Write `record.json` unless it is up to date: a program that died before it wrote the file has left an older one."""
    path, contents = run_dir / records.NAME, (text or record.to_json()).encode()
    try:
        if not path.exists() or path.read_bytes() != contents:
            files.write(path, contents)
    except OSError as error:
        raise checkpoint.CheckpointError(
            f"could not save {path}: {error.strerror}. The checkpoint of epoch "
            f"{len(record.epochs)} is whole. Free space or make the folder "
            "writable, then start again with the same command."
        ) from error
