"""MNIST: where it is found, how it is known, and what is known of it.

`load_digits` is the only function that looks for data, and the only one that prints: one line that names the data. That
name travels with the arrays into every record and caption. Chapter 1 is about this module.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lenet5lib import files
from lenet5lib._checks import say
from lenet5lib.data.formats import DataError, checksum
from lenet5lib.data.readers import make_dataset, parse, read_dataset
from lenet5lib.data.splits import Dataset
from lenet5lib.data.standin import stand_in

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
CHECKSUM = "25c98f992c005963b7428e1f38418b233c9b286cc403519287eb8063f0bcfe07"
"""SHA-256 of MNIST's four arrays, as `checksum` computes it."""
SOCKET_SECONDS = 10
"""How long a download waits for a connection, or for the next bytes."""
DOWNLOAD_SECONDS = 60
"""How long a download may take as a whole: 11 MB."""
loaded_name = "MNIST"
"""The name of the data that `load_digits` returned last; a chapter's runs on other data than MNIST are kept apart."""
BAR: dict[str, Any] = {
    "unit": "B",
    "unit_scale": True,
    "leave": False,
    "disable": None,
}
"""How tqdm shows the progress: only in a terminal, and gone afterwards."""

# fmt: off
MNIST_FACTS: dict[str, Any] = {
    "mean pixel": 0.1307,
    "standard deviation": 0.3081,
    "share of zeros": 0.809,
    "largest height and width of ink": (20, 20),
    "digits of each class":
        (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test digits of each class":
        (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
"""Facts that only MNIST has: pixels scaled to 0–1, training set unless said. A test recomputes them from the arrays."""

MNIST_LABEL_ERRORS = (
    947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527,
    9679, 9729,
)
"""Positions in MNIST's test set whose printed label human raters question. Source: see the book's references."""
# fmt: on


def load_digits(
    source: str | Path = "auto", report: Callable[[str], object] | None = say
) -> Dataset:
    """Load the data and report in one line which they are.

    Args:
        source: "auto" tries in order the file that the environment variable LENET5_MNIST names, the file that Keras
            keeps, a download of MNIST, and the stand-in. "stand-in" takes the stand-in. Anything else is the path of
            a file or a folder, see `read`. LENET5_MNIST may hold "stand-in" too.
        report: receives the line; None for silence.

    Returns:
        Uint8 arrays; for MNIST and the stand-in 60,000 training and 10,000 test images.

    Raises:
        DataError: a file that was named cannot be used. A named file never falls through to other data.
    """
    global loaded_name
    named = os.environ.get("LENET5_MNIST") if source == "auto" else source
    reason = ""
    if str(named) == "stand-in":
        dataset = stand_in()
    elif named:
        dataset = read(named)
    elif kept := _kept_by_keras():
        dataset = kept
    else:
        try:
            dataset = _download()
        except DataError as error:
            dataset, reason = stand_in(), f" {error}"
    loaded_name = dataset.dataset_name
    if report is not None:
        report(
            f"Data: {dataset.dataset_name}; {len(dataset.train):,} training and "
            f"{len(dataset.test):,} test images.{reason}"
        )
    return dataset


def read(path: str | Path) -> Dataset:
    """Read images and labels from a file or a folder; what it is, its contents tell.

    `.npz` with Keras's four arrays x_train, y_train, x_test, y_test. IDX files, gzipped or not, as MNIST, Fashion-MNIST,
    KMNIST and EMNIST are distributed: their folder, or one of the four. CSV with a label and 784 pixels in each row: a
    folder with a training and a test file, or one file, a seventh of which is then held out for testing.

    Raises:
        DataError: nothing there, a different or damaged format, something missing, or arrays that `Digits` or `Dataset`
            refuses.
    """
    dataset = read_dataset(Path(path))
    if checksum(dataset.train, dataset.test) == CHECKSUM:
        return dataclasses.replace(dataset, dataset_name="MNIST")
    return dataset


def _keras_path() -> Path:
    """Return the path at which Keras keeps its copy of MNIST.

    Raises:
        RuntimeError: the user has no home folder.
    """
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "datasets" / "mnist.npz"


def _kept_by_keras() -> Dataset | None:
    """Return MNIST from Keras's copy, or None if there is no complete one."""
    with contextlib.suppress(DataError, RuntimeError):
        dataset = read(_keras_path())
        return dataset if dataset.dataset_name == "MNIST" else None
    return None


def _download() -> Dataset:
    """Download MNIST and keep it where Keras would.

    Raises:
        DataError: no internet connection, too late, or not MNIST; the text says why.
    """
    found: list[bytes | str] = []
    given_up = threading.Event()
    # The time-out of a socket begins again with every byte; a thread can be left waiting.
    thread = threading.Thread(target=_fetch, args=(found, given_up), daemon=True)
    thread.start()
    thread.join(DOWNLOAD_SECONDS)
    given_up.set()
    contents = found[0] if found else f"timed out after {DOWNLOAD_SECONDS} s"
    if isinstance(contents, bytes):
        with contextlib.suppress(DataError):
            dataset = make_dataset(parse(contents, "the download"), "MNIST")
            if checksum(dataset.train, dataset.test) == CHECKSUM:
                with contextlib.suppress(OSError, RuntimeError):
                    _keras_path().parent.mkdir(parents=True, exist_ok=True)
                    files.write(_keras_path(), contents)
                return dataset
        contents = f"the {len(contents):,} bytes that came are not MNIST"
    raise DataError(
        f"MNIST could not be downloaded ({contents}); set LENET5_MNIST to its file."
    )


def _fetch(found: list[bytes | str], given_up: threading.Event) -> None:
    """Append the contents of `URL`, or the reason why they cannot be had; a terminal shows the progress."""
    parts = []
    try:
        with urllib.request.urlopen(URL, timeout=SOCKET_SECONDS) as response:
            size = getattr(response, "length", None)
            with tqdm(desc="MNIST", total=size, **BAR) as bar:
                while not given_up.is_set() and (part := response.read(2**16)):
                    parts.append(part)
                    bar.update(len(part))
        found.append(b"".join(parts))
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = f"{error}".removeprefix("<urlopen error ").removesuffix(">")
        found.append(" ".join(reason.split()) or type(error).__name__)
