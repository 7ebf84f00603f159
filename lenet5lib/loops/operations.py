"""The loops on pieces of flat arrays: what `network` strings together.

All parameters of a network lie in one flat array, all their gradients in a second, all values of a group of examples in a
third. An operation runs a function of `forward` or `backward` on pieces of these. `at` says where the pieces lie, five whole
numbers each: the place of the first number, then the shape. So all operations take the same arguments, and a network is a
list of them. `now` holds the step, the place of the group's first example in the batch, and the examples' labels.

The functions that are called here, and the capital letters, are constants that `compiled.specialise` sets.
"""

import numpy as np

from lenet5lib.loops.compiled import call
from lenet5lib.loops.philox import key_and_counter, philox_4x32

B, F = 1, np.float64
SETTING, SIGN, SEED, DROPPED = 0.0, 1, 0, 0
function = loss = None


def vector(flat, at, piece):
    """Return a piece as an array of one axis."""
    first = at[5 * piece]
    return flat[first : first + at[5 * piece + 1]]


def matrix(flat, at, piece):
    """Return a piece as an array of two axes."""
    first, a, b = at[5 * piece], at[5 * piece + 1], at[5 * piece + 2]
    return flat[first : first + a * b].reshape((a, b))


def maps(flat, at, piece):
    """Return a piece as an array of three axes."""
    first, a, b = at[5 * piece], at[5 * piece + 1], at[5 * piece + 2]
    c = at[5 * piece + 3]
    return flat[first : first + a * b * c].reshape((a, b, c))


def kernels(flat, at, piece):
    """Return a piece as an array of four axes."""
    first, a, b = at[5 * piece], at[5 * piece + 1], at[5 * piece + 2]
    c, d = at[5 * piece + 3], at[5 * piece + 4]
    return flat[first : first + a * b * c * d].reshape((a, b, c, d))


def table(at, piece):
    """Return the whole numbers that follow the pieces as an array of two axes; their shape stands in this piece."""
    first, a, b = at[5 * piece], at[5 * piece + 1], at[5 * piece + 2]
    return at[first : first + a * b].reshape((a, b))


def pad(weights, gradient, values, at, now):
    function(maps(values, at, 0), at[10], at[11], maps(values, at, 1))


def convolve(weights, gradient, values, at, now):
    function(
        maps(values, at, 0),
        kernels(weights, at, 1),
        vector(weights, at, 2),
        table(at, 3),
        maps(values, at, 4),
    )


def convolve_weights(weights, gradient, values, at, now):
    function(
        maps(values, at, 0),
        maps(values, at, 1),
        table(at, 4),
        kernels(gradient, at, 2),
        vector(gradient, at, 3),
    )


def convolve_inputs(weights, gradient, values, at, now):
    function(
        maps(values, at, 0),
        kernels(weights, at, 1),
        table(at, 2),
        maps(values, at, 3),
    )


def pool(weights, gradient, values, at, now):
    function(maps(values, at, 0), matrix(values, at, 1), maps(values, at, 2))


def pool_inputs(weights, gradient, values, at, now):
    function(
        maps(values, at, 0),
        maps(values, at, 1),
        matrix(values, at, 2),
        maps(values, at, 3),
        maps(values, at, 4),
    )


def subsample(weights, gradient, values, at, now):
    function(
        maps(values, at, 0),
        vector(weights, at, 1),
        vector(weights, at, 2),
        maps(values, at, 3),
    )


def subsample_weights(weights, gradient, values, at, now):
    function(
        maps(values, at, 0),
        maps(values, at, 1),
        vector(gradient, at, 2),
        vector(gradient, at, 3),
    )


def subsample_inputs(weights, gradient, values, at, now):
    function(maps(values, at, 0), vector(weights, at, 1), maps(values, at, 2))


def map_to_map(weights, gradient, values, at, now):
    function(maps(values, at, 0), maps(values, at, 1))


def flatten(weights, gradient, values, at, now):
    function(maps(values, at, 0), matrix(values, at, 1))


def flatten_inputs(weights, gradient, values, at, now):
    function(matrix(values, at, 0), maps(values, at, 1))


def dense(weights, gradient, values, at, now):
    function(
        matrix(values, at, 0),
        matrix(weights, at, 1),
        vector(weights, at, 2),
        matrix(values, at, 3),
    )


def dense_weights(weights, gradient, values, at, now):
    function(
        matrix(values, at, 0),
        matrix(values, at, 1),
        matrix(gradient, at, 2),
        vector(gradient, at, 3),
    )


def by_matrix(weights, gradient, values, at, now):
    function(matrix(values, at, 0), matrix(weights, at, 1), matrix(values, at, 2))


def rbf_inputs(weights, gradient, values, at, now):
    function(
        matrix(values, at, 0),
        matrix(weights, at, 1),
        matrix(values, at, 2),
        matrix(values, at, 3),
    )


def in_place(weights, gradient, values, at, now):
    function(vector(values, at, 0))


def in_place_2(weights, gradient, values, at, now):
    function(vector(values, at, 0), vector(values, at, 1))


def drop(weights, gradient, values, at, now):
    function(vector(values, at, 0), vector(values, at, 1), vector(values, at, 2))


def in_place_rows(weights, gradient, values, at, now):
    function(matrix(values, at, 0))


def in_place_rows_2(weights, gradient, values, at, now):
    function(matrix(values, at, 0), matrix(values, at, 1))


def in_place_channels(weights, gradient, values, at, now):
    """Run a function of rows on each position's channels."""
    y = matrix(values, at, 0)  # (channels, positions · B)
    rows = y.T.copy()
    function(rows)
    y[:] = rows.T


def in_place_channels_2(weights, gradient, values, at, now):
    """Run a function of rows on each position's channels, of values and gradients."""
    y, g = matrix(values, at, 0), matrix(values, at, 1)
    rows = g.T.copy()
    function(y.T.copy(), rows)
    g[:] = rows.T


def draw_mask(weights, gradient, values, at, now):
    """mask[k, j] = 0 with probability `rate`, else 1 / (1 − rate), by seed, step and place, as `layers.Dropout`.

    Where nothing is trained, the step is −1, and the mask is 1.
    """
    mask = matrix(values, at, 0)
    training = now[0] >= 0
    key0, key1, c2, c3 = key_and_counter(SEED, max(now[0], 0))
    for k in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            i = (now[1] + k) * mask.shape[1] + j
            words = philox_4x32(key0, key1, np.uint64(i >> 2), np.uint64(0), c2, c3)
            kept = np.int64(words[i & 3] ^ np.uint64(2**31)) >= DROPPED
            mask[k, j] = F(SETTING) if kept else F(0)
            if not training:
                mask[k, j] = F(1)


def measure(weights, gradient, values, at, now):
    """Add the group's loss, and the number of examples of which the label's output is the best, to the first two values."""
    y = matrix(values, at, 0)
    labels = now[2 : 2 + B]
    values[0] += loss(y, labels, F(SETTING))
    for k in range(B):
        best = 0
        for j in range(1, y.shape[1]):
            if SIGN * y[k, j] > SIGN * y[k, best]:
                best = j
        values[1] += F(1) if best == labels[k] else F(0)


def measure_inputs(weights, gradient, values, at, now):
    """Write the gradient of the loss with respect to the network's output."""
    function(
        matrix(values, at, 0), now[2 : 2 + B], F(SETTING), matrix(values, at, 1)
    )


def gather(images, levels, rows, x):
    """x[0, r, c] = levels[image[r, c]] for the images at these rows, examples innermost; row −1 is no image."""
    for k in range(B):
        image = images[max(rows[k], 0)]
        for r in range(image.shape[0]):
            for c in range(image.shape[1]):
                x[0, r, c * B + k] = levels[image[r, c]]


def give(y, found, first):
    """found[first + k, j] = y[k, j]."""
    for k in range(y.shape[0]):
        for j in range(y.shape[1]):
            found[first + k, j] = y[k, j]


def clear(flat):
    """Set all numbers to 0."""
    for i in range(flat.size):
        flat[i] = 0


def run(operations, at, starts, weights, gradient, values, now):
    """Run the operations in order on one group of examples."""
    for n in range(len(starts) - 1):
        piece = at[starts[n] : starts[n + 1]]
        call(operations[n], weights, gradient, values, piece, now)
