"""What a trained network gets wrong: the error with its interval, the confusion matrix, the hardest digits.

Chapter 8 is about this module. It reads probabilities and labels; it neither trains nor draws.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lenet5lib._checks import require_int
from lenet5lib.data.mnist import CLASSES, Digits
from lenet5lib.loops.network import Network
from lenet5lib.records import (
    TEST_METRICS,
    Record,
    RecordError,
    read,
    recorded,
    result_name,
)
from lenet5lib.training.losses import probabilities
from lenet5lib.training.recipe import Distortion, Recipe

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Evaluation:
    """A model's answers on some digits: `probabilities` (n, 10) and the `labels` (n,) that stand in the file."""

    probabilities: np.ndarray
    labels: np.ndarray

    @cached_property
    def predictions(self) -> np.ndarray:
        """The most probable class of each digit, (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def count(self) -> int:
        """How many digits were looked at."""
        return len(self.labels)

    @cached_property
    def mistakes(self) -> np.ndarray:
        """The positions of the digits that were answered wrong, in the order of the file."""
        return np.flatnonzero(self.predictions != self.labels)

    @property
    def error(self) -> float:
        """The share answered wrong, 0–1."""
        return len(self.mistakes) / self.count

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return Wilson's interval for the error, 0–1; see `error_interval`."""
        return error_interval(len(self.mistakes), self.count, confidence)

    def confusion(self) -> pd.DataFrame:
        """Return the confusion matrix: a row for each label, a column for each answer, counts in the cells."""
        from sklearn.metrics import confusion_matrix  # It takes long to load.

        matrix = confusion_matrix(
            self.labels, self.predictions, labels=range(CLASSES)
        )
        return pd.DataFrame(
            matrix,
            pd.Index(range(CLASSES), name="label"),
            pd.Index(range(CLASSES), name="answer"),
        )

    def confused_pairs(self, count: int) -> pd.DataFrame:
        """Return the `count` commonest (label, answer) pairs that are wrong, or all if fewer, commonest first."""
        wrong = self.confusion().to_numpy() * (1 - np.eye(CLASSES, dtype=int))
        order = np.argsort(-wrong, axis=None, kind="stable")[
            : min(count, np.count_nonzero(wrong))
        ]
        labels, answers = np.unravel_index(order, wrong.shape)
        return pd.DataFrame(
            {"label": labels, "answer": answers, "digits": wrong[labels, answers]}
        )

    def hardest(self, count: int) -> np.ndarray:
        """Return the positions of the `count` digits whose own label got the least probability, hardest first."""
        of_label = self.probabilities[np.arange(self.count), self.labels]
        return np.argsort(of_label, kind="stable")[:count]

    def __str__(self) -> str:
        low, high = self.interval()
        return (
            f"{len(self.mistakes):,} of {self.count:,} wrong: error {self.error:.2%}, "
            f"95 % interval {low:.2%} to {high:.2%}"
        )


def error_interval(
    wrong: int, count: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return Wilson's binomial interval for an error of `wrong` in `count` independent digits.

    Returns:
        (low, high), 0–1: the errors under which the count seen would not be surprising.

    Raises:
        ValueError: `wrong` is not between 0 and `count`.

    Source: Wilson 1927; chapter 8.

    >>> [round(100 * end, 2) for end in error_interval(100, 10_000)]
    [0.82, 1.21]
    """
    if not 0 <= wrong <= count or count == 0:
        raise ValueError(
            f"wrong is {wrong} of {count}; expected 0 to the count, and a count above 0. Check the order."
        )
    from scipy.stats import binomtest  # It takes long to load.

    interval = binomtest(int(wrong), int(count)).proportion_ci(
        confidence, method="wilson"
    )
    return float(interval.low), float(interval.high)


def selection_bias(
    error: float, count: int, candidates: int, trials: int = 2000
) -> float:
    """Return the error reported, on average, by whoever picks the best of several equally good candidates on a test set.

    Simulated: each candidate's mistakes among `count` digits are binomial and independent of the others'.

    Args:
        error: the true error of every candidate, 0–1.
        count: digits in the test set.
        candidates: how many are compared on it.
        trials: simulated comparisons.

    Returns:
        The mean, over the trials, of the lowest error seen, 0–1; with one candidate about `error` itself.
    """
    wrong = np.random.default_rng(0).binomial(
        count, error, size=(trials, candidates)
    )
    return float(wrong.min(axis=1).mean() / count)


def mean_interval(
    values: Sequence[float], confidence: float = 0.95
) -> tuple[float, float]:
    """Return Student's interval for the mean of which these values are a sample, such as the errors of several seeds.

    Returns:
        (low, high).

    Raises:
        ValueError: fewer than two values, of which no spread can be known.

    Source: Student 1908; chapter 10.

    >>> [round(end, 3) for end in mean_interval([0.9, 1.0, 1.1])]
    [0.752, 1.248]
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        raise ValueError(
            f"{len(values)} values; expected 2 or more, since one has no spread. Train with more seeds."
        )
    from scipy import stats  # It takes long to load.

    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def choices(record: Record) -> pd.DataFrame:
    """Return which epoch of a run different rules choose, and the test error there.

    Args:
        record: of a run that watched the test digits.

    Returns:
        A row for each rule: `epoch` and `test error` (0–1). The first rule is the article's: it looks at the test digits to
        choose, and reports what it saw. Of equal epochs the first is chosen.

    Raises:
        ValueError: the test digits were not watched.
    """
    if TEST_METRICS[1] not in record.metrics:
        raise ValueError(
            "the record has no test errors; expected a run that watched them. "
            "Train with --watch-test (watch_test=True)."
        )
    table = pd.DataFrame(record.epochs).set_index("epoch")
    chosen = {
        "best on test (the article's way)": table["test_accuracy"].idxmax(),
        "lowest validation loss": table["val_loss"].idxmin(),
        "highest validation accuracy": table["val_accuracy"].idxmax(),
        "the last": table.index[-1],
    }
    rows = [
        (rule, int(epoch), 1 - float(table["test_accuracy"][epoch]))
        for rule, epoch in chosen.items()
    ]
    return pd.DataFrame(
        rows, columns=["epoch chosen", "epoch", "test error"]
    ).set_index("epoch chosen")


def recorded_errors(experiment: str) -> pd.Series:
    """Return the test error (0–1) of each run of a recorded experiment, as it was read once after the training.

    Raises:
        RecordError: no such experiment, or its test digits were not read.
    """
    folders = recorded(experiment)
    errors = {}
    for name, folder in folders.items():
        result = _recorded_test(folder)
        errors[name] = len(result["wrong"]) / result["digits"]
    return pd.Series(errors, name="test error")


def tried(experiment: str) -> pd.DataFrame:
    """Return what was tried in a recorded experiment, and what validation says of the last epoch.

    Returns:
        A row for each run: `optimizer`, the highest `learning rate`, `weight decay`, `distorted`, `epochs`, the last
        `validation loss` (nats a digit) and `validation error` (0–1).
    """
    rows = {}
    for name, folder in recorded(experiment).items():
        record = read(folder)
        recipe, last = Recipe.from_dict(record.config), record.epochs[-1]
        steps = np.arange(len(record.epochs) * 100)
        rates = recipe.learning_rates(steps, 100, record.column("val_loss"))
        rows[name] = {
            "optimizer": recipe.optimizer,
            "learning rate": float(np.format_float_positional(rates.max(), 3)),
            "weight decay": float(recipe.weight_decay),
            "distorted": recipe.distortion is not None,
            "epochs": len(record.epochs),
            "validation loss": last["val_loss"],
            "validation error": 1 - last["val_accuracy"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


def _recorded_test(folder: Path, looks: int = 1) -> dict[str, Any]:
    """Return the test result of a recorded run; see `recorded_mistakes`."""
    path = folder / result_name(looks)
    if not path.exists():
        raise RecordError(
            f"no test result at {path}; expected one beside the record. Evaluate the run's weights instead."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def recorded_mistakes(folder: Path) -> pd.DataFrame:
    """Return what a recorded run answered wrong on the test digits: `position` in the file, `label`, `answer`.

    Args:
        folder: of the run, see `records.recorded`.

    Raises:
        RecordError: the run's test digits were not read when it was recorded.
    """
    wrong = _recorded_test(folder)["wrong"]
    return pd.DataFrame(wrong, columns=["position", "label", "answer"])


def recorded_wrong(experiment: str, looks: int = 1) -> np.ndarray:
    """Return which test digits each run of a recorded experiment got wrong: bool (runs, digits).

    Args:
        experiment: its name; see `records.recorded`.
        looks: at each digit, see `evaluate`.

    Raises:
        RecordError: no such experiment, or its test digits were not read.
    """
    rows = []
    for folder in recorded(experiment).values():
        result = _recorded_test(folder, looks)
        row = np.zeros(result["digits"], bool)
        row[[one["position"] for one in result["wrong"]]] = True
        rows.append(row)
    return np.array(rows)


def paired_bootstrap(
    before: np.ndarray,
    after: np.ndarray,
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> tuple[float, float]:
    """Return an interval for the change of the mean error from some networks to others, on the same test digits.

    Each resample draws as many test digits as there are, with replacement, and takes the change on them; the interval holds
    the middle 95 % of the changes. A digit brings the answers of all networks along, which is what "paired" says. How much
    another choice of seeds would matter, it does not know.

    Args:
        before: which digits each network got wrong, bool (networks, digits).
        after: the same of the others.
        confidence: the share of resamples in the interval.
        resamples: how many.

    Returns:
        (low, high), as shares of the digits; below 0 is better than before.

    Raises:
        ValueError: the two are not about equally many digits, or not of this form.

    Source: Efron 1979; chapter 14.

    >>> wrong, right = np.ones((5, 200), bool), np.zeros((5, 200), bool)
    >>> paired_bootstrap(wrong, right)
    (-1.0, -1.0)
    """
    _require_same_digits(before, after, "(networks, digits)", 2)
    changes, counts = np.unique(
        after.mean(axis=0) - before.mean(axis=0), return_counts=True
    )
    digits = int(counts.sum())
    drawn = np.random.default_rng(0).multinomial(
        digits, counts / digits, size=resamples
    )
    means = drawn @ changes / digits
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def chance(before: np.ndarray, after: np.ndarray) -> float:
    """Return by how much the means of two samples differ by chance, such as the errors of several seeds before and after.

    Returns:
        The standard deviation of the difference, if the two are independent of each other.

    Source: chapter 14.

    >>> round(chance(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 3)
    1.291
    """
    variances = [values.var(ddof=1) / len(values) for values in (before, after)]
    return float(np.sqrt(sum(variances)))


class McNemar(NamedTuple):
    """What McNemar's test finds of two networks: digits that only the one, only the other got wrong, and the p-value."""

    only_before: int
    only_after: int
    p: float


def mcnemar(before: np.ndarray, after: np.ndarray) -> McNemar:
    """Compare two networks on the same test digits by McNemar's exact test.

    Digits on which both are right, or both wrong, say nothing of which is better. Were both equally good, each of the others
    would fall to either side like a coin.

    Args:
        before: which digits the one got wrong, bool (digits,).
        after: the same of the other.

    Raises:
        ValueError: the two are not about equally many digits, or not of this form.

    Source: McNemar 1947; chapter 14.

    >>> one, other = np.arange(1000) < 20, np.arange(1000) < 6
    >>> mcnemar(one, other)
    McNemar(only_before=14, only_after=0, p=0.0001220703125)
    """
    _require_same_digits(before, after, "(digits,)", 1)
    only_before = int((before & ~after).sum())
    only_after = int((after & ~before).sum())
    differing = only_before + only_after
    from scipy.stats import binomtest

    p = binomtest(only_before, differing).pvalue if differing else 1.0
    return McNemar(only_before, only_after, float(p))


def _require_same_digits(
    before: np.ndarray, after: np.ndarray, form: str, axes: int
) -> None:
    """Raise ValueError unless two arrays of wrong answers have so many axes and are about equally many digits."""
    right_form = before.ndim == after.ndim == axes
    if not right_form or before.shape[-1] != after.shape[-1]:
        raise ValueError(
            f"wrong answers have shapes {before.shape} and {after.shape}; expected {form}, the same digits in both. Test "
            "both on the same digits."
        )


def predict(model: keras.Model | Network, images: np.ndarray) -> np.ndarray:
    """Return a network's probabilities for uint8 images (n, 28, 28): (n, classes).

    Args:
        model: a Keras model, or a network of loops; both give the same to a millionth.
        images: uint8 (n, 28, 28).
    """
    if isinstance(model, Network):
        return probabilities(model.architecture, model.predict(images))
    from lenet5lib import models

    return models.predict(model, images)


def evaluate(
    model: keras.Model | Network,
    digits: Digits,
    looks: int = 1,
    distortion: Distortion | None = None,
) -> Evaluation:
    """Return the model's answers on these digits.

    Args:
        model: a Keras model that reads one map, or a network of loops.
        digits: what to read.
        looks: how often it looks at each digit. Once, it sees the digit as it is; more often, as many distorted copies of
            it, the same in every call, and the probabilities are their mean.
        distortion: how far the copies are distorted.

    Raises:
        ValueError: several looks without a distortion, or a number that is not positive.
    """
    from lenet5lib.training import augment

    require_int("looks", looks)
    if looks == 1:
        return Evaluation(predict(model, digits.images), digits.labels)
    if distortion is None:
        raise ValueError(
            f"looks is {looks} and distortion is None; expected a distortion, "
            "since all looks would be alike. Give that of the training."
        )
    total = sum(
        predict(model, augment.distort(digits.images, distortion, 0, look))
        for look in range(1, looks + 1)
    )
    return Evaluation(total / looks, digits.labels)
