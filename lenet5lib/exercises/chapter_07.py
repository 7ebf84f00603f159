"""Exercises of chapter 7: checkpoint and resume."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

from lenet5lib import arithmetic
from lenet5lib.exercises import (
    NumericAnswer,
    Unanswered,
    attempt,
    exercise,
    number_exercise,
)
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
        (4 * 1_719 - 1, 55_000, 32),
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
        if found[1] < 0 or found[0] == steps * batch // digits != steps // epoch:
            return f"{call}. Count in steps, not in images: the smaller last batch is a whole step, too."
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
    if isinstance(answer, (list, tuple)):
        answer = [str(action).strip().lower() for action in answer]
    if isinstance(answer, str) or not all(action in ACTIONS for action in answer):
        return f"The answer is {answer!r}; expected a list of some of {', '.join(ACTIONS)}."
    lost = _crashes(list(answer))
    return f"The checkpoint can be {lost}." if lost else ""


def _momentum(
    steps: int, x: np.ndarray, y: np.ndarray, start: dict, missing: str = ""
) -> dict:
    """Return the checkpoint of exercise 7.4 after so many steps, resumed from another one without one of its items."""
    rng = np.random.default_rng(0)
    state: dict[str, Any] = {
        "weight": 0.0,
        "velocity": 0.0,
        "done": 0,
        "rng": rng.bit_generator.state,
    }
    state |= {name: value for name, value in start.items() if name not in missing}
    rng.bit_generator.state = state["rng"]
    weight, velocity = state["weight"], state["velocity"]
    for step in range(state["done"], steps):
        n = rng.integers(len(x))
        gradient = (weight * x[n] - y[n]) * x[n]
        velocity = 0.9 * velocity - 0.1 / (1 + step) * gradient
        weight += velocity
    rest = {"done": steps, "rng": rng.bit_generator.state}
    return {"weight": weight, "velocity": velocity} | rest


LOST = {
    "velocity rng": "Two things are missing: what momentum keeps from step to step, and where the random numbers stand.",
    "velocity": "The velocity still begins at 0. Momentum's next step depends on it.",
    "rng": "The examples are drawn from the beginning again. Save and restore `rng.bit_generator.state`.",
    "done": "The steps are counted from 0 again, and with them the learning rate.",
    "weight": "The weight begins at 0 again.",
}
"""What the resumed run of exercise 7.4 can lack, and the hint for it."""


@exercise("07.4", "a function that resumes exactly")
def missing_state(answer) -> str:
    x, y = np.array([0.5, 1.0, 1.5, 2.0, 2.5]), np.array([1.1, 1.9, 3.2, 3.9, 5.1])
    whole = attempt(answer, 10, x, y)
    if not isinstance(whole, dict) or "weight" not in whole:
        return f"It returns {whole!r}; expected a dictionary with the item weight."
    right = _momentum(10, x, y, {})["weight"]
    if not np.isclose(whole["weight"], right):
        return (
            f"Without a stop it now ends at {float(whole['weight']):.4f}, and as given at "
            f"{right:.4f}: the training itself has changed. Change only what is saved and restored."
        )
    stopped = _momentum(4, x, y, {})
    found = attempt(answer, 10, x, y, attempt(answer, 4, x, y))["weight"]
    if np.isclose(found, right, rtol=1e-12):
        return ""
    if set(whole) == {"weight", "done"}:
        raise Unanswered
    for missing, hint in LOST.items():
        if np.isclose(found, _momentum(10, x, y, stopped, missing)["weight"]):
            return hint
    return f"Stopped after 4 of 10 steps it ends at {found:.4f}, else at {right:.4f}. What does the next step depend on?"
