"""Checkpoints that can be trusted: whole or absent, verified when read, and with everything that resuming needs.

A checkpoint is a Keras weights file, readable by `load_weights`, that holds the weights and the optimizer's state. The
run's record (history, best score so far, configuration) stands in the same file as an attribute, so that weights and
history can never be of different epochs. After HDF5's own data the file ends in a digest of all that stands before it.
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
from lenet5lib.records import Record, RecordError
from lenet5lib.spec import Architecture

if TYPE_CHECKING:
    import keras

LAST, BEST = "last.weights.h5", "best.weights.h5"
PREVIOUS = "previous.weights.h5"
"""The checkpoint before the last, kept in case the last is damaged."""
RECORD_ATTRIBUTE = "lenet5lib record"
SEAL = b"lenet5lib sha256 "
"""What the last bytes of a checkpoint begin with; the digest follows, 64 hexadecimal digits."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or used; the text says what came, what was expected, what to do."""


class DamagedError(CheckpointError):
    """A checkpoint that was cut short or altered."""


def save(
    model: keras.Model,
    record: Record | str,
    path: Path,
    with_optimizer: bool = True,
    previous: Path | None = None,
) -> None:
    """Save a Keras model's weights, its optimizer (unless told otherwise) and a record as one file; see `write`."""
    write(keras_contents(model, with_optimizer), record, path, previous)


def keras_contents(model: keras.Model, with_optimizer: bool = True) -> bytes:
    """Return a Keras model's weights file, with the optimizer or without."""
    import keras

    if not with_optimizer:  # The same layers in a model that was not compiled.
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
        with files.replacing(path) as temporary:
            temporary.write_bytes(memory.getvalue() + _seal(memory.getvalue()))
            if previous and path.exists():
                files.flush(temporary)
                files.keep(path, previous)
    except OSError as error:
        raise CheckpointError(
            f"could not save {path}: {error.strerror}. What was saved before is whole. Free space or make the folder "
            "writable, then start again with the same command; it goes on from what was saved last."
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
            reason, _, _ = str(error).partition(". It is left")
    elif previous.exists():
        reason = f"there is no {LAST} in {run_dir}"
    else:
        return None, None
    return previous, f"{reason}. Going on from {PREVIOUS}"


def load(model: keras.Model, path: Path) -> Record:
    """Verify a checkpoint, load its weights and optimizer state into the model, and return its record.

    Args:
        model: built, and compiled with the optimizer if that is to be restored.
        path: a file that `save` wrote.

    Raises:
        CheckpointError: missing, cut short, altered, or of another architecture; the file is left as it is.
    """
    memory, record = _read(path)
    from lenet5lib import models

    try:
        models.confirm(model, Architecture.from_dict(record.config["architecture"]))
        if model.compiled:
            model.optimizer.build(model.trainable_variables)
        model.load_weights(memory)
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} does not fit: {str(error).splitlines()[0]}"
        ) from None
    return record


def read(path: Path) -> tuple[bytes, Record]:
    """Verify a checkpoint and return its weights file and its record.

    Raises:
        CheckpointError: missing, cut short or altered.
    """
    memory, record = _read(path)
    return memory.getvalue(), record


def read_record(path: Path) -> Record:
    """Verify a checkpoint and return the record in it, leaving the weights alone.

    Raises:
        CheckpointError: missing, cut short or altered.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[Memory, Record]:
    """Return a checkpoint's weights file and its record, verified: HDF5 given damaged bytes can crash the program.

    Raises:
        CheckpointError: missing, cut short or altered.
    """
    try:
        contents = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            f"no checkpoint at {path}. Name the folder of a run that was trained."
        ) from None
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {path}: {error.strerror}. Make it readable."
        ) from None
    length = len(_seal(b""))
    memory, seal = Memory(contents[:-length]), contents[-length:]
    if not seal.startswith(SEAL):
        came = f"{len(contents):,} bytes, expected a digest at the end; it was cut short, or another program wrote it"
        raise DamagedError(_damaged(path, came))
    if seal != _seal(memory.getvalue()):
        found, expected = (
            one[len(SEAL) :][:12].decode(errors="replace")
            for one in (_seal(memory.getvalue()), seal)
        )
        raise DamagedError(
            _damaged(
                path, f"its contents have digest {found}…, expected {expected}…"
            )
        )
    with h5py.File(memory, "r") as file:
        text = "".join(file.attrs[RECORD_ATTRIBUTE])
    try:
        return memory, Record.from_json(text, str(path))
    except RecordError as error:
        raise CheckpointError(str(error)) from None


def _damaged(path: Path, reason: str) -> str:
    return (
        f"the checkpoint {path} is damaged: {reason}. It is left as it is; restore it from a copy, or train anew with "
        "--no-resume (resume=False), which moves the folder aside."
    )


def _seal(contents: bytes) -> bytes:
    """Return what a checkpoint with these contents ends in; HDF5 reads nothing behind its own data."""
    return SEAL + hashlib.sha256(contents).hexdigest().encode()


def _chunks(text: str, size: int = 8000) -> list[str]:
    """Cut text into pieces, since HDF5 stores long attributes only as arrays."""
    return [text[first : first + size] for first in range(0, len(text), size)]


def _arrays(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of a weights file in two groups, "weights" and "optimizer", by name."""
    groups: dict[str, dict[str, np.ndarray]] = {"weights": {}, "optimizer": {}}

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            groups["optimizer" if name.startswith("optimizer/") else "weights"][
                name
            ] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return groups


def parts(path: Path) -> tuple[str, ...]:
    """Return the names of a weights file's parts: "optimizer" is among them if its state was saved too."""
    with h5py.File(path, "r") as file:
        return tuple(file)


def contents(path: Path) -> pd.DataFrame:
    """Return what a weights file holds: for weights and optimizer the number of arrays, and of numbers in them."""
    rows = [
        (group, len(arrays), sum(array.size for array in arrays.values()))
        for group, arrays in _arrays(path).items()
    ]
    return pd.DataFrame(rows, columns=["part", "arrays", "numbers"]).set_index(
        "part"
    )


def compare(one: Path, other: Path) -> pd.DataFrame:
    """Compare two weights files bit for bit.

    Returns:
        For weights and optimizer: the arrays compared, the numbers in them, how many of these differ in any bit.
    """
    rows = []
    for (group, mine), theirs in zip(
        _arrays(one).items(), _arrays(other).values(), strict=True
    ):
        names = sorted(mine.keys() | theirs.keys())
        differing = sum(
            _differing(mine.get(name), theirs.get(name)) for name in names
        )
        rows.append(
            (
                group,
                len(names),
                sum(array.size for array in mine.values()),
                differing,
            )
        )
    return pd.DataFrame(
        rows, columns=["part", "arrays", "numbers", "differing"]
    ).set_index("part")


def _differing(one: np.ndarray | None, other: np.ndarray | None) -> int:
    """Return how many numbers differ in any bit; all of them if there is nothing of the same form to compare with."""
    if (
        one is None
        or other is None
        or one.shape != other.shape
        or one.dtype != other.dtype
    ):
        return max(array.size for array in (one, other) if array is not None)
    bits = [
        np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(one.size, -1)
        for array in (one, other)
    ]
    return int((bits[0] != bits[1]).any(axis=1).sum())
