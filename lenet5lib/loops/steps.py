"""One convolution written in several ways, from the equation to what a processor does fast: the steps of chapter 15.

All give the same numbers up to rounding, at stride 1 and without a table. Training uses none of them: its convolution is
`forward.convolve`, which is `innermost` with the sums of a kernel row kept in registers. `roofline` measures them.

The capital letters are constants that `compiled.specialise` sets, as in `forward`.
"""

from __future__ import annotations

from lenet5lib.loops.compiled import taps
from lenet5lib.loops.forward import convolve

try:
    from numba import prange
except ImportError:
    prange = range

KH, KW, B = 5, 5, 1


def plain(x, w, b, y):
    """y[k, m, r, c] = b[m] + Σ w[m, n, u, v] · x[k, n, r + u, c + v], over n, u and v: each output in turn.

    Args:
        x: (examples, channels in, rows, columns), padded already where there is padding.
        w, b: (channels out, channels in, KH, KW) and (channels out,).
        y: (examples, channels out, rows, columns), the result.

    Source: chapter 2, equation (2.1).
    """
    for k in range(y.shape[0]):
        for m in range(y.shape[1]):
            for r in range(y.shape[2]):
                for c in range(y.shape[3]):
                    s = b[m]
                    for n in range(x.shape[1]):
                        for u in range(KH):
                            for v in range(KW):
                                s += w[m, n, u, v] * x[k, n, r + u, c + v]
                    y[k, m, r, c] = s


def innermost(x, w, b, y):
    """y[m, r, i] = b[m] + Σ w[m, n, u, v] · x[n, r + u, i + v · B], with i = c · B + k: a weight in turn, for a whole row.

    Args:
        x: (channels in, rows, columns · B), the B examples innermost.
        w, b: (channels out, channels in, KH, KW) and (channels out,).
        y: (channels out, rows, columns · B), the result.
    """
    for m in range(y.shape[0]):
        y[m] = b[m]
        for n in range(x.shape[0]):
            for u in range(KH):
                for v in range(KW):
                    tap = w[m, n, u, v]
                    for r in range(y.shape[1]):
                        for i in range(y.shape[2]):
                            y[m, r, i] += tap * x[n, r + u, i + v * B]


def two_channels(x, w, b, y):
    """The same as `forward.convolve` for two channels at once: each number of x that is read is used in both.

    Args:
        x, w, b, y: as for `innermost`; an even number of channels out.
    """
    for m in range(0, y.shape[0], 2):
        y[m], y[m + 1] = b[m], b[m + 1]
        for n in range(x.shape[0]):
            for u in range(KH):
                one, two = taps(w[m, n, u], KW), taps(w[m + 1, n, u], KW)
                for r in range(y.shape[1]):
                    for i in range(y.shape[2]):
                        s, t = y[m, r, i], y[m + 1, r, i]
                        for v in range(KW):
                            s += one[v] * x[n, r + u, i + v * B]
                            t += two[v] * x[n, r + u, i + v * B]
                        y[m, r, i], y[m + 1, r, i] = s, t


def groups(x, w, b, reads, y):
    """y[g] is the convolution of x[g], for every group g of examples; the threads share the groups.

    Args:
        x: (groups, channels in, rows, columns · B).
        w, b, reads: as for `forward.convolve`.
        y: (groups, channels out, rows, columns · B), the result.
    """
    for g in prange(len(y)):
        convolve(x[g], w, b, reads, y[g])
