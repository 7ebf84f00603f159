"""What different ways of resuming keep and lose, found by trying each; and a training that is killed on purpose.

The same small training is stopped after two of three epochs and resumed in several ways, with Keras's own pieces and with
this library's `loop`. Whatever a resumed training should have is then compared with what it has. Chapter 7 is about this
module.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from lenet5lib import models, records
from lenet5lib.data import Splits, prepare
from lenet5lib.spec import Architecture, Dense, Dropout, Flatten
from lenet5lib.training import checkpoint, keras_engine, loop
from lenet5lib.training.recipe import Recipe
from lenet5lib.training.schedules import ReduceOnPlateau

STOP, EPOCHS, SEED = 2, 3, 0

THINGS = (
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
"""What a resumed training should have."""

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


class _Stopped(Exception):
    """Raised to end a `fit` where a crash would."""


class _StopAt(keras.callbacks.Callback):
    """Ends `fit` at the end of one epoch, or at the beginning of its first."""

    def __init__(self, epoch_end: int | None = None) -> None:
        super().__init__()
        self.epoch_end, self.first = epoch_end, None

    def on_epoch_begin(self, epoch, logs=None):
        if self.first is None:
            self.first = epoch
        if self.epoch_end is None:
            raise _Stopped

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.epoch_end:
            raise _Stopped


class _Fit:
    """A training with Keras's `fit`, as a program makes it anew whenever it starts: model, data, callbacks."""

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
        self.count, self.order = len(images), []

        def note(position):
            self.order.append(int(position))
            return position

        def digit(position):
            noted = tf.ensure_shape(tf.py_function(note, [position], tf.int64), ())
            return tf.gather(images, noted), tf.gather(labels, noted)

        positions = tf.data.Dataset.range(self.count)
        shuffled = positions.shuffle(self.count, seed=SEED)
        self.digits = shuffled.map(digit).batch(32)
        self.validation = (
            prepare(splits.validation.images),
            splits.validation.labels,
        )
        self.best = keras.callbacks.ModelCheckpoint(
            folder / "best.weights.h5", save_weights_only=True, save_best_only=True
        )
        self.plateau = keras.callbacks.ReduceLROnPlateau(min_delta=10, patience=3)

    def run(
        self, *callbacks: keras.callbacks.Callback, first: int = 0
    ) -> list[float]:
        """Train to the last epoch, or until a callback stops it; return the losses of the epochs of this call."""
        own = [self.best, self.plateau, *callbacks]
        try:
            self.model.fit(
                self.digits,
                epochs=EPOCHS,
                initial_epoch=first,
                validation_data=self.validation,
                callbacks=own,
                verbose=0,
            )
        except _Stopped:
            return []
        return self.model.history.history["loss"]

    def state(self) -> dict[str, Any]:
        """Return what can be asked of this training now."""
        dropout = self.model.get_layer("Dropout")
        return {
            THINGS[0]: _bytes(self.model.trainable_variables),
            THINGS[1]: _bytes(self.model.optimizer.variables),
            THINGS[2]: _bytes([dropout.seed_generator.state]),
            THINGS[4]: self.best.best,
            THINGS[5]: (self.plateau.best, self.plateau.wait),
        }

    def last_order(self) -> list[int]:
        """Return the order of the digits in the last epoch."""
        return self.order[-self.count :]


def _bytes(variables: Sequence[Any]) -> list[bytes]:
    """Return each variable's value, bit for bit."""
    return [np.asarray(variable).tobytes() for variable in variables]


@dataclass
class _Way:
    """A way to resume: what is called when the first training stops, what when the second has been made, what in `fit`."""

    save: Callable[[keras.Model], Any]
    load: Callable[[_Fit], Any]
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list


def _ways(folder: Path) -> dict[str, _Way]:
    """Return Keras's and TensorFlow's own ways, each with its files in this folder."""
    weights, whole = folder / "model.weights.h5", folder / "model.keras"
    tracked = str(folder / "tracked")

    def load_whole(fit: _Fit) -> None:
        fit.model = keras.models.load_model(whole)

    def track(model: keras.Model) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(model=model, optimizer=model.optimizer)

    return {
        "save_weights": _Way(
            lambda model: model.save_weights(weights),
            lambda fit: fit.model.load_weights(weights),
        ),
        "save (.keras)": _Way(lambda model: model.save(whole), load_whole),
        "tf.train.Checkpoint": _Way(
            lambda model: track(model).write(tracked),
            lambda fit: track(fit.model).read(tracked),
        ),
        "BackupAndRestore": _Way(
            lambda model: None,
            lambda fit: None,
            lambda: [
                keras.callbacks.BackupAndRestore(
                    folder / "backup", delete_checkpoint=False
                )
            ],
        ),
    }


def kept_and_lost(splits: Splits, folder: Path) -> pd.DataFrame:
    """Try each way of resuming and say what it keeps.

    Where a way does not know how many epochs are done, it is told, so that the last row shows what else it lost.

    Args:
        splits: training and validation digits; a few hundred are enough.
        folder: for the files; made if it is missing, and to be empty.

    Returns:
        A row for each of `THINGS`, a column for each way, "kept" or "lost" in each cell.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = _Fit(splits, folder)
    whole.run()
    ways = _ways(folder)
    stopped = _Fit(splits, folder)
    backup = ways["BackupAndRestore"].callbacks()
    stopped.run(*backup, _StopAt(STOP))
    for way in ways.values():
        way.save(stopped.model)
    table = {
        name: _tried(way, whole, stopped.state(), splits, folder)
        for name, way in ways.items()
    }
    table["lenet5lib"] = _ours(splits, folder / "ours")
    cells = pd.DataFrame(table, index=pd.Index(THINGS, name="after a resume"))
    return cells.replace({True: "kept", False: "lost"})


def _tried(
    way: _Way, whole: _Fit, before: dict[str, Any], splits: Splits, folder: Path
) -> list[bool]:
    """Resume in one way and return for each of `THINGS` whether it is there."""
    fresh, probe = _Fit(splits, folder), _StopAt()
    way.load(fresh)
    fresh.run(*way.callbacks(), probe)
    now = fresh.state()
    kept = {thing: now[thing] == before[thing] for thing in before}
    kept["how many epochs are done"] = probe.first == STOP
    resumed = _Fit(splits, folder)
    way.load(resumed)
    first = 0 if probe.first == STOP else STOP
    losses = resumed.run(*way.callbacks(), first=first)
    kept["history of all epochs"] = len(losses) == EPOCHS
    kept["order of the digits"] = resumed.last_order() == whole.last_order()
    kept[THINGS[-1]] = _bytes(resumed.model.trainable_variables) == _bytes(
        whole.model.trainable_variables
    )
    return [kept[thing] for thing in THINGS]


def _ours(splits: Splits, folder: Path) -> list[bool]:
    """Stop and resume with this library and return for each of `THINGS` whether it is there."""
    recipe = Recipe(learning_rate=ReduceOnPlateau(0.001, patience=1, min_delta=10))

    def train(name: str, epochs: int) -> loop.Run:
        return loop.train(
            NETWORK,
            splits,
            folder / name,
            epochs=epochs,
            recipe=recipe,
            seed=SEED,
            engine="keras",
            report=None,
        )

    whole, stopped = train("whole", EPOCHS), train("stopped", STOP)
    before = (
        _bytes(stopped.model.variables),
        _bytes(stopped.model.optimizer.variables),
    )
    fresh = models.build(NETWORK, seed=SEED + 1)
    keras_engine.compile_model(fresh, recipe)
    record = checkpoint.load(fresh, stopped.run_dir / checkpoint.LAST)
    resumed = train("stopped", EPOCHS)
    count = len(splits.train)
    steps = -(-count // recipe.batch_size)
    rates = [
        recipe.learning_rates(
            np.arange(STOP * steps, EPOCHS * steps),
            steps,
            one.column("val_loss")[:STOP],
        ).tolist()
        for one in (record, whole.record)
    ]
    masks = [_mask(run.model, STOP * steps) for run in (resumed, whole)]
    orders = [
        loop.epoch_order(run.record.config.seed, EPOCHS, count).tolist()
        for run in (resumed, whole)
    ]
    return [
        _bytes(fresh.variables) == before[0],
        _bytes(fresh.optimizer.variables) == before[1],
        masks[0] == masks[1],
        len(record.epochs) == STOP,
        record.best == stopped.record.best,
        rates[0] == rates[1],
        resumed.history().equals(whole.history()),
        orders[0] == orders[1],
        _bytes(resumed.model.variables) == _bytes(whole.model.variables),
    ]


def _mask(model: keras.Model, step: int) -> bytes:
    """Return what dropout makes of ones in this step."""
    layer = model.get_layer("Dropout")
    layer.step.assign(step)
    return layer(tf.ones((32, 16)), training=True).numpy().tobytes()


def killed(run_dir: Path, arguments: Sequence[str], after_epoch: int) -> int:
    """Train in a process of its own, by the command line, and kill it as soon as its record holds so many epochs.

    SIGKILL cannot be caught: the process has no time to save anything, wherever in the next epoch it is.

    Args:
        run_dir: the run's folder.
        arguments: of `python -m lenet5lib train`, beyond --run-dir.
        after_epoch: epochs to wait for.

    Returns:
        The process's exit code: −9 on Linux and macOS.

    Raises:
        ValueError: it ended by itself before; its last words are in the text.
    """
    command = [
        sys.executable,
        "-m",
        "lenet5lib",
        "train",
        "--run-dir",
        str(run_dir),
    ]
    process = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    struck = False
    with process:
        while process.poll() is None and not struck:
            if struck := _epochs(run_dir) >= after_epoch:
                process.kill()
            else:
                time.sleep(0.02)
        words = process.stderr.read().strip().splitlines()
    if not struck:
        raise ValueError(
            f"the training ended with {process.returncode} before it could be killed; expected more than {after_epoch} "
            f"epochs. {words[-1] if words else 'Ask for more epochs.'}"
        )
    return process.returncode


def _epochs(run_dir: Path) -> int:
    """Return how many epochs a run's record holds, 0 before there is one."""
    try:
        return len(records.read(run_dir).epochs)
    except records.RecordError:
        return 0
