"""Where the time of training goes: work counted, this machine and the loops measured, a recorded benchmark read.

Whole programs and single layers are measured by `benchmarks/`, outside the library, with the counts and timers of this
module. TensorFlow is imported only by the functions that measure it. Chapter 15 is about this module.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import pandas as pd

from lenet5lib import arithmetic, records
from lenet5lib.arithmetic import Shape
from lenet5lib.loops import compiled, forward, network, parallel, plan, steps
from lenet5lib.loops.compiled import specialise
from lenet5lib.spec import LENET5, Architecture, Conv, pair

FLOAT_BYTES = 4
"""Bytes of a float32 number."""
STEPS: dict[str, tuple[Callable[..., Any], bool]] = {
    "plain Python": (steps.plain, False),
    "compiled": (steps.plain, False),
    "examples innermost": (steps.innermost, True),
    "kernel row at once": (forward.convolve, True),
    "two channels at once": (steps.two_channels, True),
    "kernel row, all threads": (steps.groups, True),
}
"""The steps of chapter 15 by name: the function, and whether the examples are the innermost axis of its arrays."""
SHARED_GROUPS = 8
"""The groups of examples that the threads share in the last step."""


def macs(architecture: Architecture) -> dict[str, int]:
    """Return the forward multiply–accumulates of each layer that has any, for one example.

    >>> macs(LENET5)["C1"]
    117600
    """
    return {
        row.layer: row.macs for row in arithmetic.table(architecture) if row.macs
    }


def training_flop(forward: dict[str, int]) -> int:
    """Return the FLOP of one example's training step, forward and backward, from the layers' forward MACs in order.

    One MAC is 2 FLOP. The backward pass computes for each layer the gradient of its weights and that of its input, each as
    many MACs as the forward pass; the first layer's input needs no gradient. Biases, activations, pooling and the optimizer
    are left out.

    >>> training_flop(macs(LENET5))
    2263920
    """
    first = next(iter(forward.values()))
    return 2 * (3 * sum(forward.values()) - first)


def work(architecture: Architecture, batch_size: int) -> pd.DataFrame:
    """Return the forward work of each layer that multiplies, for one batch.

    Returns:
        A row for each layer: `MACs`; `bytes`, of the float32 values that it must read and write at least once (input,
        weights, output); `FLOP/byte`, the ratio of 2 × MACs to these bytes.
    """
    rows = {}
    for layer, inputs, outputs in arithmetic.walk(architecture):
        count = batch_size * arithmetic.macs(layer, inputs)
        if count:
            values = batch_size * (prod(inputs) + prod(outputs))
            moved = FLOAT_BYTES * (values + arithmetic.params(layer, inputs))
            rows[layer.name] = count, moved, 2 * count / moved
    return _table(rows, "MACs", "bytes", "FLOP/byte")


def _table(rows: dict[Any, tuple], *columns: str) -> pd.DataFrame:
    """Return a table of named rows."""
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def seconds(function: Callable[[], Any], minimum: float = 0.1) -> float:
    """Return the shortest time that a call takes: other programs can only lengthen it.

    Args:
        function: called once to warm up, then repeatedly.
        minimum: seconds to repeat for; at least three calls are measured.
    """
    function()
    found: list[float] = []
    while len(found) < 3 or sum(found) < minimum:
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def matrix_rate(side: int = 2048, by: str = "numpy") -> float:
    """Measure this machine's large matrix product: FLOP per second, in float32.

    Args:
        side: of both matrices.
        by: "numpy" or "tensorflow", which each have their own library for it.
    """
    left, right = random_array(side, side), random_array(side, side)
    if by == "numpy":
        return 2 * side**3 / seconds(lambda: left @ right)
    from lenet5lib._keras import tf

    one, two = tf.constant(left), tf.constant(right)
    return 2 * side**3 / seconds(lambda: tf.matmul(one, two)[0, 0].numpy())


def memory_rate(mebibytes: int = 256) -> float:
    """Measure how fast this machine copies a large array: bytes read and written per second."""
    source = np.ones(mebibytes * 2**18, np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: np.copyto(target, source))


def vector_width() -> int:
    """Return how many float32 numbers a vector register of this processor holds; 1 without numba."""
    if not compiled.available():
        return 1
    from llvmlite import binding

    has = binding.get_host_cpu_features()
    widths = {"avx512f": 16, "avx": 8}
    return next((width for name, width in widths.items() if has.get(name)), 4)


def aligned(array: np.ndarray) -> np.ndarray:
    """Return a copy that begins at a cache line."""
    copy = parallel.aligned(array.shape, array.dtype)
    copy[:] = array
    return copy


def random_array(*shape: int) -> np.ndarray:
    """Return random float32 numbers, the same for the same shape."""
    rng = np.random.default_rng(0)
    return aligned(rng.normal(size=shape).astype(np.float32))


def padded_shape(layer: Conv, inputs: Shape) -> Shape:
    """Return a convolution's input shape with its padding: (rows, columns, channels)."""
    down, across = arithmetic.zero_padding(layer, inputs)
    return inputs[0] + sum(down), inputs[1] + sum(across), inputs[2]


def loop_constants(layer: Conv, group: int) -> dict[str, Any]:
    """Return the constants of a convolution's loops."""
    sizes = plan.window_constants(layer)
    zeros = (np.float32(0),) * sizes["KW"]
    return sizes | {"ZEROS": zeros, "B": group, "F": np.float32}


def find(architecture: Architecture, name: str) -> tuple[Conv, Shape, Shape]:
    """Return a convolution by its name, and the shapes of its input and output."""
    for layer, inputs, outputs in arithmetic.walk(architecture):
        if layer.name == name and isinstance(layer, Conv):
            return layer, inputs, outputs
    raise ValueError(f"layer is {name!r}; expected a convolution. Choose another.")


def measure_steps(
    names: Sequence[str] = tuple(STEPS),
    architecture: Architecture = LENET5,
    layer: str = "C1",
    group: int = network.GROUP,
) -> pd.DataFrame:
    """Measure a convolution, forward, as some of the steps of chapter 15 compute it.

    Args:
        names: of `STEPS`.
        architecture: of which one convolution is taken, of stride 1 and without a table.
        layer: its name.
        group: examples in a group.

    Returns:
        A row for each step: `µs/example`, the shortest time; `GFLOP/s`; `largest difference` of an output from the same sum
        in float64 by NumPy.
    """
    conv, inputs, (_, _, filters) = find(architecture, layer)
    height, width, channels = padded_shape(conv, inputs)
    x = random_array(group, channels, height, width)
    w = random_array(filters, channels, *pair(conv.kernel_size))
    b = random_array(filters)
    expected = _by_numpy(x, w, b)
    flop = 2 * arithmetic.macs(conv, inputs)
    rows = {}
    for name in names:
        arrays = x, w, b, np.empty(expected.shape, np.float32)
        taken, y = _measure_step(name, arrays, loop_constants(conv, group))
        largest = float(np.abs(y - expected).max())
        rows[name] = 1e6 * taken, 1e-9 * flop / taken, largest
    return _table(rows, "µs/example", "GFLOP/s", "largest difference")


def _measure_step(
    name: str, arrays: tuple[np.ndarray, ...], constants: dict[str, Any]
) -> tuple[float, np.ndarray]:
    """Return the seconds per example of one step of chapter 15, and its output, (examples, channels, rows, columns)."""
    (function, is_innermost), (x, w, b, y) = STEPS[name], arrays
    group, shape = len(x), y.shape
    if name == "plain Python":  # Too slow to be repeated.
        start = time.perf_counter()
        function(x, w, b, y)
        return (time.perf_counter() - start) / group, y
    if is_innermost:
        x, y = _examples_innermost(x), _examples_innermost(y)
    weights: tuple[np.ndarray, ...] = (w, b)
    if function in (forward.convolve, steps.groups):
        weights += (np.ones(w.shape[:2], np.int64),)  # Every kernel is there.
    how, groups = "", 1
    if function is steps.groups:
        how, groups = "parallel", SHARED_GROUPS
        x, y = (
            aligned(np.repeat(one[np.newaxis], groups, axis=0)) for one in (x, y)
        )
        parallel.with_threads(parallel.thread_count())
    run = specialise(function, how, **constants)
    taken = seconds(lambda: run(x, *weights, y)) / (groups * group)
    y = y[-1] if groups > 1 else y
    if is_innermost:
        y = np.moveaxis(y.reshape(*shape[1:], group), -1, 0)
    return taken, y


def _examples_innermost(x: np.ndarray) -> np.ndarray:
    """Return (examples, channels, rows, columns) as (channels, rows, columns · examples)."""
    moved = np.moveaxis(x, 0, -1)
    return aligned(moved.reshape(*moved.shape[:2], -1))


def _by_numpy(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the convolution of (examples, channels in, rows, columns) in float64."""
    sliding = np.lib.stride_tricks.sliding_window_view
    windows = sliding(x, (1, 1, *w.shape[2:]))[..., 0, 0, :, :]
    found = np.einsum("knrcuv,mnuv->kmrc", windows, w.astype(float), optimize=True)
    return found + b[:, np.newaxis, np.newaxis]


def group_sizes(
    groups: Sequence[int], architecture: Architecture = LENET5, layer: str = "C1"
) -> pd.DataFrame:
    """Measure the library's convolution, forward, for groups of several sizes.

    Returns:
        A row for each number of examples in a group: `µs/example`, and `MB`, the size of the input and output of a group.
    """
    conv, inputs, outputs = find(architecture, layer)
    values = FLOAT_BYTES * (prod(padded_shape(conv, inputs)) + prod(outputs))
    rows = {}
    for group in groups:
        table = measure_steps(["kernel row at once"], architecture, layer, group)
        rows[group] = table["µs/example"].iloc[0], 1e-6 * group * values
    return _table(rows, "µs/example", "MB")


def recorded_layers(result: dict[str, Any]) -> pd.DataFrame:
    """Return what a recorded benchmark says of single layers in one thread.

    Returns:
        A row for each layer: GFLOP/s forward by TensorFlow and by the loops; and the microseconds of the loops for a group:
        forward, and the gradients of the weights and of the inputs.
    """
    rows = {}
    for name, layer in result["layers"]["layers"].items():
        rates = [layer[engine]["gflops"] for engine in ("keras", "loops")]
        titles = "TensorFlow, GFLOP/s", "loops, GFLOP/s"
        times = {f"{k}, µs": value for k, value in layer["microseconds"].items()}
        rows[name] = dict(zip(titles, rates, strict=True)) | times
    return pd.DataFrame.from_dict(rows, orient="index")


def recorded_points(
    result: dict[str, Any],
) -> dict[tuple[str, str], tuple[str, float, float]]:
    """Return a recorded benchmark's layers as `plots.roofline` takes them."""
    return {
        (name, engine): (
            layer["kind"],
            layer[engine]["intensity"],
            1e9 * layer[engine]["gflops"],
        )
        for name, layer in result["layers"]["layers"].items()
        for engine in ("keras", "loops")
    }


@functools.cache
def graph_operations(batch_size: int = 32) -> int:
    """Return the number of operations in the graph of one training step that Keras hands to TensorFlow for LeNet-5."""
    from lenet5lib import models
    from lenet5lib._keras import tf

    model = models.build(LENET5)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    pixels = tf.zeros((batch_size, *LENET5.input_shape))
    labels = tf.zeros(batch_size, tf.int32)
    step = tf.function(lambda: model.train_step((pixels, labels)))
    return len(step.get_concrete_function().graph.get_operations())


def recorded(name: str = "benchmark") -> dict[str, Any]:
    """Return a measurement that is kept with the library.

    Args:
        name: what a program of `benchmarks/` wrote: "benchmark" `run.py`, "saving" `saving.py`, "speedrun" `speedrun.py`.
    """
    path = records.RECORDED / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def recorded_table(result: dict[str, Any]) -> pd.DataFrame:
    """Return a recorded benchmark as a table.

    Returns:
        A row for each program and batch size, in the order of measuring: `s/epoch` (median), `images/s`, `GFLOP/s`, and
        `% of limit`, the share of the machine's matrix product.
    """
    rows = {
        name: (
            numbers["seconds"]["median"],
            round(numbers["images_per_second"]),
            numbers["gflops"],
            100 * numbers["share_of_limit"],
        )
        for name, numbers in result["programs"].items()
    }
    return _table(rows, "s/epoch", "images/s", "GFLOP/s", "% of limit")


def overheads(result: dict[str, Any]) -> pd.DataFrame:
    """Return what a recorded benchmark says of the time of a step, from the epochs at batch sizes 32 and 128.

    Returns:
        A row for each program that was measured at both: `µs/step`, the part that does not depend on the number of examples,
        and `µs/example`; `% fixed`, the share of the first in a step of 32 examples.
    """
    rows = {}
    num_train = result["data"]["num_train"]
    few, many = (-(-num_train // size) for size in (128, 32))  # Steps per epoch.
    median = {
        name: n["seconds"]["median"] for name, n in result["programs"].items()
    }
    for name in median:
        kind, _, size = name.rpartition("-")
        if size == "32" and f"{kind}-128" in median:
            # The epochs take many · fixed + num_train · each, and few · fixed + num_train · each.
            fixed = (median[name] - median[f"{kind}-128"]) / (many - few)
            each = (median[name] - many * fixed) / num_train
            share = 100 * fixed / (fixed + 32 * each)
            rows[kind] = 1e6 * fixed, 1e6 * each, share
    return _table(rows, "µs/step", "µs/example", "% fixed")
