"""Reading pictures with a trained network: which files, which weights, what to print of the answers. `predict` prints it."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lenet5lib import records
from lenet5lib.data import pictures
from lenet5lib.training import checkpoint

HEADER = ("picture", "digit", "probability", "warnings", "error", "seen")
"""The columns of a CSV table; p0, p1, … are the probabilities, after the third."""


@dataclass
class Answer:
    """What came of one picture.

    Attributes:
        picture: its path, or that of a folder without pictures.
        digit: the class of the highest probability; None, and no probabilities, if the picture could not be read.
        probability: of that class.
        probabilities: of each class.
        warnings: what makes the answer doubtful.
        error: why the picture could not be read.
        seen: the file to which the image that the network saw was saved.
    """

    picture: str
    digit: int | None = None
    probability: float | None = None
    probabilities: list[float] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    error: str | None = None
    seen: str | None = None

    @property
    def doubts(self) -> str:
        """The warnings as one text."""
        return "; ".join(self.warnings)


def weights(run_dir: Path, last: bool = False) -> Path:
    """Return a run's last weights if asked for, else those that count, by `Record.weights_name` of the folder or of a file.

    Raises:
        RecordError: no record, or one that cannot be read.
        CheckpointError: damaged weights, of which the record was needed.
    """
    kept = sorted(run_dir.glob("*.weights.h5"))
    if last:
        return run_dir / checkpoint.LAST
    if kept and not (run_dir / records.NAME).exists():
        return run_dir / checkpoint.read_record(kept[0]).weights_name
    return run_dir / records.read(run_dir).weights_name


def read(names: Iterable[str]) -> tuple[list[Answer], list[np.ndarray]]:
    """Read pictures, and those that lie in folders; return an answer for each, and the images of those without an error."""
    answers = [Answer(one) for name in names for one in _in_folder(name) or [name]]
    images = []
    for one in answers:
        try:
            image, one.warnings = pictures.read(one.picture)
            images.append(image)
        except pictures.ImageError as error:
            one.error = str(error)
            if os.path.isdir(one.picture):
                one.error = (
                    f"no pictures in the folder {one.picture}; expected files that end "
                    f"in {', '.join(pictures.SUFFIXES)}. Name the pictures."
                )
    return answers, images


def _in_folder(name: str) -> list[str]:
    """Return the pictures in a folder, sorted, without hidden ones; none of what is no folder, or cannot be read."""
    found = sorted(Path(name).glob("[!.]*")) if os.path.isdir(name) else []
    endings = pictures.SUFFIXES
    return [str(p) for p in found if p.suffix.lower() in endings and p.is_file()]


def add_probabilities(answers: Iterable[Answer], probabilities: np.ndarray) -> None:
    """Add the network's probabilities (n, classes) to the answers without an error."""
    right = (one for one in answers if not one.error)
    for one, row in zip(right, probabilities, strict=True):
        # Six digits are what 32-bit numbers hold.
        one.probabilities = [float(f"{share:.6g}") for share in row]
        one.digit, one.probability = int(row.argmax()), max(one.probabilities)


def save_seen(
    answers: Iterable[Answer], images: Iterable[np.ndarray], folder: Path
) -> None:
    """Save what the network saw as PNG, by the pictures' names, numbered where another file has that name.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    right = (one for one in answers if not one.error)
    written: set[Path] = set()
    for one, image in zip(right, images, strict=True):
        Image.fromarray(image).save(buffer := io.BytesIO(), "PNG")
        path, number = folder / f"{Path(one.picture).stem}.png", 1
        # An earlier call may have written the same.
        while path in written or not _holds(path, buffer.getvalue()):
            number += 1
            path = folder / f"{Path(one.picture).stem}-{number}.png"
        path.write_bytes(buffer.getvalue())
        written.add(path)
        one.seen = str(path)


def _holds(path: Path, contents: bytes) -> bool:
    """Return whether a file holds these bytes, or does not exist."""
    return not path.exists() or (path.is_file() and path.read_bytes() == contents)


def show(answers: Sequence[Answer], form: str, num_classes: int) -> None:
    """Print the answers: "text", a table of those without an error; "csv", with a header; "json", a list in ASCII."""
    if form == "json":
        print(json.dumps([vars(one) for one in answers], allow_nan=False))
    elif form == "csv":
        shares = [f"p{number}" for number in range(num_classes)]
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow([*HEADER[:3], *shares, *HEADER[3:]])
        for one in answers:
            shown = one.probabilities or num_classes * ("",)
            first = one.picture, one.digit, one.probability
            table.writerow([*first, *shown, one.doubts, one.error, one.seen])
    elif found := [one for one in answers if not one.error]:
        names = [_printable(one.picture) for one in found]
        width = max(map(len, ["picture", *names]))
        print(f"{'picture':{width}}  digit  probability  warnings")
        for name, one in zip(names, found, strict=True):
            line = f"{name:{width}}  {one.digit:5}  {one.probability:11.1%}"
            print(f"{line}  {one.doubts}".rstrip())


def _printable(text: str) -> str:
    """Return a file's name on one line, what cannot be printed escaped."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
