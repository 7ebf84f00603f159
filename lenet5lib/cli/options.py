"""The options of `train` that are the fields of `Recipe`: one for each, and what their values look like."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenet5lib.training.recipe import Recipe


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `Recipe`: its name, type, default, choices and help."""
    from lenet5lib.training.recipe import Recipe

    types, helps = typing.get_type_hints(Recipe), attributes(Recipe)
    for field in dataclasses.fields(Recipe):
        read, shown = reader(types[field.name])
        default = "" if field.default is None else f" (default: {field.default})"
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=read,
            default=field.default,
            choices=field.metadata.get("choices"),
            metavar=None if "choices" in field.metadata else shown,
            help=f"{helps[field.name]}{default}".replace("%", "%%"),
        )


def recipe_of(options: argparse.Namespace) -> Recipe:
    """Return the recipe that the options ask for."""
    from lenet5lib.training.recipe import Recipe

    names = (field.name for field in dataclasses.fields(Recipe))
    return Recipe(**{name: getattr(options, name) for name in names})


def attributes(cls: type) -> dict[str, str]:
    """Return the texts of a docstring's section "Attributes", by name."""
    documented = inspect.getdoc(cls) or ""
    section = documented.partition("Attributes:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in found}


def reader(annotation: Any) -> tuple[Callable[[str], Any], str]:
    """Return a function that reads a value of this type from the command line, and the type's name there."""
    union = typing.get_args(annotation) or (annotation,)
    known = {one.__name__: one for one in union if hasattr(one, "__post_init__")}
    plain = next(one for one in union if one is not type(None))
    if not known:
        return plain, plain.__name__.upper()
    shown = [
        *(["FLOAT"] if plain is float else []),
        *(f"{one}(…)" for one in known),
    ]
    return lambda text: read_call(text, known, shown), "|".join(shown)


def read_call(text: str, known: dict[str, type], shown: Sequence[str]) -> Any:
    """Read a number, or a dataclass as it is written in Python: `OneCycle(max_lr=0.004, epochs=20)`.

    Args:
        text: from the command line; only literals may stand in the brackets.
        known: the dataclasses by name.
        shown: what is expected, for errors; "FLOAT" is in it if a number may come.

    Raises:
        ArgumentTypeError: something else.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if "FLOAT" in shown and not isinstance(node, ast.Call):
            return float(text)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            values = [ast.literal_eval(one) for one in node.args]
            named = {
                str(one.arg): ast.literal_eval(one.value) for one in node.keywords
            }
            return known[node.func.id](*values, **named)
        reason = "another kind of value"
    except (KeyError, SyntaxError, TypeError, ValueError) as error:
        reason = str(error)
    raise argparse.ArgumentTypeError(
        f"{text!r} ({reason}); expected {' or '.join(shown)}"
    )
