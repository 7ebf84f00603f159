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

from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple, assert_never

from lenet5lib._checks import require_choice, require_int
from lenet5lib.spec import (
    PADDINGS,
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
    Table,
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
    if isinstance(padding, str):
        require_choice("padding, if no number,", padding, PADDINGS)
    p = 0 if padding == "valid" else require_int("padding", padding, minimum=0)
    if k > i + 2 * p:
        raise ValueError(
            f"kernel_size {k} is larger than the padded input, {i} + 2·{p} = "
            f"{i + 2 * p}; expected a window that fits. Use a smaller kernel, a "
            "larger input or more padding."
        )
    return (i + 2 * p - k) // s + 1


def same_padding(input_size: int, kernel_size: int, stride: int = 1) -> Pair:
    """Return the zeros that TensorFlow's "same" adds (before, after) along one side.

    The total is max((o − 1)·s + k − i, 0) with o = ⌈i / s⌉; of an odd total the extra zero comes after.

    Raises:
        ValueError: a size that is not a positive whole number.

    Source: chapter 2, equation (2.3).

    >>> same_padding(28, 5), same_padding(28, 2), same_padding(5, 4, stride=2)
    ((2, 2), (0, 1), (1, 2))
    """
    o = output_size(input_size, kernel_size, stride, "same")
    total = max((o - 1) * stride + kernel_size - input_size, 0)
    return total // 2, total - total // 2


def window(layer: Conv | Pool | Subsample) -> tuple[Pair, Pair]:
    """Return (window, stride) of a layer that slides a window, each as (height, width)."""
    match layer:
        case Conv():
            return pair(layer.kernel_size), pair(layer.stride)
        case Pool() | Subsample():
            return pair(layer.size), layer.step
        case _:
            assert_never(layer)


def zero_padding(
    layer: Conv | Pool | Subsample, input_shape: Shape
) -> tuple[Pair, Pair]:
    """Return the zeros that a layer adds around its input: (above, below) and (left, right)."""
    if layer.padding == "valid":
        return (0, 0), (0, 0)
    (height, width), (down, across) = window(layer)
    return (
        same_padding(input_shape[0], height, down),
        same_padding(input_shape[1], width, across),
    )


def _require_shape(layer: Layer, input_shape: Shape) -> None:
    """Raise ValueError unless the layer can read an input of this shape."""
    require_layer(layer)
    match layer:
        case Conv() | Pool() | Subsample() | Flatten():
            axes, needs = 3, "(height, width, channels)"
            remedy = "Move it before the Flatten, or add the axis of channels."
        case Dense() | RBF():
            axes, needs = 1, "a flat vector (units,)"
            remedy = "Put a Flatten before it."
        case Dropout():
            axes, needs, remedy = 0, "", ""
        case _:
            assert_never(layer)
    if not isinstance(input_shape, tuple | list):
        raise ValueError(
            f"{layer.name} receives {input_shape!r}; expected a shape, such as (28, 28, 1). Write it in brackets."
        )
    for size in input_shape:
        require_int(f"a size of the input of {layer.name}", size)
    if axes not in (0, len(input_shape)):
        raise ValueError(
            f"{layer.name} receives an input of shape {input_shape}; expected {needs}. "
            f"{remedy}"
        )
    if isinstance(layer, Conv) and layer.table is not None:
        _require_connected(layer.name, layer.table, input_shape[2])


def _require_connected(name: str, table: Table, in_channels: int) -> None:
    """Raise ValueError unless a layer's table names every channel of its input, and no other."""
    for number, row in enumerate(table):
        if max(row) >= in_channels:
            raise ValueError(
                f"{name}: row {number} of its table names input channel {max(row)}; "
                f"expected 0 to {in_channels - 1}, since the input has {in_channels} "
                "channels. Correct the table or the layer before it."
            )
    used = {channel for row in table for channel in row}
    missing = [n for n in range(in_channels) if n not in used]
    if missing:
        raise ValueError(
            f"{name}: its table leaves input channels {missing} unconnected; expected "
            f"each of the {in_channels} channels in at least one row. Add them to rows."
        )


def output_shape(layer: Layer, input_shape: Shape) -> Shape:
    """Return the layer's output shape for one input: (height, width, channels), or (units,) once flat.

    Raises:
        ValueError: the input has the wrong number of axes, or the window does not fit; the layer is named.

    >>> output_shape(Conv("C3", filters=16, kernel_size=5), (14, 14, 6))
    (10, 10, 16)
    """
    _require_shape(layer, input_shape)
    match layer:
        case Conv():
            return (*_positions(layer, input_shape), layer.filters)
        case Pool() | Subsample():
            return (*_positions(layer, input_shape), input_shape[2])
        case Flatten():
            return (prod(input_shape),)
        case Dense() | RBF():
            return (layer.units,)
        case Dropout():
            return input_shape
        case _:
            assert_never(layer)


def _positions(layer: Conv | Pool | Subsample, input_shape: Shape) -> Pair:
    """Return the numbers of window positions, (down, across)."""
    (height, width), (down, across) = window(layer)
    try:
        return (
            output_size(input_shape[0], height, down, layer.padding),
            output_size(input_shape[1], width, across, layer.padding),
        )
    except ValueError as error:
        raise ValueError(f"{layer.name}: {error}") from None


def params(layer: Layer, input_shape: Shape) -> int:
    """Return the number of trained parameters: weights and biases.

    A convolution has filters·(kh·kw·input channels + 1), or with a table kh·kw for each of its entries and a bias for each
    filter; a dense layer units·(inputs + 1); trainable subsampling 2·channels. Pooling, flattening, dropout and RBF units
    have none.

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
        case Conv(table=table):
            kernels = sum(len(row) for row in table or ())
            return prod(pair(layer.kernel_size)) * kernels + layer.filters
        case Dense():
            return layer.units * (input_shape[0] + 1)
        case Subsample():
            return 2 * input_shape[2]
        case Pool() | Flatten() | RBF() | Dropout():
            return 0
        case _:
            assert_never(layer)


def connections(layer: Layer, input_shape: Shape) -> int:
    """Return the number of connections: every input that a unit reads, and its bias where it has one.

    A convolution makes height·width·params of them, since each parameter is used once at each position; a dense layer one
    per parameter; pooling its window's cells for each unit, trainable subsampling these and a bias; RBF units one for each
    input, since they have no bias; flattening and dropout none.

    >>> connections(Conv("C3", filters=16, kernel_size=5), (14, 14, 6))
    241600
    """
    outputs = output_shape(layer, input_shape)
    match layer:
        case Conv():
            return outputs[0] * outputs[1] * params(layer, input_shape)
        case Pool():
            return prod(outputs) * prod(pair(layer.size))
        case Subsample():
            return prod(outputs) * (prod(pair(layer.size)) + 1)
        case Dense():
            return params(layer, input_shape)
        case RBF():
            return layer.units * input_shape[0]
        case Flatten() | Dropout():
            return 0
        case _:
            assert_never(layer)


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
        case Pool() | Flatten() | Dropout():
            return 0
        case _:
            assert_never(layer)


class ReceptiveField(NamedTuple):
    """The part of the input that a unit depends on along one side, in pixels.

    Each unit depends on `size` pixels, neighbouring units' receptive fields are `jump` pixels apart, and the first unit's
    begins at `start`, which is negative where it begins in the padding.
    """

    size: int
    jump: int
    start: int = 0


def extend(
    field: ReceptiveField, kernel_size: int, stride: int = 1, padding: int = 0
) -> ReceptiveField:
    """Return the receptive field after one more window: size + (k − 1)·jump, jump·s, and start − p·jump.

    Args:
        field: before the layer.
        kernel_size: k, the window's side; stride: s; padding: p, zeros before the first input.

    Raises:
        ValueError: a window or stride that is not a positive whole number, or a negative padding.

    Source: chapter 3, equation (3.2).

    >>> extend(ReceptiveField(size=6, jump=2), kernel_size=5)
    ReceptiveField(size=14, jump=2, start=0)
    """
    k, s = require_int("kernel_size", kernel_size), require_int("stride", stride)
    p = require_int("padding", padding, minimum=0)
    size = field.size + (k - 1) * field.jump
    return ReceptiveField(size, field.jump * s, field.start - p * field.jump)


def walk(architecture: Architecture) -> Iterator[tuple[Layer, Shape, Shape]]:
    """Yield (layer, input shape, output shape) from the first layer to the last."""
    shape: Shape = architecture.input_shape
    for layer in architecture.layers:
        outputs = output_shape(layer, shape)
        yield layer, shape, outputs
        shape = outputs


def _windows(
    architecture: Architecture, layer_name: str
) -> list[list[tuple[int, int, int, int]]]:
    """Return, for each layer up to this one, down and across: window, stride, zeros before the input, size of the input.

    A dense or RBF layer reads the whole feature maps, as a window of their size would.
    """
    target = architecture[layer_name]
    found, sides = [], architecture.input_shape[:2]
    for layer, inputs, outputs in walk(architecture):
        match layer:
            case Conv() | Pool() | Subsample():
                margins = zero_padding(layer, inputs)
                steps = zip(*window(layer), margins, inputs[:2], strict=True)
                found.append([(k, s, p, side) for k, s, (p, _), side in steps])
                sides = outputs[0], outputs[1]
            case Dense() | RBF():
                found.append([(side, 1, 0, side) for side in sides])
                sides = 1, 1
            case Flatten() | Dropout():
                pass
            case _:
                assert_never(layer)
        if layer == target:
            break
    return found


def _fields(architecture: Architecture, layer_name: str) -> list[ReceptiveField]:
    """Return the receptive fields of the layer's first unit, down and across."""
    fields = [ReceptiveField(1, 1)] * 2
    for steps in _windows(architecture, layer_name):
        both = zip(fields, steps, strict=True)
        fields = [extend(field, k, s, p) for field, (k, s, p, _) in both]
    return fields


def receptive_field(architecture: Architecture, layer_name: str) -> Pair:
    """Return the (height, width) in input pixels that one unit of the layer depends on, zero padding included.

    Raises:
        KeyError: no layer of that name.

    >>> from lenet5lib.spec import LENET5
    >>> [receptive_field(LENET5, name)[0] for name in ("C1", "S2", "C3", "S4", "C5")]
    [5, 6, 14, 16, 32]
    """
    down, across = _fields(architecture, layer_name)
    return down.size, across.size


def receptive_window(
    architecture: Architecture, layer_name: str, row: int = 0, column: int = 0
) -> tuple[slice, slice]:
    """Return the rows and columns of the input that the unit at (row, column) of the layer depends on.

    They begin below 0, or end beyond the input, where the unit sees zero padding. For a vector's unit leave row and column
    at 0.

    Raises:
        KeyError: no layer of that name.
        ValueError: no unit of the layer at that row or column.

    >>> from lenet5lib.spec import LENET5
    >>> receptive_window(LENET5, "C3", row=5, column=0)
    (slice(8, 22, None), slice(-2, 12, None))
    """
    target = architecture[layer_name]
    shape = next(out for layer, _, out in walk(architecture) if layer == target)
    sides, slices = shape[:2] if len(shape) == 3 else (1, 1), []
    for axis, field in enumerate(_fields(architecture, layer_name)):
        what = f"{('row', 'column')[axis]} of a unit of {layer_name}"
        last = unit = require_int(what, (row, column)[axis], 0, sides[axis] - 1)
        start = field.start + unit * field.jump
        # What a layer drops at the far edge is not seen, even if a later one pads there.
        for steps in reversed(_windows(architecture, layer_name)):
            k, s, p, side = steps[axis]
            last = min(last * s - p + k - 1, side - 1)
        whole = last + 1 == architecture.input_shape[axis]
        slices.append(slice(start, start + field.size if whole else last + 1))
    return slices[0], slices[1]


class LayerRow(NamedTuple):
    """One layer's row in the derived table."""

    layer: str
    kind: str
    output_shape: Shape
    params: int
    connections: int
    macs: int
    receptive_field: Pair


def table(architecture: Architecture) -> list[LayerRow]:
    """Return the derived table, a `LayerRow` for each layer in order.

    Raises:
        ValueError: a layer that cannot read its input; the layer is named.

    >>> from lenet5lib.spec import LENET5
    >>> sum(row.params for row in table(LENET5)), sum(row.macs for row in table(LENET5))
    (61706, 416520)
    """
    return [
        LayerRow(
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


TITLES = "layer", "kind", "output", "parameters", "connections", "MACs"


def describe(architecture: Architecture) -> str:
    """Return the derived table as text for a terminal, totals in the last line."""
    rows = table(architecture)
    input_shape = shape_text(architecture.input_shape)
    lines = [[*TITLES, "receptive field"], ["Input", "", input_shape, *[""] * 4]]
    for row in rows:
        counts = [f"{count:,}" for count in (row.params, row.connections, row.macs)]
        output, field = map(shape_text, (row.output_shape, row.receptive_field))
        lines.append([row.layer, row.kind, output, *counts, field])
    columns = zip(
        *((row.params, row.connections, row.macs) for row in rows), strict=True
    )
    totals = [f"{sum(column):,}" for column in columns]
    lines.append(["Total", "", "", *totals, ""])
    return "\n".join([architecture.name, "", *_aligned(lines)])


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines with their cells in columns, the first two to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = list(zip(line, widths, strict=True))
        left = [text.ljust(width) for text, width in cells[:2]]
        right = [text.rjust(width) for text, width in cells[2:]]
        yield "  ".join(left + right).rstrip()
