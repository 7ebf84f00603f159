"""The numbers that the 1998 paper prints about its network, and their comparison with the derived ones.

Data and a comparison; the counts themselves come from `arithmetic`. Chapter 13 prints the comparison.
Source: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE
86(11), 1998, section II.B, which describes the layers in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lenet5lib import arithmetic
from lenet5lib.spec import LENET5_1998, Architecture


class PaperCounts(NamedTuple):
    """The counts that the paper prints for a layer; None where it prints nothing."""

    params: int | None
    connections: int | None


PAPER = {
    "C1": PaperCounts(156, 122_304),
    "S2": PaperCounts(12, 5_880),
    "C3": PaperCounts(1_516, 151_600),
    "S4": PaperCounts(32, 2_000),
    # Called "48,120 trainable connections": C5 has one position, so the two counts are one.
    "C5": PaperCounts(48_120, 48_120),
    "F6": PaperCounts(10_164, None),
    "Output": PaperCounts(None, None),
    "Total": PaperCounts(60_000, 340_908),
}
"""The counts that section II.B prints, by layer, the totals last.

The connections of F6 and of the output units are not printed. The total leaves 11,004 for them: 10,164 and 840.
"""


@dataclass(frozen=True)
class CountCheck:
    """One derived count of a layer beside the paper's."""

    layer: str
    count: str
    ours: int
    paper: int | None

    @property
    def verdict(self) -> str:
        """Return "agrees", "differs" or, where the paper prints nothing, "not printed"."""
        if self.paper is None:
            return "not printed"
        return "agrees" if self.ours == self.paper else "differs"


def compare(architecture: Architecture = LENET5_1998) -> list[CountCheck]:
    """Return the derived parameters and connections of each layer beside the paper's, the totals last.

    >>> sorted({check.verdict for check in compare()})
    ['agrees', 'not printed']
    """
    rows, checks = arithmetic.table(architecture), []
    for layer, printed in PAPER.items():
        for count, value in zip(PaperCounts._fields, printed, strict=True):
            ours = sum(
                getattr(row, count) for row in rows if layer in (row.layer, "Total")
            )
            checks.append(CountCheck(layer, count, ours, value))
    return checks
