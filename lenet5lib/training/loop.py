"""The training loop: epochs, validation, saving; it can be stopped at any time and resumed bit for bit.

The order of the images and their distortions are functions of (seed, epoch), the initial weights of the seed, a schedule of
the step and the record; all other state that the next step depends on is in the checkpoint. So a run that was stopped and
resumed ends bit for bit like an uninterrupted one, on the same machine with the same number of threads. Chapters 5 and 7
are about this module.
"""

from __future__ import annotations

import functools
import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from lenet5lib import data
from lenet5lib._checks import require_int, require_number, say
from lenet5lib.data import Digits, Splits
from lenet5lib.records import Config, DataInfo, Record
from lenet5lib.spec import Architecture
from lenet5lib.training import augment, checkpoint, folder
from lenet5lib.training.engine import (
    Engine,
    choose_engine,
    require_finite,
    require_fitting,
)
from lenet5lib.training.loops_engine import LoopsEngine
from lenet5lib.training.losses import CrossEntropy, Loss, make_loss
from lenet5lib.training.recipe import DEFAULT_RECIPE, Recipe

if TYPE_CHECKING:
    import keras

SAVE_MINUTES = 10.0
"""The default time after which an unfinished epoch is saved."""


class Stopped(KeyboardInterrupt):
    """Training was asked to stop, and has saved; the text says how to resume, `signal` is the number of the signal."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


@dataclass
class Run:
    """A finished or resumed run: its engine with the last epoch's weights, or their average, its record, its folder."""

    engine: Engine
    record: Record
    run_dir: Path

    @functools.cached_property
    def model(self) -> keras.Model:
        """The Keras model with the last epoch's weights, or their average."""
        return self.engine.model()

    def history(self) -> pd.DataFrame:
        """Return the metrics as a table, a row for each epoch: loss, accuracy, val_loss, val_accuracy."""
        return self.record.history()

    def best_model(self) -> keras.Model:
        """Return a model with the weights of the epoch of the lowest validation loss."""
        return checkpoint.load_model(self.run_dir)


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of an epoch's images: a permutation of 0 … count − 1, a function of (seed, epoch) alone.

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
    command: str | None = None,
    report: Callable[[str], Any] | None = say,
) -> Run:
    """Train, keep the best weights, and resume the run that the folder holds.

    Each epoch is saved in the folder, see `folder`. Ctrl-C and SIGTERM end training after at most 100 more steps, saved; the
    same call resumes with the next step.

    Args:
        architecture: the network; its last layer gives probabilities, or distances (`RBF`).
        splits: training and validation images; the test images are not used, unless `watch_test` says so.
        run_dir: the run's folder, made if it is missing.
        epochs: the total, those of an earlier call included.
        recipe: the hyperparameters; by default Adam at a learning rate of 0.001, 32 images in a batch.
        seed: fixes the initial weights, the order of the images and their distortions.
        resume: if False, an earlier run in the folder is moved aside, never deleted.
        engine: "loops", the library's own loops, compiled; "keras"; None for the loops where they can. A run is resumed with
            its own.
        save_minutes: within an epoch, save after this time without a save.
        save_steps: within an epoch, save after this number of steps too, rounded up to whole hundreds; None for never.
        watch_test: also record loss and accuracy on the test images after each epoch, as the article does; nothing is chosen
            by them.
        command: the command line that asks for this run, for its record.
        report: receives a line of text for each epoch; None for silence.

    Returns:
        The run, its model with the weights of the last epoch, or their average if the recipe has one.

    Raises:
        RunError: the folder holds a run of a different configuration; each difference is named.
        CheckpointError: all checkpoints are damaged, or one cannot be saved.
        DivergedError: a loss or a weight is no finite number; what was saved before is left as it is.
        LockedError: another process is training in the folder.
        Stopped: training was asked to stop, and has saved.
        ValueError: the recipe does not fit the architecture, or the engine that was asked for; images or labels that do not
            fit the architecture.
    """
    epochs = require_int("epochs", epochs)
    seed = require_int("seed", seed, minimum=0)
    minutes = require_number("save_minutes", save_minutes)
    steps = (
        math.inf if save_steps is None else require_int("save_steps", save_steps)
    )
    config = configuration(architecture, splits, recipe, seed, watch_test)
    name = choose_engine(recipe, engine)
    loss, val_loss = _losses(config)
    require_fitting(architecture, splits)
    run_dir, report = folder.named(run_dir), report or _silent
    with folder.opened(run_dir, resume, report), Stop() as stop:
        trained = make_engine(name, config, loss, splits.train)
        new = Record(config, command)
        run = Run(trained, folder.resume(run_dir, trained, new, report), run_dir)
        saver = _Saver(run, stop, minutes, steps)
        _Loop(run, splits, val_loss, saver, report).run(epochs)
    trained.use_ema_weights()
    return run


def _silent(line: str) -> None:
    """Report nothing."""


def configuration(
    architecture: Architecture,
    splits: Splits,
    recipe: Recipe,
    seed: int,
    watch_test: bool = False,
) -> Config:
    """Return what fixes a run's result and what is recorded of it."""
    info = DataInfo(
        splits.dataset_name,
        data.checksum(splits.train, splits.validation),
        len(splits.train),
        len(splits.validation),
        splits.train_on_all,
        data.checksum(splits.test) if watch_test else None,
    )
    return Config(architecture, recipe, seed, info)


def _losses(config: Config) -> tuple[Loss, Loss]:
    """Return the loss to train with and the loss to validate with, which is of labels that are not smoothed."""
    recipe = config.recipe
    named = config.architecture, recipe.loss, recipe.rubbish_distance
    return make_loss(*named, recipe.label_smoothing), make_loss(*named)


def make_engine(name: str, config: Config, loss: Loss, digits: Digits) -> Engine:
    """Return an engine, ready to train on these images."""
    if name == "loops":
        return LoopsEngine(config, loss, digits)
    from lenet5lib.training.keras_engine import KerasEngine  # Loads TensorFlow.

    return KerasEngine(config, loss, digits)


class Stop:
    """Listens for Ctrl-C and SIGTERM during training; a Ctrl-C after either ends the program at once.

    A SIGTERM after a Ctrl-C changes nothing: a terminal's Ctrl-C reaches all processes of a command, and the process that
    started the others then asks them to stop, too.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self.previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    previous = signal.signal(number, self._handle_signal)
                    self.previous_handlers[number] = previous
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous_handlers.items():
            signal.signal(number, handler)

    def _handle_signal(self, number: int, frame: Any) -> None:
        if self.requested is None:
            self.requested = number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    def check(self, record: Record) -> None:
        """Raise Stopped if a signal has come; the record must be saved."""
        if self.requested is not None:
            name = signal.Signals(self.requested).name
            raise Stopped(
                f"Stopped by {name} {folder.progress(record)}, and saved. The same "
                "command resumes from there.",
                self.requested,
            )


class _Saver:
    """Saves a run after each epoch and, where that is due, within one."""

    def __init__(self, run: Run, stop: Stop, minutes: float, steps: float) -> None:
        self.run, self.stop = run, stop
        self.seconds, self.steps = 60 * minutes, steps
        self.last_save, self.unsaved_steps = time.monotonic(), 0

    def on_steps_end(self, unfinished_epoch: dict[str, Any]) -> None:
        """Save what is done of an epoch if that is due or if training was asked to stop, and then stop."""
        self.unsaved_steps += self.run.engine.steps_per_execution
        due = time.monotonic() - self.last_save >= self.seconds
        due = due or self.unsaved_steps >= self.steps
        if due or self.stop.requested is not None:
            self.run.record.unfinished_epoch = unfinished_epoch
            self.save_last()
            self.stop.check(self.run.record)

    def save_best(self) -> None:
        """Save the weights if the last epoch of the record is the best."""
        self.run.record.unfinished_epoch = None
        folder.save_best(self.run.engine, self.run.record, self.run.run_dir)

    def save_last(self) -> None:
        """Save the checkpoint to resume from."""
        folder.save_last(self.run.engine, self.run.record, self.run.run_dir)
        self.last_save, self.unsaved_steps = time.monotonic(), 0


class _Loop:
    """The epochs of a run, in either engine.

    Args:
        run: new or to be resumed.
        splits: the images to train on, to validate with and, if the run watches them, to test with.
        val_loss: to validate with.
        saver: saves the run.
        report: receives a line of text for each epoch.
    """

    def __init__(
        self,
        run: Run,
        splits: Splits,
        val_loss: Loss,
        saver: _Saver,
        report: Callable[[str], Any],
    ) -> None:
        self.engine, self.record, self.run_dir = run.engine, run.record, run.run_dir
        self.recipe, self.seed = self.record.config.recipe, self.record.config.seed
        self.val_loss, self.saver, self.report = val_loss, saver, report
        self.evaluated = {"val": splits.validation}
        if self.record.config.data.test_checksum is not None:
            self.evaluated["test"] = splits.test

    def run(self, epochs: int) -> None:
        """Train until the run has this number of epochs."""
        done, record = len(self.record.epochs), self.record
        if done >= epochs:
            part = " and a part of one" if record.unfinished_epoch else ""
            held = f"{self.run_dir} holds {done} epochs{part}"
            self.report(f"Finished: {held}, {epochs} asked for.")
            return
        record.sessions.append(self.session())
        for epoch in range(done + 1, epochs + 1):
            self.run_epoch(epoch, epochs)
            if epoch < epochs:
                self.saver.stop.check(record)

    def session(self) -> dict[str, Any]:
        """Return the description of this start of the program."""
        return {
            "after_epoch": len(self.record.epochs),
            "after_steps": folder.unfinished_steps(self.record),
            "engine": self.engine.name,
            "versions": self.engine.versions,
            "threads": self.engine.threads,
        }

    def run_epoch(self, epoch: int, epochs: int) -> None:
        """Train, evaluate and save an epoch, or what is left of it."""
        start = time.perf_counter()
        state = self.record.unfinished_epoch or self.new_epoch(epoch)
        seconds = state["seconds"]
        line = {"epoch": epoch} | self.train_epoch(state, epochs)
        with self.engine.ema_weights():
            found = self.evaluate()
            require_finite(
                self.engine, found, f"epoch {epoch}, after its last step"
            )
            line |= found
            line["seconds"] = round(seconds + time.perf_counter() - start, 3)
            self.record.epochs.append(line)
            self.saver.save_best()
        self.saver.save_last()
        self.report(_line(line, epochs))

    def new_epoch(self, epoch: int) -> dict[str, Any]:
        """Return the state of an epoch without a step; see `Record.unfinished_epoch`."""
        return {
            "epoch": epoch,
            "steps_per_execution": self.engine.steps_per_execution,
            "losses": [],
            "num_correct": 0,
            "steps": [],
            "seconds": 0.0,
        }

    def train_epoch(self, state: dict[str, Any], epochs: int) -> dict[str, Any]:
        """Take the steps of an epoch that are not done yet, and bring its state up to date; return its metrics."""
        start = time.perf_counter() - state["seconds"]
        epoch, engine = state["epoch"], self.engine
        size, count = engine.steps_per_execution, len(engine.images)
        batches = self.batches(epoch)
        rates = self.learning_rates(epoch, len(batches))
        done = len(state["losses"]) * size
        engine.begin_epoch(self.distorted(epoch), epoch, begun=done > 0)
        text = f"Epoch {epoch}/{epochs}"
        with self.progress_bar(text, done, len(batches)) as bar:
            for first in range(done, len(batches), size):
                rows = batches[first : first + size]
                given = rows, rates[first : first + size]
                loss, num_correct = engine.train_steps(*given)
                steps = f"steps {first + 1:,} to {first + len(rows):,}"
                require_finite(engine, {"loss": loss}, f"epoch {epoch}, {steps}")
                state["losses"].append(loss)
                state["num_correct"] += num_correct
                if np.count_nonzero(rows >= 0) == size * engine.batch_size:
                    state["steps"].append(
                        [first + size, round(loss / rows.size, 5)]
                    )
                state["seconds"] = round(time.perf_counter() - start, 3)
                bar.update(len(rows))
                self.saver.on_steps_end(state)
        return {
            "loss": sum(state["losses"]) / count,
            "accuracy": state["num_correct"] / count,
            "steps": state["steps"],
            "training_seconds": state["seconds"],
        }

    def progress_bar(self, text: str, done: int, steps: int) -> tqdm:
        """Return a progress bar, shown only in a terminal."""
        disable = True if self.report is _silent else None  # None: by the terminal.
        shown = {"desc": text, "unit": " steps", "leave": False, "disable": disable}
        return tqdm(initial=done, total=steps, **shown)

    def batches(self, epoch: int) -> np.ndarray:
        """Return the positions of the images of each batch, int32 (steps, batch_size); the last is filled up with −1."""
        order = epoch_order(self.seed, epoch, len(self.engine.images))
        size = self.engine.batch_size
        filled_up = np.full(-(-len(order) // size) * size, -1, np.int32)
        filled_up[: len(order)] = order
        return filled_up.reshape(-1, size)

    def learning_rates(self, epoch: int, steps: int) -> np.ndarray:
        """Return the learning rate of each step of an epoch, float32 (steps,)."""
        numbers = (epoch - 1) * steps + np.arange(steps)
        val_losses = self.record.column("val_loss")
        return self.recipe.learning_rates(numbers, steps, val_losses)

    def distorted(self, epoch: int) -> np.ndarray:
        """Return an epoch's training images, distorted if the recipe says so."""
        images, distortion = self.engine.images, self.recipe.distortion
        if distortion is None:
            return images
        return augment.distort(images, distortion, self.seed, epoch)

    def evaluate(self) -> dict[str, float]:
        """Return loss and accuracy on the validation images and, if they are watched, on the test images."""
        found: dict[str, float] = {}
        for name, part in self.evaluated.items():
            outputs = self.engine.outputs(part.images)
            loss, accuracy = mean_loss_and_accuracy(
                self.val_loss, outputs, part.labels
            )
            found |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
        return found


def mean_loss_and_accuracy(
    loss: Loss, outputs: np.ndarray, labels: np.ndarray
) -> tuple[float, float]:
    """Return the mean loss in nats and the accuracy, 0 to 1, of a network's outputs (n, classes) for labels (n,)."""
    losses = loss.of_arrays(labels, outputs)
    predictions = (loss.score_sign * outputs).argmax(axis=1)
    accuracy = float((predictions == labels).mean())
    return float(losses.mean(dtype=np.float64)), accuracy


def loss_and_accuracy(model: keras.Model, digits: Digits) -> tuple[float, float]:
    """Return the mean cross-entropy in nats and the accuracy, 0 to 1, of a model's probabilities for these images."""
    from lenet5lib import models

    probabilities = models.predict(model, digits.images)
    return mean_loss_and_accuracy(CrossEntropy(), probabilities, digits.labels)


def _line(epoch: dict[str, Any], epochs: int) -> str:
    """Return an epoch as a line of text."""
    return (
        f"Epoch {epoch['epoch']}/{epochs}  loss {epoch['loss']:.4f}  "
        f"accuracy {epoch['accuracy']:.4f}  val_loss {epoch['val_loss']:.4f}  "
        f"val_accuracy {epoch['val_accuracy']:.4f}  {epoch['seconds']:.1f} s"
    )
