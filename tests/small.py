"""What the tests of training, checkpoints and command line share: a small set of digits, comparison bit for bit."""

from functools import cache
from pathlib import Path

import h5py
import numpy as np

from lenet5lib import data, records
from lenet5lib.spec import Conv, Dense
from lenet5lib.training import checkpoint

TRAIN, TEST = 600, 60


@cache
def dataset() -> data.Dataset:
    """Return 600 training and 60 test digits of the stand-in."""
    whole = data.stand_in()
    return data.Dataset(
        whole.train.select(slice(TRAIN)),
        whole.test.select(slice(TEST)),
        "the file small.npz",
    )


@cache
def splits() -> data.Splits:
    """Return the small set with 50 of its training digits held out for validation."""
    return data.split(dataset())


def save_npz(
    path: Path, train: int = TRAIN, test: int = TEST, **changed: np.ndarray
) -> Path:
    """Write a file of the four arrays, first digits of the stand-in, any array replaced or (None) left out."""
    whole = data.stand_in()
    arrays = {
        "x_train": whole.train.images[:train],
        "y_train": whole.train.labels[:train],
        "x_test": whole.test.images[:test],
        "y_test": whole.test.labels[:test],
        **changed,
    }
    np.savez(
        path, **{name: array for name, array in arrays.items() if array is not None}
    )
    return path


def save(
    model, record: records.Record, path: Path, with_optimizer: bool = True
) -> None:
    """Save a Keras model's weights and a record as a checkpoint."""
    checkpoint.write(checkpoint.keras_contents(model, with_optimizer), record, path)


def arrays(path: Path) -> dict[str, bytes]:
    """Return every array of an HDF5 file by its name, type and shape."""
    found = {}

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[f"{name} {item.dtype} {item.shape}"] = item[()].tobytes()

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return found


def metrics(record: records.Record) -> list[dict]:
    """Return what a record says of each epoch, the seconds left out."""
    return [
        {key: value for key, value in epoch.items() if "seconds" not in key}
        for epoch in record.epochs
    ]


def assert_same_run(one: Path, other: Path) -> None:
    """Assert that two run folders end alike, bit for bit: weights, optimizer, best weights, metrics, best epoch."""
    config = records.read(one).config
    recipe, layers = config.recipe, config.architecture.layers
    best = 2 * sum(isinstance(layer, Conv | Dense) for layer in layers)
    # Weights, one or two slots of the optimizer, averages; and the optimizer's two numbers.
    slots = 1 if recipe.optimizer == "sgd" else 2
    last = best * (1 + slots + bool(recipe.ema_decay)) + 2
    for name, count in ((checkpoint.LAST, last), (checkpoint.BEST, best)):
        mine, theirs = arrays(one / name), arrays(other / name)
        assert len(mine) == count
        assert mine == theirs, f"{name} differs"
        first, second = (
            checkpoint.read_record(one / name),
            checkpoint.read_record(other / name),
        )
        assert metrics(first) == metrics(second)
        assert (first.best, first.config) == (second.best, second.config)
    first, second = records.read(one), records.read(other)
    assert metrics(first) == metrics(second)
    assert first == checkpoint.read_record(one / checkpoint.LAST)
    assert second == checkpoint.read_record(other / checkpoint.LAST)


def leftovers(run_dir: Path) -> set[str]:
    """Return the names in a run folder that do not belong there."""
    return {path.name for path in run_dir.iterdir()} - {
        checkpoint.LAST,
        checkpoint.PREVIOUS,
        checkpoint.BEST,
        records.NAME,
    }
