"""Training that can be stopped and resumed without a trace.

The order of the digits and their distortions are functions of (seed, epoch), the initial weights of the seed, a schedule of
the step and the record; all else that the next step depends on is in the checkpoint. So a run that was stopped and resumed
ends bit for bit where an uninterrupted one ends, on the same machine with the same number of threads. Chapters 5 and 7 are
about this module.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lenet5lib import data, files, records
from lenet5lib._checks import require_choice, require_int, require_number
from lenet5lib.data.mnist import Digits, Splits
from lenet5lib.loops import compiled, network, update
from lenet5lib.records import Record
from lenet5lib.spec import RBF, Architecture
from lenet5lib.training import augment, checkpoint, losses, weights_file
from lenet5lib.training.checkpoint import BEST, LAST, PREVIOUS
from lenet5lib.training.loops_engine import LoopsEngine
from lenet5lib.training.recipe import DEFAULT_RECIPE, Recipe

if TYPE_CHECKING:
    import keras

    from lenet5lib.training.keras_engine import KerasEngine

    Engine = KerasEngine | LoopsEngine

ENGINES = ("loops", "keras")
"""What can train and predict: the library's compiled loops, and Keras."""

STEPS_PER_EXECUTION = 100
"""Steps for each call from Python; each full call adds one point to the record's `steps`."""

SAVE_MINUTES = 10.0
"""How long training goes on, by default, until it saves in the middle of an epoch."""


OWN = (LAST, PREVIOUS, BEST, records.NAME)
"""The files of a run; anything else in its folder is somebody else's."""


class Stopped(KeyboardInterrupt):
    """Training that was asked to stop, and has saved; the text says how to go on, `signal` is the number of the signal."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class RunError(ValueError):
    """A run folder that does not fit what is asked; the text says what came, what was expected, what to do."""


@dataclass
class Run:
    """A finished or resumed training: the engine with the last epoch's weights, or their average, its record, its folder."""

    engine: Engine
    record: Record
    run_dir: Path

    @functools.cached_property
    def model(self) -> keras.Model:
        """The Keras model with the last epoch's weights, or their average."""
        return self.engine.model()

    def history(self) -> pd.DataFrame:
        """Return the metrics as a table, a row an epoch: loss, accuracy, val_loss, val_accuracy."""
        return history_table(self.record)

    def best_model(self) -> keras.Model:
        """Return a model with the weights of the epoch that was best on validation."""
        return load_model(self.run_dir)


def history_table(record: Record) -> pd.DataFrame:
    """Return a record's metrics as a table, a row an epoch."""
    table = pd.DataFrame({name: record.column(name) for name in record.metrics})
    return table.set_index(
        pd.Index([epoch["epoch"] for epoch in record.epochs], name="epoch")
    )


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of an epoch's digits: a permutation of 0 … count − 1, a function of (seed, epoch) alone.

    >>> [bool((epoch_order(0, 3, 100) == epoch_order(0, epoch, 100)).all()) for epoch in (3, 4)]
    [True, False]
    """
    return np.random.default_rng([seed, epoch]).permutation(count)


def train(
    architecture: Architecture,
    splits: Splits,
    run_dir: str | Path,
    *,
    epochs: int,
    recipe: Recipe = DEFAULT_RECIPE,
    seed: int = 0,
    resume: bool = True,
    engine: str | None = None,
    save_minutes: float = SAVE_MINUTES,
    save_steps: int | None = None,
    watch_test: bool = False,
    report: Callable[[str], Any] | None = print,
) -> Run:
    """Train, keep the best weights, and resume what the folder holds.

    After each epoch the folder holds `last.weights.h5` (weights, optimizer and record), `previous.weights.h5` (the same, of
    the save before), `best.weights.h5` (weights of the lowest validation loss) and `record.json`. Ctrl-C and SIGTERM end
    training after at most 100 more steps, saved; the same call goes on with the next step.

    Args:
        architecture: what to train; its last layer gives probabilities, or distances (`RBF`).
        splits: training and validation digits; the test digits are not looked at, unless `watch_test` says so.
        run_dir: the run's folder, made if it is missing.
        epochs: the total; a run that has as many returns at once, a run that has fewer goes on.
        recipe: the hyperparameters; by default 32 digits a step, Adam at a rate of 0.001.
        seed: fixes the initial weights, the order of the digits and their distortions.
        resume: go on from the folder's checkpoint; if False, an earlier run is moved aside, never deleted.
        engine: "loops", the library's own loops, compiled; "keras"; None for the loops where they can. The record says
            which, and a run goes on with its own.
        save_minutes: save in the middle of an epoch when so many minutes have passed since the last save.
        save_steps: save in the middle of an epoch after so many steps too, rounded up to whole hundreds; None for never.
        watch_test: also record loss and accuracy on the test digits after each epoch, as the article does; nothing is chosen
            by them.
        report: receives a line of text an epoch; None for silence.

    Returns:
        The run, its model holding the last epoch's weights, or their average where the recipe asks for that.

    Raises:
        RunError: the folder holds a run of another configuration; the field that differs is named.
        CheckpointError: all checkpoints are damaged, or one cannot be saved.
        LockedError: another process is training in the folder.
        Stopped: training was asked to stop, and has saved.
        ValueError: the recipe does not go with the architecture, or with the engine that was asked for.
    """
    epochs = require_int("epochs", epochs)
    seed = require_int("seed", seed, minimum=0)
    if save_steps is not None:
        save_steps = require_int("save_steps", save_steps)
    say = report or (lambda line: None)
    run_dir = Path(run_dir)
    config = configuration(architecture, splits, recipe, seed, watch_test)
    save_minutes = require_number("save_minutes", save_minutes)
    if not resume and run_dir.is_dir():
        with files.locked(run_dir):  # Not while another process trains there.
            _move_aside(run_dir, say)
    named = architecture, recipe.loss, recipe.rubbish_distance
    loss = losses.choose(*named, recipe.label_smoothing)
    measured_by = losses.choose(*named)
    chosen = choose_engine(recipe, engine)
    _make_folder(run_dir)
    with files.locked(run_dir) as alone, Stop() as stop:
        if alone:
            files.remove_leftovers(run_dir, OWN)
        trainer = make_engine(
            chosen, architecture, recipe, loss, seed, splits.train
        )
        record = _open(run_dir, trainer, config, say)
        done = len(record.epochs)
        if done >= epochs:
            held = f"{done} epochs" + (
                " and a part of one" if record.partial else ""
            )
            say(f"Finished: {run_dir} holds {held}, {epochs} asked for.")
            trainer.take_average()
            return Run(trainer, record, run_dir)
        record.sessions.append(_session(record, trainer))
        loop = _Loop(trainer, recipe, seed)
        watched = {"val": splits.validation}
        if watch_test:
            watched["test"] = splits.test
        saver = _Saver(trainer, record, run_dir, stop, save_minutes, save_steps)
        for epoch in range(done + 1, epochs + 1):
            start = time.perf_counter()
            before = record.column("val_loss")
            begun = record.partial or _nothing_done(epoch)
            seconds = begun["seconds"]
            progress = _Progress(epoch, epochs, report)
            line = {"epoch": epoch} | loop.epoch(before, begun, progress, saver)
            with trainer.averaged():
                for name, part in watched.items():
                    outputs = trainer.outputs(part.images)
                    measured = _measures(measured_by, outputs, part.labels)
                    names = f"{name}_loss", f"{name}_accuracy"
                    line |= zip(names, measured, strict=True)
                line["seconds"] = round(seconds + time.perf_counter() - start, 3)
                record.epochs.append(line)
                saver.best()
            saver.epoch()
            say(_line(record.epochs[-1], epochs))
            if epoch < epochs:
                stop.check(record)
    trainer.take_average()
    return Run(trainer, record, run_dir)


def choose_engine(recipe: Recipe, name: str | None) -> str:
    """Return the name of the engine to train with; Keras where the loops cannot, said in a line if numba is missing.

    Args:
        recipe: whose optimizer the engine must have.
        name: one of `ENGINES`, or None for the loops where they can.

    Raises:
        ValueError: another name; or the loops were asked for and do not have the recipe's optimizer.
    """
    if name is not None:
        require_choice("engine", name, ENGINES)
    if name == "keras":
        return name
    if name is None and recipe.optimizer not in update.OPTIMIZERS:
        return "keras"
    update.require_optimizer(recipe)
    if not compiled.available():
        compiled.say_missing("Keras takes the place of the compiled loops")
        return "keras"
    return "loops"


def make_engine(
    name: str,
    architecture: Architecture,
    recipe: Recipe,
    loss: losses.Loss,
    seed: int,
    digits: Digits,
) -> Engine:
    """Return an engine, ready to train these digits."""
    if name == "loops":
        return LoopsEngine(architecture, recipe, loss, seed, digits)
    from lenet5lib.training.keras_engine import (
        KerasEngine,  # Here TensorFlow starts.
    )

    return KerasEngine(architecture, recipe, loss, seed, digits)


def _nothing_done(epoch: int) -> dict[str, Any]:
    """Return the state of an epoch that has not begun; see `Record.partial`."""
    return {
        "epoch": epoch,
        "steps_a_call": STEPS_PER_EXECUTION,
        "losses": [],
        "right": 0,
        "steps": [],
        "seconds": 0.0,
    }


class Stop:
    """Listens for Ctrl-C and SIGTERM while training runs; a Ctrl-C after either ends it at once.

    A SIGTERM after a Ctrl-C says nothing new: a terminal's Ctrl-C reaches all processes of a command, and the one that
    started the others asks them to stop, too.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.former: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.former[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: Any) -> None:
        if self.asked is None:
            self.asked = number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    def check(self, record: Record) -> None:
        """Raise Stopped if that was asked for; the record is saved as it is."""
        if self.asked is None:
            return
        name = signal.Signals(self.asked).name
        raise Stopped(
            f"Stopped by {name} {_where(record)}, and saved. The same command goes on from there.",
            self.asked,
        )


class _Saver:
    """Saves a run, after each epoch and, where that is due, in the middle of one."""

    def __init__(
        self,
        engine: Engine,
        record: Record,
        run_dir: Path,
        stop: Stop,
        minutes: float,
        steps: int | None,
    ) -> None:
        self.engine, self.record = engine, record
        self.run_dir, self.stop = run_dir, stop
        self.seconds = 60 * minutes
        self.calls = -(-steps // STEPS_PER_EXECUTION) if steps else math.inf
        self.saved, self.unsaved = time.monotonic(), 0

    def best(self) -> None:
        """Save the model's weights as the best if the epoch that was added to the record last is the best."""
        self.record.partial = None
        _save_best(self.engine, self.record, self.run_dir)

    def epoch(self) -> None:
        """Save the epoch that was added to the record last, to go on from."""
        _save_last(self.engine, self.record, self.run_dir)
        self.saved, self.unsaved = time.monotonic(), 0

    def call(self, state: dict[str, Any]) -> None:
        """Take note of 100 steps more; save them if it is time to, or if training is to stop, and then stop."""
        self.unsaved += 1
        due = time.monotonic() - self.saved >= self.seconds
        if due or self.unsaved >= self.calls or self.stop.asked is not None:
            self.record.partial = state
            _save_last(self.engine, self.record, self.run_dir)
            self.saved, self.unsaved = time.monotonic(), 0
            self.stop.check(self.record)


def configuration(
    architecture: Architecture,
    splits: Splits,
    recipe: Recipe,
    seed: int,
    watch_test: bool = False,
) -> dict[str, Any]:
    """Return all that fixes a run's result and what is recorded of it, as plain JSON values."""
    special: dict[str, Any] = {}
    if not splits.held_out:
        special["all digits"] = True
    if watch_test:
        special["watched test digits"] = data.digest(splits.test)
    return {
        "architecture": architecture.to_dict(),
        **recipe.to_dict(),
        "seed": seed,
        "data": {
            "source": splits.source,
            "training digits": len(splits.train),
            "validation digits": len(splits.validation),
            "digest": data.digest(splits.train, splits.validation),
            **special,
        },
    }


def differences(kept: Any, asked: Any, field: str = "") -> list[str]:
    """Return, for each field in which two configurations differ, its name and both values.

    >>> differences({"seed": 0, "data": {"source": "a"}}, {"seed": 1, "data": {"source": "a"}})
    ['seed: 0 in the folder, 1 asked for']
    """
    if isinstance(kept, dict) and isinstance(asked, dict):
        keys = [*kept, *(key for key in asked if key not in kept)]
        pairs = [
            (f"{field}.{key}" if field else key, kept.get(key), asked.get(key))
            for key in keys
        ]
    elif (
        isinstance(kept, list)
        and isinstance(asked, list)
        and len(kept) == len(asked)
        and field.endswith("layers")
    ):
        pairs = [(a["name"], a, b) for a, b in zip(kept, asked, strict=True)]
    else:
        return (
            []
            if kept == asked
            else [
                f"{field}: {_short(kept)} in the folder, {_short(asked)} asked for"
            ]
        )
    return [line for key, a, b in pairs for line in differences(a, b, key)]


def conflicts(kept: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Return the `differences` of two configurations if one run cannot go on as the other.

    The same digits under another name are no reason.
    """
    found = differences(kept, asked)
    named = [line for line in found if not line.startswith("data.source:")]
    return found if named else []


def _short(value: Any) -> str:
    """Write a configuration's value in a few words."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return ", ".join(entry["name"] for entry in value)
    return (
        f"{value[:12]}…"
        if isinstance(value, str) and len(value) == 64
        else str(value)
    )


def _make_folder(run_dir: Path) -> None:
    """Make the run's folder if it is missing."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make the folder {run_dir}: {error.strerror}. Name a folder that can be written."
        ) from None


def _open(
    run_dir: Path,
    engine: Engine,
    config: dict[str, Any],
    say: Callable[[str], Any],
) -> Record:
    """Return the record to go on from, the model loaded to match: the newest whole checkpoint, or a new run."""
    path, notice = checkpoint.newest(run_dir)
    if path is None:
        if (run_dir / records.NAME).exists():
            raise RunError(
                f"{run_dir} holds a run's record but no {LAST}; expected both or neither. Restore the checkpoint, or "
                "start anew with --no-resume (resume=False), which moves the folder aside."
            )
        return Record(config)
    contents, record = checkpoint.read(path)
    found = conflicts(record.config, config)
    if (former := record.sessions[-1].get("engine")) != engine.name:
        found.append(f"engine: {former} in the folder, {engine.name} asked for")
    if found:
        raise RunError(
            f"{run_dir} holds a run of another configuration. {'; '.join(found)}. Use the run's own values, name "
            "another folder, or start anew with --no-resume (resume=False), which moves the old run aside."
        )
    try:
        engine.restore(contents)
    except (ValueError, KeyError) as error:
        raise checkpoint.CheckpointError(
            f"{path} does not fit: {str(error).splitlines()[0]}"
        ) from None
    if record.partial and record.partial["steps_a_call"] != STEPS_PER_EXECUTION:
        raise RunError(
            f"{run_dir} was saved within an epoch by a version that takes {record.partial['steps_a_call']} steps a call, "
            f"this one takes {STEPS_PER_EXECUTION}. Go on with that version until the epoch ends."
        )
    if notice:
        say(f"Notice: {notice}, {_where(record)}.")
        _set_aside(run_dir, say)
    _adopt_best(record, run_dir)
    _write_record(record, run_dir)
    say(f"Resuming {run_dir} {_where(record)}.")
    return record


def _adopt_best(record: Record, run_dir: Path) -> None:
    """Take over the best loss of the saved best weights where it is better than the record's.

    The best weights are saved before the checkpoint, so they may be an epoch ahead of it, or more of the previous one. The
    epoch is trained again; should another machine give it a slightly worse loss, the better weights stay.
    """
    try:
        kept = checkpoint.read_record(run_dir / BEST)
    except checkpoint.CheckpointError:
        return
    best, known = kept.best["val_loss"], record.best["val_loss"]
    if kept.config == record.config and (known is None or best < known):
        record.best = kept.best


def _set_aside(run_dir: Path, say: Callable[[str], Any]) -> None:
    """Rename a damaged last checkpoint to the first free name of damaged-1.weights.h5, damaged-2.weights.h5, …"""
    if not (run_dir / LAST).exists():
        return
    number = 1
    while (aside := run_dir / f"damaged-{number}.weights.h5").exists():
        number += 1
    (run_dir / LAST).rename(aside)
    say(f"The damaged file is now {aside.name}.")


def _steps_of_partial(record: Record) -> int:
    """Return the steps that are done of an epoch that was saved before its end."""
    if not record.partial:
        return 0
    digits = record.config["data"]["training digits"]
    steps = -(-digits // record.config["batch_size"])
    return min(len(record.partial["losses"]) * STEPS_PER_EXECUTION, steps)


def _where(record: Record) -> str:
    """Say in words how far a run has come."""
    if not record.partial:
        return f"after epoch {len(record.epochs)}"
    steps = _steps_of_partial(record)
    return f"in epoch {record.partial['epoch']} after {steps:,} steps"


def _move_aside(run_dir: Path, say: Callable[[str], Any]) -> None:
    """Rename an earlier run's folder to the first free name of run_dir.1, run_dir.2, …"""
    if not any((run_dir / name).exists() for name in OWN):
        return
    number = 1
    while (aside := run_dir.with_name(f"{run_dir.name}.{number}")).exists():
        number += 1
    try:
        run_dir.rename(aside)
    except OSError as error:
        raise RunError(
            f"cannot move {run_dir} aside: {error.strerror}. Name another folder for the new run."
        ) from None
    with contextlib.suppress(OSError):
        (aside / files.LOCK).unlink()
    say(f"The old run is now in {aside}.")


def _session(record: Record, engine: Engine) -> dict[str, Any]:
    """Return the description of one start of the program."""
    return {
        "after_epoch": len(record.epochs),
        "after_steps": _steps_of_partial(record),
        "engine": engine.name,
        "versions": engine.versions,
        "threads": engine.threads,
    }


def _save_best(engine: Engine, record: Record, run_dir: Path) -> None:
    """Save the best weights if the newest epoch is the best.

    The checkpoint comes second: if the program dies between the two, the epoch is trained again, with the same result, and
    the best weights are written again.
    """
    newest, known = record.epochs[-1], record.best["val_loss"]
    if known is None or newest["val_loss"] < known:
        record.best = {name: newest[name] for name in ("epoch", "val_loss")}
        checkpoint.write(
            engine.contents(with_optimizer=False), record, run_dir / BEST
        )


def _save_last(engine: Engine, record: Record, run_dir: Path) -> None:
    """Save the checkpoint, keeping the one before, then the record; of a long run its text is not made more than once."""
    text = record.to_json()
    checkpoint.write(engine.contents(), text, run_dir / LAST, run_dir / PREVIOUS)
    _write_record(record, run_dir, text)


def _write_record(record: Record, run_dir: Path, text: str | None = None) -> None:
    """Write `record.json`, unless it is as it should be: a program that died before it wrote it left an older one."""
    path, contents = run_dir / records.NAME, (text or record.to_json()).encode()
    try:
        if not path.exists() or path.read_bytes() != contents:
            files.write(path, contents)
    except OSError as error:
        raise checkpoint.CheckpointError(
            f"could not save {path}: {error.strerror}. The checkpoint of epoch {len(record.epochs)} is whole. Free "
            "space or make the folder writable, then start again with the same command."
        ) from error


class _Loop:
    """The loop over an epoch's steps, in any engine."""

    def __init__(self, engine: Engine, recipe: Recipe, seed: int) -> None:
        self.engine, self.recipe, self.seed = engine, recipe, seed
        self.images, self.steps = engine.images, engine.steps
        self.batch_size = engine.batch_size

    def distorted(self, epoch: int) -> np.ndarray:
        """Return an epoch's training digits, distorted where the recipe says so."""
        distortion = self.recipe.distortion
        if distortion is None:
            return self.images
        return augment.distort(self.images, distortion, self.seed, epoch)

    def epoch(
        self,
        val_losses: list[float],
        begun: dict[str, Any],
        progress: Callable[[float], None],
        saver: _Saver,
    ) -> dict[str, Any]:
        """Train an epoch, or what is left of it; return loss, accuracy and the loss on the way.

        Args:
            val_losses: of the epochs before.
            begun: what is done of this epoch, see `Record.partial`; brought up to date after each call.
            progress: receives the share done.
            saver: is told of each call.
        """
        start = time.perf_counter() - begun["seconds"]
        epoch, count = begun["epoch"], len(self.images)
        calls, counts = self.batches(epoch_order(self.seed, epoch, count))
        rates = self.rates(epoch, val_losses, len(calls))
        done = len(begun["losses"])
        self.engine.begin_epoch(self.distorted(epoch), epoch, begun=done > 0)
        for number in range(done, len(calls)):
            call, taken = calls[number], counts[number]
            loss, right = self.steps(call[:taken], rates[number][:taken])
            begun["losses"].append(loss)
            begun["right"] += right
            if (call >= 0).all():
                steps = (number + 1) * STEPS_PER_EXECUTION
                begun["steps"].append([steps, round(loss / call.size, 5)])
            begun["seconds"] = round(time.perf_counter() - start, 3)
            progress((number + 1) / len(calls))
            saver.call(begun)
        return {
            "loss": sum(begun["losses"]) / count,
            "accuracy": begun["right"] / count,
            "steps": begun["steps"],
            "training_seconds": begun["seconds"],
        }

    def rates(self, epoch: int, val_losses: list[float], calls: int) -> np.ndarray:
        """Return the learning rate of each step of an epoch, float32 (calls, STEPS_PER_EXECUTION)."""
        steps = -(-len(self.images) // self.batch_size)
        numbers = (epoch - 1) * steps + np.arange(calls * STEPS_PER_EXECUTION)
        rates = self.recipe.learning_rates(numbers, steps, val_losses)
        return rates.reshape(calls, STEPS_PER_EXECUTION)

    def batches(self, order: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Return an epoch's positions, int32 (calls, STEPS_PER_EXECUTION, batch_size), and the steps of each call.

        What is missing in the last is −1.
        """
        a_call = STEPS_PER_EXECUTION * self.batch_size
        calls = -(-len(order) // a_call)
        rows = np.full(calls * a_call, -1, np.int32)
        rows[: len(order)] = order
        steps = -(-len(order) // self.batch_size)
        counts = [
            min(STEPS_PER_EXECUTION, steps - first)
            for first in range(0, steps, STEPS_PER_EXECUTION)
        ]
        return rows.reshape(calls, STEPS_PER_EXECUTION, self.batch_size), counts


def loss_and_accuracy(model: keras.Model, digits: Digits) -> tuple[float, float]:
    """Return (mean cross-entropy in nats a digit, share right) of the model's probabilities for these digits."""
    from lenet5lib import models

    probabilities = models.predict(model, digits.images)
    return _measures(losses.CrossEntropy(), probabilities, digits.labels)


def _measures(
    loss: losses.Loss, outputs: np.ndarray, labels: np.ndarray
) -> tuple[float, float]:
    """Return (mean loss in nats a digit, share right) of a network's outputs (n, 10) for labels (n,)."""
    each = loss.of_arrays(labels, outputs)
    answers = (loss.best * outputs).argmax(axis=1)
    return float(each.mean(dtype=np.float64)), float((answers == labels).mean())


def gradient_sizes(model: keras.Model, digits: Digits) -> pd.Series:
    """Return the mean absolute gradient of the loss on these digits, for the kernel of each layer that has one."""
    import keras
    import tensorflow as tf

    from lenet5lib import models

    kernels = {layer.name: layer.kernel for layer in model.layers if layer.weights}
    with tf.GradientTape() as tape:
        probabilities = model(models.prepared(model, digits.images))
        each = keras.losses.sparse_categorical_crossentropy(
            digits.labels, probabilities
        )
        loss = tf.reduce_mean(each)
    gradients = tape.gradient(loss, [kernel.value for kernel in kernels.values()])
    sizes = [float(tf.reduce_mean(tf.abs(gradient))) for gradient in gradients]
    return pd.Series(sizes, pd.Index(kernels, name="kernel of"))


class _Progress:
    """A line that counts an epoch up in a terminal, at most five times a second; silent anywhere else."""

    def __init__(self, epoch: int, epochs: int, report: Callable | None) -> None:
        self.prefix = f"Epoch {epoch}/{epochs}"
        self.shown = report is not None and sys.stderr.isatty()
        self.due = 0.0

    def __call__(self, share: float) -> None:
        if self.shown and (time.monotonic() >= self.due or share == 1):
            self.due = time.monotonic() + 0.2
            print(
                f"\r{self.prefix} {share:4.0%}" if share < 1 else "\r\033[K",
                end="",
                file=sys.stderr,
                flush=True,
            )


def _line(epoch: dict[str, Any], epochs: int) -> str:
    """Write an epoch for a reader."""
    return (
        f"Epoch {epoch['epoch']}/{epochs}  loss {epoch['loss']:.4f}  accuracy {epoch['accuracy']:.4f}  "
        f"val_loss {epoch['val_loss']:.4f}  val_accuracy {epoch['val_accuracy']:.4f}  {epoch['seconds']:.1f} s"
    )


def load(
    run_dir: str | Path, name: str = BEST, engine: str = "loops"
) -> network.Network | keras.Model:
    """Return a run's network with its weights: as loops, or as a Keras model; see `load_network` and `load_model`."""
    require_choice("engine", engine, ENGINES)
    if engine == "loops" and compiled.available():
        return load_network(run_dir, name)
    if engine == "loops":
        compiled.say_missing("Keras takes the place of the compiled loops")
    return load_model(run_dir, name)


def load_network(run_dir: str | Path, name: str = BEST) -> network.Network:
    """Build the architecture that a run was trained with as loops, and load its weights.

    Args:
        run_dir: the run's folder.
        name: `best.weights.h5` or `last.weights.h5`; the latter's are averaged where the run's recipe asks for that.

    Raises:
        CheckpointError: no such file, or a damaged one.
    """
    path = Path(run_dir) / name
    architecture, weights = load_weights(path)
    try:
        return network.Network(architecture, weights)
    except ValueError as error:
        raise checkpoint.CheckpointError(f"{path} does not fit: {error}") from None


def load_weights(
    path: Path,
) -> tuple[Architecture, dict[str, tuple[np.ndarray, ...]]]:
    """Return a checkpoint's architecture, and its weights by layer, averaged where the recipe asks for that.

    Raises:
        CheckpointError: no such file, or a damaged one.
    """
    contents, record = checkpoint.read(path)
    architecture = Architecture.from_dict(record.config["architecture"])
    weights, slots = weights_file.read(io.BytesIO(contents))
    # What was saved without an optimizer is averaged already.
    if Recipe.from_dict(record.config).ema_decay and slots:
        averages = iter(slots[2:])
        fixed = {
            layer.name for layer in architecture.layers if isinstance(layer, RBF)
        }
        ordered = [layer.name for layer in architecture.layers]
        weights |= {
            layer: tuple(next(averages) for _ in weights[layer])
            for layer in ordered
            if layer in weights and layer not in fixed
        }
    return architecture, weights


def load_model(run_dir: str | Path, name: str = BEST) -> keras.Model:
    """Build the architecture that a run was trained with as a Keras model, and load its weights.

    Args:
        run_dir: the run's folder.
        name: `best.weights.h5` or `last.weights.h5`; the latter's are averaged where the run's recipe asks for that.

    Raises:
        CheckpointError: no such file, or a damaged one.
    """
    from lenet5lib import models

    path = Path(run_dir) / name
    architecture, weights = load_weights(path)
    model = models.build(architecture)
    try:
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(weights[layer.name])
    except (ValueError, KeyError) as error:
        raise checkpoint.CheckpointError(f"{path} does not fit: {error}") from None
    return model


def weights_to_use(record: Record) -> str:
    """Return the name of the weights file that counts at the end of a run: the best on validation, or the last.

    Where all digits were trained on, nothing is held out to choose by.
    """
    return LAST if record.config["data"].get("all digits") else BEST
