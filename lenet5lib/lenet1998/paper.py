"""The numbers that the 1998 paper prints about its network, and their comparison with the derived ones.

Data and a comparison; nothing here computes a count, see `arithmetic`. Chapter 13 prints the comparison.
Source: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE
86(11), 1998, section II.B, which describes the layers in order.
"""

from __future__ import annotations

from typing import NamedTuple

from lenet5lib import arithmetic
from lenet5lib.spec import LENET5_1998, Architecture


class Printed(NamedTuple):
    """What the paper prints about a layer; None where it prints nothing."""

    params: int | None
    connections: int | None


PAPER = {
    "C1": Printed(156, 122_304),
    "S2": Printed(12, 5_880),
    "C3": Printed(1_516, 151_600),
    "S4": Printed(32, 2_000),
    # Called "48,120 trainable connections": C5 has one position, so the two counts are one.
    "C5": Printed(48_120, 48_120),
    "F6": Printed(10_164, None),
    "Output": Printed(None, None),
    "Total": Printed(60_000, 340_908),
}
"""The counts that section II.B prints, by layer, the totals last.

The connections of F6 and of the output units are not printed. The total leaves 11,004 for them: 10,164 and 840.
"""


class Line(NamedTuple):
    """One count of ours beside the paper's."""

    layer: str
    count: str
    ours: int
    paper: int | None

    @property
    def verdict(self) -> str:
        """Say whether the two agree, or that the paper prints nothing."""
        if self.paper is None:
            return "not printed"
        return "agrees" if self.ours == self.paper else "differs"


def compare(architecture: Architecture = LENET5_1998) -> list[Line]:
    """Return the derived parameters and connections of each layer beside those that the paper prints, the totals last.

    >>> sorted({line.verdict for line in compare()})
    ['agrees', 'not printed']
    """
    rows, lines = arithmetic.table(architecture), []
    for layer, printed in PAPER.items():
        for count, value in zip(Printed._fields, printed, strict=True):
            ours = sum(
                getattr(row, count) for row in rows if layer in (row.layer, "Total")
            )
            lines.append(Line(layer, count, ours, value))
    return lines
