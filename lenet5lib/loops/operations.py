"""Operations: functions of the loops on pieces of flat arrays. `plan` lists a network's, and `run` runs them.

All parameters of a network lie in one flat array, all their gradients in a second, all values of a group of examples in a
third. An operation runs a function of `forward` or `backward` on pieces of these. `at` says where the pieces lie, five whole
numbers each: the place of the first number, then the shape. So all operations take the same arguments, and a network is a
list of them. `now` holds the step, the place of the group's first example in the batch, and the examples' labels.

The functions that are called here, and the capital letters, are constants that `compiled.specialise` sets.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from lenet5lib.loops import compiled, forward
from lenet5lib.loops.compiled import call, specialise
from lenet5lib.loops.parallel import LINE
from lenet5lib.loops.philox import key_and_counter, philox_4x32

FLOATS = LINE // 4
"""float32 numbers of a cache line; pieces begin at whole ones."""
AXES = {1: "vector", 2: "matrix", 3: "maps", 4: "kernels"}
"""The functions of `operations` that take a piece, by its number of axes."""
NOW, LABELS = "now", "now[2 : 2 + B]"
"""Arguments of an operation that are no pieces: the step and the group's place, and the examples' labels."""


class Piece(NamedTuple):
    """A part of a flat array: which array, the place of its first number, its shape, and whether to take it transposed."""

    array: str
    first: int
    shape: tuple[int, ...]
    transposed: bool = False

    @property
    def size(self) -> int:
        """The number of numbers."""
        return prod(self.shape)

    @property
    def flat(self) -> Piece:
        """The same numbers with one axis."""
        return self._replace(shape=(self.size,))

    @property
    def rows(self) -> Piece:
        """The same numbers as rows over which softmax runs: (examples, units), or (positions, channels)."""
        if len(self.shape) == 2:
            return self
        shape = self.shape[0], prod(self.shape[1:])
        return self._replace(shape=shape, transposed=True)

    @property
    def gradient(self) -> Piece:
        """Where the gradient of these parameters lies."""
        return self._replace(array="gradient")

    def of(self, flat: np.ndarray) -> np.ndarray:
        """Return the piece of a flat array, as a view."""
        return flat[self.first : self.first + self.size].reshape(self.shape)

    def entry(self) -> list[int]:
        """Return the five whole numbers that `operations` reads."""
        return [self.first, *self.shape, *([0] * (4 - len(self.shape)))]

    def text(self, n: int) -> str:
        """Return Python text that takes the piece as the n-th argument of an operation."""
        found = f"{AXES[len(self.shape)]}({self.array}, at, {n})"
        return f"{found}.T" if self.transposed else found


@dataclass
class Room:
    """Places in a flat array, given out one after another."""

    array: str
    size: int = 0

    def add(self, *shape: int) -> Piece:
        """Return the next free piece."""
        piece = Piece(self.array, self.size, shape)
        self.size += -(-piece.size // FLOATS) * FLOATS
        return piece


class Call:
    """An operation: a function of `forward`, `backward` or `operations`, its arguments, and the constants in it.

    Args:
        function: what runs.
        *arguments: pieces, whole numbers, tables of whole numbers, or Python text.
        **constants: see `compiled.specialise`.
    """

    def __init__(
        self,
        function: Callable,
        *arguments: Piece | int | np.ndarray | str,
        **constants: Any,
    ) -> None:
        self.function, self.constants = function, constants
        self.at: list[int] = []
        tail: list[int] = []
        written = []
        for n, one in enumerate(arguments):
            entry, text = [0] * 5, str(one)
            if isinstance(one, Piece):
                entry, text = one.entry(), one.text(n)
            elif isinstance(one, np.ndarray):
                first = 5 * len(arguments) + len(tail)
                entry, text = [first, *one.shape, 0, 0], f"matrix(at, at, {n})"
                tail += one.ravel().tolist()
            elif isinstance(one, int):
                entry, text = [one, 0, 0, 0, 0], f"at[{5 * n}]"
            self.at += entry
            written.append(text)
        self.at += tail
        self.operation = on_pieces(", ".join(written))

    def compiled(self, group: int, dtype: Any) -> Any:
        """Return the operation for groups of this size and this type of number, as `compiled.operation` does."""
        common = {"B": group, "F": dtype, **self.constants}
        common["ZEROS"] = (dtype(0),) * self.constants.get("KW", 0)
        single = dtype is np.float32
        common["tanh"] = (
            specialise(forward.tanh32, "inline") if single else math.tanh
        )
        inner = specialise(self.function, "inline", **common)
        return compiled.operation(self.operation, dtype, function=inner, **common)


@functools.cache
def on_pieces(arguments: str) -> Callable:
    """Return an operation that runs `function` on these arguments, written in Python: "matrix(values, at, 0), now", say.

    The name tells operations apart, as the machine code that is kept on disk needs it.
    """
    name = "_".join(["on", *re.findall(r"\w+", arguments)])
    made: dict[str, Callable] = {}
    source = (
        f"def {name}(weights, gradient, values, at, now): function({arguments})"
    )
    exec(source, globals(), made)
    return made[name]


B, F = 1, np.float64
SETTING, SIGN = 0.0, 1
function: Any = None
loss: Any = None


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


def draw_mask(mask, seed, threshold, now):
    """mask[k, j] = 0 with probability `rate`, else 1 / (1 − rate), by seed, step and place, as `layers.Dropout`.

    Where nothing is trained, the step is −1, and the mask is 1.

    Args:
        mask: (B, values).
        seed: of the layer.
        threshold: the smallest random word that is kept, of the words from 0 to 2³² − 1.
        now: the step, and the place of the group's first example in the batch.
    """
    training = now[0] >= 0
    key0, key1, c2, c3 = key_and_counter(seed, max(now[0], 0))
    for k in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            i = (now[1] + k) * mask.shape[1] + j
            words = philox_4x32(key0, key1, np.uint64(i >> 2), np.uint64(0), c2, c3)
            kept = np.int64(words[i & 3] ^ np.uint64(2**31)) >= threshold
            mask[k, j] = F(SETTING) if kept else F(0)
            if not training:
                mask[k, j] = F(1)


def measure(y, labels, totals):
    """Add the group's loss, and the number of examples of which the label's output is the best, to the two totals."""
    totals[0] += loss(y, labels, F(SETTING))
    for k in range(B):
        best = 0
        for j in range(1, y.shape[1]):
            if SIGN * y[k, j] > SIGN * y[k, best]:
                best = j
        totals[1] += F(1) if best == labels[k] else F(0)


def gather(images, levels, rows, x):
    """x[0, r, c] = levels[image[r, c]] for the images at these rows, examples innermost; row −1 is no image."""
    for k in range(B):
        image = images[max(rows[k], 0)]
        for r in range(image.shape[0]):
            for c in range(image.shape[1]):
                x[0, r, c * B + k] = levels[image[r, c]]


def run(operations, at, starts, weights, gradient, values, now):
    """Run the operations in order on one group of examples."""
    for n in range(len(starts) - 1):
        piece = at[starts[n] : starts[n + 1]]
        call(operations[n], weights, gradient, values, piece, now)
