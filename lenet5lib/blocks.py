"""The network computed on blocks of pixels (space to depth): the same parameters and the same results.

A convolution of 5×5 over one map gathers much and multiplies little. Rearranged so that a block of 4×4 pixels becomes 16
maps (`tf.nn.space_to_depth` is the field's word), the same sums are one matrix product, with kernels that reach over 2×2
blocks, and pooling joins whole maps. A processor does more of these sums in a second, although there are more of them.

Between the layers an array is (maps, rows, columns, batch): the values that lie side by side in memory are those of one
place in all the digits of a batch, so that every step runs along them. XLA, TensorFlow's compiler, makes one program of it.
Chapter 14 derives the form and measures it. Nothing is trained here, and no weight is copied: a `BlockForm` reads the
variables of its model.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lenet5lib import arithmetic
from lenet5lib.data import fit
from lenet5lib.spec import (
    PIXELS,
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
        BlockError: a convolution with a stride, with softmax or with a connection table, a pooling whose windows overlap or
            are padded, two poolings in a row, or no pooling at all; another kind of layer before the Flatten; zeros added to
            pixels whose background is not 0. The layer is named.

    >>> from lenet5lib.spec import LENET5
    >>> [stage.sides[0].block for stage in plan(LENET5)]
    [4, 2]
    """
    pairs = _pairs(architecture)
    low, _ = architecture.scale
    if pairs and pairs[0][0].padding == "same" and low != 0:
        raise BlockError(
            f"{pairs[0][0].name} pads with zeros, but background is {low:g}; blocks cannot tell them apart. "
            "Use the plain form."
        )
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
            if layer.activation == "softmax":
                raise BlockError(
                    f"{layer.name} has softmax over its maps, which blocks keep apart. Use the plain form."
                )
            if layer.table:
                raise BlockError(
                    f"{layer.name} has a connection table, which blocks do not know. Use the plain form."
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
        else:
            raise BlockError(
                f"{layer.name} is a {layer.kind} layer before the Flatten, which blocks do not know. Use the plain form."
            )
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


class Form:
    """One way to compute a model: how its images are laid out, and the function from these to the model's output.

    Attributes:
        name: "plain" or "blocks".
        compiled: whether XLA is to compile what is computed in this form.
    """

    name: str
    compiled: bool

    def arrange(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 images (n, 28, 28) laid out for this form, once for all steps."""
        raise NotImplementedError

    def __call__(self, arranged: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the model's output, (batch, 10), for images that `arrange` laid out."""
        raise NotImplementedError

    def compile(self, function: Callable) -> Callable:
        """Return the function as a graph, compiled by XLA where this form wants that."""
        return tf.function(function, autograph=False, jit_compile=self.compiled)

    def predict(self, arranged: np.ndarray, batch_size: int = 1000) -> np.ndarray:
        """Return the model's output for images that `arrange` laid out: float32 (n, 10).

        Operation by operation: for some batches that takes less time than making a program first.
        """
        batches = (
            arranged[first : first + batch_size]
            for first in range(0, len(arranged), batch_size)
        )
        return np.concatenate(
            [self(tf.constant(batch)).numpy() for batch in batches]
        )


def scaled(pixels: tf.Tensor, scale: tuple[float, float]) -> tf.Tensor:
    """Return uint8 pixels as the network takes them: background and ink become the two values of its scale."""
    low, high = scale
    share = tf.cast(pixels, tf.float32) / 255.0
    return share if (low, high) == PIXELS else low + (high - low) * share


class PlainForm(Form):
    """A model's function as Keras computes it.

    Args:
        model: any model that reads (batch, height, width, 1).
        scale: the values that background and ink become.
    """

    name, compiled = "plain", False

    def __init__(
        self, model: keras.Model, scale: tuple[float, float] = PIXELS
    ) -> None:
        self.model, self.scale = model, scale

    def arrange(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 images (n, 28, 28) padded to the network's input: uint8 (n, height, width, 1)."""
        return fit(images, self.model.input_shape[1:])[..., np.newaxis]

    def __call__(self, pixels: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the model's output for pixels that `arrange` made."""
        return self.model(scaled(pixels, self.scale), training=training)


class BlockForm(Form):
    """A model's function computed on blocks.

    Args:
        model: built by `models.build`; its variables are used, not copied.
        architecture: which the model was built from.

    Raises:
        BlockError: the architecture cannot be computed on blocks.
    """

    name, compiled = "blocks", True

    def __init__(self, model: keras.Model, architecture: Architecture) -> None:
        self.stages = plan(architecture)
        self.input_shape, self.scale = architecture.input_shape, architecture.scale
        self.layers = [
            (stage, model.get_layer(stage.conv.name), _selector(stage, n == 0))
            for n, stage in enumerate(self.stages)
        ]
        names = [layer.name for layer in architecture.layers]
        rest = names[names.index(_last(self.stages)) + 1 :]
        self.rest = [model.get_layer(name) for name in rest]
        self.ones = {
            stage.conv.name: tf.Variable(
                tf.ones((_pooled_maps(stage), 1)), trainable=False
            )
            for stage in self.stages
        }

    def arrange(self, images: np.ndarray) -> np.ndarray:
        """Return for each block of C1's output the pixels that its kernels read: uint8 (n, blocks, pixels).

        The pixels of a window stand block by block, as the maps of later stages do.
        """
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
        blocks = cut.swapaxes(2, 3).reshape(len(images), rows, columns, -1)
        windows = [
            blocks[:, u : u + down.blocks, v : v + across.blocks]
            for u, v in np.ndindex(down.taps, across.taps)
        ]
        count = down.blocks * across.blocks
        return np.concatenate(windows, axis=-1).reshape(len(images), count, -1)

    def __call__(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the model's output for windows that `arrange` made."""
        pixels = windows.shape[-1]
        windows = tf.transpose(scaled(windows, self.scale), (1, 0, 2))
        columns = tf.transpose(tf.reshape(windows, (-1, pixels)))
        values = None
        for stage, layer, selector in self.layers:
            if values is not None:
                columns = _columns(_fit(values, stage), stage)
            values = self._stage(columns, stage, layer, selector)
        values = tf.transpose(values, (3, 1, 2, 0))
        for layer in self.rest:
            values = layer(values, training=training)
        return values

    def _stage(
        self,
        columns: tf.Tensor,
        stage: Stage,
        layer: keras.Layer,
        selector: tf.Tensor,
    ) -> tf.Tensor:
        """Return one convolution and its pooling, (maps, rows, columns, batch), from the pixels of its windows."""
        kernel = _block_kernel(layer.kernel, selector, stage)
        down, across = stage.sides
        sums = tf.matmul(kernel, columns)
        places = down.block * across.block
        sums = tf.reshape(sums, (places, stage.conv.maps, -1))
        values = layer.activation(sums + layer.bias[:, tf.newaxis])
        maps = _pooled_maps(stage)
        if stage.pool:
            values = tf.reshape(values, (down.window * across.window, maps, -1))
            ones = self.ones[stage.conv.name].value()
            values = _pool(values, stage.pool.mode, ones)
        return tf.reshape(values, (maps, down.blocks, across.blocks, -1))


def _last(stages: list[Stage]) -> str:
    """Return the name of the last layer that is computed on blocks."""
    return (stages[-1].pool or stages[-1].conv).name


def _pooled_maps(stage: Stage) -> int:
    """Return the maps that are left of a block when each of its pooling windows has become one value."""
    kept = [side.block // side.window for side in stage.sides]
    return kept[0] * kept[1] * stage.conv.maps


def _selector(stage: Stage, first: bool) -> tf.Tensor:
    """Return the two sides' selections as one matrix: (cells of the block kernel without maps, cells of the kernel)."""
    down, across = (_selection(side, first) for side in stage.sides)
    joined = np.einsum("urpax,vsqby->pqabuvrsxy", down, across)
    return tf.constant(joined.reshape(-1, down.shape[-1] * across.shape[-1]))


def _block_kernel(
    kernel: tf.Tensor, selector: tf.Tensor, stage: Stage
) -> tf.Tensor:
    """Return a kernel (height, width, maps in, maps out) as a matrix: (places of a block · maps out, window · maps in)."""
    down, across = stage.sides
    maps_in, maps_out = kernel.shape[2:]
    cells = tf.matmul(selector, tf.reshape(kernel, (-1, maps_in * maps_out)))
    places = down.block * across.block
    cells = tf.reshape(cells, (places, -1, maps_in, maps_out))
    cells = tf.transpose(cells, (0, 3, 1, 2))
    return tf.reshape(cells, (places * maps_out, -1))


def kernel_matrix(
    architecture: Architecture, layer_name: str, kernel: np.ndarray
) -> np.ndarray:
    """Return a convolution's kernel as the matrix that multiplies its windows of blocks.

    Args:
        architecture: in which the layer stands; what is pooled after it decides its blocks.
        layer_name: of the convolution.
        kernel: (height, width, maps in, maps out).

    Returns:
        float32 (places of a block · maps out, values of a window). Places stand in the order of the pooling windows' cells;
        the values of a window stand block by block, in each block row by row, for each pixel all its maps.

    Raises:
        BlockError: the architecture cannot be computed on blocks.
        KeyError: no such convolution.
    """
    stages = plan(architecture)
    stage = next((one for one in stages if one.conv.name == layer_name), None)
    if stage is None:
        raise KeyError(
            f"no convolution {layer_name!r} in {architecture.name}; it has {', '.join(one.conv.name for one in stages)}"
        )
    selector = _selector(stage, first=stage is stages[0])
    kernel = tf.constant(kernel, tf.float32)
    return _block_kernel(kernel, selector, stage).numpy()


def _fit(values: tf.Tensor, stage: Stage) -> tf.Tensor:
    """Return the blocks that the stage reads: zeros put before and after, or what is not read cut off."""
    margins, cut = [], []
    for side, have in zip(stage.sides, values.shape[1:3], strict=True):
        needed = side.blocks + side.taps - 1
        margins.append((side.lead, max(0, needed - side.lead - have)))
        cut.append(slice(needed))
    if any(before or after for before, after in margins):
        values = tf.pad(values, [(0, 0), *margins, (0, 0)])
    return values[:, cut[0], cut[1]]


def _columns(values: tf.Tensor, stage: Stage) -> tf.Tensor:
    """Return the windows of blocks that the kernel reads, side by side: (window · maps, output blocks · batch).

    Args:
        values: (maps, rows, columns, batch), of which the kernel reads all.
    """
    down, across = stage.sides
    maps, rows = values.shape[:2]

    @tf.custom_gradient
    def gather(values):
        windows = [
            values[:, u : u + down.blocks, v : v + across.blocks]
            for u, v in np.ndindex(down.taps, across.taps)
        ]
        return tf.concat(windows, 0), scatter

    def scatter(gradient):
        """Add up what every window asks of a block; slices and stacks, since XLA is slow at sums of padded arrays."""
        shape = (down.taps, across.taps * maps, down.blocks, across.blocks, -1)
        gradient = _overlap(tf.reshape(gradient, shape), 1)
        shape = (across.taps, maps, rows, across.blocks, -1)
        return _overlap(tf.reshape(gradient, shape), 2)

    return tf.reshape(gather(values), (down.taps * across.taps * maps, -1))


def _overlap(parts: tf.Tensor, axis: int) -> tf.Tensor:
    """Return the sum of the parts (along the first axis), each moved one further along `axis` than the part before."""
    lines = [tf.unstack(part, axis=axis) for part in tf.unstack(parts)]
    count = len(lines[0])
    sums = [
        tf.add_n(
            [line[at - n] for n, line in enumerate(lines) if at - n in range(count)]
        )
        for at in range(count + len(lines) - 1)
    ]
    return tf.stack(sums, axis)


def _pool(values: tf.Tensor, mode: str, ones: tf.Tensor) -> tf.Tensor:
    """Return the average or the largest of each window.

    Args:
        values: (window, maps, places).
        mode: "average" or "max"; of equal values the first in the window is the largest, as in TensorFlow.
        ones: (maps, 1), from a variable. The gradient is divided by them: XLA computes what is cheap anew for each reader,
            here for each value of a window, but a division once, if it cannot tell that it changes nothing.

    Returns:
        (maps, places).
    """
    count = values.shape[0]

    @tf.custom_gradient
    def average(values):
        def gradient(of_pooled):
            of_pooled = of_pooled / count / ones
            return tf.broadcast_to(of_pooled, tf.shape(values))

        return tf.add_n(tf.unstack(values)) / count, gradient

    @tf.custom_gradient
    def largest(values):
        def gradient(of_pooled):
            chosen = tf.argmax(values, 0, tf.int32)
            places = tf.range(count)[:, tf.newaxis, tf.newaxis]
            return tf.where(places == chosen, of_pooled / ones, 0.0)

        return tf.reduce_max(values, 0), gradient

    return average(values) if mode == "average" else largest(values)


FORMS = ("auto", "plain", "blocks")


def choose(model: keras.Model, architecture: Architecture, form: str) -> Form:
    """Return the form in which to compute a model.

    Args:
        model: built from the architecture.
        architecture: what it was built from.
        form: "plain", "blocks", or "auto": blocks on a CPU for an architecture that allows them, else plain.

    Raises:
        BlockError: "blocks" was asked for and the architecture does not allow them.
        ValueError: another word.
    """
    require_choice("form", form, FORMS)
    if form == "blocks":
        return BlockForm(model, architecture)
    if form == "auto" and not tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(BlockError):
            return BlockForm(model, architecture)
    return PlainForm(model, architecture.scale)


@cache
def compiles() -> bool:
    """Return whether XLA can compile here; what it says on stderr when it is first used is held back."""
    double = tf.function(lambda x: x + x, jit_compile=True)
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        double(tf.constant(1.0))
    except tf.errors.OpError:
        return False
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    return True
