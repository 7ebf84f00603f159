"""What a trained network gets wrong: its error with a confidence interval, the confusion matrix, tests of a difference.

The first part reads probabilities and labels, or the test errors of recorded runs; it neither trains nor draws. Chapter 8
introduces it; chapters 10, 13 and 14 compare recorded runs with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from lenet5lib import records
from lenet5lib._checks import require_int, require_number
from lenet5lib.data.formats import Digits, as_labels, require_classes, require_ink
from lenet5lib.loops.network import Network
from lenet5lib.records import TEST_METRICS, Record, RecordError
from lenet5lib.training import augment
from lenet5lib.training.losses import probabilities
from lenet5lib.training.recipe import Distortion

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Evaluation:
    """A network's `probabilities` (n, classes) for some images, the images' `labels` (n,), and the classes' names, if any.

    Raises:
        ValueError: no images, numbers that are no probabilities, not a label for each image, a label beyond the classes, or
            not a name for each class.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        shape, found = np.shape(self.probabilities), np.asarray(self.probabilities)
        least, most = (found.min(), found.max()) if found.size else (np.nan, np.nan)
        if len(shape) != 2 or not (least >= -1e-3 and most <= 1 + 1e-3):
            raise ValueError(
                f"probabilities have shape {shape}, {least:g} to {most:g}; expected "
                "(n, classes), 0 to 1. Give what evaluation.predict returns."
            )
        labels = as_labels(self.labels, len(found), "labels")
        require_classes(labels, shape[1], "the network")
        if self.class_names is not None:
            names = tuple(str(name) for name in self.class_names)
            object.__setattr__(self, "class_names", names)
            if len(names) != shape[1]:
                raise ValueError(
                    f"class_names are {len(names)}; expected {shape[1]}, one for each "
                    "class of the network. Name each class."
                )
        object.__setattr__(self, "probabilities", found)
        object.__setattr__(self, "labels", labels)

    @cached_property
    def predictions(self) -> np.ndarray:
        """The most probable class of each image, (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.labels)

    @cached_property
    def mistakes(self) -> np.ndarray:
        """The positions of the misclassified images, in the order of the file."""
        return np.flatnonzero(self.predictions != self.labels)

    @property
    def error(self) -> float:
        """The share of misclassified images, 0–1."""
        return len(self.mistakes) / self.count

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return Wilson's confidence interval for the error, 0–1; see `error_interval`."""
        return error_interval(len(self.mistakes), self.count, confidence)

    def confusion(self) -> pd.DataFrame:
        """Return the confusion matrix: a row for each label, a column for each prediction, counts in the cells."""
        num_classes = self.probabilities.shape[1]
        counts = np.zeros((num_classes, num_classes), int)
        np.add.at(counts, (self.labels, self.predictions), 1)
        classes = pd.Index(self.class_names or range(num_classes))
        return pd.DataFrame(
            counts, classes.rename("label"), classes.rename("prediction")
        )

    def confused_pairs(self, count: int) -> pd.DataFrame:
        """Return the `count` most frequent pairs of `label` and wrong `prediction`, with the `count` of each."""
        confusion = self.confusion()
        names = confusion.index.to_numpy()
        errors = confusion.to_numpy() * (1 - np.eye(len(names), dtype=int))
        order = np.argsort(-errors, axis=None, kind="stable")
        # Pairs that never occur are left out, however many are asked for.
        count = require_int("count", count, minimum=0)
        order = order[: min(count, np.count_nonzero(errors))]
        labels, predictions = np.unravel_index(order, errors.shape)
        counts = errors[labels, predictions]
        pairs = {"label": names[labels], "prediction": names[predictions]}
        return pd.DataFrame(pairs | {"count": counts})

    def error_by_class(self) -> pd.DataFrame:
        """Return for each label its `images` and `errors`, the `error` as a share 0–1, and its interval, `low` to `high`."""
        matrix = self.confusion()
        images = matrix.sum(axis=1)
        table = pd.DataFrame({"images": images, "errors": images - np.diag(matrix)})
        table["error"] = table["errors"] / images
        table[["low", "high"]] = [
            error_interval(errors, count) if count else (0.0, 1.0)
            for errors, count in zip(table["errors"], images, strict=True)
        ]
        return table

    def hardest(self, count: int) -> np.ndarray:
        """Return the positions of the `count` images whose label got the lowest probability, lowest first."""
        of_label = self.probabilities[np.arange(self.count), self.labels]
        count = require_int("count", count, minimum=0)
        return np.argsort(of_label, kind="stable")[:count]

    def __str__(self) -> str:
        low, high = self.interval()
        return (
            f"{len(self.mistakes):,} of {self.count:,} misclassified: error "
            f"{self.error:.2%}, 95 % confidence interval {low:.2%} to {high:.2%}"
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
    views: int = 1,
    distortion: Distortion | None = None,
) -> Evaluation:
    """Return the network's predictions for labelled images, by test-time augmentation if there are several views.

    Args:
        model: a Keras model that reads one channel, or a network of loops.
        digits: the images and their labels.
        views: 1 for the image as it is. More for test-time augmentation: the probabilities are the mean over this number of
            distorted copies of each image, the same copies in every call.
        distortion: of the copies, as in training.

    Raises:
        ValueError: several views without a distortion, a number of views that is not positive, or images that
            `data.formats.require_ink` refuses.
    """
    require_int("views", views)
    require_ink(digits.images, "the images")
    known = digits.labels, digits.class_names
    if views == 1:
        return Evaluation(predict(model, digits.images), *known)
    if distortion is None:
        raise ValueError(
            f"views is {views} and distortion is None; expected a distortion, since "
            "all views would be the same. Give that of the training run."
        )
    of_views = [
        predict(model, augment.distort(digits.images, distortion, 0, view))
        for view in range(1, views + 1)
    ]
    return Evaluation(np.mean(of_views, axis=0), *known)


def error_interval(
    errors: int, count: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return Wilson's binomial confidence interval for the error rate, given `errors` among `count` independent images.

    Returns:
        (low, high), 0–1: the error rates under which the count seen would not be surprising.

    Raises:
        ValueError: `errors` is not between 0 and `count`, `count` is 0, or `confidence` is not between 0 and 1.

    Source: Wilson 1927; chapter 8, equation (8.3).

    >>> [round(100 * end, 2) for end in error_interval(100, 10_000)]
    [0.82, 1.21]
    """
    if not 0 <= errors <= count or count == 0:
        raise ValueError(
            f"errors is {errors} of {count}; expected 0 to the count, and a count "
            "above 0. Check the order."
        )
    require_number("confidence", confidence, above=0.0, below=1.0)
    errors, d = (
        require_int("errors", errors, minimum=0),
        require_int("count", count),
    )
    z, seen = NormalDist().inv_cdf((1 + confidence) / 2), errors / d
    middle = seen + z**2 / (2 * d)
    half = z * math.sqrt(seen * (1 - seen) / d + (z / (2 * d)) ** 2)
    low, high = (x / (1 + z**2 / d) for x in (middle - half, middle + half))
    # Rounding would put an end beyond 0 or 1, or on the wrong side of the error seen.
    return max(min(low, seen), 0.0), min(max(high, seen), 1.0)


def mean_interval(
    values: Sequence[float] | np.ndarray, confidence: float = 0.95
) -> tuple[float, float]:
    """Return Student's confidence interval for a mean, given a sample such as the test errors of several seeds.

    Returns:
        (low, high), in the unit of the values.

    Raises:
        ValueError: fewer than two values, whose spread is unknown, or `confidence` is not between 0 and 1.

    Source: Student 1908; chapter 10.

    >>> [round(end, 3) for end in mean_interval([0.9, 1.0, 1.1])]
    [0.752, 1.248]
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"{values.size} values; expected 2 or more finite numbers, since the spread of "
            "one is unknown. Train with more seeds."
        )
    require_number("confidence", confidence, above=0.0, below=1.0)
    from scipy import stats  # It takes long to load.

    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def selection_bias(
    error: float, count: int, candidates: int, trials: int = 2000
) -> float:
    """Return the mean error reported by choosing, on the test set, the best of several equally good candidates.

    Simulated: each candidate's errors among `count` images are binomial and independent of the others'.

    Args:
        error: the true error of every candidate, 0–1.
        count: images in the test set.
        candidates: the number of candidates that are compared on it.
        trials: simulated comparisons.

    Returns:
        The mean, over the trials, of the lowest error seen, 0–1; with one candidate about `error` itself.

    Raises:
        ValueError: an error that is no share, or another number that is not a positive whole one.
    """
    require_number("error", error, maximum=1.0)
    size = require_int("trials", trials), require_int("candidates", candidates)
    rng = np.random.default_rng(0)
    errors = rng.binomial(require_int("count", count), error, size)
    return float(errors.min(axis=1).mean() / count)


def epoch_by_selection_rule(record: Record) -> pd.DataFrame:
    """Return the epoch that each of four rules selects in a run, and the test error there.

    Args:
        record: of a run whose test error was recorded after each epoch.

    Returns:
        A row for each rule: `epoch` and `test error` (0–1). The first rule is the article's: it selects by the test error
        and reports that very error. Among equal epochs the first is selected.

    Raises:
        ValueError: the test error was not recorded during training.
    """
    if TEST_METRICS[1] not in record.metrics:
        raise ValueError(
            "the record has no test errors; expected a run that watched them. "
            "Train with --watch-test (watch_test=True)."
        )
    table = record.history()
    selected = {
        "best on test (the article's way)": table["test_accuracy"].idxmax(),
        "lowest validation loss": table["val_loss"].idxmin(),
        "highest validation accuracy": table["val_accuracy"].idxmax(),
        "the last": table.index[-1],
    }
    epochs = pd.Series(selected, name="epoch").rename_axis("selection rule")
    errors = 1 - table["test_accuracy"][epochs].to_numpy()
    return epochs.to_frame().assign(**{"test error": errors})


def trials(experiment: str) -> pd.DataFrame:
    """Return the hyperparameters that a recorded experiment tried, and the validation loss and error of the last epoch.

    Returns:
        A row for each run: `optimizer`, the highest `learning rate`, `weight decay`, `distorted`, `epochs`, the last
        `validation loss` (nats per image) and `validation error` (0–1).
    """
    rows = {}
    for name, record in records.recorded(experiment).items():
        recipe, last = record.config.recipe, record.epochs[-1]
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


def recorded_mistakes(run: str, views: int = 1) -> pd.DataFrame:
    """Return the test images that a recorded run misclassified: `position` in the file, `label`, `prediction`.

    Args:
        run: "EXPERIMENT/NAME".
        views: of each image, see `evaluate`.

    Raises:
        RecordError: the run was not tested with this number of views.
    """
    errors = records.table("test_errors")
    found = errors[(errors["run"] == run) & (errors["views"] == views)]
    if found.empty:
        raise RecordError(
            f"no test errors of {run!r} with {views} views are recorded. Evaluate "
            "the run's weights instead."
        )
    return found.drop(columns=["run", "views"]).reset_index(drop=True)


def recorded_misclassified(experiment: str, views: int = 1) -> np.ndarray:
    """Return which test images each run of a recorded experiment misclassified: bool (runs, images).

    Args:
        experiment: its name; see `records.recorded`.
        views: of each image, see `evaluate`.

    Raises:
        RecordError: no such experiment, or a run that was not tested with this number of views.
    """
    runs = records.rows(experiment)
    mistakes = [recorded_mistakes(run, views)["position"] for run in runs["run"]]
    found = np.zeros((len(runs), int(runs["num_test"].iloc[0])), bool)
    for row, positions in zip(found, mistakes, strict=True):
        row[positions] = True
    return found


def recorded_errors(experiment: str) -> pd.Series:
    """Return the test error (0–1) of each run of a recorded experiment, which was tested once, after training.

    Raises:
        RecordError: no such experiment, or a run that was not tested.
    """
    errors = recorded_misclassified(experiment).mean(axis=1)
    return pd.Series(errors, records.rows(experiment).index, name="test error")


def paired_bootstrap(
    before: np.ndarray,
    after: np.ndarray,
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> tuple[float, float]:
    """Return a confidence interval, over test images, for the change of the mean error from some networks to others.

    Each resample draws as many test images as there are, with replacement, and takes the change on them; the interval holds
    the middle 95 % of the changes. A drawn image brings the predictions of all networks along: the samples are paired. The
    variation between seeds is not in the interval.

    Args:
        before: which images each network misclassified, bool (networks, images).
        after: the same of the others.
        confidence: the share of resamples in the interval.
        resamples: their number.

    Returns:
        (low, high), as shares of the images; below 0 is better than before.

    Raises:
        ValueError: arrays of different numbers of images, or not of this shape, or `confidence` is not between 0 and 1.

    Source: Efron 1979; chapter 14.

    >>> all_wrong, all_correct = np.ones((5, 200), bool), np.zeros((5, 200), bool)
    >>> paired_bootstrap(all_wrong, all_correct)
    (-1.0, -1.0)
    """
    _require_same_images(before, after, "(networks, images)", 2)
    require_number("confidence", confidence, above=0.0, below=1.0)
    # Images with the same change are interchangeable: it is enough to draw how many of each.
    changes, counts = np.unique(
        after.mean(axis=0) - before.mean(axis=0), return_counts=True
    )
    num_images = int(counts.sum())
    drawn = np.random.default_rng(0).multinomial(
        num_images, counts / num_images, size=resamples
    )
    means = drawn @ changes / num_images
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def standard_error_of_difference(before: np.ndarray, after: np.ndarray) -> float:
    """Return the standard error of the difference of two means, given two independent samples.

    Args:
        before, after: such as the test errors of several seeds before and after a change, (n,) and (m,).

    Source: chapter 14.

    >>> round(standard_error_of_difference(np.array([1, 2, 3]), np.array([2, 4, 6])), 3)
    1.291
    """
    variances = [values.var(ddof=1) / len(values) for values in (before, after)]
    return float(np.sqrt(sum(variances)))


class McNemar(NamedTuple):
    """The result of McNemar's test: images that only the one, only the other network misclassified, and the p-value."""

    only_before: int
    only_after: int
    p: float


def mcnemar(before: np.ndarray, after: np.ndarray) -> McNemar:
    """Compare two networks on the same test images by McNemar's exact test.

    Images that both classify correctly, or both misclassify, say nothing about which network is better. If both were equally
    good, each of the others would be as likely to be an error of the one as of the other.

    Args:
        before: which images the one misclassified, bool (images,).
        after: the same of the other.

    Raises:
        ValueError: arrays of different numbers of images, or not of this shape.

    Source: McNemar 1947; chapter 14.

    >>> one, other = np.arange(1000) < 20, np.arange(1000) < 6
    >>> mcnemar(one, other)
    McNemar(only_before=14, only_after=0, p=0.0001220703125)
    """
    _require_same_images(before, after, "(images,)", 1)
    only_before = int((before & ~after).sum())
    only_after = int((after & ~before).sum())
    differing = only_before + only_after
    from scipy.stats import binomtest

    p = binomtest(only_before, differing).pvalue if differing else 1.0
    return McNemar(only_before, only_after, float(p))


def _require_same_images(
    before: np.ndarray, after: np.ndarray, shape: str, axes: int
) -> None:
    """Raise ValueError unless two arrays have this number of axes and the same number of images."""
    fits = before.ndim == after.ndim == axes and before.dtype == after.dtype == bool
    if not fits or before.shape[-1] != after.shape[-1]:
        raise ValueError(
            f"the misclassified images have shapes {before.shape} and {after.shape}, of "
            f"{before.dtype} and {after.dtype}; expected bool {shape}, the same images in "
            "both. Test both networks on the same images."
        )
