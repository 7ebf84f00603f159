"""The backward pass as plain loops: for each function of `forward` the gradient of its inputs and that of its parameters.

`g` is the gradient of the loss with respect to what the forward function wrote, in the same shape; `gx` becomes that of what
it read, and `dw` and `db` those of its parameters, to which the group's share is added. Shapes, indices and capital letters
are those of `forward`; `convolve_inputs` stands beside `convolve`, and so on. A function that `forward` computes in place
turns `g` in place. What `forward.drop` dropped, it drops of the gradient too.
"""

import math

import numpy as np

from lenet5lib.loops.compiled import add_products, taps
from lenet5lib.loops.forward import AMPLITUDE, SLOPE

KH, KW, SH, SW, B, U = 5, 5, 1, 1, 1, 1
F = np.float64
ZEROS = (0.0,) * KW
"""Sums to begin with, one for each column of the kernel."""


def pad_inputs(g, top, left, gx):
    """gx[m, r, c] = g[m, top + r, left + c]: what reaches the padding is left out."""
    for m in range(gx.shape[0]):
        for r in range(gx.shape[1]):
            for i in range(gx.shape[2]):
                gx[m, r, i] = g[m, top + r, left * B + i]


def spread(g, y):
    """y[m, r, KW − 1 + SW·c] = g[m, r, c]: zeros between the columns and before and after them, for `convolve_inputs`."""
    for m in range(g.shape[0]):
        for r in range(g.shape[1]):
            for c in range(g.shape[2] // B):
                for k in range(B):
                    y[m, r, (KW - 1 + SW * c) * B + k] = g[m, r, c * B + k]


def convolve_inputs(g, w, reads, gx):
    """gx[n, SH·r + u, c] = Σ w[m, n, u, KW − 1 − v] · g[m, r, c + v], over the channels m that read n, over r, u and v.

    A pixel contributes to every window that reads it, by the weight that meets it there: a convolution with the kernel
    turned round.

    Args:
        g: (channels out, rows, columns · B), spread.
        w: (channels out, channels in, KH, KW).
        reads: (channels out, channels in).
        gx: (channels in, rows, columns · B), the result.
    """
    gx[:] = F(0)
    for n in range(gx.shape[0]):
        for m in range(g.shape[0]):
            for u in range(KH * reads[m, n]):
                tap = taps(w[m, n, u, ::-1], KW)
                for r in range(g.shape[1]):
                    for i in range(g.shape[2] - (KW - 1) * B):  # i = c · B + k
                        s = gx[n, SH * r + u, i]
                        for v in range(KW):
                            s += tap[v] * g[m, r, i + v * B]
                        gx[n, SH * r + u, i] = s


def convolve_weights(x, g, reads, dw, db):
    """dw[m, n, u, v] += Σ g[m, r, c] · x[n, SH·r + u, SW·c + v] and db[m] += Σ g[m, r, c], over r, c and the examples.

    A weight is used at every position, so its gradient is a sum over all of them.

    Args:
        x: (channels in, rows, columns · B), padded.
        g: (channels out, rows, columns · B).
        reads: (channels out, channels in).
        dw, db: (channels out, channels in, KH, KW) and (channels out,), added to.
    """
    for m in range(g.shape[0]):
        db[m] += g[m].sum()
        for n in range(x.shape[0]):
            for u in range(KH * reads[m, n]):
                sums = ZEROS  # one for each v
                for r in range(g.shape[1]):
                    row = x[n, SH * r + u]
                    for i in range(g.shape[2]):  # i = c · B + k, of example k
                        j = i + i // B * (SW - 1) * B
                        sums = add_products(sums, g[m, r, i], row, j, B)
                for v in range(KW):
                    dw[m, n, u, v] += sums[v]


def average_inputs(g, x, share, y, gx):
    """gx[m, SH·r + u, SW·c + v] = share[r, c] · g[m, r, c]: pooling by the average spreads its gradient evenly."""
    gx[:] = F(0)
    for m in range(g.shape[0]):
        for r in range(g.shape[1]):
            for c in range(g.shape[2] // B):
                for k in range(B):
                    s = share[r, c] * g[m, r, c * B + k]
                    for u in range(KH):
                        for v in range(KW):
                            gx[m, SH * r + u, (SW * c + v) * B + k] += s


def largest_inputs(g, x, share, y, gx):
    """gx[m, SH·r + u, SW·c + v] = g[m, r, c] where x is the maximum, else 0; of several the first, as in TensorFlow."""
    gx[:] = F(0)
    for m in range(g.shape[0]):
        for r in range(g.shape[1]):
            for c in range(g.shape[2] // B):
                for k in range(B):
                    s, top = g[m, r, c * B + k], y[m, r, c * B + k]
                    for u in range(KH):
                        for v in range(KW):
                            i = (SW * c + v) * B + k
                            t = s if x[m, SH * r + u, i] == top else F(0)
                            gx[m, SH * r + u, i] += t
                            s -= t


def subsample_inputs(g, w, gx):
    """gx[m, KH·r + u, KW·c + v] = w[m] · g[m, r, c]."""
    gx[:] = F(0)
    for m in range(g.shape[0]):
        for r in range(g.shape[1]):
            for c in range(g.shape[2] // B):
                for k in range(B):
                    s = w[m] * g[m, r, c * B + k]
                    for u in range(KH):
                        for v in range(KW):
                            gx[m, KH * r + u, (KW * c + v) * B + k] = s


def subsample_weights(x, g, dw, db):
    """dw[m] += Σ g[m, r, c] · Σ x[m, KH·r + u, KW·c + v] and db[m] += Σ g[m, r, c], over r, c and the examples."""
    for m in range(g.shape[0]):
        db[m] += g[m].sum()
        for r in range(g.shape[1]):
            for c in range(g.shape[2] // B):
                for k in range(B):
                    s = F(0)
                    for u in range(KH):
                        for v in range(KW):
                            s += x[m, KH * r + u, (KW * c + v) * B + k]
                    dw[m] += g[m, r, c * B + k] * s


def flatten_inputs(g, gx):
    """gx[m, r, c] = g[k, (r · columns + c) · channels + m] of example k."""
    for m in range(gx.shape[0]):
        for r in range(gx.shape[1]):
            for c in range(gx.shape[2] // B):
                for k in range(B):
                    j = (r * (gx.shape[2] // B) + c) * gx.shape[0] + m
                    gx[m, r, c * B + k] = g[k, j]


def dense_inputs(g, w, gx):
    """gx[k, i] = Σ_j g[k, j] · w[i, j]: each input contributes to every unit."""
    for k in range(g.shape[0]):
        for i in range(w.shape[0]):
            s = F(0)
            for j in range(w.shape[1]):
                s += g[k, j] * w[i, j]
            gx[k, i] = s


def dense_weights(x, g, dw, db):
    """dw[i, j] += Σ_k x[k, i] · g[k, j] and db[j] += Σ_k g[k, j], over the examples k."""
    for k in range(g.shape[0]):
        for j in range(g.shape[1]):
            db[j] += g[k, j]
    for i in range(x.shape[1]):
        for k in range(0, x.shape[0], U):
            tap = taps(x[k : k + U, i], U)
            for j in range(g.shape[1]):
                s = dw[i, j]
                for a in range(U):
                    s += tap[a] * g[k + a, j]
                dw[i, j] = s


def rbf_inputs(x, codes, g, gx):
    """gx[k, j] = Σ_i 2 · g[k, i] · (x[k, j] − codes[i, j]): a step against it goes towards the codes of small g."""
    for k in range(x.shape[0]):
        for j in range(x.shape[1]):
            s = F(0)
            for i in range(codes.shape[0]):
                s += F(2) * g[k, i] * (x[k, j] - codes[i, j])
            gx[k, j] = s


def sigmoid_inputs(y, g):
    """g = g · y · (1 − y), in place: σ′ in terms of what σ gave."""
    for i in range(g.size):
        g[i] *= y[i] * (F(1) - y[i])


def hyperbolic_inputs(y, g):
    """g = g · (1 − y²), in place: tanh′ in terms of what tanh gave."""
    for i in range(g.size):
        g[i] *= F(1) - y[i] * y[i]


def scaled_tanh_inputs(y, g):
    """g = g · A · S · (1 − (y / A)²), in place, with A = 1.7159 and S = 2/3."""
    for i in range(g.size):
        t = y[i] * F(1 / AMPLITUDE)
        g[i] *= F(AMPLITUDE * SLOPE) * (F(1) - t * t)


def relu_inputs(y, g):
    """g = g where y > 0, else 0, in place."""
    for i in range(g.size):
        t = g[i]  # read in any case, so that no branch is needed
        g[i] = t if y[i] > F(0) else F(0)


def softmax_inputs(y, g):
    """g[k, j] = y[k, j] · (g[k, j] − Σ_i g[k, i] · y[k, i]), in place."""
    for k in range(g.shape[0]):
        s = F(0)
        for i in range(g.shape[1]):
            s += g[k, i] * y[k, i]
        for j in range(g.shape[1]):
            g[k, j] = y[k, j] * (g[k, j] - s)


ACTIVATIONS = {
    "sigmoid": sigmoid_inputs,
    "tanh": hyperbolic_inputs,
    "scaled_tanh": scaled_tanh_inputs,
    "relu": relu_inputs,
    "softmax": softmax_inputs,
}


def cross_entropy_inputs(z, labels, smoothing, g):
    """g[k, j] = q[k, j] − t[k, j]: the softmax of the logits less the targets; 0 for an example that does not count."""
    for k in range(z.shape[0]):
        top, s = z[k].max(), F(0)
        for j in range(z.shape[1]):
            s += math.exp(z[k, j] - top)
        for j in range(z.shape[1]):
            target = smoothing / F(z.shape[1])
            target += F(1) - smoothing if j == labels[k] else F(0)
            t = math.exp(z[k, j] - top) / s - target
            g[k, j] = t if labels[k] >= 0 else F(0)


def maximum_likelihood_inputs(y, labels, j, g):
    """g[k, i] = 1 for the label, else 0; `j` is not read."""
    for k in range(y.shape[0]):
        for i in range(y.shape[1]):
            g[k, i] = F(1) if i == labels[k] else F(0)


def maximum_a_posteriori_inputs(y, labels, j, g):
    """g[k, i] = (1 for the label, else 0) − e^(−y[k, i]) / (e^(−j) + Σ e^(−y[k, ·]))."""
    for k in range(y.shape[0]):
        least = min(y[k].min(), j)
        s = math.exp(least - j)
        for i in range(y.shape[1]):
            s += math.exp(least - y[k, i])
        for i in range(y.shape[1]):
            t = F(1) if i == labels[k] else F(0)
            t -= math.exp(least - y[k, i]) / s
            g[k, i] = t if labels[k] >= 0 else F(0)


LOSSES = {
    "cross-entropy": cross_entropy_inputs,
    "maximum likelihood": maximum_likelihood_inputs,
    "maximum a posteriori": maximum_a_posteriori_inputs,
}
