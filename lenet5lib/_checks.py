"""Checks of arguments, dataclasses as plain JSON values, and the differences of two such values: each once.

A check returns its value, brought to one type, or raises ValueError: what came, what was expected, what to do.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any


def require_int(what: str, value: Any, minimum: int = 1) -> int:
    """Return a whole number of at least `minimum`; True and False are none."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(
            f"{what} is {value!r}; expected a whole number. Write it without a "
            "fraction or quotes."
        )
    if value.__index__() < minimum:
        raise ValueError(
            f"{what} is {value}; expected {minimum} or more. Choose a larger number."
        )
    return value.__index__()


def require_number(
    what: str,
    value: Any,
    *,
    minimum: float = 0.0,
    maximum: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return a finite number from `minimum` to `maximum`, above `above` and below `below`, as a float."""
    if is_number(value) and minimum <= value <= maximum and above < value < below:
        return float(value)
    lower = f"above {above:g}" if above >= minimum else f"of {minimum:g} or more"
    upper = {True: f" and below {below:g}", False: f", at most {maximum:g}"}
    limited = min(below, maximum) < math.inf
    raise ValueError(
        f"{what} is {value!r}; expected a number {lower}"
        f"{upper[below <= maximum] if limited else ''}. Choose such a number."
    )


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    return real and math.isfinite(value)


def require_choice(what: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ValueError unless a value is one of the choices."""
    if value not in choices:
        raise ValueError(
            f"{what} is {value!r}; expected one of {', '.join(choices)}. Choose one "
            "of these."
        )


def require_pair(what: str, value: Any) -> None:
    """Raise ValueError unless a value is one size or a (height, width) of two sizes, each 1 or more."""
    sizes = value if isinstance(value, tuple | list) else (value,)
    if len(sizes) not in (1, 2) or (sizes is value and len(sizes) != 2):
        raise ValueError(
            f"{what} is {value!r}; expected one size or (height, width). Give one or "
            "two numbers."
        )
    for size in sizes:
        require_int(what, size)


def to_plain(value: Any, defaults: bool = False) -> Any:
    """Return a frozen dataclass as plain JSON values: a `kind` is named, fields with their default are left out or kept."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = getattr(value, "kind", None)
        named = {} if kind is None else {"kind": kind}
        return named | {
            field.name: to_plain(getattr(value, field.name), defaults)
            for field in dataclasses.fields(value)
            if defaults or getattr(value, field.name) != field.default
        }
    if isinstance(value, tuple | list):
        return [to_plain(one, defaults) for one in value]
    if value is None or isinstance(value, bool | str):
        return value
    return value.__index__() if hasattr(value, "__index__") else float(value)


def from_plain(value: Any, kinds: Mapping[str, type]) -> Any:
    """Return what `to_plain` made of values of these kinds; lists become tuples.

    Raises:
        ValueError: a kind that is not among them, or fields that it has not.
    """
    if isinstance(value, list):
        return tuple(from_plain(one, kinds) for one in value)
    if not isinstance(value, dict):
        return value
    fields = {name: from_plain(one, kinds) for name, one in value.items()}
    kind = fields.pop("kind", None)
    require_choice("kind", kind, tuple(kinds))
    try:
        return kinds[kind](**fields)
    except TypeError as error:
        raise ValueError(f"{kind}: {error}") from None


def differences(
    before: Any, after: Any, name: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield (name, before, after) of each value in which two plain JSON values differ; None where one has none.

    Entries of lists of equal length are compared in pairs and called by their own `name`, if they have one.

    >>> list(differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2}))
    [('a.b', 1, 3)]
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            dotted = f"{name}.{key}" if name else key
            yield from differences(before.get(key), after.get(key), dotted)
    elif (
        isinstance(before, list)
        and isinstance(after, list)
        and len(before) == len(after)
        and all(isinstance(entry, dict) for entry in [*before, *after])
    ):
        for one, other in zip(before, after, strict=True):
            yield from differences(one, other, one.get("name", name))
    elif before != after:
        yield name, before, after
