"""How many threads the loops use, and memory that suits them."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from lenet5lib.loops import compiled

LINE = 64
"""Bytes of a cache line, and of the widest register."""

_limit: list[int] = []


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return zeros that begin at a whole cache line: a vector of the widest kind then reads one line, and not two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + LINE, np.uint8)
    first = -raw.ctypes.data % LINE
    return raw[first : first + size].view(dtype).reshape(shape)


def thread_count() -> int:
    """Return the number of threads that work by default: one a processor core, or fewer by `limit_threads`."""
    if _limit:
        return _limit[-1]
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Not on Linux.
        return os.cpu_count() or 1


def limit_threads(threads: int) -> None:
    """Let the loops of this process use this number of threads from now on."""
    _limit[:] = [threads]


def with_threads(threads: int) -> None:
    """Let numba's next parallel loops use this number of threads."""
    if compiled.available():
        import numba

        _start_threads()
        numba.set_num_threads(max(1, min(threads, numba.config.NUMBA_NUM_THREADS)))


@functools.cache
def _start_threads() -> None:
    """Load numba's threads, and let one that waits for others give up its processor after some ten microseconds.

    GNU's OpenMP would wait for milliseconds, and on a machine that other programs keep busy a step takes many times as long.
    It reads its setting once, when it is loaded.
    """
    import numba

    name, given = "GOMP_SPINCOUNT", os.environ.get("GOMP_SPINCOUNT")
    os.environ.setdefault(name, "20000")
    try:
        numba.set_num_threads(1)
    finally:
        if given is None:
            del os.environ[name]
