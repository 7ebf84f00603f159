"""The forward pass as plain loops: each function is one equation, its indices those of the book.

Feature maps have the shape (channels, rows, columns · B): the B examples of a group stand innermost, so that the innermost
loop runs over neighbouring numbers. With B = 1, a single example, that is (channels, rows, columns). Vectors have the shape
(B, units). A function writes its result into its last argument. `backward` mirrors this module, name by name; nothing here
knows of layers or networks, which are in `network`.

The capital letters are constants that `compiled.specialise` sets: the kernel's or window's height and width KH and KW, the
strides SH and SW, the group's size B, the inputs of a dense layer that are read at once U, and the type of number F.
"""

import math

import numpy as np

from lenet5lib.loops.compiled import taps

KH, KW, SH, SW, B, U = 5, 5, 1, 1, 1, 1
F, tanh = np.float64, math.tanh
AMPLITUDE, SLOPE = 1.7159, 2 / 3
"""A and S of the 1998 paper's squashing function. Source: the paper, appendix A."""


def pad(x, top, left, y):
    """y[m, top + r, left + c] = x[m, r, c]; what lies around stays as it is."""
    for m in range(x.shape[0]):
        for r in range(x.shape[1]):
            for i in range(x.shape[2]):
                y[m, top + r, left * B + i] = x[m, r, i]


def convolve(x, w, b, reads, y):
    """y[m, r, c] = b[m] + Σ w[m, n, u, v] · x[n, SH·r + u, SW·c + v], over the channels n that m reads, over u and v.

    Args:
        x: (channels in, rows, columns · B), padded already where there is padding.
        w, b: (channels out, channels in, KH, KW) and (channels out,).
        reads: (channels out, channels in), 1 where channel m reads channel n, else 0.
        y: (channels out, rows, columns · B), the result.

    Source: chapter 2, equation (2.1); with a table, chapter 11, equation (11.3).
    """
    for m in range(y.shape[0]):
        y[m] = b[m]
        for n in range(x.shape[0]):
            for u in range(KH * reads[m, n]):
                tap = taps(w[m, n, u], KW)
                for r in range(y.shape[1]):
                    for c in range(y.shape[2] // B):
                        for k in range(B):
                            s = y[m, r, c * B + k]
                            for v in range(KW):
                                s += tap[v] * x[n, SH * r + u, (SW * c + v) * B + k]
                            y[m, r, c * B + k] = s


def average(x, share, y):
    """y[m, r, c] = share[r, c] · Σ x[m, SH·r + u, SW·c + v], over u and v.

    Args:
        x: (channels, rows, columns · B), padded with zeros where there is padding.
        share: (rows, columns) of the result, 1 over the number of cells in the window that are not padding.
        y: (channels, rows, columns · B), the result.
    """
    for m in range(y.shape[0]):
        for r in range(y.shape[1]):
            for c in range(y.shape[2] // B):
                for k in range(B):
                    s = F(0)
                    for u in range(KH):
                        for v in range(KW):
                            s += x[m, SH * r + u, (SW * c + v) * B + k]
                    y[m, r, c * B + k] = share[r, c] * s


def largest(x, share, y):
    """y[m, r, c] = max x[m, SH·r + u, SW·c + v], over u and v: max pooling; padding is −∞, `share` is not read."""
    for m in range(y.shape[0]):
        for r in range(y.shape[1]):
            for c in range(y.shape[2] // B):
                for k in range(B):
                    s = x[m, SH * r, SW * c * B + k]
                    for u in range(KH):
                        for v in range(KW):
                            s = max(s, x[m, SH * r + u, (SW * c + v) * B + k])
                    y[m, r, c * B + k] = s


def subsample(x, w, b, y):
    """y[m, r, c] = b[m] + w[m] · Σ x[m, KH·r + u, KW·c + v], over u and v: windows that do not overlap.

    Args:
        x: (channels, rows, columns · B).
        w, b: (channels,), the coefficient and the bias of each channel.
        y: (channels, rows // KH, columns // KW · B), the result.

    Source: the 1998 paper, section II.B, layer S2; chapter 11, equation (11.2).
    """
    for m in range(y.shape[0]):
        for r in range(y.shape[1]):
            for c in range(y.shape[2] // B):
                for k in range(B):
                    s = F(0)
                    for u in range(KH):
                        for v in range(KW):
                            s += x[m, KH * r + u, (KW * c + v) * B + k]
                    y[m, r, c * B + k] = b[m] + w[m] * s


def flatten(x, y):
    """y[k, (r · columns + c) · channels + m] = x[m, r, c] of example k: Keras's order, channels innermost."""
    for m in range(x.shape[0]):
        for r in range(x.shape[1]):
            for c in range(x.shape[2] // B):
                for k in range(B):
                    j = (r * (x.shape[2] // B) + c) * x.shape[0] + m
                    y[k, j] = x[m, r, c * B + k]


def dense(x, w, b, y):
    """y[k, j] = b[j] + Σ_i x[k, i] · w[i, j].

    Args:
        x: (B, inputs).
        w, b: (inputs, units) and (units,), as in Keras.
        y: (B, units), the result.

    Source: chapter 3, equation (3.3).
    """
    for k in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[k, j] = b[j]
        for i in range(0, x.shape[1], U):
            tap = taps(x[k, i : i + U], U)
            for j in range(y.shape[1]):
                s = y[k, j]
                for a in range(U):
                    s += tap[a] * w[i + a, j]
                y[k, j] = s


def rbf(x, codes, y):
    """y[k, i] = Σ_j (x[k, j] − codes[i, j])²: the squared distance of an input from each code.

    Args:
        x: (B, inputs).
        codes: (units, inputs).
        y: (B, units), the result, each 0 or more.

    Source: the 1998 paper, equation (7); chapter 12, equation (12.1).
    """
    for k in range(y.shape[0]):
        for i in range(y.shape[1]):
            s = F(0)
            for j in range(x.shape[1]):
                d = x[k, j] - codes[i, j]
                s += d * d
            y[k, i] = s


def drop(x, mask, y):
    """y = mask · x: mask is 0 where a value is dropped, else 1 / (1 − rate). All are flat. It is its own mirror."""
    for i in range(y.size):
        y[i] = mask[i] * x[i]


def sigmoid(y):
    """y = σ(y) = 1 / (1 + e^(−y)), in place, as ½ + ½ · tanh(y / 2).

    Source: chapter 3.
    """
    for i in range(y.size):
        y[i] = F(0.5) + F(0.5) * tanh(F(0.5) * y[i])


def hyperbolic(y):
    """y = tanh(y), in place."""
    for i in range(y.size):
        y[i] = tanh(y[i])


def scaled_tanh(y):
    """y = 1.7159 · tanh(2y / 3), in place: the 1998 paper's squashing function.

    Source: the 1998 paper, equation (6) and appendix A; chapter 11, equation (11.1).
    """
    for i in range(y.size):
        y[i] = F(AMPLITUDE) * tanh(F(SLOPE) * y[i])


def relu(y):
    """y = max(y, 0), in place."""
    for i in range(y.size):
        y[i] = max(y[i], F(0))


def softmax(y):
    """y[k, j] = e^(y[k, j]) / Σ_i e^(y[k, i]), in place.

    The largest is subtracted first: the quotients stay the same, and nothing overflows.

    Source: chapter 5, equation (5.1).
    """
    for k in range(y.shape[0]):
        top, total = y[k].max(), F(0)
        for j in range(y.shape[1]):
            y[k, j] = math.exp(y[k, j] - top)
            total += y[k, j]
        for j in range(y.shape[1]):
            y[k, j] /= total


ACTIVATIONS = {
    "sigmoid": sigmoid,
    "tanh": hyperbolic,
    "scaled_tanh": scaled_tanh,
    "relu": relu,
    "softmax": softmax,
}
"""The activation functions by their names in `spec`; "linear" does nothing."""


def cross_entropy(z, labels, smoothing):
    """Σ_k −Σ_j t[k, j] · ln q[k, j], with q the softmax of the logits z and t the target probabilities.

    t is 1 for the label and 0 for the others; with smoothing ε it is 1 − ε + ε / units, and ε / units for the others.

    Args:
        z: (B, units), logits.
        labels: (B,), below 0 for an example that does not count.

    Returns:
        The sum of the examples' losses, in nats.

    Source: chapter 5, equation (5.2); Szegedy and others 2016, section 7.
    """
    loss = F(0)
    for k in range(z.shape[0]):
        if labels[k] >= 0:
            top, total = z[k].max(), F(0)
            for j in range(z.shape[1]):
                total += math.exp(z[k, j] - top)
            log_total = top + math.log(total)
            for j in range(z.shape[1]):
                target = smoothing / F(z.shape[1])
                target += F(1) - smoothing if j == labels[k] else F(0)
                loss += target * (log_total - z[k, j])
    return loss


def maximum_likelihood(y, labels, j):
    """Σ_k y[k, label]: the distance from the code of the label; `j` is not read.

    Source: the 1998 paper, equation (8); chapter 12, equation (12.2).
    """
    loss = F(0)
    for k in range(y.shape[0]):
        if labels[k] >= 0:
            loss += y[k, labels[k]]
    return loss


def maximum_a_posteriori(y, labels, j):
    """Σ_k y[k, label] + ln(e^(−j) + Σ_i e^(−y[k, i])).

    The label's distance is taken into the sum, so that no large number is added and subtracted again.

    Source: the 1998 paper, equation (9); chapter 12, equation (12.3).
    """
    loss = F(0)
    for k in range(y.shape[0]):
        if labels[k] >= 0:
            own = y[k, labels[k]]
            least = min(y[k].min(), j)
            total = math.exp(least - j)
            for i in range(y.shape[1]):
                total += math.exp(least - y[k, i])
            loss += own - least + math.log(total)
    return loss


LOSSES = {
    "cross-entropy": cross_entropy,
    "maximum likelihood": maximum_likelihood,
    "maximum a posteriori": maximum_a_posteriori,
}
"""The losses by their names in `recipe`."""


def tanh32(x):
    """Return tanh(x) in float32 as a quotient of two polynomials, which a compiler can do for a whole vector at once.

    Source: the coefficients are those of the library Eigen, which TensorFlow uses.
    """
    x = min(max(x, np.float32(-7.9)), np.float32(7.9))
    z, p, q = x * x, np.float32(0), np.float32(0)
    for a in NUMERATOR:
        p = p * z + a
    for a in DENOMINATOR:
        q = q * z + a
    return x * p / q


# fmt: off
NUMERATOR = tuple(np.array([
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11,
    5.12229709037114e-08, 1.48572235717979e-05, 6.37261928875436e-04,
    4.89352455891786e-03,
], np.float32))
DENOMINATOR = tuple(np.array([
    1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03,
    4.89352518554385e-03,
], np.float32))
# fmt: on
