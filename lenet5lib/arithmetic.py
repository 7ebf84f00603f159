"""The arithmetic of a network: sizes, parameters, connections, multiply–accumulates, receptive fields.

Plain integers computed from the specification alone; no TensorFlow, no NumPy, no model. Chapters 2 and 3 derive every
formula that stands here; `models.confirm` compares the results with the network that Keras built.

Two words are kept apart, as the 1998 paper keeps them:

- a *connection* joins one input value, or one bias, to one unit, so connections count the bias;
- a *multiply–accumulate* (MAC) multiplies an input by a weight and adds the product, so MACs do not.

A unit of trainable subsampling multiplies once, the sum of its window by the coefficient, and an RBF unit once for each of
its inputs, a difference by itself. These count as MACs; sums and differences alone do not.

A window that reaches into zero padding counts in full, in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from lenet5lib._checks import require_int
from lenet5lib.spec import (
    RBF,
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Pair,
    Pool,
    Subsample,
    pair,
    require_layer,
)

Shape = tuple[int, ...]


def output_size(
    input_size: int, kernel_size: int, stride: int = 1, padding: int | str = 0
) -> int:
    """Return the number of window positions along one side: o = ⌊(i + 2p − k) / s⌋ + 1.

    Args:
        input_size: i, pixels along the side, 1 or more.
        kernel_size: k, pixels of the window along the side, 1 or more.
        stride: s, pixels that the window moves at each step, 1 or more.
        padding: p, zeros added at each end; or "valid" (0); or "same", TensorFlow's rule o = ⌈i / s⌉, which may add
            one zero more at the far end than at the near one.

    Raises:
        ValueError: a size that is not a positive whole number, or a window larger than the padded input.

    Source: chapter 2, equation (2.2).

    >>> output_size(28, 5), output_size(28, 5, padding=2), output_size(28, 2, stride=2)
    (24, 28, 14)
    >>> output_size(28, 5, stride=3, padding="same")
    10
    """
    i = require_int("input_size", input_size)
    k = require_int("kernel_size", kernel_size)
    s = require_int("stride", stride)
    if padding == "same":
        return -(-i // s)
    p = 0 if padding == "valid" else require_int("padding", padding, minimum=0)
    if k > i + 2 * p:
        raise ValueError(
            f"kernel_size {k} is larger than the padded input, {i} + 2·{p} = {i + 2 * p}; expected a window that fits. "
            "Use a smaller kernel, a larger input or more padding."
        )
    return (i + 2 * p - k) // s + 1


def same_padding(input_size: int, kernel_size: int, stride: int = 1) -> Pair:
    """Return the zeros that TensorFlow's "same" adds (before, after) along one side.

    The total is max((o − 1)·s + k − i, 0) with o = ⌈i / s⌉; an odd total puts the extra zero after.

    Raises:
        ValueError: a size that is not a positive whole number.

    Source: chapter 2, equation (2.3).

    >>> same_padding(28, 5), same_padding(28, 2), same_padding(5, 4, stride=2)
    ((2, 2), (0, 1), (1, 2))
    """
    o = output_size(input_size, kernel_size, stride, "same")
    total = max((o - 1) * stride + kernel_size - input_size, 0)
    return total // 2, total - total // 2


def _window(layer: Conv | Pool | Subsample) -> tuple[Pair, Pair]:
    """Return (window, stride) of a layer that slides one, each as (height, width)."""
    if isinstance(layer, Conv):
        return pair(layer.kernel_size), pair(layer.stride)
    return pair(layer.size), layer.step


def _require_shape(layer: Layer, input_shape: Shape) -> None:
    """Raise ValueError unless the layer can read an input of this shape."""
    require_layer(layer)
    expected = 1 if isinstance(layer, (Dense, RBF)) else 3
    if isinstance(layer, Conv) and layer.table and len(input_shape) == 3:
        _require_connected(layer, input_shape[2])
    if len(input_shape) != expected and not isinstance(layer, Dropout):
        needs = (
            "a flat vector (units,)" if expected == 1 else "(height, width, maps)"
        )
        remedy = (
            "Put a Flatten before it."
            if expected == 1
            else "Move it before the Flatten."
        )
        raise ValueError(
            f"{layer.name} receives an input of shape {input_shape}; expected {needs}. {remedy}"
        )


def _require_connected(layer: Conv, in_maps: int) -> None:
    """Raise ValueError unless the layer's table names every one of its input's maps, and no other."""
    for number, row in enumerate(layer.table):
        if max(row) >= in_maps:
            raise ValueError(
                f"{layer.name}: row {number} of its table names input map {max(row)}; expected 0 to {in_maps - 1}, since "
                f"{in_maps} maps come in. Correct the table or the layer before it."
            )
    used = {source for row in layer.table for source in row}
    missing = [str(source) for source in range(in_maps) if source not in used]
    if missing:
        *most, last = missing
        named = f"maps {', '.join(most)} and {last}" if most else f"map {last}"
        raise ValueError(
            f"{layer.name}: its table leaves input {named} unconnected; expected each of the {in_maps} maps "
            "that come in to feed one that goes out. Name it in a row."
        )


def output_shape(layer: Layer, input_shape: Shape) -> Shape:
    """Return the layer's output shape for one input: (height, width, maps), or (units,) once flat.

    Raises:
        ValueError: the input has the wrong number of axes, or the window does not fit; the layer is named.

    >>> output_shape(Conv("C3", filters=16, kernel_size=5), (14, 14, 6))
    (10, 10, 16)
    """
    _require_shape(layer, input_shape)
    match layer:
        case Conv() | Pool() | Subsample():
            window, stride = _window(layer)
            try:
                sizes = [
                    output_size(i, k, s, layer.padding)
                    for i, k, s in zip(input_shape[:2], window, stride, strict=True)
                ]
            except ValueError as error:
                raise ValueError(f"{layer.name}: {error}") from None
            return (
                *sizes,
                layer.filters if isinstance(layer, Conv) else input_shape[2],
            )
        case Flatten():
            return (prod(input_shape),)
        case Dense() | RBF():
            return (layer.units,)
        case Dropout():
            return input_shape


def params(layer: Layer, input_shape: Shape) -> int:
    """Return the number of trained numbers: weights and biases.

    A convolution has maps·(kh·kw·input maps + 1), or with a table kh·kw for each of its entries and a bias for each map; a
    dense layer units·(inputs + 1); trainable subsampling 2·maps. Pooling, flattening, dropout and RBF units have none.

    >>> params(Conv("C3", filters=16, kernel_size=5), (14, 14, 6))
    2416
    >>> from lenet5lib.spec import LENET5_1998
    >>> params(LENET5_1998["C3"], (14, 14, 6))
    1516
    """
    _require_shape(layer, input_shape)
    match layer:
        case Conv(table=None):
            kernel_height, kernel_width = pair(layer.kernel_size)
            return layer.filters * (
                kernel_height * kernel_width * input_shape[2] + 1
            )
        case Conv():
            kernels = sum(len(row) for row in layer.table)
            return prod(pair(layer.kernel_size)) * kernels + layer.filters
        case Dense():
            return layer.units * (input_shape[0] + 1)
        case Subsample():
            return 2 * input_shape[2]
        case _:
            return 0


def connections(layer: Layer, input_shape: Shape) -> int:
    """Return the number of connections: every input that a unit reads, and its bias where it has one.

    A convolution makes height·width·params of them, since each parameter is used once at each position; a dense layer
    one a parameter; pooling its window's cells for each unit, trainable subsampling these and a bias; RBF units one for each
    input, since they have no bias; flattening and dropout none.

    >>> connections(Conv("C3", filters=16, kernel_size=5), (14, 14, 6))
    241600
    """
    outputs = output_shape(layer, input_shape)
    match layer:
        case Conv():
            return outputs[0] * outputs[1] * params(layer, input_shape)
        case Pool():
            return prod(outputs) * prod(_window(layer)[0])
        case Subsample():
            return prod(outputs) * (prod(_window(layer)[0]) + 1)
        case Dense():
            return params(layer, input_shape)
        case RBF():
            return layer.units * input_shape[0]
        case _:
            return 0


def macs(layer: Layer, input_shape: Shape) -> int:
    """Return the multiply–accumulates for one input: the connections of weights, biases left out.

    Pooling, flattening and dropout multiply by no weight and count zero. Trainable subsampling multiplies the sum of each
    window once, by its coefficient; an RBF unit each difference once, by itself.

    >>> macs(Conv("C3", filters=16, kernel_size=5), (14, 14, 6))
    240000
    """
    outputs = output_shape(layer, input_shape)
    match layer:
        case Conv() | Dense():
            return connections(layer, input_shape) - prod(outputs)
        case Subsample():
            return prod(outputs)
        case RBF():
            return connections(layer, input_shape)
        case _:
            return 0


class Reach(NamedTuple):
    """How units see into the input along one side, in pixels.

    `size` pixels are covered by each unit, neighbouring units are `jump` pixels apart, and the first unit's pixels begin at
    `start`, which is negative where they begin in the padding.
    """

    size: int
    jump: int
    start: int = 0


def widen(
    reach: Reach, kernel_size: int, stride: int = 1, padding: int = 0
) -> Reach:
    """Return the reach after one more window: size + (k − 1)·jump, jump·s, and start − p·jump.

    Args:
        reach: before it.
        kernel_size: the window's side; stride: its step; padding: zeros before the first input.

    Source: chapter 3, equation (3.2).

    >>> widen(Reach(size=6, jump=2), kernel_size=5)
    Reach(size=14, jump=2, start=0)
    """
    size = reach.size + (kernel_size - 1) * reach.jump
    return Reach(size, reach.jump * stride, reach.start - padding * reach.jump)


def walk(architecture: Architecture) -> Iterator[tuple[Layer, Shape, Shape]]:
    """Yield (layer, input shape, output shape) from the first layer to the last."""
    shape: Shape = architecture.input_shape
    for layer in architecture.layers:
        outputs = output_shape(layer, shape)
        yield layer, shape, outputs
        shape = outputs


def _reaches(architecture: Architecture, layer_name: str) -> list[Reach]:
    """Return how far the layer's units see, down and across.

    A dense or RBF layer reads all that remains of the maps, as a window of their whole size would.
    """
    target = architecture[layer_name]
    reaches = [Reach(1, 1), Reach(1, 1)]
    extent: Pair = architecture.input_shape[:2]
    for layer, inputs, outputs in walk(architecture):
        if isinstance(layer, (Conv, Pool, Subsample)):
            for axis, (kernel_size, stride) in enumerate(
                zip(*_window(layer), strict=True)
            ):
                zeros = 0
                if layer.padding == "same":
                    zeros, _ = same_padding(inputs[axis], kernel_size, stride)
                reaches[axis] = widen(reaches[axis], kernel_size, stride, zeros)
            extent = outputs[:2]
        elif isinstance(layer, (Dense, RBF)):
            reaches = [widen(r, k) for r, k in zip(reaches, extent, strict=True)]
            extent = (1, 1)
        if layer == target:
            break
    return reaches


def receptive_field(architecture: Architecture, layer_name: str) -> Pair:
    """Return the (height, width) in input pixels that one unit of the layer depends on, zero padding included.

    Raises:
        KeyError: no layer of that name.

    >>> from lenet5lib.spec import LENET5
    >>> [receptive_field(LENET5, name)[0] for name in ("C1", "S2", "C3", "S4", "C5")]
    [5, 6, 14, 16, 32]
    """
    down, across = _reaches(architecture, layer_name)
    return down.size, across.size


def receptive_window(
    architecture: Architecture, layer_name: str, row: int = 0, column: int = 0
) -> tuple[slice, slice]:
    """Return the rows and columns of the input that the unit at (row, column) of the layer depends on.

    They begin below 0, or end beyond the input, where the unit sees zero padding. For a vector's unit leave row and column
    at 0.

    Raises:
        KeyError: no layer of that name.

    >>> from lenet5lib.spec import LENET5
    >>> receptive_window(LENET5, "C3", row=5, column=0)
    (slice(8, 22, None), slice(-2, 12, None))
    """
    starts = [
        (reach.start + unit * reach.jump, reach.size)
        for reach, unit in zip(
            _reaches(architecture, layer_name), (row, column), strict=True
        )
    ]
    return tuple(slice(start, start + size) for start, size in starts)


class Row(NamedTuple):
    """One layer's line in the derived table."""

    layer: str
    kind: str
    output_shape: Shape
    params: int
    connections: int
    macs: int
    receptive_field: Pair


def table(architecture: Architecture) -> list[Row]:
    """Return the derived table, a `Row` for each layer in order.

    Raises:
        ValueError: a layer that cannot read its input; the layer is named.

    >>> from lenet5lib.spec import LENET5
    >>> sum(row.params for row in table(LENET5)), sum(row.macs for row in table(LENET5))
    (61706, 416520)
    """
    return [
        Row(
            layer.name,
            layer.kind,
            outputs,
            params(layer, inputs),
            connections(layer, inputs),
            macs(layer, inputs),
            receptive_field(architecture, layer.name),
        )
        for layer, inputs, outputs in walk(architecture)
    ]


def shape_text(shape: Shape) -> str:
    """Write a shape for a reader.

    >>> shape_text((28, 28, 6)), shape_text((120,))
    ('28×28×6', '120')
    """
    return "×".join(str(size) for size in shape)


def describe(architecture: Architecture) -> str:
    """Return the derived table as text for a terminal, totals in the last line."""
    rows = table(architecture)
    cells = [
        (
            "layer",
            "kind",
            "output",
            "parameters",
            "connections",
            "MACs",
            "receptive field",
        )
    ]
    cells.append(
        ("Input", "", shape_text(architecture.input_shape), "", "", "", "")
    )
    for row in rows:
        counts = (f"{row.params:,}", f"{row.connections:,}", f"{row.macs:,}")
        cells.append(
            (
                row.layer,
                row.kind,
                shape_text(row.output_shape),
                *counts,
                shape_text(row.receptive_field),
            )
        )
    totals = (
        sum(getattr(row, count) for row in rows)
        for count in ("params", "connections", "macs")
    )
    cells.append(("Total", "", "", *(f"{total:,}" for total in totals), ""))
    widths = [max(len(line[column]) for line in cells) for column in range(7)]
    lines = []
    for line in cells:
        aligned = [
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join([architecture.name, "", *lines])
