"""Checks of arguments, dataclasses as plain JSON values, and the differences of two such values: each once.

A check returns its value, brought to one type, or raises ValueError: what came, what was expected, what to do.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Any, ClassVar, TypeVar

Made = TypeVar("Made")

ONE = 1 - 2**-25
"""What float32, in which networks are trained, takes for 1."""
RESERVED = ("Input", "Total")
"""Names that no layer may have: the model's input and the last row of a table have them."""


def python_value(value: Any) -> Any:
    """Return Python's own number for one of NumPy's, also for an array without axes; any other value as it is."""
    is_single = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_single else value


def require_int(
    what: str, value: Any, minimum: int = 1, maximum: float = math.inf
) -> int:
    """Return a whole number from `minimum` to `maximum`; True and False are none."""
    value = python_value(value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(
            f"{what} is {value!r}; expected a whole number. Write it without a "
            "fraction or quotes."
        )
    if not minimum <= value <= maximum:
        limit = "or more" if maximum == math.inf else f"to {maximum}"
        raise ValueError(
            f"{what} is {value}; expected {minimum} {limit}. Choose such a number."
        )
    return operator.index(value)


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
    value = python_value(value)
    if is_number(value) and minimum <= value <= maximum and above < value < below:
        return float(value)
    lower = f"above {above:g}" if above >= minimum else f"of {minimum:g} or more"
    upper = {True: f" and below {below:g}", False: f", at most {maximum:g}"}
    limited = min(below, maximum) < math.inf
    raise ValueError(
        f"{what} is {value!r}; expected a number {lower}"
        f"{upper[below <= maximum] if limited else ''}. Choose such a number."
    )


def say(text: str) -> None:
    """Print a line; characters that the output's encoding lacks are escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def put(instance: Any, **values: Any) -> None:
    """Give a frozen dataclass that is being made the values that its checks returned."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


class Checked:
    """A frozen dataclass that checks its fields where it is made; one with its default is right."""

    CHECKS: ClassVar[dict[str, Callable[[str, Any], Any]]]
    """The check of each field, by its name."""

    def __post_init__(self) -> None:
        kind = type(self)
        for name, value in [*vars(self).items()]:  # In the order of the fields.
            if name in self.CHECKS and value is not getattr(kind, name, ...):
                own = "" if name == "name" else getattr(self, "name", "")
                what = f"{name} of {own or kind.__name__}"
                put(self, **{name: self.CHECKS[name](what, value)})


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    value = python_value(value)
    real = isinstance(value, Real) and not isinstance(value, bool)
    return real and abs(value) <= sys.float_info.max


require_rate = partial(require_number, minimum=1e-37, maximum=1e37)
"""The check of a learning rate: float32, in which networks are trained, can hold it."""


def require_choice(what: str, value: Any, choices: Sequence[str]) -> str:
    """Return a text that is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"{what} is {value!r}; expected one of {', '.join(choices)}. Choose one "
            "of these."
        )
    return value


def require_pair(what: str, value: Any) -> int | tuple[int, int]:
    """Return one size, or a (height, width) of two sizes as a tuple; each is 1 or more."""
    if not isinstance(value, Sequence) and getattr(value, "shape", ()) == ():
        return require_int(what, value)
    if isinstance(value, str) or len(value) != 2:
        raise ValueError(
            f"{what} is {value!r}; expected one size or (height, width). Give one or "
            "two numbers."
        )
    return require_int(what, value[0]), require_int(what, value[1])


def require_name(what: str, name: Any) -> str:
    """Return a name that TensorFlow takes for a layer: letters a–z, digits, and after the first of them also _ . and -."""
    fits = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.A)
    if not fits or name in RESERVED:
        raise ValueError(
            f"{what} is {name!r}; expected letters (a to z), digits, and after the first _ . and - too, but not "
            f"{' or '.join(RESERVED)}. Rename the layer."
        )
    return str(name)  # Of NumPy's text, which h5py does not write.


def require_table(
    what: str, table: Any, filters: int
) -> tuple[tuple[int, ...], ...]:
    """Return a connection table as tuples, else raise ValueError naming `what`.

    Only `arithmetic`, which knows the input, can say whether its channels exist and whether all of them are read.
    """
    table = table.tolist() if hasattr(table, "tolist") else table
    rows = table if isinstance(table, tuple | list) else (table,)
    if not all(isinstance(row, tuple | list) for row in rows):
        raise ValueError(
            f"{what} is {table!r}; expected one row of input channels for each filter. "
            "Write it as tuples of whole numbers."
        )
    if len(rows) != filters:
        raise ValueError(
            f"{what} has {len(rows)} rows; expected {filters}, one for each filter. Add "
            "or remove rows."
        )
    made = []
    for number, row in enumerate(rows):
        one = f"an input channel in row {number} of {what}"
        made.append(tuple(require_int(one, channel, 0) for channel in row))
        if not row or len(set(made[-1])) < len(row):
            raise ValueError(
                f"row {number} of {what} is {row!r}; expected at least one input channel, "
                "and each only once. Correct the row."
            )
    return tuple(made)


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
    return make(kinds[require_choice("kind", kind, tuple(kinds))], fields)


def make(cls: type[Made], values: dict[str, Any]) -> Made:
    """Build a dataclass from its fields, or raise ValueError, such as for a field that only a newer version has."""
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"{error}; a newer version may know it") from None


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
