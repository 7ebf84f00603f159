"""Exercises of chapter 7: checkpoint and resume."""

from __future__ import annotations

from math import ceil

from lenet5lib import arithmetic
from lenet5lib.exercises import NumericAnswer, attempt, exercise, number_exercise
from lenet5lib.spec import LENET5


@number_exercise("07.1", "a whole number of numbers")
def momentum() -> NumericAnswer:
    params = sum(row.params for row in arithmetic.table(LENET5))
    return NumericAnswer(
        params + params + 2,
        [
            (
                params + 2 * params + 2,
                "That is for Adam, which keeps two averages for each parameter.",
            ),
            (
                params + 2,
                "That is the optimizer's part. The weights themselves have to be in the file too.",
            ),
            (
                2 * params,
                "Two numbers belong to no parameter: the count of steps and the learning rate.",
            ),
            (
                params,
                "Those are the weights alone. The next step also depends on the running averages.",
            ),
        ],
        "The weights, one average for each of them, the count of steps and the learning rate.",
    )


@exercise(
    "07.2", "a function that returns (finished epochs, steps done in the next one)"
)
def position(answer) -> str:
    for steps, digits, batch in (
        (5_000, 55_000, 32),
        (3_438, 55_000, 32),
        (157, 5_000, 32),
        (10, 640, 64),
    ):
        epoch = ceil(digits / batch)
        found = attempt(answer, steps, digits, batch)
        call = f"For {steps:,} steps, {digits:,} digits and batches of {batch} it gives {found}"
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            return f"{call}; expected two numbers, (epochs, steps)."
        if tuple(found) == divmod(steps, digits // batch) and digits % batch:
            return f"{call}. The smaller last batch is a step too: {epoch:,} steps make an epoch, not {epoch - 1:,}."
        if found[0] == steps // epoch + 1:
            return f"{call}. Count the epochs that are finished, not the one that is running."
        if tuple(found) != divmod(steps, epoch):
            return f"{call}. How many steps make an epoch, how many epochs fit into the steps, and what is left over?"
    return ""


ACTIONS = ("write in place", "write beside", "flush", "rename", "delete the old")
"""What exercise 7.3 may put in a row. `rename` gives the new file the name of the checkpoint, in one step."""


def _crashes(actions: list[str]) -> str:
    """Play a save through, stop after each action, and return what is lost at the worst; "" if nothing ever is."""
    named, beside = "old", None
    for action in actions:
        if action == "write in place":
            return "half-written: a crash during `write in place` leaves a part of the new file under the checkpoint's name"
        if action == "write beside":
            beside = "written"
        elif action == "flush" and beside:
            beside = "new"
        elif action == "rename":
            if beside is None:
                return "missing: there is nothing to rename yet"
            if beside == "written":
                return "empty, perhaps: the name can reach the disk before the contents, unless they are flushed first"
            named, beside = "new", None
        elif action == "delete the old" and named == "old":
            return "missing: a crash after `delete the old` leaves no checkpoint at all"
    return (
        ""
        if named == "new"
        else "still the old one: the new file never gets the checkpoint's name"
    )


@exercise("07.3", f"a list of some of these actions in order: {', '.join(ACTIONS)}")
def safe_save(answer) -> str:
    if isinstance(answer, str) or not all(action in ACTIONS for action in answer):
        return f"The answer is {answer!r}; expected a list of some of {', '.join(ACTIONS)}."
    lost = _crashes(list(answer))
    return f"The checkpoint can be {lost}." if lost else ""
