"""The random numbers of TensorFlow's `tf.random.stateless_uniform` on a CPU, bit for bit, without TensorFlow.

Philox 4x32-10 turns a key and a counter into four words of 32 bits; the next four come from the next counter. So any number
is a function of the seeds and of its place, and none needs those before it. This is no general generator: it gives uniform
numbers from two seeds, for initial weights and dropout.

Source: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

from math import prod

import numpy as np

ROUNDS = 10
FACTORS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
"""The two multipliers of a round. Source: table 2 of the article, 4x32."""
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
"""What the two halves of the key grow by in a round: fractions of the golden ratio and of √3."""
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
FIRST_KEY = np.uint64(0x3EC8F720), np.uint64(0x02461E29)
"""The key under which TensorFlow scrambles seeds. Source: `GenerateKey` in its stateless_random_ops.cc."""


def philox_4x32(key0, key1, c0, c1, c2, c3):
    """Return the four random words of one counter, or of many.

    Works on scalars and on arrays, in NumPy and compiled by numba. All six arguments are uint64 that hold 32 bits each, and
    so are the four results: the product of two words needs 64.

    Args:
        key0, key1: the key, its low word first.
        c0, c1, c2, c3: the counter, its lowest word first.
    """
    for _ in range(ROUNDS):
        first, second = FACTORS[0] * c0, FACTORS[1] * c2
        c0, c1 = (second >> HALF) ^ c1 ^ key0, second & LOW
        c2, c3 = (first >> HALF) ^ c3 ^ key1, first & LOW
        key0, key1 = (key0 + WEYL[0]) & LOW, (key1 + WEYL[1]) & LOW
    return c0, c1, c2, c3


def key_and_counter(
    seed0: int, seed1: int
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return where the random numbers of two seeds begin: (key0, key1, c2, c3), uint64 that hold 32 bits each.

    The numbers 4n to 4n + 3 are `philox_4x32(key0, key1, n, 0, c2, c3)`: the two lower words of the counter begin at 0.

    Args:
        seed0, seed1: 0 or more, below 2^63.

    Raises:
        OverflowError: a negative seed.

    >>> [int(word) for word in key_and_counter(7, 0)]
    [747267325, 4286427752, 2291564421, 913705451]
    """
    one, other = np.uint64(seed0), np.uint64(seed1)
    key0, key1 = FIRST_KEY
    return philox_4x32(
        key0, key1, one & LOW, one >> HALF, other & LOW, other >> HALF
    )


def random_bits(shape: tuple[int, ...], seed0: int, seed1: int) -> np.ndarray:
    """Return random words of 32 bits, uint32 of this shape: all values are equally likely.

    The same as `tf.random.stateless_uniform(shape, (seed0, seed1), None, None, tf.uint32)`.
    """
    key0, key1, c2, c3 = key_and_counter(seed0, seed1)
    size = prod(shape)
    counters = np.arange(-(-size // 4), dtype=np.uint64)
    words = philox_4x32(key0, key1, counters & LOW, counters >> HALF, c2, c3)
    return np.stack(words, -1).astype(np.uint32).ravel()[:size].reshape(shape)


def uniform(
    shape: tuple[int, ...], low: float, high: float, seed: int
) -> np.ndarray:
    """Return numbers from `low` to below `high`, float32 of this shape: those of `keras.random.uniform` on TensorFlow.

    Args:
        shape: of the result.
        low, high: the interval.
        seed: a whole number.
    """
    # Keras brings a seed into int32 in this way; the second seed it leaves at 0.
    bits = random_bits(shape, seed % (2**31 - 2), 0)
    # The 23 low bits become the fraction of a number from 1 to below 2.
    fractions = (bits & np.uint32(0x7FFFFF) | np.uint32(127 << 23)).view(np.float32)
    lower, upper = np.float32(low), np.float32(high)
    return (fractions - np.float32(1)) * (upper - lower) + lower


def dropout_threshold(rate: float) -> int:
    """Return the smallest int32 that `layers.Dropout` keeps, of random words read as int32.

    >>> dropout_threshold(0), dropout_threshold(0.5)
    (-2147483648, 0)
    """
    return round(rate * 2**32) - 2**31
