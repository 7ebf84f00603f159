"""The optimizer of the 1998 paper: stochastic diagonal Levenberg–Marquardt, with a learning rate for each weight.

A weight w moves by −η / (µ + h) · g, where g is the gradient of the loss, η the common learning rate, µ the damping, and h
an estimate of the loss's second derivative with respect to w: where the loss curves much, steps are short. h is estimated
before each epoch from a few hundred images. This module holds the optimizer, the estimate and the choice of its images.

The estimate goes backward through the network layer by layer. From h at a layer's outputs y it computes h at each input and
each weight v of the layer:

    h_v = Σ (∂y/∂v)² · h_y

The sum runs over the outputs that depend on v: for a shared weight, over all positions. Two parts of the exact second
derivative are left out: the curvature of the squashing functions (Gauss–Newton, which keeps every h at 0 or more), and the
products of different outputs of a layer (the diagonal).

Two functions for the exponential moving average (EMA) of the weights, which any optimizer of Keras keeps, stand at the end.

Source: the 1998 paper, appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from lenet5lib._checks import require_number
from lenet5lib._keras import keras, tf
from lenet5lib.lenet1998 import layers
from lenet5lib.spec import ACTIVATIONS
from lenet5lib.training import losses

DAMPING = 0.02
"""The µ of the paper's appendix C: no weight moves faster than η / µ, however little the loss curves."""
# Assumption: the value is that of public programs that follow the paper; it was not compared with the paper's own text.

ESTIMATED_ON = 500
"""Images from which the second derivatives are estimated before each epoch."""
# Assumption: this number too is that of public programs that follow the paper.


class _Step(NamedTuple):
    """A part of a layer: pre-activations = linear(values, *weights) + bias, then the activation.

    `linear` is linear in each of its arguments, and its own constants are 0 and 1. So it maps squares to squares: where it
    gives Σ xw for values and weights, it gives Σ x²w² for their squares.
    """

    linear: Callable
    weights: tuple = ()
    bias: Any = None
    activation: Callable = keras.activations.linear


def second_derivatives(
    model: keras.Model, loss: losses.Loss, inputs: Any
) -> list[tf.Tensor]:
    """Return the estimate of the loss's second derivative with respect to each trained number, the mean over the images.

    Labels are not needed: with none of the losses does h at the output depend on them. It runs faster inside a
    `tf.function`, with or without XLA.

    Args:
        model: a chain of layers of the kinds that `models.build` makes, except max pooling.
        loss: equation (8) or (9) for an RBF output, cross-entropy for a softmax.
        inputs: float (n, height, width, channels), as the model reads them; see `models.prepared`.

    Returns:
        One for each of `model.trainable_variables`, of its shape and type; 0 or more.

    Raises:
        ValueError: a layer, an activation or a loss without a formula here; inputs that do not fit.
    """
    _require_inputs(model, inputs)
    *hidden, last = model.layers
    steps = [step for layer in hidden for step in _steps(layer)]
    closing, at_output = _output(last, loss)
    values, passed = tf.cast(inputs, model.compute_dtype), []
    for step in steps + closing:  # The forward pass.
        total = step.linear(values, *step.weights)
        total = total if step.bias is None else total + step.bias
        passed.append((step, values, total))
        values = step.activation(total)
    h = at_output(values) / inputs.shape[0]
    found = {}
    for step, values, total in reversed(passed):  # The backward pass.
        h = _derivative(step.activation, total) ** 2 * h
        if step.bias is not None:
            found[id(step.bias)] = tf.reduce_sum(h, range(total.ndim - 1))
        h, *of_weights = _back(step, values, h)
        found |= zip(map(id, step.weights), of_weights, strict=True)
    return [found[id(variable)] for variable in model.trainable_variables]


def _derivative(activation: Callable, preactivations: tf.Tensor) -> tf.Tensor:
    """Return the derivative of an activation function at each pre-activation."""
    with tf.GradientTape() as tape:
        tape.watch(preactivations)
        values = activation(preactivations)
    return tape.gradient(values, preactivations)


def _back(step: _Step, values: tf.Tensor, h: tf.Tensor) -> list[tf.Tensor]:
    """Carry h from a step's pre-activations to its inputs and to each of its weights: Σ w²h and Σ x²h.

    Both equal the gradients of the same step applied to squares, with h in place of the gradient at its result.
    """
    squares = [tf.convert_to_tensor(one) ** 2 for one in (values, *step.weights)]
    with tf.GradientTape() as tape:
        tape.watch(squares)
        total = step.linear(*squares)
    return tape.gradient(total, squares, output_gradients=h)


def _steps(layer: keras.Layer) -> list[_Step]:
    """Return a hidden layer as steps.

    Raises:
        ValueError: a layer or an activation without a formula here.
    """
    match layer:
        case keras.layers.InputLayer() | layers.Dropout():
            return []
        case keras.layers.Flatten():
            return [_Step(layer)]
        case keras.layers.AveragePooling2D():
            return [_average(layer)]
        case layers.TrainableSubsampling():
            return [_Step(layer.window_sums), _weighted(layer, tf.multiply)]
        case layers.TableConv2D():
            return [_weighted(layer, layer.convolve)]
        case keras.layers.Conv2D():
            return [_weighted(layer, layer.convolution_op)]
        case keras.layers.Dense():
            return [_weighted(layer, tf.matmul)]
        case _:
            raise ValueError(
                f"{layer.name} is a {type(layer).__name__}; expected Conv2D, "
                "TableConv2D, AveragePooling2D, TrainableSubsampling, Flatten, Dense "
                "or Dropout, for which the second derivatives are known. Choose a "
                "different optimizer."
            )


def _weighted(layer: keras.Layer, linear: Callable) -> _Step:
    """Return the step of a layer that has weights.

    Raises:
        ValueError: an activation that the specification does not have, or that reads more than its own pre-activation.
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

    As in TensorFlow, cells of the padding are not counted.
    """
    ones = tf.ones((1, *layer.input.shape[1:3], 1), layer.compute_dtype)
    window = tf.ones((*layer.pool_size, 1, 1), layer.compute_dtype)
    cells = tf.nn.conv2d(ones, window, layer.strides, layer.padding.upper())
    return _Step(
        lambda values, weight: weight * cells * layer(values), (1 / cells,)
    )


def _output(layer: keras.Layer, loss: losses.Loss) -> tuple[list[_Step], Callable]:
    """Return the last layer's steps and the function that computes h at their result.

    Raises:
        ValueError: a layer and a loss without a formula here.
    """
    if isinstance(layer, layers.RBFOutput):
        if isinstance(loss, losses.MaximumLikelihood):
            return [], lambda values: 2 * tf.ones_like(values)
        if isinstance(loss, losses.MaximumAPosteriori):
            return [], lambda values: of_distances(values, layer.codes, loss.j)
    softmax = getattr(layer, "activation", None) is keras.activations.softmax
    dense = isinstance(layer, keras.layers.Dense)
    if dense and softmax and isinstance(loss, losses.CrossEntropy):
        return [_Step(tf.matmul, (layer.kernel,), layer.bias)], of_softmax
    name = getattr(loss, "name", type(loss).__name__)
    raise ValueError(
        f"the last layer, {layer.name}, is a {type(layer).__name__} and the loss is {name}; expected RBFOutput with maximum "
        "likelihood or maximum a posteriori, or Dense with softmax and cross-entropy. Choose one of these, or a "
        "different optimizer."
    )


def of_softmax(logits: tf.Tensor) -> tf.Tensor:
    """Return the second derivative of cross-entropy with respect to each logit: p · (1 − p), exact; (n, classes)."""
    probabilities = tf.nn.softmax(logits)
    return probabilities * (1 - probabilities)


def of_distances(values: tf.Tensor, codes: Any, j: float) -> tf.Tensor:
    """Return the second derivative of equation (9) with respect to each input of an RBF output.

    With y_i = Σ_k (x_k − w_ik)², the posterior p_i = e^(−y_i) / (e^(−j) + Σ e^(−y)) of each class, p_0 = 1 − Σ p_i of the
    rubbish class, and the derivative d_ik = 2 (x_k − w_ik) of y_i:

        h_k = Σ_i p_i d_ik² − (Σ_i p_i d_ik)² + 2 p_0

    It is exact. The first two terms are the variance of the derivatives under the posterior, with 0 for the rubbish class.
    The last is Σ_i ∂E/∂y_i · ∂²y_i/∂x_k²: the derivatives of E, 1 − p_t for the label and −p_i for the others, add up to
    p_0. Both are 0 or more, so nothing has to be dropped. (Gauss–Newton in y would drop the last term, the curvature of y
    itself, and leave 0 for equation (8), where the exact h is 2 everywhere; here it is 2 if p_0 is 1.)

    Args:
        values: x, (n, inputs).
        codes: w, (classes, inputs).
        j: the distance of the rubbish class.

    Returns:
        (n, inputs), 0 or more.
    """
    differences = values[:, tf.newaxis] - tf.convert_to_tensor(codes)
    distances = tf.reduce_sum(differences**2, axis=2)
    rubbish = tf.fill((tf.shape(values)[0], 1), tf.cast(j, values.dtype))
    p = tf.nn.softmax(-tf.concat([distances, rubbish], axis=1))[:, :, tf.newaxis]
    d = tf.pad(2 * differences, ((0, 0), (0, 1), (0, 0)))
    mean = tf.reduce_sum(p * d, axis=1, keepdims=True)
    # As Σ p (d − mean)², which no rounding makes negative.
    variance = tf.reduce_sum(p * (d - mean) ** 2, axis=1)
    return variance + 2 * p[:, -1]


def _require_inputs(model: keras.Model, inputs: Any) -> None:
    """Raise ValueError unless there is at least one input, of the type and shape that the model reads."""
    shape, kind = tuple(model.input_shape[1:]), tf.as_dtype(inputs.dtype)
    if not kind.is_floating or inputs.shape[1:] != shape or not inputs.shape[0]:
        raise ValueError(
            f"inputs are {kind.name} of shape {tuple(inputs.shape)}; expected float (n, {', '.join(map(str, shape))}), at "
            "least one. Prepare images with models.prepared."
        )


def estimation_set(
    seed: int, epoch: int, count: int = ESTIMATED_ON, *, of: int
) -> np.ndarray:
    """Return the training images for an epoch's second derivatives: a function of (seed, epoch) alone.

    Args:
        seed: of the run, 0 or more.
        epoch: from 1; each epoch has its own images.
        count: the number of images, at most `of`.
        of: the number of training images.

    Returns:
        Positions, ascending, no two the same: (count,).

    >>> estimation_set(0, epoch=1, count=4, of=6).shape, estimation_set(0, epoch=1, of=6).tolist()
    ((4,), [0, 1, 2, 3, 4, 5])
    """
    # Assumption: the paper does not say which images. They are drawn again for each epoch.
    # The spawn key separates these random numbers from those that order and distort the images.
    own = np.random.SeedSequence([seed, epoch], spawn_key=(1,))
    drawn = np.random.default_rng(own).permutation(of)
    return np.sort(drawn[:count])


@layers.register
class DiagonalLevenbergMarquardt(keras.optimizers.Optimizer):
    """Stochastic diagonal Levenberg–Marquardt: w ← w − η / (µ + h) · g.

    g must be the gradient of the SUM of the images' losses, not of their mean: then a batch of B images takes B steps of one
    image each, all from the same place. Batches of one image are the paper's own way; a smaller last batch needs no care.

    The second derivatives h are the optimizer's state and are saved with it. Until they are first set they are infinite, so
    that no weight moves without an estimate.

    Args:
        learning_rate: η, common to all weights; the paper's are in `schedules.SCHEDULE_1998`.
        damping: µ, above 0.
        **kwargs: as for any optimizer of Keras.

    Source: the 1998 paper, appendix C.

    Raises:
        ValueError: a damping that is not above 0.
    """

    # Assumption: batches of more than one image, with the losses added up; the paper steps after each image.

    expects_sum_of_losses = True
    """The training step must take the gradient of the sum of the losses; Keras's own optimizers expect the mean's."""

    def __init__(
        self,
        learning_rate: float = 0.0005,
        damping: float = DAMPING,
        name: str = "diagonal_levenberg_marquardt",
        **kwargs,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.damping: float = require_number("damping", damping, above=0)

    def build(self, variables: list) -> None:
        """Create the state: a second derivative for each trained number, infinite until it is set."""
        if self.built:
            return
        super().build(variables)
        self.second_derivatives = self.add_optimizer_variables(
            variables, "second_derivative", keras.initializers.Constant(math.inf)
        )

    def set_second_derivatives(self, values: list) -> None:
        """Set the second derivatives, as `second_derivatives` returned them for the optimizer's variables.

        Raises:
            ValueError: the optimizer is not built; arrays of a different number or shape; a value below 0, infinite or NaN.
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
                    f"{one.name} holds {wrong[0]}; expected finite numbers of 0 or more. If the weights have diverged, "
                    "train with a lower learning rate."
                )
        for one, array in zip(kept, arrays, strict=True):
            one.assign(array)

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Update one variable."""
        second = self.second_derivatives[self._get_variable_index(variable)]
        rate = keras.ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, rate / (self.damping + second) * gradient)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `__init__`."""
        return super().get_config() | {"damping": self.damping}


def take_average(model: keras.Model) -> None:
    """Give a model the EMA of its weights that its optimizer keeps; without one, leave it unchanged."""
    model.optimizer.finalize_variable_values(model.trainable_variables)


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Give a model the EMA of its weights inside the block, and afterwards its own weights again, bit for bit.

    A model whose optimizer keeps no EMA stays unchanged.
    """
    variables = model.trainable_variables if model.optimizer.use_ema else []
    own = [variable.numpy() for variable in variables]
    take_average(model)
    try:
        yield
    finally:
        for variable, values in zip(variables, own, strict=True):
            variable.assign(values)
