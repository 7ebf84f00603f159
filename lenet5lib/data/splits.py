"""Training, validation and test set: the division that every number of the book rests on, always the same."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from lenet5lib._checks import require_int
from lenet5lib.data.formats import CLASSES, DataError, Digits, require_ink

PARTS = 12
"""The training set is divided into this number of parts, and one is held out for validation."""


@dataclass(frozen=True)
class Dataset:
    """A training set and a test set, and their name, which every record and caption repeats.

    Raises:
        DataError: images that `require_ink` refuses, or classes that are numbered from 1.
    """

    train: Digits
    test: Digits
    dataset_name: str

    def __post_init__(self) -> None:
        _require_fit(self)


@dataclass(frozen=True)
class Splits:
    """Training, validation and test set; with `train_on_all` the validation examples are trained on too.

    Raises:
        DataError: as `Dataset`.
    """

    train: Digits
    validation: Digits
    test: Digits
    dataset_name: str
    train_on_all: bool = False

    def __post_init__(self) -> None:
        _require_fit(self)

    def limit(self, train: int, validation: int) -> Splits:
        """Return a copy with at most the first `train` training and `validation` validation examples; its name says so.

        Raises:
            ValueError: a limit that is not a whole number of 1 or more.
        """
        train = min(require_int("train", train), len(self.train))
        validation = min(
            require_int("validation", validation), len(self.validation)
        )
        if (train, validation) == (len(self.train), len(self.validation)):
            return self
        return dataclasses.replace(
            self,
            train=self.train.select(slice(train)),
            validation=self.validation.select(slice(validation)),
            dataset_name=f"the first {train:,} training images of {self.dataset_name}",
        )


def _require_fit(sets: Dataset | Splits) -> None:
    """Raise DataError unless the images are what a network can be trained on, and the classes are numbered from 0."""
    object.__setattr__(sets, "dataset_name", str(sets.dataset_name))  # A path, say.
    parts = {
        name: one for name, one in vars(sets).items() if isinstance(one, Digits)
    }
    for name, digits in parts.items():
        require_ink(digits.images, f"{sets.dataset_name}, {name} images")
    labels = np.unique(np.concatenate([digits.labels for digits in parts.values()]))
    if labels[0] == 1 and len(labels) == labels[-1] >= CLASSES:
        raise DataError(
            f"{sets.dataset_name}: labels from 1 to {labels[-1]}; expected 0 to "
            f"{labels[-1] - 1}. Number the classes from 0: labels - 1."
        )


def stratified_split(
    labels: np.ndarray, parts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divide positions into (rest, held out): one part in `parts`, every class in proportion, the same on every call.

    Args:
        labels: (n,), whole numbers.
        parts: 12 holds out a twelfth; n // 12 positions in all.

    Returns:
        Two sorted arrays of positions that together are all n.

    >>> rest, held = stratified_split(np.arange(120) % 10, 12)
    >>> len(rest), len(held), len(set(np.arange(120)[held] % 10))
    (110, 10, 10)
    """
    order = np.random.default_rng(0).permutation(len(labels))
    # Sorted by class; a stable sort keeps the shuffled order within each class.
    by_class = order[np.argsort(labels[order], kind="stable")]
    # From every group of so many neighbours the one in its middle, so each class in proportion.
    held = by_class[parts // 2 :: parts][: len(labels) // parts]
    return np.setdiff1d(order, held), np.sort(held)


def split(dataset: Dataset, *, train_on_all: bool = False) -> Splits:
    """Hold a twelfth of the training set out for validation, fixed and in proportion to the classes.

    MNIST's 60,000 become 55,000 training and 5,000 validation examples; the 10,000 test examples are left alone.

    Args:
        dataset: to divide.
        train_on_all: keep the validation examples in the training set too, once every choice is made: the validation error
            then says nothing about new images.

    Raises:
        DataError: fewer than 12 training examples.
    """
    if len(dataset.train) < PARTS:
        raise DataError(
            f"{dataset.dataset_name} has {len(dataset.train)} training images; "
            f"expected {PARTS} or more, since a twelfth is held out for validation. "
            "Add some."
        )
    rest, held = stratified_split(dataset.train.labels, PARTS)
    return Splits(
        dataset.train if train_on_all else dataset.train.select(rest),
        dataset.train.select(held),
        dataset.test,
        dataset.dataset_name,
        train_on_all,
    )
