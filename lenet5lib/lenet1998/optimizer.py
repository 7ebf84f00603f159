"""The optimizer of the 1998 paper: stochastic diagonal Levenberg–Marquardt, a rate of its own for each weight.

A weight w moves by −η / (µ + h) · g, where g is the gradient of the loss, η the rate of all weights and h an estimate of the
loss's second derivative in w, made anew before each epoch from a few hundred digits: where the loss curves much, steps are
short. This module holds the optimizer, the estimate, and the choice of its digits; it trains nothing.

The estimate goes back through the network layer by layer. What is known at a layer's outputs y it carries to each input and
each weight v of the layer:

    h_v = Σ (∂y/∂v)² · h_y

The sum runs over the outputs that v takes part in: for a shared weight, over all positions. Two things are left out of the
exact second derivative: the curvature of the squashing functions (Gauss–Newton, which keeps every h at 0 or more), and what
two different outputs of a layer have in common (the diagonal).

Beside it stand two functions for weights that are averaged over the steps, which Keras's optimizers do themselves.

Source: the 1998 paper, appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lenet5lib.lenet1998 import layers
from lenet5lib.spec import ACTIVATIONS
from lenet5lib.training.losses import (
    CrossEntropy,
    Loss,
    MaximumAPosteriori,
    MaximumLikelihood,
)

MU = 0.02
"""The µ of the paper's appendix C: no weight moves faster than η / µ, however little the loss curves."""
# Assumption: the value is that of public programs that follow the paper; it was not compared with the paper's own text.

ESTIMATED_ON = 500
"""Digits on which the second derivatives are estimated before each epoch."""
# Assumption: the number too is that of public programs that follow the paper.


class _Step(NamedTuple):
    """A part of a layer: sums = linear(values, *weights) + bias, then the activation.

    `linear` is linear in each of its arguments, and its own constants are 0 and 1. So no term of it changes when arguments
    are squared, other than by the squares: applied to squares, it gives Σ x²w² where it gave Σ xw.
    """

    linear: Callable
    weights: tuple = ()
    bias: Any = None
    activation: Callable = keras.activations.linear


def second_derivatives(
    model: keras.Model, loss: Loss, inputs: Any
) -> list[tf.Tensor]:
    """Return the estimate of the loss's second derivative in each trained number, the mean over some digits.

    Labels take no part in it: in none of the losses does h at the output depend on them. Inside a `tf.function` it runs
    faster, compiled by XLA or not.

    Args:
        model: layers one after another, each of a kind that `models.build` makes, max pooling excepted.
        loss: equation (8) or (9) for an RBF output, cross-entropy for a softmax.
        inputs: float (n, height, width, maps), as the model reads them; see `models.prepared`.

    Returns:
        One for each of `model.trainable_variables`, of its shape and type; 0 or more.

    Raises:
        ValueError: a layer, an activation or a loss for which no formula stands here; inputs that do not fit.
    """
    _require_inputs(model, inputs)
    *hidden, last = model.layers
    steps = [step for layer in hidden for step in _steps(layer)]
    closing, at_output = _output(last, loss)
    values, passed = tf.cast(inputs, model.compute_dtype), []
    for step in steps + closing:
        sums = step.linear(values, *step.weights)
        sums = sums if step.bias is None else sums + step.bias
        passed.append((step, values, sums))
        values = step.activation(sums)
    second = at_output(values) / inputs.shape[0]
    found = {}
    for step, values, sums in reversed(passed):
        second = _slopes(step.activation, sums) ** 2 * second
        if step.bias is not None:
            found[id(step.bias)] = tf.reduce_sum(second, range(sums.ndim - 1))
        second, *of_weights = _back(step, values, second)
        found |= zip(map(id, step.weights), of_weights, strict=True)
    return [found[id(variable)] for variable in model.trainable_variables]


def _slopes(activation: Callable, sums: tf.Tensor) -> tf.Tensor:
    """Return the derivative of an activation function at each sum."""
    with tf.GradientTape() as tape:
        tape.watch(sums)
        values = activation(sums)
    return tape.gradient(values, sums)


def _back(step: _Step, values: tf.Tensor, second: tf.Tensor) -> list[tf.Tensor]:
    """Carry h from a step's sums to its inputs and to each of its weights: Σ w²h and Σ x²h.

    Both are what the gradient would be of the same sums, made of squares, for h in the place of the gradient at the sums.
    """
    squares = [tf.convert_to_tensor(one) ** 2 for one in (values, *step.weights)]
    with tf.GradientTape() as tape:
        tape.watch(squares)
        made = step.linear(*squares)
    return tape.gradient(made, squares, output_gradients=second)


def _steps(layer: keras.Layer) -> list[_Step]:
    """Return what a hidden layer computes, as steps.

    Raises:
        ValueError: no formula stands here for the layer or for its activation.
    """
    match layer:
        case keras.layers.InputLayer() | layers.Dropout():
            return []
        case keras.layers.Flatten():
            return [_Step(layer)]
        case keras.layers.AveragePooling2D():
            return [_average(layer)]
        case layers.TrainableSubsampling():
            return [_Step(layer.sums), _weighted(layer, tf.multiply)]
        case layers.TableConv2D():
            return [_weighted(layer, layer.sums)]
        case keras.layers.Conv2D():
            return [_weighted(layer, layer.convolution_op)]
        case keras.layers.Dense():
            return [_weighted(layer, tf.matmul)]
    raise ValueError(
        f"{layer.name} is a {type(layer).__name__}; expected Conv2D, TableConv2D, AveragePooling2D, TrainableSubsampling, "
        "Flatten, Dense or Dropout, for which the second derivatives are known. Train this network with another optimizer."
    )


def _weighted(layer: keras.Layer, linear: Callable) -> _Step:
    """Return the step of a layer that has weights.

    Raises:
        ValueError: the activation is none of the specification's, or no function of one sum alone.
    """
    names = [name for name in ACTIVATIONS if name != "softmax"]
    if layer.activation not in map(layers.find_activation, names):
        name = getattr(layer.activation, "__name__", repr(layer.activation))
        raise ValueError(
            f"activation of {layer.name} is {name}; expected one of {', '.join(names)}, or softmax in the last layer. "
            "Choose one of these."
        )
    trained = layer.coefficient if hasattr(layer, "coefficient") else layer.kernel
    return _Step(linear, (trained,), layer.bias, layer.activation)


def _average(layer: keras.layers.AveragePooling2D) -> _Step:
    """Return average pooling as a step: each window's sum times a weight that is not trained, 1 / cells.

    A cell of the padding is no cell, as in TensorFlow.
    """
    padding, kind = layer.padding.upper(), layer.compute_dtype
    ones = tf.ones((1, *layer.input.shape[1:3], 1), kind)
    window = tf.ones((*layer.pool_size, 1, 1), kind)
    cells = tf.nn.conv2d(ones, window, layer.strides, padding)
    return _Step(
        lambda values, weight: weight * cells * layer(values), (1 / cells,)
    )


def _output(layer: keras.Layer, loss: Loss) -> tuple[list[_Step], Callable]:
    """Return the last layer's own steps and the function that gives h at what these make of the inputs.

    Raises:
        ValueError: no formula stands here for this layer with this loss.
    """
    if isinstance(layer, layers.RBFOutput):
        if isinstance(loss, MaximumLikelihood):
            return [], lambda values: 2 * tf.ones_like(values)
        if isinstance(loss, MaximumAPosteriori):
            return [], lambda values: of_distances(values, layer.codes, loss.j)
    softmax = getattr(layer, "activation", None) is keras.activations.softmax
    dense = isinstance(layer, keras.layers.Dense)
    if dense and softmax and isinstance(loss, CrossEntropy):
        return [_Step(tf.matmul, (layer.kernel,), layer.bias)], of_softmax
    name = getattr(loss, "name", type(loss).__name__)
    raise ValueError(
        f"the last layer, {layer.name}, is a {type(layer).__name__} and the loss is {name}; expected RBFOutput with maximum "
        "likelihood or maximum a posteriori, or Dense with softmax and cross-entropy. Choose one of these, or another "
        "optimizer."
    )


def of_softmax(sums: tf.Tensor) -> tf.Tensor:
    """Return the second derivative of cross-entropy in each sum before a softmax: p · (1 − p), exact; (n, classes)."""
    shares = tf.nn.softmax(sums)
    return shares * (1 - shares)


def of_distances(values: tf.Tensor, codes: Any, j: float) -> tf.Tensor:
    """Return the second derivative of equation (9) in each input of an RBF output.

    With y_i = Σ_k (x_k − w_ik)², the posterior p_i = e^(−y_i) / (e^(−j) + Σ e^(−y)) of each digit, p_0 = 1 − Σ p_i of the
    rubbish class, and the slope d_ik = 2 (x_k − w_ik) of y_i:

        h_k = Σ_i p_i d_ik² − (Σ_i p_i d_ik)² + 2 p_0

    It is exact. The first two terms are the variance of the slopes under the posterior, the rubbish class having slope 0.
    The last is Σ_i ∂E/∂y_i · ∂²y_i/∂x_k²: the slopes of E, 1 − p_t for the label and −p_i for the others, add up to p_0.
    Both are 0 or more, so nothing is dropped here. (The Gauss–Newton form of E as a function of y would drop the last, the
    curvature of y itself, and leave 0 for equation (8), where the exact h is 2 everywhere. Where the rubbish class takes
    all, h is 2 here too.)

    Args:
        values: x, (n, inputs).
        codes: w, (digits, inputs).
        j: the distance of the rubbish class.

    Returns:
        (n, inputs), 0 or more.
    """
    differences = values[:, tf.newaxis] - tf.convert_to_tensor(codes)
    distances = tf.reduce_sum(differences**2, axis=2)
    rubbish = tf.fill((tf.shape(values)[0], 1), tf.cast(j, values.dtype))
    shares = tf.nn.softmax(-tf.concat([distances, rubbish], axis=1))
    shares = shares[:, :, tf.newaxis]
    slopes = tf.pad(2 * differences, ((0, 0), (0, 1), (0, 0)))
    mean = tf.reduce_sum(shares * slopes, axis=1, keepdims=True)
    # As Σ p (d − mean)², which no rounding makes negative.
    variance = tf.reduce_sum(shares * (slopes - mean) ** 2, axis=1)
    return variance + 2 * shares[:, -1]


def _require_inputs(model: keras.Model, inputs: Any) -> None:
    """Raise ValueError unless inputs are one or more of what the model reads."""
    shape, kind = tuple(model.input_shape[1:]), tf.as_dtype(inputs.dtype)
    if not kind.is_floating or inputs.shape[1:] != shape or not inputs.shape[0]:
        raise ValueError(
            f"inputs are {kind.name} of shape {tuple(inputs.shape)}; expected float (n, {', '.join(map(str, shape))}), at "
            "least one. Prepare images with models.prepared."
        )


def estimation_set(
    seed: int, epoch: int, count: int = ESTIMATED_ON, *, of: int
) -> np.ndarray:
    """Return which training digits an epoch's second derivatives are estimated on: a function of (seed, epoch) alone.

    Args:
        seed: of the run, 0 or more.
        epoch: another epoch has other digits.
        count: how many; all where there are fewer.
        of: the number of training digits.

    Returns:
        Positions, ascending, no two the same: (count,).

    >>> estimation_set(0, epoch=1, count=4, of=6).shape, estimation_set(0, epoch=1, of=6).tolist()
    ((4,), [0, 1, 2, 3, 4, 5])
    """
    # Assumption: the paper does not say which digits. They are drawn anew for each epoch.
    # The key keeps these numbers apart from those that order and distort the digits.
    own = np.random.SeedSequence([seed, epoch], spawn_key=(1,))
    drawn = np.random.default_rng(own).permutation(of)
    return np.sort(drawn[:count])


@layers.register
class DiagonalLevenbergMarquardt(keras.optimizers.Optimizer):
    """Stochastic diagonal Levenberg–Marquardt: w ← w − η / (µ + h) · g.

    g is to be the gradient of the SUM of the digits' losses, not of their mean: then a batch of B digits takes B steps of
    one digit each, all from the same place. A batch of one digit is the paper's own way, and a last batch of fewer digits
    is right by itself.

    The second derivatives h are the optimizer's state and are saved with it. They are infinite until they are first set, so
    that no weight moves of whose h nothing is known.

    Args:
        learning_rate: η, the rate of all weights; the paper's are in `schedules.SCHEDULE_1998`.
        mu: µ, above 0.
        **kwargs: as for any optimizer of Keras.

    Source: the 1998 paper, appendix C.

    Raises:
        ValueError: µ is not above 0.
    """

    # Assumption: batches of more than one digit, whose losses are added up; the paper steps after each digit.

    summed = True
    """Says to whoever trains that the gradient is to be of the losses' sum; Keras's own optimizers expect the mean's."""

    def __init__(
        self,
        learning_rate: float = 0.0005,
        mu: float = MU,
        name: str = "diagonal_levenberg_marquardt",
        **kwargs,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        if not isinstance(mu, Real) or not 0 < mu < math.inf:
            raise ValueError(
                f"mu is {mu!r}; expected a number above 0, which bounds the steps. The default is {MU}."
            )
        self.mu = float(mu)

    def build(self, variables: list) -> None:
        """Make the state: a second derivative for each trained number, infinite as long as none is set."""
        if self.built:
            return
        super().build(variables)
        self.second_derivatives = self.add_optimizer_variables(
            variables, "second_derivative", keras.initializers.Constant(math.inf)
        )

    def set_second_derivatives(self, values: list) -> None:
        """Keep what `second_derivatives` returned for the variables that the optimizer was built with.

        Raises:
            ValueError: the optimizer is not built; arrays of another number or shape; a value below 0, infinite or NaN.
        """
        if not self.built:
            raise ValueError(
                "the optimizer has no variables; expected it to be built. Call optimizer.build(model.trainable_variables)."
            )
        kept = self.second_derivatives
        arrays = [np.asarray(value) for value in values]
        shapes = [array.shape for array in arrays]
        if shapes != [tuple(one.shape) for one in kept]:
            raise ValueError(
                f"second derivatives have shapes {shapes}; expected {[tuple(one.shape) for one in kept]}. Estimate them on "
                "the model that the optimizer was built for."
            )
        for one, array in zip(kept, arrays, strict=True):
            wrong = array[~((array >= 0) & np.isfinite(array))]
            if wrong.size:
                raise ValueError(
                    f"{one.name} holds {wrong[0]}; expected finite numbers of 0 or more. Weights that have diverged give "
                    "such: train with a lower rate."
                )
        for one, array in zip(kept, arrays, strict=True):
            one.assign(array)

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Move one variable."""
        second = self.second_derivatives[self._get_variable_index(variable)]
        rate = keras.ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, rate / (self.mu + second) * gradient)

    def get_config(self) -> dict[str, Any]:
        """Return what `__init__` takes."""
        return super().get_config() | {"mu": self.mu}


def take_average(model: keras.Model) -> None:
    """Give a model the average of its weights that its optimizer kept; without one, leave it as it is."""
    model.optimizer.finalize_variable_values(model.trainable_variables)


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Give a model the average of its weights for as long as the block lasts, and then its own, bit for bit.

    For a model whose optimizer keeps no average nothing is changed.
    """
    variables = model.trainable_variables if model.optimizer.use_ema else []
    own = [variable.numpy() for variable in variables]
    take_average(model)
    try:
        yield
    finally:
        for variable, values in zip(variables, own, strict=True):
            variable.assign(values)
