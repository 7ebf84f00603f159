"""MNIST: where it is found, how it is known, and what is known of it.

`load_digits` is the only function that looks for data, and the only one that prints: one line that names the data. That
name travels with the arrays into every record and caption. Chapter 1 is about this module.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lenet5lib import files
from lenet5lib.data.formats import DataError, checksum, parse_npz, read_npz
from lenet5lib.data.splits import Dataset
from lenet5lib.data.standin import stand_in

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
CHECKSUM = "25c98f992c005963b7428e1f38418b233c9b286cc403519287eb8063f0bcfe07"
"""SHA-256 of MNIST's four arrays, as `checksum` computes it."""
SOCKET_SECONDS = 10
"""How long a download waits for a connection, or for the next bytes."""
DOWNLOAD_SECONDS = 60
"""How long a download may take as a whole: 11 MB."""

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
    source: str | Path = "auto", report: Callable[[str], object] | None = print
) -> Dataset:
    """Load the data and report in one line which they are.

    Args:
        source: "auto" tries in order the file that the environment variable LENET5_MNIST names, the file that Keras
            keeps, a download of MNIST, and the stand-in. "stand-in" takes the stand-in. Anything else is the path of
            an `.npz` file with Keras's four arrays. LENET5_MNIST may hold "stand-in" too.
        report: receives the line; None for silence.

    Returns:
        Uint8 arrays; for MNIST and the stand-in 60,000 training and 10,000 test images.

    Raises:
        DataError: a file that was named cannot be used. A named file never falls through to other data.
    """
    named = os.environ.get("LENET5_MNIST") if source == "auto" else source
    if named == "stand-in":
        dataset = stand_in()
    elif named:
        dataset = read(Path(named))
    else:
        dataset = _kept_by_keras() or _download() or stand_in()
    if report is not None:
        report(
            f"Data: {dataset.dataset_name}; {len(dataset.train):,} training and "
            f"{len(dataset.test):,} test images."
        )
    return dataset


def read(path: Path) -> Dataset:
    """Read an `.npz` file of Keras's four arrays: x_train, y_train, x_test, y_test.

    Raises:
        DataError: no such file, not a complete `.npz` file, an array missing, or an array of a different type, shape or
            range.
    """
    train, test = read_npz(path)
    known = checksum(train, test) == CHECKSUM
    return Dataset(train, test, "MNIST" if known else f"the file {path.name}")


def _keras_path() -> Path:
    """Return the path at which Keras keeps its copy of MNIST."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "datasets" / "mnist.npz"


def _kept_by_keras() -> Dataset | None:
    """Return MNIST from Keras's copy, or None if there is no complete one."""
    with contextlib.suppress(DataError):
        dataset = read(_keras_path())
        return dataset if dataset.dataset_name == "MNIST" else None
    return None


def _download() -> Dataset | None:
    """Download MNIST and keep it where Keras would; None without an internet connection, too late, or not MNIST."""
    fetched: list[bytes] = []
    # The time-out of a socket begins again with every byte; a thread can be left waiting.
    thread = threading.Thread(target=_fetch, args=(fetched,), daemon=True)
    thread.start()
    thread.join(DOWNLOAD_SECONDS)
    if not fetched:
        return None
    try:
        train, test = parse_npz(fetched[0], "the download")
    except DataError:
        return None
    if checksum(train, test) != CHECKSUM:
        return None
    with contextlib.suppress(OSError):  # Else it is downloaded again next time.
        _keras_path().parent.mkdir(parents=True, exist_ok=True)
        files.write(_keras_path(), fetched[0])
    return Dataset(train, test, "MNIST")


def _fetch(fetched: list[bytes]) -> None:
    """Append the contents of `URL`, if they can be had."""
    with (
        contextlib.suppress(OSError, http.client.HTTPException),
        urllib.request.urlopen(URL, timeout=SOCKET_SECONDS) as response,
    ):
        fetched.append(response.read())
