"""What each method of resuming keeps and loses, found by trying it; and training runs that are killed on purpose.

The same small run is stopped after two of three epochs and resumed, with Keras's own means and with this library's `loop`.
Everything that a resumed run should have is then compared with what it has. Chapter 7 is about this module.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from lenet5lib import models, records
from lenet5lib._keras import keras, tf
from lenet5lib.data import Splits, prepare
from lenet5lib.records import Record
from lenet5lib.spec import Architecture, Dense, Dropout, Flatten
from lenet5lib.studies import article
from lenet5lib.training import checkpoint, keras_engine, loop
from lenet5lib.training import folder as run_folder
from lenet5lib.training.recipe import Recipe
from lenet5lib.training.schedules import ReduceOnPlateau

STOP, EPOCHS, SEED = 2, 3, 0
CRITERIA = (
    "weights",
    "optimizer",
    "dropout's state",
    "epoch",
    "best score",
    "plateau's state",
    "history",
    "order",
    "the same end",
)
"""What a resumed run should have; the order is that of the images, the end the weights of an unstopped run."""
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

    def __init__(self, splits: Splits, folder: Path, arrays: bool = False) -> None:
        """Make a run of LeNet-5 fed with arrays, or of a network with dropout, a plateau and a shuffled pipeline."""
        keras.utils.set_random_seed(SEED)
        images, labels = prepare(splits.train.images), splits.train.labels
        validation = splits.validation
        self.validation_data = prepare(validation.images), validation.labels
        if arrays:
            self.callbacks: list[keras.callbacks.Callback] = []
            self.feed = {"x": images, "y": labels, "batch_size": 32}
            self.model = models.lenet5()
        else:
            self._with_pipeline(images, labels, folder)
        self.model.compile("adam", "sparse_categorical_crossentropy")
        self.model.optimizer.build(self.model.trainable_variables)

    def _with_pipeline(self, images, labels, folder: Path) -> None:
        self.model = keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(16, activation="relu", name="Hidden"),
                keras.layers.Dropout(0.5, name="Dropout"),
                keras.layers.Dense(10, activation="softmax", name="Output"),
            ]
        )
        self.order: list[int] = []

        def note(position):
            self.order.append(int(position))
            return position

        def example(position):
            noted = tf.ensure_shape(tf.py_function(note, [position], tf.int64), ())
            return tf.gather(images, noted), tf.gather(labels, noted)

        shuffled = tf.data.Dataset.range(len(images)).shuffle(len(images), SEED)
        self.feed = {"x": shuffled.map(example).batch(32)}
        self.best = keras.callbacks.ModelCheckpoint(
            folder / "best.weights.h5", save_weights_only=True, save_best_only=True
        )
        self.plateau = keras.callbacks.ReduceLROnPlateau(min_delta=10, patience=3)
        self.callbacks = [self.best, self.plateau]

    def fit(self, *callbacks: keras.callbacks.Callback, first: int = 0) -> int:
        """Train to the last epoch, or until a callback stops it; return the number of epochs in the history."""
        try:
            self.model.fit(
                **self.feed,
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


METHODS = ("save_weights", "save", "Checkpoint", "BackupAndRestore")
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


def _resume(
    method: str, splits: Splits, folder: Path, arrays: bool = False
) -> _KerasRun:
    """Return a new run that goes on from what was saved by this method."""
    run = _KerasRun(splits, folder, arrays)
    match method:
        case "save_weights":
            run.model.load_weights(folder / "model.weights.h5")
        case "save":
            run.model = keras.models.load_model(folder / "model.keras")
        case "Checkpoint":
            _tracked(run.model).read(str(folder / "tracked"))
        case _:  # The callback loads by itself.
            run.callbacks.append(_backup(folder))
    return run


@contextmanager
def _whole_and_stopped(
    splits: Splits, folder: Path, arrays: bool = False
) -> Iterator[tuple[_KerasRun, _KerasRun, Path]]:
    """Give a run to the end, one that was stopped, and the temporary folder in which each method has saved the second."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=folder, ignore_cleanup_errors=True
    ) as temporary:
        fresh = Path(temporary)  # Nothing that an earlier call has left is found.
        whole = _KerasRun(splits, fresh, arrays)
        whole.fit()
        stopped = _KerasRun(splits, fresh, arrays)
        stopped.fit(_backup(fresh), _StopAt(STOP))
        _save(stopped.model, fresh)
        yield whole, stopped, fresh


def compare_resume_methods(splits: Splits, folder: Path) -> pd.DataFrame:
    """Resume by each method and return what it keeps.

    A method that does not know how many epochs are done is told, so that the last row shows what else it has lost.

    Args:
        splits: training and validation images; a few hundred are enough.
        folder: where a temporary folder is made for the files; made if it is missing.

    Returns:
        A row for each of `CRITERIA`, a column for each method, "✓" for kept or "–" for lost in each cell.
    """
    with _whole_and_stopped(splits, folder) as (whole, stopped, fresh):
        table = {
            method: _resume_with_keras(
                method, stopped.state(), whole, splits, fresh
            )
            for method in METHODS
        }
        table["lenet5lib"] = _resume_with_this_library(splits, fresh / "ours")
    cells = pd.DataFrame(table, index=pd.Index(CRITERIA, name="after a resume"))
    return cells.replace({True: "✓", False: "–"})


def differing_with_arrays(splits: Splits, folder: Path) -> pd.Series:
    """Resume LeNet-5, fed with arrays, by each of Keras's methods; return how many of its weights end different.

    Each is compared with a run that was not stopped. All build the optimizer before they load, and begin with
    `set_random_seed`.

    Args:
        splits: training and validation images; a few hundred are enough.
        folder: where a temporary folder is made for the files; made if it is missing.
    """
    found = {}
    with _whole_and_stopped(splits, folder, arrays=True) as (whole, _, fresh):
        for method in METHODS:
            run = _resume(method, splits, fresh, arrays=True)
            run.fit(first=0 if method == "BackupAndRestore" else STOP)
            found[method] = article.num_differing(run.model, whole.model)
    return pd.Series(found, name="weights that differ")


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

    It starts from epoch 1: an earlier run in the folder is moved aside first.

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
    with run_folder.opened(run_dir, resume=False, report=str):
        pass
    return _kill([*command, *arguments], partial(_epochs, run_dir), after_epoch)


def run_plain(folder: Path, epochs: int, images: Path, kill_after: int = 0) -> int:
    """Run `plain_resume.py` by itself; kill it as soon as so many epochs are in its checkpoint, if any are given.

    Args:
        folder: where the checkpoint is; made if it is missing.
        epochs: to train in all.
        images: an .npz file of `x` and `y`.
        kill_after: epochs to wait for; 0 to let it end.

    Returns:
        The process's exit code: 0 if it ended by itself, −9 on Linux and macOS if it was killed.

    Raises:
        ValueError: it failed, or ended before it could be killed.
    """
    script = Path(__file__).with_name("plain_resume.py")
    words = [sys.executable, script, folder, epochs, images]
    command = [str(word) for word in words]
    folder.mkdir(parents=True, exist_ok=True)
    if kill_after:
        return _kill(command, partial(plain_epochs, folder), kill_after)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"plain_resume.py failed: {done.stderr.strip()[-500:]}")
    return done.returncode


def plain_epochs(folder: Path) -> int:
    """Return how many epochs the checkpoint of `plain_resume` holds, 0 without one."""
    path = folder / "last.weights.h5"
    if not path.exists():
        return 0
    with h5py.File(path) as file:
        return len(json.loads(file.attrs["losses"]))


def _kill(command: list[str], epochs: Callable[[], int], after_epoch: int) -> int:
    """Start a process, kill it as soon as so many epochs are done, return its exit code; ValueError if it ends before."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while process.poll() is None:
                if epochs() >= after_epoch:
                    process.kill()
                    return process.wait()
                time.sleep(0.02)
            errors = process.communicate()[1].strip().splitlines()
        finally:
            process.kill()  # Where the wait was interrupted.
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
