"""Training, validation and test set: the division that every number of the book rests on, always the same."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from lenet5lib.data.formats import DataError, Digits

PARTS = 12
"""The training set is divided into this number of parts, and one is held out for validation."""


@dataclass(frozen=True)
class Dataset:
    """A training set and a test set, and their name, which every record and caption repeats."""

    train: Digits
    test: Digits
    dataset_name: str


@dataclass(frozen=True)
class Splits:
    """Training, validation and test set; with `train_on_all` the validation examples are trained on too."""

    train: Digits
    validation: Digits
    test: Digits
    dataset_name: str
    train_on_all: bool = False

    def limit(self, train: int, validation: int) -> Splits:
        """Return a copy with only the first `train` training and `validation` validation examples; its name says so."""
        return dataclasses.replace(
            self,
            train=self.train.select(slice(train)),
            validation=self.validation.select(slice(validation)),
            dataset_name=f"the first {train:,} training images of {self.dataset_name}",
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
    # Shuffled within each class; then every twelfth position takes from each class in proportion.
    by_class = order[np.argsort(labels[order], kind="stable")]
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
