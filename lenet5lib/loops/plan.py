"""An architecture as a list of operations, and the places of all its arrays: what `network` runs.

One function for each kind of layer says which functions of `forward` it calls on the way forward, and which of `backward` on
the way back. Nothing is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from math import gcd, prod
from typing import Any, NamedTuple, assert_never

import numpy as np

from lenet5lib import arithmetic
from lenet5lib.loops import backward, compiled, forward, operations, philox
from lenet5lib.loops.compiled import specialise
from lenet5lib.spec import (
    RBF,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Pool,
    Subsample,
    pair,
)

AT_ONCE = 4
"""Inputs, or examples, that a dense layer reads in one go, if their number allows it."""
LINE = 16
"""float32 numbers of a cache line; arrays begin at whole ones."""


class Piece(NamedTuple):
    """A part of a flat array: the place of its first number, and its shape."""

    first: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    def of(self, flat: np.ndarray) -> np.ndarray:
        """Return the piece of a flat array, as a view."""
        return flat[self.first : self.first + self.size].reshape(self.shape)

    def reshaped(self, *shape: int) -> Piece:
        """Return the same numbers in another shape."""
        return Piece(self.first, shape)

    def flat(self) -> Piece:
        """Return the same numbers with one axis."""
        return Piece(self.first, (self.size,))

    def entry(self) -> list[int]:
        """Return the five whole numbers that `operations` reads."""
        return [self.first, *self.shape, *([0] * (4 - len(self.shape)))]


NOWHERE = Piece(0, ())


@dataclass
class Room:
    """Places in a flat array, given out one after another."""

    size: int = 0

    def add(self, *shape: int) -> Piece:
        """Return the next free piece."""
        piece = Piece(self.size, shape)
        self.size += -(-piece.size // LINE) * LINE
        return piece


@dataclass
class Parameter:
    """One array of parameters.

    Attributes:
        layer: the layer's name.
        piece: where it lies, in the shape of the loops.
        to_keras, from_keras: from the shape of the loops to Keras's, and back.
        trained: whether an optimizer changes it.
        decayed: whether weight decay shrinks it.
    """

    layer: str
    piece: Piece
    to_keras: Callable[[np.ndarray], np.ndarray] = np.copy
    from_keras: Callable[[np.ndarray], np.ndarray] = np.copy
    trained: bool = True
    decayed: bool = True


Call = tuple[Any, list[int]]
"""An operation, as `compiled.operation` returns it, and the whole numbers that say where its arrays lie."""


@dataclass
class Plan:
    """A network as operations.

    Attributes:
        group: B, the examples in a group.
        dtype: the type of number, np.float32 or np.float64.
        seed: of the network, by which dropout draws.
        forward: operations from the input to the output; a softmax of the last layer stands in `finish`, since the loss
            takes it upon itself.
        backward: operations from the output's gradient to that of the parameters.
        parameters: in the order of the layers.
        weights, values: how much room parameters and values take. The first two values are the loss and the number correct.
        fills: pieces of the values that never change, and what they hold.
        outputs: each layer's output by its name.
        inputs, inputs_gradient: the input, and the gradient with respect to it.
        output, output_gradient: of the last layer.
    """

    group: int
    dtype: Any
    seed: int = 0
    forward: list[Call] = field(default_factory=list)
    finish: list[Call] = field(default_factory=list)
    backward: list[Call] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    weights: Room = field(default_factory=Room)
    values: Room = field(default_factory=lambda: Room(LINE))
    fills: list[tuple[Piece, Any]] = field(default_factory=list)
    outputs: dict[str, Piece] = field(default_factory=dict)
    inputs: Piece = NOWHERE
    inputs_gradient: Piece = NOWHERE
    output: Piece = NOWHERE
    output_gradient: Piece = NOWHERE

    def call(
        self,
        operation: Callable,
        function: Callable | None,
        /,
        *entries: Any,
        **own: Any,
    ) -> Call:
        """Return an operation on these pieces.

        Args:
            operation: of `operations`.
            function: of `forward` or `backward`, which it runs; None where it does all by itself.
            entries: pieces, lists of up to five whole numbers, or tables of whole numbers.
            own: constants of the function, or of the operation where there is no function.
        """
        constants = {"B": self.group, "F": self.dtype}
        if function is None:
            constants |= own
        else:
            constants["function"] = self.specialised(function, **own)
        at: list[int] = []
        tail: list[int] = []
        for entry in entries:
            if isinstance(entry, Piece):
                at += entry.entry()
            elif isinstance(entry, np.ndarray):
                at += [5 * len(entries) + len(tail), *entry.shape, 0, 0]
                tail += entry.ravel().tolist()
            else:
                at += [*entry, *([0] * (5 - len(entry)))]
        made = compiled.operation(operation, self.dtype, **constants)
        return made, at + tail

    def specialised(self, function: Callable, **own: Any) -> Callable:
        """Return a function of `forward` or `backward` for this group and type of number."""
        single = self.dtype is np.float32
        own["tanh"] = specialise(forward.tanh32, "inline") if single else math.tanh
        return specialise(function, "inline", B=self.group, F=self.dtype, **own)

    def add_parameter(self, layer: Layer, *shape: int, **more: Any) -> Piece:
        """Return the place of one more array of parameters."""
        piece = self.weights.add(*shape)
        self.parameters.append(Parameter(layer.name, piece, **more))
        return piece


class Place(NamedTuple):
    """Where a layer stands: its input and output, their gradients, and whether its input's gradient is wanted."""

    x: Piece
    gx: Piece
    y: Piece
    gy: Piece
    back: bool


def make(
    architecture: Architecture,
    group: int,
    dtype: Any = np.float32,
    seed: int = 0,
    inputs_gradient: bool = False,
) -> Plan:
    """Return an architecture as operations.

    Args:
        architecture: whose layers.
        group: B.
        dtype: np.float32 or np.float64.
        seed: of the network, by which dropout draws.
        inputs_gradient: whether the gradient with respect to the input is computed, too.
    """
    made = Plan(group, dtype, seed)
    height, width, channels = architecture.input_shape
    x = made.inputs = made.values.add(channels, height, width * group)
    gx = made.inputs_gradient = made.values.add(*x.shape)
    back = inputs_gradient
    for number, (layer, _, shape) in enumerate(arithmetic.walk(architecture)):
        y = made.values.add(*_shape(shape, group))
        gy = made.values.add(*y.shape)
        to, fro = _layer(made, number, layer, Place(x, gx, y, gy, back))
        activation = getattr(layer, "activation", "linear")
        if activation == "softmax" and layer is architecture.layers[-1]:
            made.finish = [_activation(made, activation, y, gy)[0]]
        elif activation != "linear":
            one, other = _activation(made, activation, y, gy)
            to, fro = [*to, one], [other, *fro]
        made.forward += to
        made.backward = fro + made.backward
        made.outputs[layer.name] = y
        back = back or any(one.trained for one in made.parameters)
        x, gx = y, gy
    made.output, made.output_gradient = x, gx
    return made


def _shape(shape: tuple[int, ...], group: int) -> tuple[int, ...]:
    """Return the shape of a group's values, for that of one example in Keras's order."""
    if len(shape) == 1:
        return group, shape[0]
    height, width, channels = shape
    return channels, height, width * group


def _activation(made: Plan, name: str, y: Piece, gy: Piece) -> tuple[Call, Call]:
    """Return an activation's operations, forward and back; they work in place."""
    if name != "softmax":
        one, other = forward.ACTIVATIONS[name], backward.ACTIVATIONS[name]
        return (
            made.call(operations.in_place, one, y.flat()),
            made.call(operations.in_place_2, other, y.flat(), gy.flat()),
        )
    kinds = operations.in_place_rows, operations.in_place_rows_2
    if len(y.shape) == 3:
        kinds = operations.in_place_channels, operations.in_place_channels_2
        y, gy = (one.reshaped(one.shape[0], prod(one.shape[1:])) for one in (y, gy))
    return (
        made.call(kinds[0], forward.softmax, y),
        made.call(kinds[1], backward.softmax_inputs, y, gy),
    )


def _layer(
    made: Plan, number: int, layer: Layer, place: Place
) -> tuple[list[Call], list[Call]]:
    """Return a layer's operations without its activation, forward and back."""
    match layer:
        case Conv():
            return _convolution(made, layer, place)
        case Pool():
            return _pooling(made, layer, place)
        case Subsample():
            return _subsampling(made, layer, place)
        case Flatten():
            return (
                [made.call(operations.flatten, forward.flatten, place.x, place.y)],
                [
                    made.call(
                        operations.flatten_inputs,
                        backward.flatten_inputs,
                        place.gy,
                        place.gx,
                    )
                ],
            )
        case Dense():
            return _dense(made, layer, place)
        case RBF():
            return _rbf(made, layer, place)
        case Dropout():
            return _dropout(made, 1000 * made.seed + number, layer, place)
        case _:
            assert_never(layer)


def _margins(
    layer: Conv | Pool,
    window: tuple[int, int],
    stride: tuple[int, int],
    x: Piece,
    B: int,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the padding of a layer: (above, below) and (left, right)."""
    if layer.padding == "valid":
        return (0, 0), (0, 0)
    sizes = x.shape[1], x.shape[2] // B
    down, right = (
        arithmetic.same_padding(size, k, s)
        for size, k, s in zip(sizes, window, stride, strict=True)
    )
    return down, right


def _padded(
    made: Plan, place: Place, margins: tuple, around: float = 0.0
) -> tuple[list[Call], list[Call], Piece, Piece]:
    """Return the operations that pad an input and crop its gradient, and both in their padded shape."""
    (above, below), (left, right) = margins
    if above + below + left + right == 0:
        return [], [], place.x, place.gx
    channels, rows, columns = place.x.shape
    shape = channels, rows + above + below, columns + (left + right) * made.group
    x, gx = made.values.add(*shape), made.values.add(*shape)
    made.fills.append((x, around))
    corner = [above, left]
    to = made.call(operations.pad, forward.pad, place.x, x, corner)
    fro = made.call(operations.pad, backward.pad_inputs, gx, place.gx, corner)
    return [to], [fro], x, gx


def _convolution(
    made: Plan, layer: Conv, place: Place
) -> tuple[list[Call], list[Call]]:
    """Return a convolution's operations, and add its parameters."""
    (kh, kw), (sh, sw) = pair(layer.kernel_size), pair(layer.stride)
    margins = _margins(layer, (kh, kw), (sh, sw), place.x, made.group)
    pad, crop, x, gx = _padded(made, place, margins)
    ins, outs = x.shape[0], layer.filters
    reads = np.ones((outs, ins), np.int64)
    convert = {"to_keras": _to_keras, "from_keras": _from_keras}
    if layer.table:
        reads = np.array([[n in row for n in range(ins)] for row in layer.table])
        reads, convert = reads.astype(np.int64), _by_table(layer.table, ins)
    w = made.add_parameter(layer, outs, ins, kh, kw, **convert)
    b = made.add_parameter(layer, outs, decayed=False)
    own = {"KH": kh, "KW": kw, "SH": sh, "SW": sw}
    to = made.call(
        operations.convolve, forward.convolve, x, w, b, reads, place.y, **own
    )
    weights = made.call(
        operations.convolve_weights,
        backward.convolve_weights,
        *(x, place.gy, w, b, reads),
        **own,
        ZEROS=(made.dtype(0),) * kw,
    )
    inputs: list[Call] = []
    if place.back:
        inputs = [*_convolution_inputs(made, place.gy, w, reads, gx, own), *crop]
    return [*pad, to], [weights, *inputs]


def _convolution_inputs(
    made: Plan,
    gy: Piece,
    w: Piece,
    reads: np.ndarray,
    gx: Piece,
    own: dict[str, int],
) -> list[Call]:
    """Return the operations from a convolution's output gradient to that of its padded input."""
    maps, rows, columns = gy.shape
    width = (columns // made.group - 1) * own["SW"] + 1 + 2 * (own["KW"] - 1)
    wide = made.values.add(maps, rows, width * made.group)
    spaced = {"KW": own["KW"], "SW": own["SW"]}
    return [
        made.call(operations.map_to_map, backward.spread, gy, wide, **spaced),
        made.call(
            operations.convolve_inputs,
            backward.convolve_inputs,
            *(wide, w, reads, gx),
            **own,
        ),
    ]


def _to_keras(w: np.ndarray) -> np.ndarray:
    """Bring kernels (out, in, height, width) to Keras's (height, width, in, out)."""
    return np.ascontiguousarray(w.transpose(2, 3, 1, 0))


def _from_keras(w: np.ndarray) -> np.ndarray:
    """Bring Keras's kernels (height, width, in, out) to (out, in, height, width)."""
    return w.transpose(3, 2, 0, 1)


def _by_table(table: tuple[tuple[int, ...], ...], ins: int) -> dict[str, Callable]:
    """Return how the kernels of a table become those of `layers.TableConv2D`, (height, width, kernels), and back."""
    outs = np.repeat(np.arange(len(table)), [len(row) for row in table])
    sources = np.concatenate([np.asarray(row) for row in table])

    def to_keras(w: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(w[outs, sources].transpose(1, 2, 0))

    def from_keras(kernel: np.ndarray) -> np.ndarray:
        w = np.zeros((len(table), ins, *kernel.shape[:2]), kernel.dtype)
        w[outs, sources] = kernel.transpose(2, 0, 1)
        return w

    return {"to_keras": to_keras, "from_keras": from_keras}


def _pooling(
    made: Plan, layer: Pool, place: Place
) -> tuple[list[Call], list[Call]]:
    """Return pooling's operations."""
    (kh, kw), (sh, sw) = pair(layer.size), layer.step
    margins = _margins(layer, (kh, kw), (sh, sw), place.x, made.group)
    top = layer.mode == "max"
    pad, crop, x, gx = _padded(made, place, margins, -np.inf if top else 0.0)
    rows, columns = place.y.shape[1], place.y.shape[2] // made.group
    share = made.values.add(rows, columns)
    sizes = place.x.shape[1], place.x.shape[2] // made.group
    # Of each window the cells that are not padding.
    down, right = (
        [
            min(before + size, first * s + k) - max(before, first * s)
            for first in range(count)
        ]
        for before, size, k, s, count in zip(
            (margins[0][0], margins[1][0]),
            sizes,
            (kh, kw),
            (sh, sw),
            (rows, columns),
            strict=True,
        )
    )
    made.fills.append((share, 1 / np.outer(down, right)))
    own = {"KH": kh, "KW": kw, "SH": sh, "SW": sw}
    to, fro = forward.average, backward.average_inputs
    if top:
        to, fro = forward.largest, backward.largest_inputs
    back = made.call(
        operations.pool_inputs, fro, place.gy, x, share, place.y, gx, **own
    )
    ahead = made.call(operations.pool, to, x, share, place.y, **own)
    return [*pad, ahead], [back, *crop] if place.back else []


def _subsampling(
    made: Plan, layer: Subsample, place: Place
) -> tuple[list[Call], list[Call]]:
    """Return trainable subsampling's operations, and add its parameters."""
    kh, kw = pair(layer.size)
    w = made.add_parameter(layer, place.x.shape[0])
    b = made.add_parameter(layer, place.x.shape[0], decayed=False)
    own = {"KH": kh, "KW": kw}
    to = made.call(
        operations.subsample, forward.subsample, place.x, w, b, place.y, **own
    )
    weights = made.call(
        operations.subsample_weights,
        backward.subsample_weights,
        *(place.x, place.gy, w, b),
        **own,
    )
    inputs = made.call(
        operations.subsample_inputs,
        backward.subsample_inputs,
        *(place.gy, w, place.gx),
        **own,
    )
    return [to], [weights, inputs] if place.back else [weights]


def _dense(made: Plan, layer: Dense, place: Place) -> tuple[list[Call], list[Call]]:
    """Return a dense layer's operations, and add its parameters."""
    inputs = place.x.shape[1]
    w = made.add_parameter(layer, inputs, layer.units)
    b = made.add_parameter(layer, layer.units, decayed=False)
    to = made.call(
        operations.dense,
        forward.dense,
        *(place.x, w, b, place.y),
        U=gcd(inputs, AT_ONCE),
    )
    weights = made.call(
        operations.dense_weights,
        backward.dense_weights,
        *(place.x, place.gy, w, b),
        U=gcd(made.group, AT_ONCE),
    )
    back = made.call(
        operations.by_matrix, backward.dense_inputs, place.gy, w, place.gx
    )
    return [to], [weights, back] if place.back else [weights]


def _rbf(made: Plan, layer: RBF, place: Place) -> tuple[list[Call], list[Call]]:
    """Return an RBF layer's operations, and add its codes."""
    codes = made.add_parameter(
        layer, layer.units, place.x.shape[1], trained=False, decayed=False
    )
    to = made.call(operations.by_matrix, forward.rbf, place.x, codes, place.y)
    inputs = made.call(
        operations.rbf_inputs,
        backward.rbf_inputs,
        *(place.x, codes, place.gy, place.gx),
    )
    return [to], [inputs] if place.back else []


def _dropout(
    made: Plan, seed: int, layer: Dropout, place: Place
) -> tuple[list[Call], list[Call]]:
    """Return dropout's operations; its mask is drawn in Keras's order of the values."""
    mask = made.values.add(*place.x.shape)
    drawn = mask
    if len(mask.shape) == 3:
        drawn = made.values.add(made.group, mask.size // made.group)
    draw = made.call(
        operations.draw_mask,
        None,
        drawn,
        SEED=seed % 2**31,
        DROPPED=philox.dropout_threshold(layer.rate) + 2**31,
        SETTING=1 / (1 - layer.rate),
        philox_4x32=specialise(philox.philox_4x32, "inner"),
        key_and_counter=specialise(philox.key_and_counter, "inner"),
    )
    order = []
    if drawn is not mask:
        order = [
            made.call(
                operations.flatten_inputs, backward.flatten_inputs, drawn, mask
            )
        ]
    pieces = place.x.flat(), mask.flat(), place.y.flat()
    back = place.gy.flat(), mask.flat(), place.gx.flat()
    return (
        [draw, *order, made.call(operations.drop, forward.drop, *pieces)],
        [made.call(operations.drop, backward.drop_inputs, *back)],
    )
