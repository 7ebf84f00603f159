"""Three witnesses of a network's numbers: derived by `arithmetic`, built by Keras, printed by the 1998 paper.

`confirm` compares a built model with the derived table, `confirm_paper` with the paper; both raise if anything differs.
`summary_text` is Keras's own table. Chapters 4 and 13 are about this module.
"""

from __future__ import annotations

import os
from math import prod
from typing import NamedTuple

import pandas as pd

from lenet5lib import arithmetic
from lenet5lib._keras import keras
from lenet5lib.lenet1998.layers import TrainableSubsampling
from lenet5lib.lenet1998.paper import PAPER, PaperCounts
from lenet5lib.models.build import inside
from lenet5lib.spec import Architecture


class ConfirmationError(ValueError):
    """The built network differs from what was expected; `table` holds the comparison."""

    def __init__(self, message: str, table: pd.DataFrame) -> None:
        super().__init__(message)
        self.table = table


class _Side(NamedTuple):
    """One side of a row of the comparison; "?" is a shape that Keras did not record."""

    shape: str
    params: int | None


MISSING = _Side("", None)


def compare(model: keras.Model, architecture: Architecture) -> pd.DataFrame:
    """Return the comparison of a built model with the derived table, a row for each layer and one for the totals.

    Returns:
        A table indexed by layer with the columns `derived shape`, `built shape`, `derived parameters`,
        `built parameters` and `verdict`, which is "agrees" or names the difference.
    """
    derived = {
        row.layer: _Side(arithmetic.shape_text(row.output_shape), row.params)
        for row in arithmetic.table(architecture)
    }
    built = {
        layer.name: _built_side(layer)
        for layer in inside(model).layers
        if not isinstance(layer, keras.layers.InputLayer)
    }
    rows = {}
    for name in (
        derived | built
    ):  # In order; layers that were not derived come last.
        left, right = derived.get(name, MISSING), built.get(name, MISSING)
        verdict = _verdict(left, right)
        rows[name] = (left.shape, right.shape, left.params, right.params, verdict)
    total = sum(side.params or 0 for side in derived.values()), _num_trained(model)
    verdict = "agrees" if total[0] == total[1] else "parameters differ"
    rows["Total"] = ("", "", *total, verdict)
    return _table(rows, ("derived", "built"), ("shape", "parameters"))


def _built_side(layer: keras.Layer) -> _Side:
    """Return the output shape, without the batch, and the trained parameters of a layer that Keras built."""
    try:
        shape = arithmetic.shape_text(layer.output.shape[1:])
    except (AttributeError, ValueError):  # The layer never had a symbolic input.
        shape = "?"
    return _Side(shape, _num_trained(layer))


def _num_trained(layer: keras.Layer) -> int | None:
    """Return how many numbers of a layer or model are trained, or None before it is built."""
    sizes = [prod(weight.shape) for weight in layer.trainable_weights]
    return sum(sizes) if layer.built else None


def _verdict(derived: _Side, built: _Side) -> str:
    """Return in words how a derived layer and a built one compare."""
    if built == MISSING:
        return "not built"
    if derived == MISSING:
        return "not derived"
    if built.shape == "?":
        return "shape unknown"
    if derived.params == built.params:
        return "agrees" if derived.shape == built.shape else "shape differs"
    if derived.shape == built.shape:
        return "parameters differ"
    return "shape and parameters differ"


def _table(
    rows: dict[str, tuple], sides: tuple[str, str], values: tuple[str, str]
) -> pd.DataFrame:
    """Return a table of two values on two sides, such as `derived shape`, and a verdict; missing counts are empty."""
    columns = [f"{side} {value}" for value in values for side in sides]
    table = pd.DataFrame.from_dict(
        rows, orient="index", columns=[*columns, "verdict"]
    ).rename_axis("layer")
    counts = [column for column in columns if not column.endswith("shape")]
    return table.astype(dict.fromkeys(counts, "Int64"))


def _require_agreement(table: pd.DataFrame, problem: str, remedy: str) -> None:
    """Raise ConfirmationError unless every row agrees; the text names each row that does not, with what differs."""
    wrong = table[table["verdict"] != "agrees"]
    if len(wrong):
        found = "; ".join(
            f"{name}: {_difference(row)}" for name, row in wrong.iterrows()
        )
        raise ConfirmationError(f"{problem}. {found}. {remedy}", table)


def _difference(row: pd.Series) -> str:
    """Return the values in which the two sides of a row differ: "derived 28×28×6, built 24×24×6"."""
    found: dict[str, list[str]] = {}
    for pair in row.index[:2], row.index[2:4]:
        texts = [_value_text(row[column], column) for column in pair]
        for column, text in zip(pair, texts, strict=True):
            side = found.setdefault(column.partition(" ")[0], [])
            side += [text] if text and len(set(texts)) == 2 else []
    return ", ".join(
        f"{side} {' and '.join(found[side]) or 'nothing'}" for side in found
    )


def _value_text(value: str | int, column: str) -> str:
    """Return one value in words, "2,416 parameters"; "" for a missing one."""
    if isinstance(value, str):
        return value.replace("?", "an unknown shape")
    return "" if pd.isna(value) else f"{value:,} {column.partition(' ')[2]}"


def confirm(model: keras.Model, architecture: Architecture) -> pd.DataFrame:
    """Confirm that a built model is the network that the architecture describes.

    Compares the output shape and the parameters of each layer, and the total.

    Returns:
        The table of `compare`, with the verdict "agrees" in each row.

    Raises:
        ConfirmationError: something differs; the text names each such layer with what differs, `table` holds all rows.
    """
    table = compare(model, architecture)
    _require_agreement(
        table,
        f"the model is not {architecture.name}",
        "Correct the specification or the model.",
    )
    return table


def confirm_paper(model: keras.Model) -> pd.DataFrame:
    """Confirm that a built model has the numbers that the 1998 paper prints.

    Counts what Keras built, not what was derived: the trained numbers of each layer, and each stored number once for each
    position at which it is used.

    Returns:
        A table indexed by layer with the columns `paper parameters`, `built parameters`, `paper connections`,
        `built connections` (empty where the paper prints nothing) and `verdict`, which is "agrees" in each row.

    Raises:
        ConfirmationError: a count differs or a layer is missing; the text names each, `table` holds all rows.
    """
    built = {
        layer.name: PaperCounts(_num_trained(layer), _connections(layer))
        for layer in inside(model).layers
    }
    totals = zip(*built.values(), strict=True)
    built["Total"] = PaperCounts(*(sum(map(int, counts)) for counts in totals))
    rows = {}
    for name, printed in PAPER.items():
        found = built.get(name, PaperCounts(None, None))
        pairs = zip(printed, found, strict=True)
        same = all(paper in (None, ours) for paper, ours in pairs)
        verdict = "agrees" if same else "differs" if name in built else "not built"
        params, connections = zip(printed, found, strict=True)
        rows[name] = (*params, *connections, verdict)
    table = _table(rows, ("paper", "built"), ("parameters", "connections"))
    _require_agreement(
        table, "the model has not the paper's numbers", "Build spec.LENET5_1998."
    )
    return table


def _connections(layer: keras.Layer) -> int:
    """Return a built layer's connections: each stored number once for each position where it is used."""
    outputs = layer.output.shape[1:]
    if isinstance(layer, TrainableSubsampling):
        return prod(outputs) * (prod(layer.size) + 1)
    return prod(outputs[:-1]) * layer.count_params()


def summary_text(model: keras.Model) -> str:
    """Return `model.summary()` as plain text, 80 columns wide in any terminal."""
    lines: list[str] = []
    columns = os.environ.get("COLUMNS")
    # Rich, which Keras prints with, would cut the lines to a narrower terminal.
    os.environ["COLUMNS"] = "80"
    try:
        model.summary(line_length=80, print_fn=lines.append)
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    text = "\n".join(lines).splitlines()
    return "\n".join(line.rstrip() for line in text if line.strip())
