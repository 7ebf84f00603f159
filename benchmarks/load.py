"""How busy other programs keep the machine while one is measured.

With every core taken by other programs, PyTorch's epoch was once measured to take a hundred times as long, ours less than
twice: ratios from a busy machine mean nothing, and they flatter us.
"""

from __future__ import annotations

import os
import time

import psutil

MOST = 0.2
"""Cores that others may keep busy before the numbers are said to be disturbed."""
BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
"""The times in which a core works; a system has some of them."""


class Others:
    """Measures, from its making on, the cores that were kept busy by others than this process and its children."""

    def __init__(self) -> None:
        self.begun = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        """Return the clock, and the seconds that all cores together have worked for others, both since some moment."""
        cores = psutil.cpu_times()
        busy = sum(getattr(cores, name, 0.0) for name in BUSY)
        return time.perf_counter(), busy - sum(os.times()[:4])

    def cores(self) -> float:
        """Return the number of cores that others kept busy on average."""
        (start, before), (end, after) = self.begun, self._now()
        return max(0.0, (after - before) / (end - start))
