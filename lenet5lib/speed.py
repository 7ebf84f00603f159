"""Where the time of training goes: the work counted, this machine's limits measured, a recorded benchmark read.

Nothing here makes training faster; that is `blocks`. Whole programs are measured side by side by `benchmarks/`, outside the
library, which takes its counts from here. Chapter 14 is about this module.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from lenet5lib import arithmetic, blocks, records
from lenet5lib.spec import Architecture, Conv, pair, require_choice

FORMS = ("plain", "blocks")
FLOAT_BYTES = 4


def macs(architecture: Architecture, form: str = "plain") -> dict[str, int]:
    """Return the forward multiply–accumulates of each layer that has any, for one digit.

    Args:
        architecture: the network.
        form: "plain", those of the network itself; "blocks", those that the block form executes, which multiplies by the
            zeros of its kernels too.

    >>> from lenet5lib.spec import LENET5
    >>> macs(LENET5)["C1"], macs(LENET5, "blocks")["C1"]
    (117600, 301056)
    """
    require_choice("form", form, FORMS)
    found = {row.layer: row.macs for row in arithmetic.table(architecture)}
    if form == "blocks":
        for name, rows, window, places in _products(architecture):
            found[name] = rows * window * places
    return {layer: count for layer, count in found.items() if count}


def _products(architecture: Architecture) -> list[tuple[str, int, int, int]]:
    """Return for each convolution on blocks its matrix product: name, rows, values of a window, windows of a digit."""
    inputs = {
        layer.name: shape for layer, shape, _ in arithmetic.walk(architecture)
    }
    return [
        (
            conv.name,
            prod(side.block for side in sides) * conv.maps,
            prod(side.taps * side.block for side in sides) * inputs[conv.name][2],
            prod(side.blocks for side in sides),
        )
        for conv, _, sides in blocks.plan(architecture)
    ]


def training_flop(forward: dict[str, int]) -> int:
    """Return the FLOP of one digit's training step, forward and backward, from the layers' forward MACs in order.

    One MAC is 2 FLOP. The backward pass computes for each layer the gradient of its weights and that of its input, each as
    many MACs as the forward pass; the first layer's input needs no gradient. Biases, activations, pooling, the optimizer and
    the making of block kernels are left out.

    >>> from lenet5lib.spec import LENET5
    >>> training_flop(macs(LENET5))
    2263920
    """
    first = next(iter(forward.values()))
    return 2 * (3 * sum(forward.values()) - first)


def work(architecture: Architecture, batch_size: int) -> pd.DataFrame:
    """Return the forward work of each layer that multiplies, for one batch.

    Returns:
        A row a layer: `MACs`; `bytes`, of the float32 values that it must read and write at least once (input, weights,
        output); `FLOP a byte`, the ratio of 2 × MACs to these bytes.
    """
    rows = {}
    for layer, inputs, outputs in arithmetic.walk(architecture):
        count = batch_size * arithmetic.macs(layer, inputs)
        if count:
            values = batch_size * (prod(inputs) + prod(outputs))
            moved = FLOAT_BYTES * (values + arithmetic.params(layer, inputs))
            rows[layer.name] = (count, moved, 2 * count / moved)
    columns = ["MACs", "bytes", "FLOP a byte"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def gathering(architecture: Architecture) -> pd.DataFrame:
    """Return what each convolution gathers before it multiplies, for one digit, in both forms.

    Returns:
        A row for each convolution and form: `windows`, `values a window`, `gathered` (their product), `times used` (how many
        sums each gathered value goes into), `MACs`.
    """
    rows = {}
    on_blocks = {name: sizes for name, *sizes in _products(architecture)}
    for layer, inputs, outputs in arithmetic.walk(architecture):
        if not isinstance(layer, Conv):
            continue
        window = prod(pair(layer.kernel_size)) * inputs[2]
        plain = (layer.maps, window, outputs[0] * outputs[1])
        for form, sizes in (("plain", plain), ("blocks", on_blocks[layer.name])):
            used, window, windows = sizes
            gathered = windows * window
            rows[f"{layer.name}, {form}"] = (
                windows,
                window,
                gathered,
                used,
                gathered * used,
            )
    columns = ["windows", "values a window", "gathered", "times used", "MACs"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _seconds(function: Callable[[], Any], repeats: int) -> float:
    """Return the least time that a call took, after one to warm up: what disturbs a measurement only lengthens it."""
    function()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def matrix_rate(side: int = 2048, repeats: int = 5) -> float:
    """Measure this machine's large matrix product: FLOP a second, in float32."""
    left, right = (tf.random.stateless_normal((side, side), (0, n)) for n in (1, 2))
    seconds = _seconds(lambda: tf.matmul(left, right)[0, 0].numpy(), repeats)
    return 2 * side**3 / seconds


def memory_rate(mebibytes: int = 256, repeats: int = 5) -> float:
    """Measure how fast this machine copies a large array: bytes read and written a second."""
    source = np.ones(mebibytes * 2**18, np.float32)
    target = np.empty_like(source)
    seconds = _seconds(lambda: np.copyto(target, source), repeats)
    return 2 * source.nbytes / seconds


def layer_rates(
    architecture: Architecture, batch_size: int = 1000, repeats: int = 5
) -> pd.DataFrame:
    """Measure the sums of each layer, forward, without bias and activation.

    A convolution is measured as TensorFlow's own and, on blocks, as the matrix product that the block form makes of it.

    Returns:
        A row for each layer, and one more for each convolution on blocks: `kind` and `form`; `FLOP a byte` as in `work`;
        `useful` and `executed`, FLOP a second.
    """
    counts = work(architecture, batch_size)
    on_blocks = {name: sizes for name, *sizes in _products(architecture)}
    rows = {}

    def add(
        name: str, layer: Any, form: str, executed: int, seconds: float
    ) -> None:
        flop = 2 * np.array([counts.loc[layer.name, "MACs"], executed])
        intensity = counts.loc[layer.name, "FLOP a byte"]
        rows[name] = (layer.kind, form, intensity, *(flop / seconds))

    for layer, inputs, _ in arithmetic.walk(architecture):
        if layer.name not in counts.index:
            continue
        seconds = _seconds(_sums(layer, inputs, batch_size), repeats)
        add(layer.name, layer, "plain", counts.loc[layer.name, "MACs"], seconds)
        if isinstance(layer, Conv):
            rows_, window, windows = on_blocks[layer.name]
            product = _product((rows_, window), (window, windows * batch_size))
            executed = batch_size * rows_ * window * windows
            seconds = _seconds(product, repeats)
            add(f"{layer.name} on blocks", layer, "blocks", executed, seconds)
    columns = ["kind", "form", "FLOP a byte", "useful", "executed"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _sums(layer: Any, inputs: tuple, batch_size: int) -> Callable[[], Any]:
    """Return a function that computes a layer's sums once."""
    if not isinstance(layer, Conv):
        return _product((batch_size, prod(inputs)), (prod(inputs), layer.units))
    values = tf.random.stateless_normal((batch_size, *inputs), (0, 1))
    size = (*pair(layer.kernel_size), inputs[2], layer.maps)
    kernel = tf.random.stateless_normal(size, (0, 2))
    padding = layer.padding.upper()
    strides = pair(layer.stride)
    return lambda: tf.nn.conv2d(values, kernel, strides, padding)[
        0, 0, 0, 0
    ].numpy()


def _product(left_shape: tuple, right_shape: tuple) -> Callable[[], Any]:
    """Return a function that multiplies two matrices once."""
    left = tf.random.stateless_normal(left_shape, (0, 1))
    right = tf.random.stateless_normal(right_shape, (0, 2))
    return lambda: tf.matmul(left, right)[0, 0].numpy()


def recorded(name: str = "benchmark") -> dict[str, Any]:
    """Return a benchmark that `benchmarks/run.py` wrote and that is kept with the library.

    Args:
        name: "benchmark", TensorFlow as it finds the processor; "benchmark_without_onednn", the same with TensorFlow's
            oneDNN operations off, as they are on processors without AVX-512 VNNI, AVX-VNNI or AMX; "saving", what
            `benchmarks/saving.py` wrote.
    """
    path = records.RECORDED / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def recorded_table(result: dict[str, Any]) -> pd.DataFrame:
    """Return a recorded benchmark as a table.

    Returns:
        A row for each program and batch size, in the order of measuring: `seconds an epoch` (median), `digits a second`,
        `useful GFLOP/s`, and `useful, % of limit`, the share of the machine's matrix product.
    """
    rows = {
        name: (
            numbers["seconds"]["median"],
            round(numbers["images_a_second"]),
            numbers["gflops"]["useful"],
            100 * numbers["share_of_limit"]["useful"],
        )
        for name, numbers in result["programs"].items()
    }
    columns = [
        "seconds an epoch",
        "digits a second",
        "useful GFLOP/s",
        "useful, % of limit",
    ]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)
