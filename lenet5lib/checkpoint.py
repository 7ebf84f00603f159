"""Checkpoints that can be trusted: whole or absent, verified when read, and with everything that resuming needs.

A checkpoint is a Keras weights file, readable by `load_weights`, that holds the weights and the optimizer's state. The
run's record (history, best score so far, configuration) stands in the same file as an attribute, so that weights and
history can never be of different epochs, and so does a digest of all of it. Chapter 6 is about this module.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import keras

from lenet5lib import files
from lenet5lib.records import Record, RecordError

LAST, BEST = "last.weights.h5", "best.weights.h5"
RECORD_ATTRIBUTE, DIGEST_ATTRIBUTE = "lenet5lib record", "lenet5lib sha256"


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or used; the text says what came, what was expected, what to do."""


def save(model: keras.Model, record: Record, path: Path, with_optimizer: bool = True) -> None:
    """Save weights, optimizer (unless told otherwise) and record as one file, in one step.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written to; an earlier file at `path` is left whole.
    """
    if not with_optimizer:
        model = keras.Model(model.inputs, model.outputs)  # The same layers, not compiled.
    try:
        with files.replacing(path) as temporary:
            model.save_weights(temporary)
            with h5py.File(temporary, "r+") as file:
                file.attrs[RECORD_ATTRIBUTE] = _chunks(record.to_json())
                file.attrs[DIGEST_ATTRIBUTE] = _digest(file)
    except OSError as error:
        reason = str(error).split("(file write failed")[0].split(", errno")[0]
        raise CheckpointError(
            f"could not save {path}: {reason}. What was saved before is whole. Free space or make the folder writable, "
            "then start again with the same command; it goes on from the last saved epoch."
        ) from error


def load(model: keras.Model, path: Path) -> Record:
    """Verify a checkpoint, load its weights and optimizer state into the model, and return its record.

    Args:
        model: built, and compiled with the optimizer if that is to be restored.
        path: a file that `save` wrote.

    Raises:
        CheckpointError: missing, cut short, altered, or of another architecture; the file is left as it is.
    """
    record = read_record(path)
    if model.compiled:
        model.optimizer.build(model.trainable_variables)
    try:
        model.load_weights(path)
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} does not fit the model: {str(error).splitlines()[0]} Build the architecture that it was trained with."
        ) from None
    return record


def read_record(path: Path) -> Record:
    """Verify a checkpoint and return the record in it, leaving the weights alone.

    Raises:
        CheckpointError: missing, cut short or altered.
    """
    try:
        with h5py.File(path, "r") as file:
            stored, computed = file.attrs[DIGEST_ATTRIBUTE], _digest(file)
            text = "".join(file.attrs[RECORD_ATTRIBUTE])
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}. Name the folder of a run that was trained.") from None
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(_damaged(path, str(error).splitlines()[0])) from None
    if stored != computed:
        raise CheckpointError(_damaged(path, f"its contents have digest {computed[:12]}, expected {stored[:12]}"))
    try:
        return Record.from_json(text, str(path))
    except RecordError as error:
        raise CheckpointError(str(error)) from None


def _damaged(path: Path, reason: str) -> str:
    return (
        f"the checkpoint {path} is damaged: {reason}. It is left as it is; restore it from a copy, or train anew with "
        "--no-resume (resume=False), which moves the folder aside."
    )


def _chunks(text: str, size: int = 8000) -> list[str]:
    """Cut text into pieces, since HDF5 stores long attributes only as arrays."""
    return [text[first : first + size] for first in range(0, len(text), size)]


def _digest(file: h5py.File) -> str:
    """Return the SHA-256 of every array in the file, by name, and of the record."""
    total = hashlib.sha256()

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            total.update(f"{name} {item.shape} {item.dtype}".encode())
            total.update(item[()].tobytes())

    file.visititems(add)
    total.update("".join(file.attrs[RECORD_ATTRIBUTE]).encode())
    return total.hexdigest()
