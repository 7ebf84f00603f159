"""What each way of resuming keeps and loses, found by trying it; and a training run that is killed on purpose.

The same small run is stopped after two of three epochs and resumed, with Keras's own tools and with this library's `loop`.
Everything that a resumed run should have is then compared with what it has. Chapter 7 is about this module.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from lenet5lib import models, records
from lenet5lib.data import Splits, prepare
from lenet5lib.records import Record
from lenet5lib.spec import Architecture, Dense, Dropout, Flatten
from lenet5lib.training import checkpoint, keras_engine, loop
from lenet5lib.training.recipe import Recipe
from lenet5lib.training.schedules import ReduceOnPlateau

STOP, EPOCHS, SEED = 2, 3, 0
CRITERIA = (
    "weights",
    "the optimizer's averages and steps",
    "state of dropout's random numbers",
    "how many epochs are done",
    "best validation loss so far",
    "state of the learning rate's plateau",
    "history of all epochs",
    "order of the digits",
    "ends with the weights of an unstopped training",
)
"""What a resumed run should have."""
NETWORK = Architecture(
    "a small network with dropout",
    (28, 28, 1),
    (
        Flatten(),
        Dense("Hidden", units=16, activation="relu"),
        Dropout("Dropout", rate=0.5),
        Dense("Output", units=10, activation="softmax"),
    ),
)
RECIPE = Recipe(learning_rate=ReduceOnPlateau(0.001, patience=1, min_delta=10))


class _Stopped(Exception):
    """Raised to end a `fit` where a crash would."""


class _StopAt(keras.callbacks.Callback):
    """Ends `fit` at the end of an epoch, or, without one, at the beginning of its first."""

    def __init__(self, epoch_end: int | None = None) -> None:
        super().__init__()
        self.epoch_end = epoch_end
        self.first: int | None = None

    def on_epoch_begin(self, epoch, logs=None):
        self.first = epoch if self.first is None else self.first
        if self.epoch_end is None:
            raise _Stopped

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.epoch_end:
            raise _Stopped


class _KerasRun:
    """A run with Keras's `fit`, as a program makes it whenever it starts: model, data, callbacks."""

    def __init__(self, splits: Splits, folder: Path) -> None:
        keras.utils.set_random_seed(SEED)
        self.model = keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(16, activation="relu", name="Hidden"),
                keras.layers.Dropout(0.5, name="Dropout"),
                keras.layers.Dense(10, activation="softmax", name="Output"),
            ]
        )
        self.model.compile("adam", "sparse_categorical_crossentropy")
        self.model.optimizer.build(self.model.trainable_variables)
        images, labels = prepare(splits.train.images), splits.train.labels
        self.order: list[int] = []

        def note(position):
            self.order.append(int(position))
            return position

        def example(position):
            noted = tf.ensure_shape(tf.py_function(note, [position], tf.int64), ())
            return tf.gather(images, noted), tf.gather(labels, noted)

        shuffled = tf.data.Dataset.range(len(images)).shuffle(len(images), SEED)
        self.train_data = shuffled.map(example).batch(32)
        validation = splits.validation
        self.validation_data = prepare(validation.images), validation.labels
        self.best = keras.callbacks.ModelCheckpoint(
            folder / "best.weights.h5", save_weights_only=True, save_best_only=True
        )
        self.plateau = keras.callbacks.ReduceLROnPlateau(min_delta=10, patience=3)
        self.callbacks = [self.best, self.plateau]

    def fit(self, *callbacks: keras.callbacks.Callback, first: int = 0) -> int:
        """Train to the last epoch, or until a callback stops it; return the number of epochs in the history."""
        try:
            self.model.fit(
                self.train_data,
                epochs=EPOCHS,
                initial_epoch=first,
                validation_data=self.validation_data,
                callbacks=[*self.callbacks, *callbacks],
                verbose=0,
            )
        except _Stopped:
            return 0
        return len(self.model.history.history["loss"])

    def state(self) -> list[Any]:
        """Return what the first, second, third, fifth and sixth of `CRITERIA` compare."""
        return [
            _bytes(self.model.trainable_variables),
            _bytes(self.model.optimizer.variables),
            _bytes([self.model.get_layer("Dropout").seed_generator.state]),
            self.best.best,
            (self.plateau.best, self.plateau.wait),
        ]


def _bytes(variables: Iterable[Any]) -> list[bytes]:
    """Return each variable's value, bit for bit."""
    return [np.asarray(variable).tobytes() for variable in variables]


METHODS = (
    "save_weights",
    "save (.keras)",
    "tf.train.Checkpoint",
    "BackupAndRestore",
)
"""The methods of Keras and TensorFlow."""


def _equal(values: list[Any], others: list[Any]) -> list[bool]:
    """Return for each value whether it equals the other."""
    return [one == other for one, other in zip(values, others, strict=True)]


def _tracked(model: keras.Model) -> tf.train.Checkpoint:
    return tf.train.Checkpoint(model=model, optimizer=model.optimizer)


def _save(model: keras.Model, folder: Path) -> None:
    """Save a model by each method; `BackupAndRestore` has saved by itself."""
    model.save_weights(folder / "model.weights.h5")
    model.save(folder / "model.keras")
    _tracked(model).write(str(folder / "tracked"))


def _resume(method: str, splits: Splits, folder: Path) -> _KerasRun:
    """Return a new run that goes on from what was saved by this method."""
    run = _KerasRun(splits, folder)
    match method:
        case "save_weights":
            run.model.load_weights(folder / "model.weights.h5")
        case "save (.keras)":
            run.model = keras.models.load_model(folder / "model.keras")
        case "tf.train.Checkpoint":
            _tracked(run.model).read(str(folder / "tracked"))
        case _:  # The callback loads by itself.
            run.callbacks.append(_backup(folder))
    return run


def compare_resume_methods(splits: Splits, folder: Path) -> pd.DataFrame:
    """Resume by each method and return what it keeps.

    A method that does not know how many epochs are done is told, so that the last row shows what else it has lost.

    Args:
        splits: training and validation images; a few hundred are enough.
        folder: for the files; made if it is missing, otherwise empty.

    Returns:
        A row for each of `CRITERIA`, a column for each method, "kept" or "lost" in each cell.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = _KerasRun(splits, folder)
    whole.fit()
    stopped = _KerasRun(splits, folder)
    stopped.fit(_backup(folder), _StopAt(STOP))
    _save(stopped.model, folder)
    table = {
        method: _resume_with_keras(method, stopped.state(), whole, splits, folder)
        for method in METHODS
    }
    table["lenet5lib"] = _resume_with_this_library(splits, folder / "ours")
    cells = pd.DataFrame(table, index=pd.Index(CRITERIA, name="after a resume"))
    return cells.replace({True: "kept", False: "lost"})


def _backup(folder: Path) -> keras.callbacks.BackupAndRestore:
    path = folder / "backup"
    return keras.callbacks.BackupAndRestore(path, delete_checkpoint=False)


def _resume_with_keras(
    method: str, state: list[Any], whole: _KerasRun, splits: Splits, folder: Path
) -> list[bool]:
    """Resume twice, to the beginning of an epoch and to the end; return for each of `CRITERIA` whether it is kept."""
    begun, probe = _resume(method, splits, folder), _StopAt()
    begun.fit(probe)
    weights, optimizer, dropout, best, plateau = _equal(begun.state(), state)
    knows_epochs = probe.first == STOP
    ended = _resume(method, splits, folder)
    epochs = ended.fit(first=0 if knows_epochs else STOP)
    count = len(splits.train)
    same_order = ended.order[-count:] == whole.order[-count:]
    same_end = ended.state()[0] == whole.state()[0]
    kept = [weights, optimizer, dropout, knows_epochs, best, plateau]
    return [*kept, epochs == EPOCHS, same_order, same_end]


def _resume_with_this_library(splits: Splits, folder: Path) -> list[bool]:
    """Stop and resume with `loop.train`; return for each of `CRITERIA` whether it is kept."""

    def train(name: str, epochs: int) -> loop.Run:
        return loop.train(
            NETWORK,
            splits,
            folder / name,
            epochs=epochs,
            recipe=RECIPE,
            seed=SEED,
            engine="keras",
            report=None,
        )

    whole, stopped = train("whole", EPOCHS), train("stopped", STOP)
    fresh = models.build(NETWORK, seed=SEED + 1)
    keras_engine.compile_model(fresh, RECIPE)
    record = checkpoint.restore(fresh, stopped.run_dir / checkpoint.LAST)
    resumed = train("stopped", EPOCHS)
    before, after, end = stopped.model, resumed.model, whole.model
    next_epochs = _next_epoch(record, after), _next_epoch(whole.record, end)
    mask, rates, order = _equal(*next_epochs)
    return [
        _bytes(fresh.variables) == _bytes(before.variables),
        _bytes(fresh.optimizer.variables) == _bytes(before.optimizer.variables),
        mask,
        len(record.epochs) == STOP,
        record.best == stopped.record.best,
        rates,
        resumed.history().equals(whole.history()),
        order,
        _bytes(after.variables) == _bytes(end.variables),
    ]


def _next_epoch(record: Record, model: keras.Model) -> list[bytes]:
    """Return what makes the epoch after the stop: dropout's mask in its first step, the learning rates, the order."""
    count = record.config.data.num_train
    steps = -(-count // RECIPE.batch_size)
    layer = model.get_layer("Dropout")
    layer.step.assign(STOP * steps)
    mask = layer(tf.ones((32, 16)), training=True)
    numbers = np.arange(STOP * steps, EPOCHS * steps)
    val_losses = record.column("val_loss")[:STOP]
    rates = RECIPE.learning_rates(numbers, steps, val_losses)
    order = loop.epoch_order(record.config.seed, EPOCHS, count)
    return _bytes([mask, rates, order])


def train_and_kill(run_dir: Path, arguments: list[str], after_epoch: int) -> int:
    """Train in a separate process, from the command line, and kill it as soon as its record holds `after_epoch` epochs.

    SIGKILL cannot be caught: the process has no time to save anything, wherever in the next epoch it is.

    Args:
        run_dir: the run's folder.
        arguments: of `python -m lenet5lib train`, without --run-dir.
        after_epoch: epochs to wait for.

    Returns:
        The process's exit code: −9 on Linux and macOS.

    Raises:
        ValueError: the process ended before; the last line of its errors is in the text.
    """
    command = [
        sys.executable,
        "-m",
        "lenet5lib",
        "train",
        "--run-dir",
        str(run_dir),
    ]
    with subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while process.poll() is None:
            if _epochs(run_dir) >= after_epoch:
                process.kill()
                return process.wait()
            time.sleep(0.02)
        errors = process.communicate()[1].strip().splitlines()
    raise ValueError(
        f"the training process ended with {process.returncode} before it could be "
        f"killed; expected more than {after_epoch} epochs. "
        f"{errors[-1] if errors else 'Ask for more epochs.'}"
    )


def _epochs(run_dir: Path) -> int:
    """Return how many epochs a run's record holds, 0 before there is one."""
    try:
        return len(records.read(run_dir).epochs)
    except records.RecordError:
        return 0
