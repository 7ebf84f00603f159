"""The record of a run: what was trained, on which data, with which versions, and what came of it, as JSON.

A record is enough to redraw a run's curves without TensorFlow and without the data. `loop` writes it; `plots` and
the book read it.
"""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
NAME = "record.json"
TEST = "test.json"
"""What a run got wrong on the test digits, beside its record; `one_change` writes it, `evaluation` reads it."""
RECORDED = Path(str(importlib.resources.files("lenet5lib"))) / "recorded"
"""The package's own folder of what the book cites: recorded runs, and benchmarks as JSON."""
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
TEST_METRICS = ("test_loss", "test_accuracy")


def result_name(looks: int) -> str:
    """Return the name of the file of what a run got wrong on the test digits with so many looks at each."""
    return TEST if looks == 1 else f"test-{looks}-looks.json"


class RecordError(ValueError):
    """A record that cannot be read; the text says what came, what was expected, what to do."""


@dataclass
class Record:
    """One run.

    Attributes:
        config: what fixes the result: architecture, batch size, learning rate, seed, data.
        epochs: for each epoch its number from 1, its metrics (loss in nats a digit, accuracy 0–1; those of validation begin
            with `val_`, those of a test set that was watched with `test_`), its seconds with validation and without, and
            `steps`: pairs of (steps done, mean loss over the last 100).
        sessions: for each start of the program: `after_epoch`, the epoch it went on from; `after_steps`, the steps of the
            next epoch that were done already; the engine; the versions of the packages; the number of threads.
        best: the epoch of the lowest validation loss, and that loss; epoch 0 before any.
        partial: of an epoch that was saved before its end: its number, the calls done, each with its sum of losses, the
            digits right so far, `steps` and seconds as above; None between epochs.
    """

    config: dict[str, Any]
    epochs: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(
        default_factory=lambda: {"epoch": 0, "val_loss": None}
    )
    partial: dict[str, Any] | None = None

    @property
    def source(self) -> str:
        """The name of the data."""
        return self.config["data"]["source"]

    @property
    def resume_points(self) -> list[int]:
        """The epochs after which the run went on in a new session."""
        return [session["after_epoch"] for session in self.sessions[1:]]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics that each epoch has."""
        watched = "watched test digits" in self.config["data"]
        return METRICS + TEST_METRICS * watched

    def column(self, metric: str) -> list[float]:
        """Return one metric, a value an epoch."""
        return [epoch[metric] for epoch in self.epochs]

    def to_json(self) -> str:
        """Return the record as JSON text, a line an epoch."""
        parts = []
        for name, value in {"format": FORMAT, **asdict(self)}.items():
            if isinstance(value, list):
                lines = [json.dumps(entry, ensure_ascii=False) for entry in value]
                text = "[\n  " + ",\n  ".join(lines) + "\n ]" if lines else "[]"
            else:
                text = json.dumps(value, ensure_ascii=False)
            parts.append(f' "{name}": {text}')
        return "{\n" + ",\n".join(parts) + "\n}\n"

    @classmethod
    def from_json(cls, text: str, shown: str) -> Record:
        """Read what `to_json` wrote; `shown` names the file in errors.

        Raises:
            RecordError: not JSON, or not a record of this format.
        """
        try:
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise ValueError("another format")
            record = cls(**values)
            _ = (
                record.source,
                record.resume_points,
                record.best["val_loss"],
                [*map(record.column, ("epoch", *record.metrics))],
            )
            return record
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecordError(
                f"{shown} is not a run's record of format {FORMAT} ({error}). Restore it, or name another run's folder."
            ) from None


def read(run_dir: str | Path) -> Record:
    """Read the record of a run folder.

    Raises:
        RecordError: no record in the folder, or one that cannot be read.
    """
    path = Path(run_dir) / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordError(
            f"no record at {path}: {error.strerror}. Name the folder of a run that was trained."
        ) from None
    except UnicodeDecodeError as error:
        raise RecordError(
            f"{path} is not text ({error.reason}). Restore it, or name another run's folder."
        ) from None
    return Record.from_json(text, str(path))


def experiments() -> list[str]:
    """Return the names of all recorded experiments; those of an experiment in several parts have a slash."""
    folders = {path.parent.parent for path in RECORDED.rglob(NAME)}
    return sorted(folder.relative_to(RECORDED).as_posix() for folder in folders)


def recorded(name: str) -> dict[str, Path]:
    """Return the folders of a recorded experiment's runs, by the run's name: what the book cites and does not train anew.

    Each folder holds `record.json` as training left it; some hold weights, and the test digits' result, too.

    Raises:
        RecordError: no such experiment.
    """
    found = {
        path.parent.name: path.parent for path in RECORDED.glob(f"{name}/*/{NAME}")
    }
    if not found:
        known = experiments()
        raise RecordError(
            f"no recorded experiment {name!r}; expected one of {', '.join(known)}. Name one of these."
        )
    return dict(sorted(found.items()))
