"""Files of labelled images: `.npz`, IDX and CSV, gzipped or not, and folders of them, recognised by their contents.

`.npz` is the format in which Keras distributes MNIST: the arrays x_train, y_train, x_test and y_test, and class_names if the
classes have names. IDX is MNIST's own, four files, and that of Fashion-MNIST, KMNIST and EMNIST. CSV has a label and 784
pixels in each row, as Kaggle's train.csv, between commas, semicolons or tabs. Which files are for training and which for
testing, their names tell.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lenet5lib.data.formats import SIDE, DataError, Digits, as_images, as_labels
from lenet5lib.data.splits import Dataset, stratified_split

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# fmt: off
FIRST_BYTES = {
    b"PK": ".npz", b"\x93NUMPY": ".npz", b"\0\0": "IDX", b"\x80": "a Python pickle",
    b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"\x89HDF": "an HDF5 file",
    b"MATLAB": "a MATLAB file", b"PAR1": "a Parquet file",
}
# fmt: on
"""What a file is, by its first bytes; without any of these it may be CSV."""
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""NumPy's names of the types by their number in an IDX file."""
LABEL_COLUMNS = {"label", "labels", "class", "target"}
HELD_OUT = 7
"""Of a CSV file alone, one image in this number is held out for testing, as of MNIST's 70,000."""
WORD = re.compile("(?<![a-z])(train|test|t10k)", re.IGNORECASE)


def read_dataset(path: Path) -> Dataset:
    """Read training and test examples from a file or a folder, and name them by it.

    An IDX file is read together with its partners beside it, the files whose names begin as its own does. Of a CSV file
    alone a seventh is held out for testing, in proportion to the classes.

    Raises:
        DataError: nothing there, a different or damaged format, something missing, or images or labels that do not fit.
    """
    name = path.absolute().name
    try:
        if path.is_dir():
            return make_dataset(_read_folder(path), f"the folder {name}")
        arrays = parse(path.read_bytes(), str(path))
        if arrays.keys() in ({"x"}, {"y"}):
            word = WORD.search(name)
            prefix = name[: word.start()] if word else name
            arrays = _read_folder(path.parent, prefix)
    except OSError as error:
        raise DataError(
            f"cannot read the data file {path}: {error.strerror}. Name an existing "
            ".npz, IDX or CSV file, or a folder of them."
        ) from None
    return make_dataset(arrays, f"the file {name}")


def make_dataset(arrays: Mapping[str, np.ndarray], name: str) -> Dataset:
    """Return training and test examples, given Keras's four arrays, or images x and labels y to divide; both by name.

    Raises:
        DataError: an array is missing, or does not fit.
    """
    if arrays.keys() == {"x", "y"}:
        count = len(arrays["y"])
        parts = stratified_split(arrays["y"], min(HELD_OUT, count))
        divided = [arrays[key][part] for part in parts for key in "xy"]
        arrays = dict(zip(ARRAYS, divided, strict=True))
        name += f", {len(parts[1]):,} of its {count:,} images for testing"
    if missing := [key for key in ARRAYS if key not in arrays]:
        raise DataError(
            f"{name} has no {', '.join(missing)}; it has {', '.join(arrays) or 'none'}. "
            "Add images (x) and labels (y): arrays of these names to an .npz file; to a "
            "folder IDX or CSV files with train, and test or t10k, in their names."
        )
    sets, names = [], arrays.get("class_names")
    for x, y in (ARRAYS[:2], ARRAYS[2:]):
        images = as_images(arrays[x], f"{name}: {x}")
        if images.shape[1:] != (SIDE, SIDE) or not len(images):
            raise DataError(
                f"{name}: {x} has shape {images.shape}; expected (n, {SIDE}, {SIDE}), "
                "n at least 1. Bring the images to that."
            )
        labels = as_labels(arrays[y], len(images), f"{name}: {y}")
        sets.append(Digits(images, labels, None if names is None else list(names)))
    return Dataset(sets[0], sets[1], name)


def parse(contents: bytes, name: str) -> dict[str, np.ndarray]:
    """Return the arrays in the bytes of a file; `name` names the file in errors.

    Returns:
        What an `.npz` file holds by its names; of other files images as x, labels as y.

    Raises:
        DataError: a different or damaged format.
    """
    kind = "gzip"
    try:
        if contents[:2] == b"\x1f\x8b":
            contents = gzip.decompress(contents)
        text = contents and b"\0" not in contents[:999]
        kind = "CSV" if text else "no known format"
        for start in FIRST_BYTES:
            kind = FIRST_BYTES[start] if contents.startswith(start) else kind
        if kind in READERS:
            return READERS[kind](contents)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except Exception as error:
        # A damaged archive makes zipfile, zlib, tokenize and NumPy raise a dozen kinds.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{name} is not a complete {kind} file ({len(contents):,} bytes read): "
            f"{reason}. Copy or save it again."
        ) from None
    raise DataError(
        f"{name} is {kind} ({len(contents):,} bytes read); expected .npz, IDX or CSV. "
        f"In Python: np.savez('digits.npz', {'=…, '.join(ARRAYS)}=…)."
    )


def _parse_npz(contents: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` file; those that are not needed are not loaded.

    Raises:
        DataError: an array of Python objects.
    """
    key, arrays = "one bare array", {}
    try:
        archive = np.load(io.BytesIO(contents), allow_pickle=False)
        if isinstance(archive, np.ndarray):
            return {key: archive}
        for key in archive.files:
            needed = key in (*ARRAYS, "class_names")
            arrays[key] = archive[key] if needed else np.empty(0)
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise DataError(
            f"{key} holds Python objects, which are not loaded, since they may run code; "
            "expected numbers, or text in class_names. Save np.array(x.tolist())."
        ) from None
    return arrays


def _parse_idx(contents: bytes) -> dict[str, np.ndarray]:
    """Return the array of an IDX file: two bytes 0, type, number of axes, their sizes in 4 bytes each, values."""
    kind, axes = IDX_TYPES[contents[2]], contents[3]
    shape = np.frombuffer(contents, ">u4", axes, offset=4).tolist()
    array = np.frombuffer(contents, kind, offset=4 + 4 * axes).reshape(shape)
    return {"x" if axes > 1 else "y": array}


def _parse_csv(contents: bytes) -> dict[str, np.ndarray]:
    """Return images and labels of a CSV file: 784 pixels in each row, the label before or after them.

    Raises:
        DataError: no column known to be the label.
        ValueError: another number of columns, or what is no number.
    """
    first = contents.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace")
    separator = max(",;\t", key=first.count)
    fields = first.lower().replace('"', "").strip().split(separator)
    if len(fields) != 1 + SIDE * SIDE:
        raise ValueError(
            f"{len(fields)} columns, not a label and {SIDE * SIDE} pixels between commas, "
            "semicolons or tabs"
        )
    import pandas as pd  # It takes long to load.

    header = not all(re.fullmatch(r"[\d.]+", field) for field in fields)
    table = pd.read_csv(
        io.BytesIO(contents),
        sep=separator,
        header=None,
        skiprows=int(header),
        dtype=np.float32,
    ).to_numpy()
    labels = [n for n, field in enumerate(fields) if field in LABEL_COLUMNS]
    if not header:  # Pixels leave gaps between their levels, or are all 0.
        ends = {n: np.unique(table[:, n]) for n in (0, -1)}
        labels = [n for n in ends if 1 < len(ends[n]) == np.ptp(ends[n]) + 1]
    if len(labels) != 1:
        raise DataError(
            "which column is the label is not known; expected a first line in which one "
            "is called label. Add it."
        )
    images = np.delete(table, labels[0], axis=1).reshape(-1, SIDE, SIDE)
    return {"x": images, "y": table[:, labels[0]]}


READERS = {".npz": _parse_npz, "IDX": _parse_idx, "CSV": _parse_csv}


def _read_folder(folder: Path, prefix: str | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of the IDX or CSV files in a folder; with a prefix, of those that have it before "train" or "test".

    Raises:
        DataError: a different or damaged format, or several files of the same images or labels.
        OSError: a file that cannot be read.
    """
    arrays: dict[str, np.ndarray] = {}
    paths = sorted(folder.iterdir())
    # The same file, gzipped too, counts once.
    for path in {path.name.removesuffix(".gz"): path for path in paths}.values():
        word = WORD.search(path.name)
        if word is None or prefix not in (None, path.name[: word.start()]):
            continue
        part = "train" if word[0].lower() == "train" else "test"
        contents = path.read_bytes() if path.is_file() else b""
        for key, array in parse(contents, str(path)).items() if contents else ():
            if f"{key}_{part}" in arrays:
                raise DataError(
                    f"{path} and another file both hold {key}_{part}; expected one set. "
                    "Give each set a folder, or name one of its files."
                )
            arrays[f"{key}_{part}"] = array
    return arrays
