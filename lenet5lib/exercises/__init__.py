"""The exercises at the end of the chapters: `check("03.2", answer)` prints ✓, or a hint that fits the mistake.

A check computes the correct answer and the typical mistakes with the same library as the chapter; it stores neither. The
exercises of chapter 3 are in `chapter_03`, and so on: each is a function with one of the two decorators below. It is not an
examination: nothing is counted, and the solutions are folded under the exercises.
"""

from __future__ import annotations

import copy
import importlib
import math
import operator
import pkgutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


class Hint(Exception):
    """Ends a check with a hint."""


class Unanswered(Exception):
    """Ends a check of an answer that is not there yet."""


@dataclass(frozen=True)
class Exercise:
    """What is asked, and the function that judges an answer: "" if it is correct, otherwise a hint."""

    asked: str
    judge: Callable[[Any], str]
    is_number: bool = False


@dataclass(frozen=True)
class NumericAnswer:
    """The correct number, the typical mistakes, a hint for all other answers, and the relative tolerance.

    `mistakes` are pairs of a wrong answer and its hint.

    Raises:
        ValueError: a mistake equals the correct answer or another mistake, so that its hint would never be given.
    """

    correct: float
    mistakes: Sequence[tuple[float, str]]
    otherwise: str
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        for wrong, hint in self.mistakes:
            if self.hint(wrong) != hint:
                raise ValueError(
                    f"the wrong answer {wrong} with the hint {hint!r} equals a different "
                    "answer; expected answers that differ by more than the tolerance. "
                    "Choose other numbers for the exercise."
                )

    def hint(self, value: float) -> str | None:
        """Return "" for the correct number, the hint of a typical mistake, or None for any other number."""
        for known, hint in [(self.correct, ""), *self.mistakes]:
            if math.isclose(value, known, rel_tol=self.tolerance):
                return hint
        return None


EXERCISES: dict[str, Exercise] = {}
"""The exercises of the chapters that were imported so far, by number, such as "03.2"."""


def exercise(number: str, asked: str) -> Callable:
    """Register the decorated function as the judge of an exercise.

    It takes the answer and returns "" if it is correct, otherwise a hint; it may also raise `Hint` or `Unanswered`.

    Args:
        number: chapter and exercise, "03.2".
        asked: a description of the answer, to follow the word "expected".
    """

    def register(judge: Callable[[Any], str]) -> Callable[[Any], str]:
        EXERCISES[number] = Exercise(asked, judge)
        return judge

    return register


def number_exercise(number: str, asked: str) -> Callable:
    """Register the decorated function, which takes no argument and returns a `NumericAnswer`, as an exercise."""

    def register(
        compute: Callable[[], NumericAnswer],
    ) -> Callable[[], NumericAnswer]:
        EXERCISES[number] = Exercise(
            asked, lambda answer: judge_number(answer, compute()), is_number=True
        )
        return compute

    return register


def judge_number(answer: Any, known: NumericAnswer) -> str:
    """Return "" if the answer is the correct number, otherwise the hint that fits.

    >>> six = NumericAnswer(6, [(3, "That is half of it.")], "Count again.")
    >>> judge_number(6, six), judge_number(3, six), judge_number(5, six)
    ('', 'That is half of it.', '5 is too small. Count again.')
    """
    if isinstance(answer, (bool, str)) or not hasattr(answer, "__float__"):
        return f"The answer is {answer!r}; expected a number. Write it without quotes, commas or units."
    hint = known.hint(float(answer))
    if hint is not None:
        return hint
    size = "small" if float(answer) < known.correct else "large"
    return f"{answer:,} is too {size}. {known.otherwise}"


def first_hint(
    answer: Any,
    mistakes: Sequence[tuple[Any, str]],
    equal: Callable[[Any, Any], Any] = operator.eq,
) -> str:
    """Return the hint of the first mistake that the answer equals, "" if it equals none.

    >>> first_hint(4, [(3, "Too small."), (4, "Odd numbers only.")])
    'Odd numbers only.'
    """
    return next((hint for wrong, hint in mistakes if equal(answer, wrong)), "")


def attempt(function: Any, *arguments: Any) -> Any:
    """Call the reader's function on copies of the arguments and return the result.

    Raises:
        Unanswered: it returns nothing.
        Hint: it is not a function, or it fails.
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
    """Return an exercise by its number in the text or in the library: "3.2" and "03.2" are the same.

    Raises:
        ValueError: there is no exercise of that number.
    """
    chapter, _, place = str(number).partition(".")
    chapter = chapter.zfill(2)
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    wanted = f"chapter_{chapter}"
    for name in [wanted] if wanted in modules else modules:
        importlib.import_module(f"{__name__}.{name}")
    if f"{chapter}.{place}" not in EXERCISES:
        known = [key for key in sorted(EXERCISES) if key.startswith(f"{chapter}.")]
        raise ValueError(
            f"there is no exercise {number!r}; expected one of "
            f"{', '.join(known or sorted(EXERCISES))}. Use the number in the text."
        )
    return EXERCISES[f"{chapter}.{place}"]


def verdict(number: str, answer: Any) -> tuple[bool, str]:
    """Return whether the answer is correct, and the text for the reader.

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
    except Exception as error:
        # A reader gets a hint for every answer, never a traceback.
        hint = f"This answer cannot be judged ({type(error).__name__}: {error}); {asked}"
    return not hint, hint or "Right."


def check(number: str, answer: Any) -> None:
    """Print ✓ if the answer to an exercise is correct, otherwise a hint or, without an answer, what is asked.

    Raises:
        ValueError: there is no exercise of that number.
    """
    right, text = verdict(number, answer)
    chapter, _, place = str(number).partition(".")
    print(
        textwrap.fill(f"{'✓' if right else '·'} {int(chapter)}.{place} {text}", 84)
    )
