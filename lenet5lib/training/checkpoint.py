"""Checkpoints that can be trusted: whole or absent, verified when read, and with everything that resuming needs.

A checkpoint is a Keras weights file, readable by `load_weights`, that holds the weights and the optimizer's state. The
run's record (history, best score so far, configuration) stands in the same file as an attribute, so that weights and
history can never be of different epochs. After HDF5's own data the file ends in a checksum of all bytes before it.
Chapter 7 is about this module.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd

from lenet5lib import files
from lenet5lib._checks import require_choice
from lenet5lib.loops import compiled
from lenet5lib.loops.network import Network
from lenet5lib.records import Record, RecordError
from lenet5lib.spec import RBF, Architecture
from lenet5lib.training import weights_file
from lenet5lib.training.engine import ENGINES
from lenet5lib.training.weights_file import Weights

if TYPE_CHECKING:
    import keras

LAST, BEST = "last.weights.h5", "best.weights.h5"
PREVIOUS = "previous.weights.h5"
"""The checkpoint before the last, kept in case the last is damaged."""
RECORD_ATTRIBUTE = "lenet5lib record"
SEAL = b"lenet5lib sha256 "
"""The beginning of a checkpoint's last bytes; the checksum follows, 64 hexadecimal digits."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or used; the text says what came, what was expected, what to do."""


class DamagedError(CheckpointError):
    """A checkpoint that was cut short or altered; `reason` says which checkpoint, and how that was found."""

    def __init__(self, path: Path, found: str) -> None:
        self.reason = f"the checkpoint {path} is damaged: {found}"
        remedy = _without_best(path) or (
            "It is left as it is; restore it from a copy, or train again from epoch 1 "
            "with --no-resume (resume=False), which moves the folder aside."
        )
        super().__init__(f"{self.reason}. {remedy}")


def _without_best(path: Path) -> str:
    """Return what to do where a run's best weights cannot be had and its last ones can; "" for other files."""
    if path.name == BEST and path.with_name(LAST).exists():
        return f"Take {LAST} with --last, or train on: the best weights are made again."
    return ""


def misfit(path: Path, error: Exception) -> CheckpointError:
    """Return the error of a whole checkpoint that does not fit the network or the optimizer."""
    return CheckpointError(f"{path} does not fit: {str(error).splitlines()[0]}")


def keras_contents(model: keras.Model, with_optimizer: bool = True) -> bytes:
    """Return the bytes of a Keras model's weights file, with the optimizer's state or without."""
    import keras

    if not with_optimizer:  # The same layers in a model without an optimizer.
        model = keras.Model(model.inputs, model.outputs)
    memory = Memory()
    model.save_weights(memory)
    return memory.getvalue()


def write(
    contents: bytes, record: Record | str, path: Path, previous: Path | None = None
) -> None:
    """Write a weights file with a record (or its JSON text) in it, in one step.

    With `previous`, what `path` held before is kept under that name: the new file is on the disk before the older one is
    given up, so that at every instant two whole checkpoints are there.

    Args:
        contents: of a weights file, as Keras or `weights_file` writes it.
        record: of the run.
        path: the file to write.
        previous: a name for what is there now.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written to; an earlier file at `path` is left whole.
    """
    memory = Memory(contents)
    with h5py.File(memory, "r+") as file:
        text = record if isinstance(record, str) else record.to_json()
        file.attrs[RECORD_ATTRIBUTE] = _chunks(text)
    try:
        with files.atomic_write(path) as temporary:
            temporary.write_bytes(memory.getvalue() + _seal(memory.getvalue()))
            if previous and path.exists():
                files.flush(temporary)
                files.link_or_copy(path, previous)
    except OSError as error:
        raise CheckpointError(
            f"could not save {path}: {error.strerror}. What was saved before is "
            "whole. Free space or make the folder writable, then start again with "
            "the same command; it resumes from what was saved last."
        ) from error


class Memory(io.BytesIO):
    """A weights file in memory: on a full disk HDF5 cannot close its file again, and crashes the program at exit."""

    def __str__(self) -> str:
        return "memory.weights.h5"  # Keras asks every file for its name.


def newest(run_dir: Path) -> tuple[Path | None, str | None]:
    """Return the newest whole checkpoint of a run, and a notice if that is not the last one.

    Returns:
        (path, notice): (None, None) for a folder without checkpoints; the previous one and a notice that names what is wrong
        with the last; else the last and None.

    Raises:
        DamagedError: the last one is damaged and there is no whole previous one.
        CheckpointError: a checkpoint that is there cannot be read.
    """
    last, previous = run_dir / LAST, run_dir / PREVIOUS
    if last.exists():
        try:
            read_record(last)
            return last, None
        except DamagedError as error:
            if not previous.exists():
                raise
            reason = error.reason
    elif previous.exists():
        reason = f"there is no {LAST} in {run_dir}"
    else:
        return None, None
    return previous, f"{reason}. Going on from {PREVIOUS}"


def restore(model: keras.Model, path: Path) -> Record:
    """Verify a checkpoint, load its weights and optimizer state into the model, and return its record.

    Args:
        model: built, and compiled with the optimizer if its state is to be restored.
        path: of a checkpoint.

    Raises:
        CheckpointError: missing, cut short, altered, or of a different architecture; the file is left as it is.
    """
    from lenet5lib import models

    contents, record = read(path)
    try:
        models.confirm(model, record.config.architecture)
        if model.compiled:
            model.optimizer.build(model.trainable_variables)
        model.load_weights(Memory(contents))
    except (ValueError, KeyError) as error:
        raise misfit(path, error) from None
    return record


def load(
    run_dir: str | Path, name: str = BEST, engine: str = "loops"
) -> Network | keras.Model:
    """Return a run's network with its weights: as loops, or as a Keras model; see `load_network` and `load_model`."""
    require_choice("engine", engine, ENGINES)
    if engine == "loops" and compiled.available():
        return load_network(run_dir, name)
    if engine == "loops":
        compiled.say_missing("Keras takes the place of the compiled loops")
    return load_model(run_dir, name)


def load_network(run_dir: str | Path, name: str = BEST) -> Network:
    """Return the network that a run trained, as loops.

    Args:
        run_dir: the run's folder.
        name: of a weights file in it; the last weights are averaged if the run's recipe says so.

    Raises:
        CheckpointError: no such file, or a damaged one.
    """
    path = Path(run_dir) / name
    architecture, weights = load_weights(path)
    try:
        return Network(architecture, weights)
    except ValueError as error:
        raise misfit(path, error) from None


def load_model(run_dir: str | Path, name: str = BEST) -> keras.Model:
    """Return the network that a run trained, as a Keras model; arguments and errors are those of `load_network`."""
    from lenet5lib import models

    path = Path(run_dir) / name
    architecture, weights = load_weights(path)
    model = models.build(architecture)
    try:
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(weights[layer.name])
    except (ValueError, KeyError) as error:
        raise misfit(path, error) from None
    return model


def load_weights(path: Path) -> tuple[Architecture, Weights]:
    """Return a checkpoint's architecture, and the weights of each layer, averaged if the recipe says so.

    Raises:
        CheckpointError: no such file, or a damaged one.
    """
    contents, record = read(path)
    architecture = record.config.architecture
    weights, state = weights_file.read(io.BytesIO(contents))
    # A file without an optimizer's state holds the average already. Otherwise the state is the number of steps, the learning
    # rate, the averages of the weights in order, and the optimizer's own arrays.
    if record.config.recipe.ema_decay and state:
        averages = iter(state[2:])
        for layer in architecture.layers:
            if layer.name in weights and not isinstance(layer, RBF):
                own = weights[layer.name]
                weights[layer.name] = tuple(next(averages) for _ in own)
    for name, arrays in weights.items():
        if not all(np.isfinite(array).all() for array in arrays):
            raise CheckpointError(
                f"the weights of {name} in {path} are no finite numbers: training "
                "diverged. Train again with a lower learning rate."
            )
    return architecture, weights


def read_record(path: Path) -> Record:
    """Verify a checkpoint and return the record in it; errors are those of `read`."""
    return read(path)[1]


def read(path: Path) -> tuple[bytes, Record]:
    """Verify a checkpoint and return the bytes of its weights file and its record.

    Raises:
        CheckpointError: missing, cut short or altered.
    """
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        remedy = _without_best(path) or "Name the folder of a run that was trained."
        raise CheckpointError(f"no checkpoint at {path}. {remedy}") from None
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {path}: {error.strerror}. Make it "
            "readable."
        ) from None
    length = len(_seal(b""))
    contents, seal = whole[:-length], whole[-length:]
    if not seal.startswith(SEAL):
        raise DamagedError(
            path,
            f"{len(whole):,} bytes, expected a checksum at the end; it was cut "
            "short, or another program wrote it",
        )
    # Before HDF5 reads it: damaged bytes can crash the program there.
    if seal != (found := _seal(contents)):
        shown = [
            one.removeprefix(SEAL)[:12].decode(errors="replace")
            for one in (found, seal)
        ]
        raise DamagedError(
            path, "its contents have checksum {}…, expected {}…".format(*shown)
        )
    with h5py.File(io.BytesIO(contents), "r") as file:
        text = "".join(file.attrs[RECORD_ATTRIBUTE])
    try:
        return contents, Record.from_json(text, str(path))
    except RecordError as error:
        raise CheckpointError(str(error)) from None


def _seal(contents: bytes) -> bytes:
    """Return what a checkpoint with these contents ends in; HDF5 reads nothing behind its own data."""
    return SEAL + hashlib.sha256(contents).hexdigest().encode()


def _chunks(text: str, size: int = 8000) -> list[str]:
    """Cut text into pieces, since HDF5 stores long attributes only as arrays."""
    return [text[first : first + size] for first in range(0, len(text), size)]


def _arrays(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of a weights file by name, in two groups: "weights" and "optimizer"."""
    groups: dict[str, dict[str, np.ndarray]] = {"weights": {}, "optimizer": {}}

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            group = "optimizer" if name.startswith("optimizer/") else "weights"
            groups[group][name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return groups


def contents(path: Path) -> pd.DataFrame:
    """Return what a weights file holds: for weights and optimizer the number of arrays, and of the numbers in them."""
    rows = {
        group: {
            "arrays": len(arrays),
            "numbers": sum(array.size for array in arrays.values()),
        }
        for group, arrays in _arrays(path).items()
    }
    return pd.DataFrame(rows).T.rename_axis("part")


def compare(path: Path, other: Path) -> pd.DataFrame:
    """Compare two weights files bit for bit.

    Returns:
        For weights and optimizer: the arrays compared, the numbers in them, and how many of these differ in any bit.
    """
    table, others = contents(path), _arrays(other)
    table["differing"] = 0
    for group, arrays in _arrays(path).items():
        names = arrays.keys() | others[group].keys()
        pairs = [(arrays.get(name), others[group].get(name)) for name in names]
        table.loc[group, "arrays"] = len(names)
        table.loc[group, "differing"] = sum(_differing(*pair) for pair in pairs)
    return table


def _differing(array: np.ndarray | None, other: np.ndarray | None) -> int:
    """Return how many numbers differ in any bit; all if one array is missing, or shapes or types differ."""
    if array is None or other is None:
        return max(one.size for one in (array, other) if one is not None)
    if (array.shape, array.dtype) != (other.shape, other.dtype):
        return max(array.size, other.size)
    bytes_of = [
        np.ascontiguousarray(one).reshape(-1, 1).view(np.uint8)
        for one in (array, other)
    ]
    return int((bytes_of[0] != bytes_of[1]).any(axis=1).sum())
