"""The network computed on blocks of pixels (space to depth): the same parameters and the same results.

A convolution of 5×5 over one map gathers much and multiplies little. Rearranged so that a block of 4×4 pixels becomes 16
maps (`tf.nn.space_to_depth` is the field's word), the same sums are a convolution of 2×2 from 16 to 96 maps, of which a
processor does more in a second although more is to be done. Pooling then happens inside the blocks. Whether that is faster
depends on the processor and on TensorFlow's own convolutions: `benchmarks/` measures it. Nothing is trained here, and no
weight is copied: a `BlockForm` reads the variables of its model.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lenet5lib import arithmetic
from lenet5lib.data import fit
from lenet5lib.spec import (
    Architecture,
    Conv,
    Flatten,
    Pair,
    Pool,
    pair,
    require_choice,
)


class BlockError(ValueError):
    """An architecture that cannot be computed on blocks; the text names the layer and says why."""


class Side(NamedTuple):
    """One convolution with its pooling along one side (down or across), in blocks.

    Attributes:
        kernel_size: of the convolution.
        window: of the pooling that follows, which is its stride too; 1 where none follows.
        block: pixels of the convolution's input, and of its output, in a block.
        lead: blocks of zeros before the input.
        zeros: zeros before the input that the padding asks for.
        taps: blocks that the kernel reads.
        blocks: blocks of output.
        units: pixels left after pooling.
    """

    kernel_size: int
    window: int
    block: int
    lead: int
    zeros: int
    taps: int
    blocks: int
    units: int


class Stage(NamedTuple):
    """One convolution with its pooling: the layers' names, and the two sides."""

    conv: Conv
    pool: Pool | None
    sides: tuple[Side, Side]


def plan(architecture: Architecture) -> list[Stage]:
    """Return how the convolutions and poolings of an architecture are computed on blocks, in order.

    Raises:
        BlockError: a convolution with a stride, a pooling whose windows overlap or are padded, two poolings in a row, or no
            pooling at all; the layer is named.

    >>> from lenet5lib.spec import LENET5
    >>> [stage.sides[0].block for stage in plan(LENET5)]
    [4, 2]
    """
    pairs = _pairs(architecture)
    stages: list[Stage] = []
    after: Pair = (1, 1)
    for conv, pool, shapes in reversed(pairs):
        window = pair(pool.size) if pool else (1, 1)
        block = (window[0] * after[0], window[1] * after[1])
        first = conv is pairs[0][0]
        sides = tuple(
            _side(conv, axis, window[axis], block[axis], shapes, first)
            for axis in (0, 1)
        )
        stages.insert(0, Stage(conv, pool, sides))
        after = block
    if after == (1, 1):
        raise BlockError(
            f"{architecture.name} has no pooling after a convolution, so blocks gain nothing. Use the plain form."
        )
    for stage, following in pairwise(stages):
        for one, other in zip(stage.sides, following.sides, strict=True):
            padded = following.conv.padding == "same" and other.kernel_size > 1
            if padded and one.units % other.block:
                raise BlockError(
                    f"{following.conv.name} pads {one.units} pixels, which blocks of {other.block} do not divide. "
                    "Use the plain form."
                )
    return stages


def _pairs(architecture: Architecture) -> list[tuple[Conv, Pool | None, tuple]]:
    """Return each convolution with the pooling after it and its shapes (in, out, pooled), up to the Flatten."""
    found: list[list] = []
    for layer, inputs, outputs in arithmetic.walk(architecture):
        if isinstance(layer, Conv):
            if pair(layer.stride) != (1, 1):
                raise BlockError(
                    f"{layer.name} has stride {layer.stride}; blocks need stride 1. Use the plain form."
                )
            found.append([layer, None, (inputs, outputs, outputs)])
        elif isinstance(layer, Pool):
            if not found or found[-1][1] is not None:
                raise BlockError(
                    f"{layer.name} does not follow a convolution; blocks need that. Use the plain form."
                )
            padded = layer.padding == "same" and any(
                size % window
                for size, window in zip(inputs[:2], pair(layer.size), strict=True)
            )
            if layer.step != pair(layer.size) or padded:
                raise BlockError(
                    f"{layer.name} has windows that overlap or are padded; blocks need whole ones side by side. "
                    "Use the plain form."
                )
            found[-1][1:] = [layer, (*found[-1][2][:2], outputs)]
        elif isinstance(layer, Flatten):
            break
    return [tuple(entry) for entry in found]


def _side(
    conv: Conv, axis: int, window: int, block: int, shapes: tuple, first: bool
) -> Side:
    """Return one side of a stage; the first stage's zeros are added to the pixels, those of others as whole blocks."""
    inputs, _, pooled = shapes
    kernel_size = pair(conv.kernel_size)[axis]
    zeros = 0
    if conv.padding == "same":
        zeros, _ = arithmetic.same_padding(inputs[axis], kernel_size)
    lead = 0 if first else -(-zeros // block)
    taps = -(
        -(kernel_size + block - 1 + lead * block - zeros * (not first)) // block
    )
    blocks = -(-pooled[axis] * window // block)
    return Side(kernel_size, window, block, lead, zeros, taps, blocks, pooled[axis])


def _selection(side: Side, first: bool) -> np.ndarray:
    """Return which kernel cell meets which pixel: (taps, block, window, block // window, kernel_size) of 0 and 1.

    Pixel `r` of block `u` meets cell x = (u − lead)·block + r − p + zeros for the output at place p of its block. Places are
    ordered by their position in the pooling window, so that pooling joins whole groups of maps.
    """
    chosen = np.zeros((side.taps, side.block, side.block, side.kernel_size), "f4")
    shift = 0 if first else side.zeros - side.lead * side.block
    for u, r, p in np.ndindex(chosen.shape[:3]):
        x = u * side.block + r - p + shift
        if 0 <= x < side.kernel_size:
            chosen[u, r, p, x] = 1
    kept = side.block // side.window
    shape = (side.taps, side.block, kept, side.window, side.kernel_size)
    return chosen.reshape(shape).swapaxes(2, 3)


class PlainForm:
    """A model's function as Keras computes it, on the same footing as `BlockForm`.

    Args:
        model: any model that reads (batch, height, width, 1).
    """

    name = "plain"

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def arrange(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 images (n, 28, 28) padded to the network's input: uint8 (n, height, width, 1)."""
        return fit(images, self.model.input_shape[1:])[..., np.newaxis]

    def __call__(self, pixels: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the model's output for pixels that `arrange` made."""
        return self.model(tf.cast(pixels, tf.float32) / 255.0, training=training)


class BlockForm:
    """A model's function computed on blocks.

    Args:
        model: built by `models.build`; its variables are used, not copied.
        architecture: which the model was built from.

    Raises:
        BlockError: the architecture cannot be computed on blocks.
    """

    name = "blocks"

    def __init__(self, model: keras.Model, architecture: Architecture) -> None:
        self.stages = plan(architecture)
        self.input_shape = architecture.input_shape
        self.layers = [
            (stage, model.get_layer(stage.conv.name), _selector(stage, n == 0))
            for n, stage in enumerate(self.stages)
        ]
        names = [layer.name for layer in architecture.layers]
        rest = names[names.index(_last(self.stages)) + 1 :]
        self.rest = [model.get_layer(name) for name in rest]

    def arrange(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 images (n, 28, 28) as blocks: uint8 (n, blocks down, blocks across, pixels of a block)."""
        images = fit(images, self.input_shape)
        down, across = self.stages[0].sides
        rows, columns = (side.blocks + side.taps - 1 for side in (down, across))
        canvas = np.zeros(
            (len(images), rows * down.block, columns * across.block), images.dtype
        )
        part = canvas[:, down.zeros :, across.zeros :]
        height = min(images.shape[1], part.shape[1])
        width = min(images.shape[2], part.shape[2])
        part[:, :height, :width] = images[:, :height, :width]
        cut = canvas.reshape(-1, rows, down.block, columns, across.block)
        return cut.swapaxes(2, 3).reshape(len(images), rows, columns, -1)

    def __call__(self, blocks: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the model's output for blocks that `arrange` made."""
        values = tf.cast(blocks, tf.float32) / 255.0
        for stage, layer, selector in self.layers:
            values = _fit(values, stage)
            kernel = _block_kernel(layer.kernel, selector, stage)
            groups = stage.sides[0].block * stage.sides[1].block
            sums = tf.nn.conv2d(values, kernel, 1, "VALID")
            values = layer.activation(
                tf.nn.bias_add(sums, tf.tile(layer.bias, [groups]))
            )
            values = _pool(values, stage)
        for layer in self.rest:
            values = layer(values, training=training)
        return values


def _last(stages: list[Stage]) -> str:
    """Return the name of the last layer that is computed on blocks."""
    return (stages[-1].pool or stages[-1].conv).name


def _selector(stage: Stage, first: bool) -> tf.Tensor:
    """Return the two sides' selections as one matrix: (cells of the block kernel without maps, cells of the kernel)."""
    down, across = (_selection(side, first) for side in stage.sides)
    joined = np.einsum("urpax,vsqby->uvrspqabxy", down, across)
    return tf.constant(joined.reshape(-1, down.shape[-1] * across.shape[-1]))


def _block_kernel(
    kernel: tf.Tensor, selector: tf.Tensor, stage: Stage
) -> tf.Tensor:
    """Return a kernel (height, width, maps in, maps out) laid out for blocks."""
    down, across = stage.sides
    maps_in, maps_out = kernel.shape[2:]
    cells = tf.matmul(selector, tf.reshape(kernel, (-1, maps_in * maps_out)))
    outputs = down.block * across.block
    window = (down.taps, across.taps)
    cells = tf.reshape(
        cells, (*window, down.block * across.block, outputs, maps_in, maps_out)
    )
    cells = tf.transpose(cells, (0, 1, 2, 4, 3, 5))
    return tf.reshape(
        cells, (*window, down.block * across.block * maps_in, outputs * maps_out)
    )


def _fit(values: tf.Tensor, stage: Stage) -> tf.Tensor:
    """Return the blocks that the stage reads: zeros put before and after, or what is not read cut off."""
    margins, cut = [(0, 0)], [slice(None)]
    for side, have in zip(stage.sides, values.shape[1:3], strict=True):
        needed = side.blocks + side.taps - 1
        margins.append((side.lead, max(0, needed - side.lead - have)))
        cut.append(slice(needed))
    if any(before or after for before, after in margins):
        values = tf.pad(values, [*margins, (0, 0)])
    return values[tuple(cut)]


def _pool(values: tf.Tensor, stage: Stage) -> tf.Tensor:
    """Return the pooled maps, still as blocks: the groups of maps that one window holds become one group."""
    if stage.pool is None:
        return values
    count = stage.sides[0].window * stage.sides[1].window
    groups = tf.split(values, count, axis=3)
    if stage.pool.mode == "average":
        return tf.add_n(groups) / count
    while len(groups) > 1:
        groups = [tf.maximum(*groups[:2]), *groups[2:]]
    return groups[0]


Form = BlockForm | PlainForm
FORMS = ("plain", "blocks")


def choose(model: keras.Model, architecture: Architecture, form: str) -> Form:
    """Return the form, "plain" or "blocks", in which to compute a model.

    Raises:
        BlockError: "blocks" was asked for and the architecture does not allow them.
        ValueError: another word.
    """
    require_choice("form", form, FORMS)
    return PlainForm(model) if form == "plain" else BlockForm(model, architecture)
