"""The paper's printed numbers, beside the derived ones."""

from lenet5lib import arithmetic
from lenet5lib.lenet1998.paper import PAPER, CountCheck, PaperCounts, compare
from lenet5lib.spec import LENET5, LENET5_1998


def test_what_is_printed_agrees_with_what_is_derived():
    checks = compare()
    assert [(check.layer, check.count) for check in checks] == [
        (layer, count) for layer in PAPER for count in ("params", "connections")
    ]
    printed = [check for check in checks if check.paper is not None]
    assert len(printed) == 13
    assert {check.verdict for check in printed} == {"agrees"}
    assert [(x.layer, x.ours) for x in checks if x.verdict == "not printed"] == [
        ("F6", 10_164),
        ("Output", 0),
        ("Output", 840),
    ]


def test_the_printed_layers_add_up_to_the_printed_totals():
    layers = [printed for name, printed in PAPER.items() if name != "Total"]
    assert sum(one.params or 0 for one in layers) == PAPER["Total"].params == 60_000
    missing = PAPER["Total"].connections - sum(
        one.connections or 0 for one in layers
    )
    rows = {row.layer: row.connections for row in arithmetic.table(LENET5_1998)}
    assert missing == 11_004 == rows["F6"] + rows["Output"]


def test_the_misprint_of_some_copies_would_not_close():
    others = PAPER["Total"].connections - 151_600
    assert others + 156_000 == 345_308


def test_a_different_network_differs_in_the_layers_that_differ():
    wrong = [one for one in compare(LENET5) if one.verdict == "differs"]
    assert CountCheck("C3", "params", 2_416, 1_516) in wrong
    assert CountCheck("Total", "params", 61_706, 60_000) in wrong
    assert {one.layer for one in wrong} == {"S2", "C3", "S4", "Total"}


def test_a_check_says_what_it_found():
    assert CountCheck("C1", "params", 156, 156).verdict == "agrees"
    assert CountCheck("C1", "params", 155, 156).verdict == "differs"
    assert CountCheck("F6", "connections", 10_164, None).verdict == "not printed"
    assert PaperCounts._fields == ("params", "connections")
