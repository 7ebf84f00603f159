"""An architecture as a list of operations, and the places of all its arrays: what `network` runs.

One function for each kind of layer says which functions of `forward` the forward pass calls, and which of `backward` the
backward pass. Nothing is computed or compiled here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any, NamedTuple, assert_never

import numpy as np

from lenet5lib import arithmetic, spec
from lenet5lib.loops import backward, forward, operations, philox
from lenet5lib.loops.compiled import specialise
from lenet5lib.loops.operations import NOW, Call, Piece, Room

AT_ONCE = 4
"""Inputs, or examples, that a dense layer reads in one go, if their number allows it."""


@dataclass
class Parameter:
    """One array of parameters.

    Attributes:
        layer: the layer's name.
        piece: where it lies, in the shape of the loops.
        trained: whether an optimizer changes it.
        decayed: whether weight decay shrinks it.
        listed: of kernels by a table, the filter and the input channel of each; None without a table.
    """

    layer: str
    piece: Piece
    trained: bool = True
    decayed: bool = True
    listed: tuple[np.ndarray, ...] | None = None

    def to_keras(self, array: np.ndarray) -> np.ndarray:
        """Return an array of the loops in Keras's shape, kernels (height, width, in, out) or (height, width, kernels)."""
        if array.ndim == 4 and self.listed is None:
            return np.ascontiguousarray(array.transpose(2, 3, 1, 0))
        if array.ndim == 4:
            return np.ascontiguousarray(array[self.listed].transpose(1, 2, 0))
        return array.copy()

    def from_keras(self, array: np.ndarray) -> np.ndarray:
        """Return an array of Keras in the shape of the loops; kernels that a table leaves out are 0."""
        if array.ndim == 4:
            return array.transpose(3, 2, 0, 1)
        if self.listed is None:
            return array
        found = np.zeros(self.piece.shape, array.dtype)
        found[self.listed] = array.transpose(2, 0, 1)
        return found


class Calls(NamedTuple):
    """A layer's operations: the forward pass, the gradients of its parameters, and the gradient of its inputs."""

    forward: Sequence[Call]
    weights: Sequence[Call]
    inputs: Sequence[Call]


NOWHERE = Piece("values", 0, ())


@dataclass
class Plan:
    """A network as operations.

    Attributes:
        group: B, the examples in a group.
        forward: operations from the input to the output; a softmax of the last layer stands in `finish`, since the loss
            takes it upon itself.
        backward: operations from the output's gradient to that of the parameters.
        parameters: in the order of the layers.
        weights, values: how much room parameters and values take.
        totals: the loss and the number of correct predictions.
        fills: pieces of the values that never change, and what they hold.
        outputs: each layer's output by its name.
        inputs, inputs_gradient: the input, and the gradient with respect to it.
        output, output_gradient: of the last layer.
    """

    group: int
    forward: list[Call] = field(default_factory=list)
    finish: list[Call] = field(default_factory=list)
    backward: list[Call] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    weights: Room = field(default_factory=lambda: Room("weights"))
    values: Room = field(default_factory=lambda: Room("values"))
    fills: list[tuple[Piece, Any]] = field(default_factory=list)
    outputs: dict[str, Piece] = field(default_factory=dict)
    totals: Piece = NOWHERE
    inputs: Piece = NOWHERE
    inputs_gradient: Piece = NOWHERE
    output: Piece = NOWHERE
    output_gradient: Piece = NOWHERE

    def add_values(self, shape: tuple[int, ...]) -> Piece:
        """Return the place of a group's values, for the shape of one example in Keras's order."""
        if len(shape) == 1:
            return self.values.add(self.group, shape[0])
        height, width, channels = shape
        return self.values.add(channels, height, width * self.group)

    def add_parameter(self, layer: spec.Layer, *shape: int, **more: Any) -> Piece:
        """Return the place of one more array of parameters."""
        piece = self.weights.add(*shape)
        self.parameters.append(Parameter(layer.name, piece, **more))
        return piece

    def add_bias(self, layer: spec.Layer, count: int) -> Piece:
        """Return the place of a layer's biases, which weight decay leaves alone."""
        return self.add_parameter(layer, count, decayed=False)


class Place(NamedTuple):
    """Where a layer stands: its input and output and their gradients, and the shapes of one example of each."""

    x: Piece
    gx: Piece
    y: Piece
    gy: Piece
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def make(
    architecture: spec.Architecture,
    group: int,
    seed: int = 0,
    inputs_gradient: bool = False,
) -> Plan:
    """Return an architecture as operations.

    Args:
        architecture: whose layers.
        group: B.
        seed: of the network, by which dropout draws.
        inputs_gradient: whether the gradient with respect to the input is computed, too.
    """
    made = Plan(group)
    made.totals = made.values.add(2)
    x = made.inputs = made.add_values(architecture.input_shape)
    gx = made.inputs_gradient = made.values.add(*x.shape)
    for number, (layer, *shapes) in enumerate(arithmetic.walk(architecture)):
        back = inputs_gradient or any(one.trained for one in made.parameters)
        y, gy = made.add_values(shapes[1]), made.add_values(shapes[1])
        place = Place(x, gx, y, gy, *shapes)
        # A seed for each layer, so that no two drop the same places.
        calls = _layer(made, layer, place, 1000 * seed + number)
        activation = spec.activation_of(layer)
        ahead, behind = _activation(activation, y, gy)
        if activation == "softmax" and layer is architecture.layers[-1]:
            made.finish, ahead, behind = ahead, [], []
        made.forward += [*calls.forward, *ahead]
        inputs = calls.inputs if back else ()
        made.backward = [*behind, *calls.weights, *inputs, *made.backward]
        made.outputs[layer.name] = y
        x, gx = y, gy
    made.output, made.output_gradient = x, gx
    return made


def _layer(made: Plan, layer: spec.Layer, place: Place, seed: int) -> Calls:
    """Return a layer's operations without its activation, and add its parameters."""
    match layer:
        case spec.Conv():
            return _convolution(made, layer, place)
        case spec.Pool():
            return _pooling(made, layer, place)
        case spec.Subsample():
            return _subsampling(made, layer, place)
        case spec.Flatten():
            return _flatten(place)
        case spec.Dense():
            return _dense(made, layer, place)
        case spec.RBF():
            return _rbf(made, layer, place)
        case spec.Dropout():
            return _dropout(made, layer, place, seed)
        case _:
            assert_never(layer)


def _activation(name: str, y: Piece, gy: Piece) -> tuple[list[Call], list[Call]]:
    """Return an activation's operations, forward and back; they work in place."""
    if name == "linear":
        return [], []
    y, gy = (y.rows, gy.rows) if name == "softmax" else (y.flat, gy.flat)
    ahead = Call(forward.ACTIVATIONS[name], y)
    return [ahead], [Call(backward.ACTIVATIONS[name], y, gy)]


def window_constants(
    layer: spec.Conv | spec.Pool | spec.Subsample,
) -> dict[str, int]:
    """Return the constants of the loops that slide a window."""
    (height, width), (down, right) = arithmetic.window(layer)
    return {"KH": height, "KW": width, "SH": down, "SW": right}


def _padded(
    made: Plan, layer: spec.Conv | spec.Pool, place: Place, around: float = 0.0
) -> tuple[list[Call], list[Call], Piece, Piece]:
    """Return the operations that pad an input and crop its gradient, and both in their padded shape."""
    (above, below), (left, right) = arithmetic.zero_padding(layer, place.inputs)
    if above + below + left + right == 0:
        return [], [], place.x, place.gx
    height, width, channels = place.inputs
    shape = height + above + below, width + left + right, channels
    x, gx = made.add_values(shape), made.add_values(shape)
    made.fills.append((x, around))
    pad = Call(forward.pad, place.x, above, left, x)
    return [pad], [Call(backward.pad_inputs, gx, above, left, place.gx)], x, gx


def _convolution(made: Plan, layer: spec.Conv, place: Place) -> Calls:
    """Return a convolution's operations, and add its parameters."""
    own = window_constants(layer)
    kh, kw = own["KH"], own["KW"]
    pad, crop, x, gx = _padded(made, layer, place)
    ins = place.inputs[2]
    reads, listed = reads_of(layer.table, layer.filters, ins), None
    if layer.table:
        # In the order of the table's rows.
        pairs = [(m, n) for m, row in enumerate(layer.table) for n in row]
        listed = tuple(np.transpose(pairs))
    w = made.add_parameter(layer, layer.filters, ins, kh, kw, listed=listed)
    b = made.add_bias(layer, layer.filters)
    # The output's gradient, with zeros between the columns and around them.
    rows, columns, _ = place.outputs
    width = (columns - 1) * own["SW"] + 1 + 2 * (kw - 1)
    wide = made.add_values((rows, width, layer.filters))
    gradients = place.gy, reads, w.gradient, b.gradient
    return Calls(
        [*pad, Call(forward.convolve, x, w, b, reads, place.y, **own)],
        [Call(backward.convolve_weights, x, *gradients, **own)],
        [
            Call(backward.spread, place.gy, wide, KW=kw, SW=own["SW"]),
            Call(backward.convolve_inputs, wide, w, reads, gx, **own),
            *crop,
        ],
    )


def reads_of(
    table: spec.Table | None, filters: int, in_channels: int
) -> np.ndarray:
    """Return a table as (filters, channels in), 1 where a filter reads a channel, else 0; all 1 without a table."""
    rows = (range(in_channels),) * filters if table is None else table
    reads = [[n in row for n in range(in_channels)] for row in rows]
    return np.array(reads, np.int64)


def window_shares(layer: spec.Pool, inputs: arithmetic.Shape) -> np.ndarray:
    """Return 1 over the number of cells in each window that are not padding, (rows, columns)."""
    counts = arithmetic.output_shape(layer, inputs)
    margins = arithmetic.zero_padding(layer, inputs)
    cells = []
    for axis, (size, stride) in enumerate(
        zip(*arithmetic.window(layer), strict=True)
    ):
        first = stride * np.arange(counts[axis]) - margins[axis][0]
        end = np.minimum(first + size, inputs[axis])
        cells.append(end - np.maximum(first, 0))
    return 1 / np.outer(*cells)


def _pooling(made: Plan, layer: spec.Pool, place: Place) -> Calls:
    """Return pooling's operations."""
    own, top = window_constants(layer), layer.mode == "max"
    pad, crop, x, gx = _padded(made, layer, place, -np.inf if top else 0.0)
    share = made.values.add(*place.outputs[:2])
    made.fills.append((share, window_shares(layer, place.inputs)))
    to, fro = forward.average, backward.average_inputs
    if top:
        to, fro = forward.largest, backward.largest_inputs
    back = Call(fro, place.gy, x, share, place.y, gx, **own)
    ahead = Call(to, x, share, place.y, **own)
    return Calls([*pad, ahead], [], [back, *crop])


def _subsampling(made: Plan, layer: spec.Subsample, place: Place) -> Calls:
    """Return trainable subsampling's operations, and add its parameters."""
    own, channels = window_constants(layer), place.inputs[2]
    w, b = made.add_parameter(layer, channels), made.add_bias(layer, channels)
    gradients = place.gy, w.gradient, b.gradient
    return Calls(
        [Call(forward.subsample, place.x, w, b, place.y, **own)],
        [Call(backward.subsample_weights, place.x, *gradients, **own)],
        [Call(backward.subsample_inputs, place.gy, w, place.gx, **own)],
    )


def _flatten(place: Place) -> Calls:
    """Return the operations of flattening."""
    back = Call(backward.flatten_inputs, place.gy, place.gx)
    return Calls([Call(forward.flatten, place.x, place.y)], [], [back])


def _dense(made: Plan, layer: spec.Dense, place: Place) -> Calls:
    """Return a dense layer's operations, and add its parameters."""
    inputs = place.inputs[0]
    w = made.add_parameter(layer, inputs, layer.units)
    b = made.add_bias(layer, layer.units)
    ahead, back = {"U": gcd(inputs, AT_ONCE)}, {"U": gcd(made.group, AT_ONCE)}
    gradients = place.gy, w.gradient, b.gradient
    return Calls(
        [Call(forward.dense, place.x, w, b, place.y, **ahead)],
        [Call(backward.dense_weights, place.x, *gradients, **back)],
        [Call(backward.dense_inputs, place.gy, w, place.gx)],
    )


def _rbf(made: Plan, layer: spec.RBF, place: Place) -> Calls:
    """Return an RBF layer's operations, and add its codes."""
    shape, fixed = (layer.units, place.inputs[0]), {"trained": False}
    codes = made.add_parameter(layer, *shape, decayed=False, **fixed)
    back = Call(backward.rbf_inputs, place.x, codes, place.gy, place.gx)
    return Calls([Call(forward.rbf, place.x, codes, place.y)], [], [back])


def _dropout(made: Plan, layer: spec.Dropout, place: Place, seed: int) -> Calls:
    """Return dropout's operations; its mask is drawn in Keras's order of the values."""
    mask = drawn = made.values.add(*place.x.shape)
    order = []
    if len(mask.shape) == 3:
        drawn = made.values.add(made.group, mask.size // made.group)
        order = [Call(backward.flatten_inputs, drawn, mask)]
    threshold = philox.dropout_threshold(layer.rate) + 2**31
    draw = Call(
        *(operations.draw_mask, drawn, seed % 2**31, threshold, NOW),
        SETTING=1 / (1 - layer.rate),
        philox_4x32=specialise(philox.philox_4x32, "inner"),
        key_and_counter=specialise(philox.key_and_counter, "inner"),
    )
    ahead = Call(forward.drop, place.x.flat, mask.flat, place.y.flat)
    back = Call(forward.drop, place.gy.flat, mask.flat, place.gx.flat)
    return Calls([draw, *order, ahead], [], [back])
