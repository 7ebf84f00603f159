"""The loops for a single example: feature maps (channels, rows, columns) or vectors (units,), results returned, in float64.

Each function allocates, pads and calls a function of `forward`, `backward` or `update` with B = 1. Keras stores feature maps
as (height, width, channels): `x.transpose(2, 0, 1)` brings them to the order of the loops, and `w.transpose(3, 2, 0, 1)`
kernels. Functions that end in `_inputs` and `_weights` are the backward pass: from `g`, the gradient at what the forward
function returned, to that at its inputs, or at its weights and biases. Chapters 2 to 6, 9, 11, 12 and 14 call them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from lenet5lib import arithmetic
from lenet5lib._checks import require_choice
from lenet5lib.loops import backward, compiled, plan, update
from lenet5lib.loops import forward as loops
from lenet5lib.loops.initial import layer_weights
from lenet5lib.loops.network import Network, Weights
from lenet5lib.spec import (
    RBF,
    Architecture,
    Conv,
    Pair,
    Pool,
    Subsample,
    Table,
    pair,
)
from lenet5lib.training.recipe import Recipe


def convolve(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray,
    stride: int | Pair = 1,
    padding: str = "valid",
    table: Table | None = None,
) -> np.ndarray:
    """Return y[m, r, c] = b[m] + Σ w[m, n, u, v] · x[n, stride·r + u, stride·c + v], before any activation.

    What deep-learning libraries call convolution is, strictly, cross-correlation: the kernel is not flipped.

    Args:
        x: (channels in, rows, columns).
        w: (filters, channels in, kernel height, kernel width).
        b: (filters,).
        stride: one size or (down, right).
        padding: "valid", or TensorFlow's "same".
        table: for each filter the input channels that it reads; None for all. The kernels of the others are not read.

    Returns:
        (filters, rows, columns).

    Raises:
        ValueError: shapes that do not fit, a window larger than its input, or a table with a channel that is not there.

    Source: chapter 2, equation (2.1); with a table, chapter 11, equation (11.3).

    >>> convolve([[[1, 2, 3], [4, 5, 6]]], [[[[1, 0], [0, -1]]]], [0])
    array([[[-4., -4.]]])
    """
    x = _array("x", x, "channels in", "rows", "columns")
    w = _array("w", w, "filters", len(x), "kernel height", "kernel width")
    b = _array("b", b, len(w))
    _, _, height, width = w.shape
    layer = Conv("w", len(w), (height, width), stride, padding, table=table)
    if any(channel >= len(x) for row in layer.table or () for channel in row):
        raise ValueError(
            f"table is {table}; expected channels from 0 to {len(x) - 1}, those of x. "
            "Correct the table."
        )
    x, y = _windows(layer, x)
    reads = plan.reads_of(layer.table, *w.shape[:2])
    _single(loops.convolve, **plan.window_constants(layer))(x, w, b, reads, y)
    return y


def pool(
    x: np.ndarray,
    size: int | Pair = 2,
    stride: int | Pair | None = None,
    padding: str = "valid",
    mode: str = "average",
) -> np.ndarray:
    """Return average or max pooling, each channel separately.

    Args:
        x: (channels, rows, columns).
        size: the window, one size or (height, width).
        stride: one size or (down, right); by default the window's size.
        padding: "valid", or TensorFlow's "same", whose padding takes no part in the average or the maximum.
        mode: "average" or "max".

    Returns:
        (channels, rows, columns).

    Raises:
        ValueError: an x of other axes, a window larger than its input, or an unknown mode.

    >>> pool([[[1, 3], [5, 7]]]), pool([[[1, 3], [5, 7]]], mode="max")
    (array([[[4.]]]), array([[[7.]]]))
    """
    x = _array("x", x, "channels", "rows", "columns")
    layer = Pool("pooling", mode, size, stride, padding)
    share = plan.window_shares(layer, (*x.shape[1:], len(x)))
    x, y = _windows(layer, x, -np.inf if mode == "max" else 0.0)
    function = loops.largest if mode == "max" else loops.average
    _single(function, **plan.window_constants(layer))(x, share, y)
    return y


def subsample(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, size: int | Pair = 2
) -> np.ndarray:
    """Return trainable subsampling: the sum of each window times w[m], plus b[m], before any activation.

    Args:
        x: (channels, rows, columns).
        w, b: (channels,), the coefficient and the bias of each channel.
        size: the window, one size or (height, width); windows do not overlap.

    Returns:
        (channels, rows // height, columns // width).

    Raises:
        ValueError: shapes that do not fit.

    Source: the 1998 paper, section II.B, layer S2; chapter 11, equation (11.2).

    >>> subsample([[[1, 3], [5, 7]]], w=[0.5], b=[1])
    array([[[9.]]])
    """
    x = _array("x", x, "channels", "rows", "columns")
    w, b = _array("w", w, len(x)), _array("b", b, len(x))
    layer = Subsample("subsampling", size)
    x, y = _windows(layer, x)
    _single(loops.subsample, **plan.window_constants(layer))(x, w, b, y)
    return y


def dense(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return y[j] = b[j] + Σ_i x[i] · w[i, j], before any activation.

    Args:
        x: (inputs,).
        w: (inputs, units), as in Keras.
        b: (units,).

    Raises:
        ValueError: shapes that do not fit.

    Source: chapter 3, equation (3.3).

    >>> dense([1, 10], w=[[1, 2], [3, 4]], b=[0, 5])
    array([31., 47.])
    """
    x = _array("x", x, "inputs")
    w = _array("w", w, len(x), "units")
    b, y = _array("b", b, w.shape[1]), np.empty((1, w.shape[1]))
    _single(loops.dense, U=1)(x[np.newaxis], w, b, y)
    return y[0]


def rbf(x: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return y[i] = Σ_j (x[j] − codes[i, j])², the squared distance from each code.

    Args:
        x: (inputs,).
        codes: (units, inputs).

    Raises:
        ValueError: shapes that do not fit.

    Source: the 1998 paper, equation (7); chapter 12, equation (12.1).

    >>> rbf([1, -1], codes=[[1, -1], [-1, -1], [0, 0]])
    array([0., 4., 2.])
    """
    x = _array("x", x, "inputs")
    codes = _array("codes", codes, "units", len(x))
    y = np.empty((1, len(codes)))
    _single(loops.rbf)(x[np.newaxis], codes, y)
    return y[0]


def activate(x: np.ndarray, name: str) -> np.ndarray:
    """Return an activation function of an array, as a new one.

    Args:
        x: any shape; softmax runs over the channels of (channels, rows, columns), else over the last axis.
        name: of `spec.ACTIVATIONS`.

    Raises:
        ValueError: an unknown name.
    """
    require_choice("activation", name, ("linear", *loops.ACTIVATIONS))
    y = np.array(x, np.float64, order="C")
    if name == "softmax":
        last = np.moveaxis(y, 0, -1) if y.ndim == 3 else y
        rows = last.reshape(-1, last.shape[-1]).copy()
        _single(loops.softmax)(rows)
        last[...] = rows.reshape(last.shape)
    elif name != "linear":
        _single(loops.ACTIVATIONS[name])(y.reshape(-1))
    return y[()]  # Of no axes, a plain number.


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return σ(x) = 1 / (1 + e^(−x)), between 0 and 1.

    Source: chapter 3.

    >>> float(sigmoid(0.0))
    0.5
    """
    return activate(x, "sigmoid")


def scaled_tanh(x: np.ndarray) -> np.ndarray:
    """Return the squashing function of the 1998 paper, f(x) = 1.7159 · tanh(2x / 3).

    Source: the 1998 paper, equation (6) and appendix A; chapter 11, equation (11.1).

    >>> scaled_tanh([-1.0, 0.0, 1.0]).round(4)
    array([-1.,  0.,  1.])
    """
    return activate(x, "scaled_tanh")


def softmax(z: np.ndarray) -> np.ndarray:
    """Return probabilities from logits (classes,): e^z, each divided by their sum.

    Source: chapter 5, equation (5.1).

    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    return activate(z, "softmax")


def convolve_inputs(g: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the gradient at the inputs of `convolve`, stride 1, no padding: an input gets w · g from each window it is in.

    Args:
        g: (filters, rows, columns), the gradient at the outputs.
        w: (filters, channels in, kernel height, kernel width).

    Returns:
        (channels in, rows + kernel height − 1, columns + kernel width − 1).

    >>> convolve_inputs([[[1, 10]]], [[[[2, 3]]]])
    array([[[ 2., 23., 30.]]])
    """
    g = _array("g", g, "filters", "rows", "columns")
    w = _array("w", w, len(g), "channels in", "kernel height", "kernel width")
    _, channels, height, width = w.shape
    gx = np.empty((channels, g.shape[1] + height - 1, g.shape[2] + width - 1))
    spread = np.pad(g, ((0, 0), (0, 0), (width - 1, width - 1)))
    loop = _single(backward.convolve_inputs, KH=height, KW=width, SH=1, SW=1)
    loop(spread, w, np.ones(w.shape[:2], int), gx)
    return gx


def convolve_weights(x: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients at the weights and biases of `convolve`, stride 1, no padding: sums over all positions.

    Args:
        x: (channels in, rows, columns), the inputs.
        g: (filters, rows, columns), the gradient at the outputs; the kernel's size is that which gives these.

    Returns:
        (filters, channels in, kernel height, kernel width) and (filters,).

    Source: chapter 6, equation (6.5).

    >>> convolve_weights([[[1, 2, 3]]], [[[1, 10]]])
    (array([[[[21., 32.]]]]), array([11.]))
    """
    x = _array("x", x, "channels in", "rows", "columns")
    g = _array("g", g, "filters", "rows", "columns")
    height, width = np.subtract(x.shape[1:], g.shape[1:]).tolist()
    size: dict[str, Any] = {"KH": height + 1, "KW": width + 1, "SH": 1, "SW": 1}
    dw, db = np.zeros((len(g), len(x), height + 1, width + 1)), np.zeros(len(g))
    loop = _single(backward.convolve_weights, ZEROS=(0.0,) * (width + 1), **size)
    loop(x, g, np.ones(dw.shape[:2], int), dw, db)
    return dw, db


def pool_inputs(x: np.ndarray, g: np.ndarray, mode: str = "average") -> np.ndarray:
    """Return the gradient at the inputs of `pool` with windows of 2 × 2.

    Args:
        x: (channels, rows, columns), the inputs.
        g: (channels, rows // 2, columns // 2), the gradient at the outputs.
        mode: "average" or "max".

    >>> pool_inputs([[[1, 7], [7, 5]]], [[[4]]], mode="max")
    array([[[0., 4.],
            [0., 0.]]])
    """
    y = pool(x, mode=mode)
    x, g = _array("x", x, "channels", "rows", "columns"), _array("g", g, *y.shape)
    share, gx = np.full(y.shape[1:], 0.25), np.empty_like(x)
    loop = backward.largest_inputs if mode == "max" else backward.average_inputs
    _single(loop, KH=2, KW=2, SH=2, SW=2)(g, x, share, y, gx)
    return gx


def dense_inputs(g: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the gradient at the inputs of `dense`: Σ_j w[i, j] · g[j], from (units,) and (inputs, units).

    >>> dense_inputs([1, 10], w=[[1, 2], [3, 4]])
    array([21., 43.])
    """
    g = _array("g", g, "units")
    w = _array("w", w, "inputs", len(g))
    gx = np.empty((1, len(w)))
    _single(backward.dense_inputs)(g[np.newaxis], w, gx)
    return gx[0]


def dense_weights(x: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients at the weights and biases of `dense`: x[i] · g[j], (inputs, units), and g[j], (units,).

    Source: chapter 6, equation (6.3).

    >>> dense_weights([1, 10], g=[2, 3])
    (array([[ 2.,  3.],
           [20., 30.]]), array([2., 3.]))
    """
    x, g = _array("x", x, "inputs"), _array("g", g, "units")
    dw, db = np.zeros((len(x), len(g))), np.zeros(len(g))
    _single(backward.dense_weights, U=1)(x[np.newaxis], g[np.newaxis], dw, db)
    return dw, db


def sigmoid_inputs(y: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Return the gradient before a sigmoid, g · y · (1 − y), from its outputs y and the gradient g there; any shape.

    Source: chapter 6, equation (6.4).

    >>> sigmoid_inputs([0.5], [8.0])
    array([2.])
    """
    found = np.array(g, np.float64, order="C")
    y = _array("y", y, *found.shape)
    _single(backward.sigmoid_inputs)(y.reshape(-1), found.reshape(-1))
    return found


def activation_functions(x: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (values, derivatives) at the points `x` of the three activation functions that the book compares."""
    found = {}
    for name in ("sigmoid", "tanh", "relu"):
        y, g = activate(x, name), np.ones(np.shape(x))
        # The gradient of the input is 1 times the derivative.
        _single(backward.ACTIVATIONS[name])(y.reshape(-1), g.reshape(-1))
        found[name] = y, g
    return found


def cross_entropy(probabilities: np.ndarray, label: int) -> float:
    """Return the loss of one example, −ln of the probability given to its label, in nats.

    `forward.cross_entropy` computes it from the logits, which cannot overflow.

    Source: chapter 5, equation (5.2).

    >>> round(cross_entropy(np.full(10, 0.1), label=3), 4)
    2.3026
    """
    return float(-np.log(probabilities[label]))


def maximum_likelihood(distances: np.ndarray, label: int) -> float:
    """Return the loss of one example by the 1998 paper's equation (8): y_t, its distance from the code of its label.

    >>> maximum_likelihood([3.0, 0.5], label=1)
    0.5
    """
    return _loss("maximum likelihood", distances, label, 0.0)


def maximum_a_posteriori(distances: np.ndarray, label: int, j: float) -> float:
    """Return the loss of one example by the 1998 paper's equation (9): y_t + ln(e^(−j) + Σ_i e^(−y_i)), in nats.

    >>> round(maximum_a_posteriori([1.0, 1.0], label=0, j=1.0), 4)
    1.0986
    """
    return _loss("maximum a posteriori", distances, label, float(j))


def adam_step(
    weight: float,
    gradient: float,
    mean: float,
    square: float,
    step: int,
    learning_rate: float = 0.001,
) -> tuple[float, float, float]:
    """Return (weight, mean, square) after one step of Adam, as Keras computes it.

    Args:
        weight, gradient: of one trained number.
        mean, square: the running means of its gradient and of its gradient's square so far; 0 at the start.
        step: 1 for the first.
        learning_rate: α.

    Source: Kingma and Ba 2015, the end of section 2; chapter 5, equation (5.3).

    >>> round(adam_step(weight=0.5, gradient=0.02, mean=0.0, square=0.0, step=1)[0], 6)
    0.499
    """
    w, g, m, v, rate, number = np.array(
        [[weight], [gradient], [mean], [square], [learning_rate], [step - 1]], float
    )
    state, undecayed = np.stack([m, v]), np.zeros(1)
    now = update.settings(Recipe(optimizer="adam"), rate, np.ones(1), number)[0]
    _single(update.adam)(w, state, undecayed, g, 0, 1, now)
    return w.item(), state[0].item(), state[1].item()


def forward(
    architecture: Architecture, weights: Weights, image: np.ndarray
) -> dict[str, np.ndarray]:
    """Run a network by the loops and return every layer's output for one example.

    Args:
        architecture: what to run.
        weights: layer name to its arrays, (kernel, bias) in most, in the layout of Keras; see `random_weights`.
        image: (height, width, channels), prepared.

    Returns:
        Layer name to (channels, rows, columns) or (units,).

    Raises:
        ValueError: an image or weights of another shape.
    """
    image = _array("image", image, *architecture.input_shape)
    network = Network(architecture, weights, group=1, dtype=np.float64)
    return network.layers(image)


def random_weights(architecture: Architecture, seed: int) -> Weights:
    """Return random weights for `forward`: kernels that keep pre-activations near 1, small biases, codes of −1 and +1.

    Args:
        architecture: whose layers.
        seed: the same seed gives the same weights.

    Returns:
        Layer name to (kernel, bias), in the layout of Keras; (coefficient, bias) for subsampling, (codes,) for RBF units.
    """
    rng, weights = np.random.default_rng(seed), Weights()
    for layer, inputs, outputs in arithmetic.walk(architecture):
        if isinstance(layer, RBF):
            codes = rng.choice([-1.0, 1.0], (outputs[0], inputs[0]))
            weights[layer.name] = (codes,)
        elif arrays := layer_weights(layer, inputs, seed):
            kernel, bias = (array.shape for array in arrays)
            fan_in = prod(kernel) / bias[0]
            if isinstance(layer, Subsample):
                fan_in = prod(pair(layer.size))
            w, b = rng.normal(0, fan_in**-0.5, kernel), rng.normal(0, 0.1, bias)
            weights[layer.name] = w, b
    return weights


def _single(function: Callable, **constants: int) -> Callable:
    """Return a function of `forward`, `backward` or `update` for a single example in float64."""
    return compiled.specialise(function, B=1, F=np.float64, **constants)


def _loss(name: str, outputs: np.ndarray, label: int, setting: float) -> float:
    """Return a loss of `forward` for one example."""
    y = _array("distances", outputs, "units")
    if not 0 <= label < len(y):
        raise ValueError(
            f"label is {label}; expected a class from 0 to {len(y) - 1}. Count the "
            "classes from 0."
        )
    labels = np.array([label], np.int64)
    return float(_single(loops.LOSSES[name])(y[np.newaxis], labels, setting))


def _array(name: str, value: Any, *sizes: int | str) -> np.ndarray:
    """Return a value as a float64 array; raise ValueError unless its axes have these sizes, where a name fits any."""
    array = np.array(value, np.float64, order="C")
    if array.ndim != len(sizes) or any(
        expected != size
        for expected, size in zip(sizes, array.shape, strict=True)
        if not isinstance(expected, str)
    ):
        raise ValueError(
            f"{name} has the shape {array.shape}; expected "
            f"({', '.join(map(str, sizes))}). Put its axes in this order with transpose, "
            "or add one with np.newaxis."
        )
    return array


def _windows(
    layer: Conv | Pool | Subsample, x: np.ndarray, around: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return feature maps padded as the layer needs, and room for its output."""
    shape = (*x.shape[1:], len(x))
    rows, columns, channels = arithmetic.output_shape(layer, shape)
    margins = (0, 0), *arithmetic.zero_padding(layer, shape)
    padded = np.pad(x, margins, constant_values=around)
    return padded, np.empty((channels, rows, columns))
