"""The record of a run: what was trained, on which data, with which versions, and what came of it.

A record is enough to redraw a run's curves without TensorFlow and without the data. Training writes it as JSON, beside and
in each checkpoint. The runs that the book cites are kept as three tables, see `table`; weights are kept of those that a
chapter or `predict` loads. Nothing is trained or evaluated here.
"""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet5lib._checks import make, to_plain
from lenet5lib.spec import ARCHITECTURES, Architecture, Pool
from lenet5lib.training.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2
NAME = "record.json"
RECORDED = Path(str(importlib.resources.files("lenet5lib"))) / "recorded"
"""The package's folder of what the book cites: the tables of runs, weights, and benchmarks as JSON."""
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
TEST_METRICS = ("test_loss", "test_accuracy")
DEFAULT_RUN = "one-change/again-all/seed-0"
"""The recorded run whose network is used by default; its seed was fixed before the run was tested."""
WORDS = {"relu": "ReLU", "scaled_tanh": "scaled tanh"}
"""Activations whose name in a sentence differs from that in a specification."""


class RecordError(ValueError):
    """A record that cannot be read; the text says what came, what was expected, what to do."""


@dataclass(frozen=True)
class DataInfo:
    """The images that a run was trained on.

    Attributes:
        dataset_name: MNIST, the stand-in, or a file's name.
        checksum: SHA-256 of the training and validation images and labels.
        num_train, num_validation: how many.
        train_on_all: whether the validation images are among the training images.
        test_checksum: SHA-256 of the test images and labels, if they were watched during training.
    """

    dataset_name: str
    checksum: str
    num_train: int
    num_validation: int
    train_on_all: bool = False
    test_checksum: str | None = None


@dataclass(frozen=True)
class Config:
    """What fixes the result of a run."""

    architecture: Architecture
    recipe: Recipe
    seed: int
    data: DataInfo

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Build the configuration that `to_dict` wrote."""
        made = {
            "architecture": Architecture.from_dict(values["architecture"]),
            "recipe": Recipe.from_dict(values["recipe"]),
            "data": make(DataInfo, values["data"]),
        }
        return make(cls, values | made)


@dataclass
class Record:
    """One run.

    Attributes:
        config: what fixes the result.
        command: the command line that trains the run; None for a run trained by a call from Python.
        epochs: for each epoch its number from 1, its metrics (loss in nats, accuracy 0–1; those of validation begin with
            `val_`, those of test images that were watched with `test_`), its seconds with validation and without, and
            `steps`: pairs of (steps done, mean loss over the last 100).
        sessions: for each start of the program: `after_epoch`, the epoch it went on from; `after_steps`, the steps of the
            next epoch that were done already; the engine; the versions of the packages; the number of threads.
        best: the epoch of the lowest validation loss, and that loss; epoch 0 before any.
        unfinished_epoch: of an epoch that was saved before its end: its number, the losses of its calls, the correct
            predictions so far, `steps` and seconds as above; None between epochs.
    """

    config: Config
    command: str | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(
        default_factory=lambda: {"epoch": 0, "val_loss": None}
    )
    unfinished_epoch: dict[str, Any] | None = None

    @property
    def dataset_name(self) -> str:
        """The name of the data."""
        return self.config.data.dataset_name

    @property
    def resume_points(self) -> list[int]:
        """The epochs after which the run went on in a new session."""
        return [session["after_epoch"] for session in self.sessions[1:]]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics that each epoch has."""
        watched = self.config.data.test_checksum is not None
        return METRICS + TEST_METRICS * watched

    @property
    def weights_name(self) -> str:
        """The weights file that counts at the end: the best on validation, or the last where nothing was held out."""
        kind = "last" if self.config.data.train_on_all else "best"
        return f"{kind}.weights.h5"

    @property
    def best_name(self) -> str:
        """What the best weights are: the best of all epochs, or of those since better weights were lost."""
        lost = self.best["val_loss"] > min(self.column("val_loss"))
        return "best on validation" + " since better weights were lost" * lost

    def column(self, metric: str) -> list[float]:
        """Return one metric, a value for each epoch."""
        return [epoch[metric] for epoch in self.epochs]

    def history(self) -> pd.DataFrame:
        """Return the metrics as a table, a row for each epoch."""
        import pandas as pd

        index = pd.Index(self.column("epoch"), name="epoch")
        return pd.DataFrame(self.epochs, index, [*self.metrics])

    def about(self) -> str:
        """Return what a checkpoint with this record holds, in words: which network, trained on what, which epoch."""
        data, recipe = self.config.data, self.config.recipe
        held_out = "none" if data.train_on_all else f"{data.num_validation:,}"
        weights = "averaged weights (EMA)" if recipe.ema_decay else "weights"
        epoch = len(self.epochs)
        if self.unfinished_epoch:
            which = "and part of the next"
        elif data.train_on_all or self.best["epoch"] != epoch:
            which = "the last"
        else:
            which = f"the {self.best_name}"
        return (
            f"{title(self.config.architecture)}. Trained on {data.dataset_name} "
            f"({data.num_train:,} images, {held_out} held out) with seed "
            f"{self.config.seed}; these are the {weights} of epoch {epoch}, {which}."
        )

    def to_json(self) -> str:
        """Return the record as JSON text, a line for each epoch."""
        values = asdict(self) | {"config": self.config.to_dict()}
        parts = []
        for name, value in {"format": FORMAT, **values}.items():
            text = _json(value)
            if isinstance(value, list) and value:
                lines = [_json(entry) for entry in value]
                text = "[\n  " + ",\n  ".join(lines) + "\n ]"
            parts.append(f' "{name}": {text}')
        return "{\n" + ",\n".join(parts) + "\n}\n"

    @classmethod
    def from_json(cls, text: str | bytes, shown: str) -> Record:
        """Read what `to_json` wrote; `shown` names the file in errors.

        Raises:
            RecordError: not JSON, or not a record of this format.
        """
        try:
            values = json.loads(text, parse_constant=_no_number)
            if (found := values.pop("format")) != FORMAT:
                raise ValueError(f"format {found}")
            values["config"] = Config.from_dict(values["config"])
            record = make(cls, values)
            _ = record.resume_points, record.best["val_loss"]
            _ = [record.column(name) for name in ("epoch", *record.metrics)]
            return record
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecordError(
                f"{shown} is not a run's record of format {FORMAT}: {str(error).rstrip('.')}. "
                "Restore it, name another run's folder, or use the version that wrote "
                "it."
            ) from None


def _json(value: Any) -> str:
    """Return a value as JSON that every reader takes: without NaN and infinity, which are no numbers there."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _no_number(constant: str) -> None:
    """Refuse a constant that only Python's JSON has."""
    raise ValueError(f"it holds {constant}, which is no number: training diverged")


def read(run_dir: str | Path) -> Record:
    """Read the record of a run folder.

    Raises:
        RecordError: no record in the folder, or one that cannot be read.
    """
    path = Path(run_dir) / NAME
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"no record at {path}: {error.strerror}. Name the folder of a run that "
            "was trained."
        ) from None
    return Record.from_json(text, str(path))


@cache
def table(name: str) -> pd.DataFrame:
    """Return one of the tables of recorded runs: "runs", "epochs" or "test_errors".

    - `runs`, a row per run: its command line, its configuration and sessions as JSON, the epoch of the lowest validation
      loss, and `num_test`, the test images that its last network was tested on, if any;
    - `epochs`, a row per run and epoch;
    - `test_errors`, a row per run and misclassified test image: the `views` of each image (1, or the number of copies in
      test-time augmentation), its `position` in the file, `label` and `prediction`.
    """
    import pandas as pd

    return pd.read_csv(RECORDED / f"{name}.csv", float_precision="round_trip")


def experiments() -> list[str]:
    """Return the names of the recorded experiments; those of an experiment in several parts have a slash."""
    return sorted({run.rpartition("/")[0] for run in table("runs")["run"]})


def rows(experiment: str) -> pd.DataFrame:
    """Return an experiment's rows of the table `runs`, in the order of the runs' names, indexed by these.

    Raises:
        RecordError: no such experiment.
    """
    runs = table("runs").sort_values("run")
    parts = runs["run"].str.rpartition("/")
    found = runs[parts[0] == experiment]
    if found.empty:
        raise RecordError(
            f"no recorded experiment {experiment!r}; expected one of "
            f"{', '.join(experiments())}. Choose one of these."
        )
    return found.set_index(parts[2][found.index].rename(None))


def recorded(experiment: str) -> dict[str, Record]:
    """Return the records of an experiment's runs, by the run's name: what the book cites and does not train again.

    Raises:
        RecordError: no such experiment.
    """
    runs = rows(experiment).to_dict("index")
    epochs = table("epochs").groupby("run", sort=False)
    return {
        str(name): _from_tables(run, epochs.get_group(run["run"]))
        for name, run in runs.items()
    }


def _from_tables(run: dict[str, Any], epochs: pd.DataFrame) -> Record:
    """Build a record from its rows in the tables."""
    lines = [
        {str(name): value for name, value in row.items() if value == value}
        for row in epochs.drop(columns="run").to_dict("records")
    ]  # An empty cell is NaN, which differs from itself.
    for line in lines:
        if "steps" in line:
            line["steps"] = json.loads(line["steps"])
    config = Config.from_dict(json.loads(run["config"]))
    command = run["command"] if run["command"] == run["command"] else None
    best = {"epoch": run["best_epoch"], "val_loss": run["best_val_loss"]}
    return Record(config, command, lines, json.loads(run["sessions"]), best)


def weights(run: str = DEFAULT_RUN) -> Path:
    """Return the path of a recorded run's weights, "EXPERIMENT/NAME"; without a name, the default network's.

    Raises:
        RecordError: no weights of that run are kept.
    """
    found = sorted((RECORDED / run).glob("*.weights.h5"))
    if not found:
        kept = sorted(RECORDED.rglob("*.weights.h5"))
        names = (path.parent.relative_to(RECORDED).as_posix() for path in kept)
        raise RecordError(
            f"no weights of {run!r} are recorded; expected one of {', '.join(names)}. "
            "Name one of these."
        )
    return found[0]


def title(architecture: Architecture) -> str:
    """Return an architecture's name, with the activations and pooling in which it differs from the one of that name.

    >>> from lenet5lib.spec import LENET5, LENET5_RELU_MAX
    >>> title(LENET5), title(LENET5_RELU_MAX)
    ('modern LeNet-5 (28×28)', 'modern LeNet-5 (28×28) with ReLU and max pooling')
    """
    named = {one.name: one for one in ARCHITECTURES.values()}
    usual = named.get(architecture.name, architecture)
    if architecture == usual:
        return architecture.name
    words = [
        one for one in _functions(architecture) if one not in _functions(usual)
    ]
    return f"{architecture.name} with {' and '.join(words) or 'different layers'}"


def _functions(architecture: Architecture) -> list[str]:
    """Return the activations and kinds of pooling of an architecture in words, each once, in order."""
    found = []
    for layer in architecture.layers:
        if isinstance(layer, Pool):
            found.append(f"{layer.mode} pooling")
        elif activation := getattr(layer, "activation", None):
            found.append(WORDS.get(activation, activation))
    return list(dict.fromkeys(found))
