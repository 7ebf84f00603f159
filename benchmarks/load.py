"""How busy other programs keep the machine while one is measured.

With every core taken by other programs, PyTorch's epoch was once measured to take a hundred
times as long, ours less than twice: ratios from a busy machine mean nothing, and they flatter us.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

MOST = 0.2
"""Cores that others may keep busy before the numbers are said to be disturbed."""


def _busy_seconds() -> float | None:
    """Return the seconds that all cores together have worked, or None where the system does not say."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, *rest = map(int, first.split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


class Others:
    """Measures, from its making on, the cores that were kept busy by others than this process and its children."""

    def __init__(self) -> None:
        self.begun = self._now()

    @staticmethod
    def _now() -> tuple[float, float | None, float]:
        return time.perf_counter(), _busy_seconds(), sum(os.times()[:4])

    def cores(self) -> float | None:
        """Return the cores that others kept busy on average, or None where the system does not say."""
        (start, busy, own), (end, busy_now, own_now) = self.begun, self._now()
        if busy is None or busy_now is None:
            return None
        others = (busy_now - busy) - (own_now - own)
        return max(0.0, others / (end - start))
