"""The numbers in the chapters' prose: each of four digits or more, and each percentage, is computed or has a source.

They stand in `numbers.csv`, a line for each chapter and number: with a Python expression that gives the number from the
library (`SCOPE` below says what it may use), or with the source of a number that the library cannot compute.
"""

import csv
import json
import re
from math import ceil, prod
from pathlib import Path

import numpy as np
import pytest

from lenet5lib import arithmetic, data, evaluation, records, spec
from lenet5lib.spec import LENET5
from lenet5lib.studies import ablation

TESTS = Path(__file__).resolve().parent
CHAPTERS = sorted((TESTS.parent / "book").glob("[0-9]*.ipynb"))
NUMBER = re.compile(r"(?<![\w.,^])\d[\d,]*(?:\.\d+)?(?:\s?(?:%|per cent\b))?")


def row(layer, architecture=LENET5):
    """Return a layer's row of the derived table."""
    rows = arithmetic.table(architecture)
    return next(found for found in rows if found.layer == layer)


def total(count, architecture=LENET5):
    """Return a total of the derived table: "params", "connections" or "macs"."""
    return sum(getattr(found, count) for found in arithmetic.table(architecture))


def share(count, *layers):
    """Return what per cent of a total is in some layers."""
    return 100 * sum(getattr(row(name), count) for name in layers) / total(count)


LONG = list(records.recorded("lenet5-200").values())
"""The recorded runs of chapter 10."""


def by_rule(rule):
    """Return the test errors that a rule for selecting the epoch reports, in per cent, one for each recorded run."""
    tables = [evaluation.epoch_by_selection_rule(run) for run in LONG]
    return [100 * table.loc[rule, "test error"] for table in tables]


def reported(rule):
    """Return the mean over the recorded runs of what a rule reports."""
    return np.mean(by_rule(rule))


def trial_error(name, epoch):
    """Return the validation error, 0–1, of a recorded trial of chapter 13 after an epoch."""
    record = records.recorded("lenet5-1998-tried")[name]
    return 1 - record.column("val_accuracy")[epoch - 1]


def step(change, column="test"):
    """Return a value of chapter 14's table, in per cent."""
    return ablation.table().loc[change, column]


TRAIN = data.MNIST_FACTS["digits of each class"]
REST, HELD = map(len, data.stratified_split(np.repeat(np.arange(10), TRAIN), 12))
SCOPE = {
    "row": row,
    "step": step,
    "trial_error": trial_error,
    "total": total,
    "share": share,
    "ceil": ceil,
    "prod": prod,
    "TRAIN": TRAIN,
    "TEST": data.MNIST_FACTS["test digits of each class"],
    "REST": REST,
    "HELD": HELD,
    "LENET5": LENET5,
    "UNPADDED": LENET5.change("C1", padding="valid"),
    "LONG": LONG,
    "by_rule": by_rule,
    "reported": reported,
    "arithmetic": arithmetic,
    "data": data,
    "evaluation": evaluation,
    "ablation": ablation,
    "spec": spec,
}
"""What an expression in the table may use."""


def prose(path):
    """Return a chapter's text, captions and alternative texts, without code."""
    texts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            texts.append("".join(cell["source"]))
        shown = cell["metadata"].get("mystnb", {})
        texts += [
            part[key]
            for part in shown.values()
            for key in ("alt", "caption")
            if key in part
        ]
    text = re.sub(r"```.*?```|`[^`]*`", "", "\n".join(texts), flags=re.DOTALL)
    return (
        text.replace("{,}", ",")
        .replace(r"\,", " ")
        .replace(r"\%", "%")
        .replace("^{", " ")
    )


def numbers(text):
    """Return the numbers of four digits or more and the percentages in a text, as they are written in the table.

    >>> sorted(numbers("In 1998, 61,706 of 12; 0.8 %, 4% and 5 per cent."))
    ['0.8 %', '1998', '4 %', '5 %', '61,706']
    """
    found = set()
    for match in NUMBER.findall(text):
        digits = re.match(r"[\d,.]*\d", match)[0]
        if match.endswith(("%", "cent")):
            found.add(f"{digits} %")
        elif len(digits.split(".")[0].replace(",", "")) >= 4:
            found.add(digits)
    return found


def listed():
    with (TESTS / "numbers.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


TABLE = listed()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_number_in_the_prose_is_listed_and_every_listed_one_is_there(path):
    entries = [
        entry["number"] for entry in TABLE if entry["chapter"] == path.stem[:2]
    ]
    assert len(entries) == len(set(entries)), "a number is listed twice"
    assert numbers(prose(path)) == set(entries), (
        "in the prose but not in tests/numbers.csv, or in it and no longer in the prose: "
        f"{sorted(numbers(prose(path)) ^ set(entries))}"
    )


def agrees(written, value):
    """Whether a value, rounded to as many decimals as are written, is what is written."""
    digits = written.removesuffix(" %").replace(",", "")
    decimals = len(digits.partition(".")[2])
    if not written.endswith("%") and decimals == 0:
        return value == int(digits)
    return f"{value:.{decimals}f}" == digits


@pytest.mark.parametrize(
    "entry",
    [entry for entry in TABLE if entry["expression"]],
    ids=lambda entry: f"{entry['chapter']}: {entry['number']}",
)
def test_a_computed_number_is_what_the_library_gives(entry):
    value = eval(
        entry["expression"],
        {"__builtins__": {"sum": sum, "max": max, "round": round}},
        SCOPE,
    )
    assert agrees(entry["number"], value), f"the library gives {value}"


def test_an_entry_has_an_expression_or_a_source_and_a_chapter():
    stems = {path.stem[:2] for path in CHAPTERS}
    for entry in TABLE:
        assert bool(entry["expression"]) != bool(entry["source"]), entry
        assert entry["chapter"] in stems, entry
        digits = set(re.findall(r"\d{4,}", entry["expression"].replace("_", "")))
        assert entry["number"].replace(",", "") not in digits, (
            "the number itself is no expression"
        )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("28 × 28 = 784, and 1 in 999", set()),
        ("$16 \\cdot 151 = 2{,}416$", {"2,416"}),
        ("$\\epsilon = 1\\,\\%$", {"1 %"}),
        ("78.0 per cent and 16.5;", {"78.0 %"}),
        ("one in 10,000, or 100 %.", {"10,000", "100 %"}),
        ("$e^{1000}$ and 2.7183", {"1000"}),
        ("`10_000` and `61,706`", {"61,706"}),
    ],
)
def test_numbers_are_found_in_text_and_formula(text, found):
    plain = text.replace("{,}", ",").replace(r"\,", " ").replace(r"\%", "%")
    assert numbers(plain.replace("^{", " ")) == found


@pytest.mark.parametrize(
    ("written", "value", "expected"),
    [
        ("61,706", 61_706, True),
        ("61,706", 61_705.6, False),
        ("86 %", 85.84, True),
        ("86 %", 86.6, False),
        ("57.6 %", 57.62, True),
    ],
)
def test_what_agrees(written, value, expected):
    assert agrees(written, value) is expected
