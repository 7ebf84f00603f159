"""The exercises at the end of the chapters: `check("03.2", answer)` prints ✓, or a hint that fits the mistake.

A check computes the right answer, and the typical wrong ones, from the same library as the chapter; it holds neither. The
exercises of chapter 3 stand in `chapter_03`, and so on: each is a function with one of the two decorators below. It is not
an examination: nothing is counted, and the solutions are folded under the exercises.
"""

from __future__ import annotations

import copy
import importlib
import math
import pkgutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Hint(Exception):
    """Ends a check with a hint."""


class Unanswered(Exception):
    """Ends a check of an answer that is not there yet."""


@dataclass(frozen=True)
class Exercise:
    """What is asked, and the function that judges an answer: "" if it is right, else a hint. `is_number` tells its kind."""

    asked: str
    judge: Callable[[Any], str]
    is_number: bool = False


class Number(NamedTuple):
    """The right number, typical wrong ones with their hints, a hint for all others, and the relative tolerance."""

    right: float
    wrong: dict[float, str]
    otherwise: str
    tolerance: float = 0.0


EXERCISES: dict[str, Exercise] = {}
"""Every exercise that has been looked at, by its number, such as "03.2"."""


def exercise(number: str, asked: str) -> Callable:
    """Register the decorated function as the judge of an exercise.

    It takes the answer and returns "" if it is right, else a hint; it may also raise `Hint` or `Unanswered`.

    Args:
        number: chapter and exercise, "03.2".
        asked: what an answer is, to go on after "expected".
    """

    def register(judge: Callable[[Any], str]) -> Callable[[Any], str]:
        EXERCISES[number] = Exercise(asked, judge)
        return judge

    return register


def number_exercise(number: str, asked: str) -> Callable:
    """Register the decorated function, which takes nothing and returns a `Number`, as an exercise."""

    def register(compute: Callable[[], Number]) -> Callable[[], Number]:
        EXERCISES[number] = Exercise(
            asked, lambda answer: judge_number(answer, compute()), is_number=True
        )
        return compute

    return register


def judge_number(answer: Any, known: Number) -> str:
    """Return "" if the answer is the right number, else the hint that fits.

    >>> six = Number(6, {3: "That is half of it."}, "Count again.")
    >>> judge_number(6, six), judge_number(3, six), judge_number(5, six)
    ('', 'That is half of it.', '5 is too small. Count again.')
    """
    if isinstance(answer, (bool, str)) or not hasattr(answer, "__float__"):
        return f"The answer is {answer!r}; expected a number. Write it without quotes, commas or units."
    value = float(answer)
    for right, hint in [(known.right, ""), *known.wrong.items()]:
        if math.isclose(value, right, rel_tol=known.tolerance):
            return hint
    size = "small" if value < known.right else "large"
    return f"{answer:,} is too {size}. {known.otherwise}"


def attempt(function: Any, *arguments: Any) -> Any:
    """Call the reader's function on copies of the arguments and return the result.

    Raises:
        Unanswered: it returns nothing.
        Hint: it is no function, or it fails.
    """
    if not callable(function):
        raise Hint(
            f"The answer is {function!r}; expected a function. Give its name, without calling it."
        )
    try:
        result = function(*copy.deepcopy(arguments))
    except Exception as error:
        raise Hint(
            f"The function fails with {type(error).__name__}: {error}"
        ) from None
    if result is None or result is ...:
        raise Unanswered
    return result


def find(number: str) -> Exercise:
    """Return an exercise.

    Raises:
        ValueError: there is none of that number.
    """
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    wanted = f"chapter_{str(number).partition('.')[0]}"
    for name in [wanted] if wanted in modules else modules:
        importlib.import_module(f"{__name__}.{name}")
    if number not in EXERCISES:
        raise ValueError(
            f"there is no exercise {number!r}; expected one of {', '.join(sorted(EXERCISES))}. Use the number in the text."
        )
    return EXERCISES[number]


def verdict(number: str, answer: Any) -> tuple[bool, str]:
    """Return whether the answer is right, and what to say about it.

    >>> verdict("03.1", None)[0]
    False

    Raises:
        ValueError: there is no exercise of that number.
    """
    wanted = find(number)
    asked = f"expected {wanted.asked}."
    try:
        if answer is None or answer is ...:
            raise Unanswered
        hint = wanted.judge(answer)
    except Unanswered:
        hint = f"No answer yet; {asked}"
    except Hint as error:
        hint = str(error)
    except (
        Exception
    ) as error:  # Whatever was typed, a reader gets a hint and no traceback.
        hint = f"This answer cannot be judged ({type(error).__name__}: {error}); {asked}"
    return not hint, hint or "Right."


def check(number: str, answer: Any) -> None:
    """Print ✓ if the answer to an exercise is right, else a hint; or, without an answer, what is asked.

    Raises:
        ValueError: there is no exercise of that number.
    """
    right, text = verdict(number, answer)
    chapter, _, place = number.partition(".")
    print(
        textwrap.fill(f"{'✓' if right else '·'} {int(chapter)}.{place} {text}", 84)
    )
