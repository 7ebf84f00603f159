"""Exercises of chapter 10: two hundred epochs."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt
from numbers import Integral

import numpy as np

from lenet5lib import evaluation, records
from lenet5lib.exercises import (
    Hint,
    NumericAnswer,
    Unanswered,
    attempt,
    exercise,
    first_hint,
    number_exercise,
)
from lenet5lib.spec import LENET5
from lenet5lib.training.recipe import DEFAULT_RECIPE


@number_exercise("10.1", "a probability, to four decimals")
def least_probability() -> NumericAnswer:
    loss, wrong = 0.06, 0.012
    bound = loss / wrong
    return NumericAnswer(
        exp(-bound),
        [
            (
                bound,
                "That is (10.1), in nats. A loss of ℓ nats means a probability of e to the power −ℓ.",
            ),
            (
                exp(-loss),
                "That spreads the loss over all digits. Equation (10.1) lets the wrong ones have caused all of it.",
            ),
            (
                exp(-loss / (100 * wrong)),
                "The share of wrong digits is 0.012, not 1.2.",
            ),
            (
                exp(-loss * wrong),
                "The loss is divided by the share of wrong digits, not multiplied.",
            ),
            (2**-bound, "Those would be bits. The loss is in nats, powers of e."),
            (
                10**-bound,
                "That is a power of 10. The loss is in nats, powers of e.",
            ),
        ],
        "First (10.1), in nats, then e to minus that power.",
        tolerance=6e-3,
    )


EPOCHS = (
    (10, 0.050, 1.50, 1.35),
    (20, 0.042, 1.30, 1.28),
    (30, 0.045, 1.24, 1.19),
    (40, 0.053, 1.12, 1.15),
    (50, 0.061, 1.12, 1.04),
    (60, 0.070, 1.16, 1.10),
)
"""The record of exercise 10.2: epoch, validation loss in nats, validation and test error in per cent."""


@number_exercise("10.2", "a test error in per cent, as it stands in the table")
def honest_choice() -> NumericAnswer:
    lines = [
        {
            "epoch": epoch,
            "val_loss": loss,
            "val_accuracy": 1 - wrong / 100,
            "test_accuracy": 1 - test / 100,
        }
        for epoch, loss, wrong, test in EPOCHS
    ]
    made_up = records.DataInfo("made up", "", 0, 0, test_checksum="")
    config = records.Config(LENET5, DEFAULT_RECIPE, 0, made_up)
    record = records.Record(config, epochs=lines)
    errors = 100 * evaluation.epoch_by_selection_rule(record)["test error"]
    return NumericAnswer(
        errors["highest validation accuracy"],
        [
            (
                errors["best on test (the article's way)"],
                "That is the lowest test error. If the test digits choose the epoch, be it only between two equal ones, "
                "they cannot say how good it is.",
            ),
            (40, "That is the epoch. Give its test error."),
            (
                errors["the last"],
                "That is the last epoch. A different rule was fixed.",
            ),
            (
                errors["lowest validation loss"],
                "That is the epoch of the lowest validation loss. The rule asks for the highest validation accuracy.",
            ),
            (
                min(wrong for _, _, wrong, _ in EPOCHS),
                "That is the validation error, which chose the epoch and is low because of that. Report the test error.",
            ),
        ],
        "Find the lowest validation error, take the first epoch that has it, and read the test error there.",
        tolerance=1e-6,
    )


SEEDS = (1.04, 0.92, 1.10)
"""The test errors of exercise 10.3, in per cent."""


@number_exercise("10.3", "a number of percentage points, to three decimals")
def reach_for_three_seeds() -> NumericAnswer:
    low, high = evaluation.mean_interval(SEEDS)
    half, deviation = (high - low) / 2, float(np.std(SEEDS, ddof=1))
    root = sqrt(len(SEEDS))
    quantile = half * root / deviation
    return NumericAnswer(
        half,
        [
            (
                quantile * float(np.std(SEEDS)) / root,
                "That divides the squares by 3. With the mean taken from the same numbers it is n − 1, which is 2; "
                "np.std does so with ddof=1.",
            ),
            (
                1.96 * deviation / root,
                "1.96 is for a spread that is known. Here three numbers have to tell it, and Student's factor is 4.303.",
            ),
            (
                quantile * deviation,
                "That is for one more seed. The mean of n seeds varies less, by the root of n.",
            ),
            (
                quantile * deviation / len(SEEDS),
                "The spread of a mean falls with the root of n.",
            ),
            (deviation / root, "That is without Student's factor."),
            (
                2 * half,
                "That is from end to end. The question is how far to either side.",
            ),
        ],
        "The standard deviation s with n − 1, times 4.303, divided by the root of 3.",
        tolerance=3e-3,
    )


def _stopped(
    losses: Sequence[float],
    patience: float,
    equal: bool = False,
    before: bool = False,
) -> tuple[int, int]:
    """Return the epoch that is kept and the one after which training stops, from 1.

    Args:
        losses: of validation, one an epoch.
        patience: how many epochs in a row may bring no lower loss.
        equal: the mistake of taking an equal loss for a lower one.
        before: the mistake of waiting anew after a loss that is only lower than the one before it.
    """
    best = since = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best] or (equal and loss == losses[best]):
            best = since = epoch
        elif before and loss < losses[epoch - 1]:
            since = epoch
        if epoch - since == patience:
            break
    return best + 1, epoch + 1


CASES = (
    ((0.9, 0.5, 0.6, 0.55, 0.4, 0.7, 0.65, 0.66, 0.3, 0.31, 0.32, 0.2), 2),
    ((0.9, 0.5, 0.6, 0.4, 0.45, 0.46, 0.3), 2),
    ((0.5, 0.4, 0.4, 0.42, 0.43, 0.3), 2),
    ((0.9, 0.8, 0.7), 2),
)
"""Losses and patience, such that each typical mistake of exercise 10.4 shows in one of them."""


def _mistakes(losses: Sequence[float], patience: int) -> list[tuple[int, str]]:
    """Return the results of typical mistakes with their hints, the likeliest mistake first where two coincide."""
    kept, last = _stopped(losses, patience)
    return [
        (
            last,
            "That is where training stops. The epoch of the lowest loss until then is kept.",
        ),
        (kept - 1, "Epochs are counted from 1."),
        (
            _stopped(losses, float("inf"))[0],
            "That is the lowest loss of all, of an epoch that would not have been trained any more.",
        ),
        (_stopped(losses, patience + 1)[0], "That stops an epoch too late."),
        (_stopped(losses, patience - 1)[0], "That stops an epoch too early."),
        (
            _stopped(losses, patience, equal=True)[0],
            "A loss that equals the lowest is not lower: it is one more epoch of waiting.",
        ),
        (
            _stopped(losses, patience, before=True)[0],
            "Compare with the lowest loss so far, not with the epoch before.",
        ),
    ]


@exercise(
    "10.4",
    "a function that takes losses and a patience and returns an epoch, counted from 1",
)
def early_stop(answer) -> str:
    runs = [
        (tuple(record.column("val_loss")), patience)
        for record in records.recorded("lenet5-200").values()
        for patience in (5, 10)
    ]
    for losses, patience in (*CASES, *runs):
        right, _ = _stopped(losses, patience)
        shown = (
            f"the losses {list(losses)}" if len(losses) < 20 else "a recorded run"
        )
        call = f"For {shown} and a patience of {patience} it gives"
        try:
            found = attempt(answer, list(losses), patience)
        except Unanswered:
            if (losses, patience) == CASES[0]:
                raise
            raise Hint(f"{call} nothing; expected epoch {right}.") from None
        if isinstance(found, bool) or not isinstance(found, Integral):
            return f"{call} {found!r}; expected a whole number, an epoch."
        if found != right:
            hint = first_hint(int(found), _mistakes(losses, patience))
            return f"{call} {found}. {hint or f'Expected epoch {right}.'}"
    return ""
