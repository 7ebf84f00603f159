"""Measure single layers: the loops in one thread, forward and both gradients, and the same sums by TensorFlow; and Adam."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd, prod
from typing import Any

import numpy as np

from lenet5lib import arithmetic
from lenet5lib.arithmetic import Shape
from lenet5lib.loops import backward, forward, network, update
from lenet5lib.loops.compiled import specialise
from lenet5lib.loops.plan import AT_ONCE
from lenet5lib.spec import Architecture, Conv, Layer, pair
from lenet5lib.studies import roofline


def layer_functions(
    layer: Layer, inputs: Shape, group: int = network.GROUP
) -> dict[str, Callable[[], Any]]:
    """Return the loops of a convolution or dense layer for one group, on random numbers, without bias and activation.

    Returns:
        "forward", "weights" and "inputs" (the two gradients) to functions that compute them once.
    """
    if isinstance(layer, Conv):
        return _convolution_functions(layer, inputs, group)
    sizes = {"B": group, "F": np.float32}
    x, g = (
        roofline.random_array(group, prod(inputs)),
        roofline.random_array(group, layer.units),
    )
    w, b = (
        roofline.random_array(prod(inputs), layer.units),
        roofline.random_array(layer.units),
    )
    ahead = specialise(forward.dense, U=gcd(prod(inputs), AT_ONCE), **sizes)
    weights = specialise(backward.dense_weights, U=gcd(group, AT_ONCE), **sizes)
    back = specialise(backward.dense_inputs, **sizes)
    y, gx, dw, db = (
        roofline.aligned(np.zeros_like(array)) for array in (g, x, w, b)
    )
    return {
        "forward": lambda: ahead(x, w, b, y),
        "weights": lambda: weights(x, g, dw, db),
        "inputs": lambda: back(g, w, gx),
    }


def _convolution_functions(
    layer: Conv, inputs: Shape, group: int
) -> dict[str, Callable[[], Any]]:
    """Return what `layer_functions` does, for a convolution."""
    rows, columns, outs = arithmetic.output_shape(layer, inputs)
    height, width, ins = roofline.padded_shape(layer, inputs)
    sizes = roofline.loop_constants(layer, group)
    kw, sw = sizes["KW"], sizes["SW"]
    x, gx = (
        roofline.random_array(ins, height, width * group),
        roofline.random_array(ins, height, width * group),
    )
    g, y = (roofline.random_array(outs, rows, columns * group) for _ in range(2))
    wide = roofline.random_array(
        outs, rows, ((columns - 1) * sw + 1 + 2 * (kw - 1)) * group
    )
    w, b = (
        roofline.random_array(outs, ins, sizes["KH"], kw),
        roofline.random_array(outs),
    )
    reads = np.ones((outs, ins), np.int64)
    dw, db = (roofline.aligned(np.zeros_like(array)) for array in (w, b))
    ahead = specialise(forward.convolve, **sizes)
    weights = specialise(backward.convolve_weights, **sizes)
    back = specialise(backward.convolve_inputs, **sizes)
    return {
        "forward": lambda: ahead(x, w, b, reads, y),
        "weights": lambda: weights(x, g, reads, dw, db),
        "inputs": lambda: back(wide, w, reads, gx),
    }


def layer_rates(
    architecture: Architecture, batch_size: int = 128
) -> dict[str, dict[str, Any]]:
    """Measure each layer that multiplies: the loops in one thread, and the same sums by TensorFlow.

    Args:
        architecture: whose layers.
        batch_size: for TensorFlow; the loops take a group at a time.

    Returns:
        Layer name to `kind`; `keras` and `loops`, each with `intensity` in FLOP/byte and `gflops`, forward; and
        `microseconds` of the loops for one group, with those of the two gradients; the first layer has none of its input.
    """
    counts = {
        n: roofline.work(architecture, n) for n in (batch_size, network.GROUP)
    }
    found: dict[str, dict[str, Any]] = {}
    for layer, inputs, _ in arithmetic.walk(architecture):
        if layer.name not in counts[batch_size].index:
            continue
        functions = layer_functions(layer, inputs)
        if not found:
            del functions["inputs"]
        taken = {name: roofline.seconds(run) for name, run in functions.items()}
        by_keras = roofline.seconds(_by_tensorflow(layer, inputs, batch_size))
        times = {
            "keras": (by_keras, batch_size),
            "loops": (taken["forward"], network.GROUP),
        }
        found[layer.name] = {"kind": layer.kind}
        for engine, (time_, count) in times.items():
            row = counts[count].loc[layer.name]
            rate = 2e-9 * row["MACs"] / time_
            found[layer.name][engine] = {
                "intensity": row["FLOP/byte"],
                "gflops": rate,
            }
        micro = {name: 1e6 * time_ for name, time_ in taken.items()}
        found[layer.name]["microseconds"] = micro
    return found


def _by_tensorflow(layer: Any, inputs: Shape, batch_size: int) -> Callable[[], Any]:
    """Return a function that computes a layer's sums once by TensorFlow."""
    import tensorflow as tf

    if not isinstance(layer, Conv):
        left = tf.constant(roofline.random_array(batch_size, prod(inputs)))
        right = tf.constant(roofline.random_array(prod(inputs), layer.units))
        return lambda: tf.matmul(left, right)[0, 0].numpy()
    values = tf.constant(roofline.random_array(batch_size, *inputs))
    size = (*pair(layer.kernel_size), inputs[2], layer.filters)
    kernel, strides = tf.constant(roofline.random_array(*size)), pair(layer.stride)
    padding = layer.padding.upper()
    return lambda: tf.nn.conv2d(values, kernel, strides, padding)[
        0, 0, 0, 0
    ].numpy()


def adam_seconds(numbers: int) -> float:
    """Measure one step of Adam over so many numbers, by the loops in one thread."""
    run = specialise(update.adam, F=np.float32)
    w, g, decayed = (
        roofline.random_array(numbers),
        roofline.random_array(numbers),
        roofline.random_array(numbers),
    )
    state, now = abs(roofline.random_array(2, numbers)), np.zeros(3, np.float32)
    return roofline.seconds(lambda: run(w, state, decayed, g, 0, numbers, now))
