"""The losses: cross-entropy of probabilities, and the 1998 paper's two losses of the RBF output's distances.

Each is a small frozen value. Called with labels (n,) and a network's outputs (n, classes), it returns the loss of each
image, (n,), in nats; the training step takes the mean over the batch. Chapter 12 is about this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lenet5lib._checks import require_number
from lenet5lib.spec import RBF, Architecture, Dense, activation_of

if TYPE_CHECKING:
    import tensorflow as tf

EPSILON = np.float32(1e-7)
"""Probabilities are kept this far from 0 and 1 before their logarithm is taken, as in Keras."""
RUBBISH_DISTANCE = 12.0
"""The default of j in equation (9): the distance from a code beyond which the rubbish class is the better prediction."""
# Assumption: the paper says of j only that it is positive. The two nearest codes, of 6 and 8, have a squared distance of 48;
# a point midway lies at 12 from both.


def _of_label(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return each row's output at its label, (n,)."""
    import tensorflow as tf

    return tf.gather(outputs, tf.cast(labels, tf.int32), axis=1, batch_dims=1)


@dataclass(frozen=True)
class CrossEntropy:
    """Categorical cross-entropy of probabilities: −ln of the probability given to the label, as Keras computes it.

    Args:
        smoothing: the share of the target probability that is spread evenly over all classes, the label's included.

    Source: for the smoothing, Szegedy and others 2016, section 7; chapter 14.
    """

    smoothing: float = 0.0
    name: ClassVar[str] = "cross-entropy"
    score_sign: ClassVar[int] = 1  # The prediction is the largest output.

    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image, (n,), in nats, from probabilities (n, classes)."""
        import keras
        import tensorflow as tf

        if not self.smoothing:
            return keras.losses.sparse_categorical_crossentropy(labels, outputs)
        labels = tf.cast(labels, tf.int32)
        targets = tf.one_hot(labels, outputs.shape[1], dtype=outputs.dtype)
        return keras.losses.categorical_crossentropy(
            targets, outputs, label_smoothing=self.smoothing
        )

    def of_arrays(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the loss of each image, (n,), as `__call__` does, without TensorFlow."""
        logs = np.log(np.clip(outputs, EPSILON, 1 - EPSILON))
        logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
        own = logs[np.arange(len(logs)), labels]
        share = outputs.dtype.type(self.smoothing)
        return -(1 - share) * own - share * logs.mean(axis=1)


@dataclass(frozen=True)
class MaximumLikelihood:
    """The paper's equation (8): an image's loss is the distance from the code of its label, y_t.

    It is the squared error of F6 against the code. Nothing keeps the distances from the other codes large.

    Source: the 1998 paper, equation (8); chapter 12, equation (12.2).
    """

    name: ClassVar[str] = "maximum likelihood"
    score_sign: ClassVar[int] = -1  # The prediction is the smallest output.

    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image, (n,), from squared distances (n, classes)."""
        return _of_label(labels, outputs)

    def of_arrays(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the loss of each image, (n,), as `__call__` does, without TensorFlow."""
        return outputs[np.arange(len(outputs)), labels]


@dataclass(frozen=True)
class MaximumAPosteriori:
    """The paper's equation (9): y_t + ln(e^(−j) + Σ_i e^(−y_i)), which also pushes the distances from other codes up.

    Args:
        j: above 0, the distance of a rubbish class, to which a pattern that is no digit would belong. Codes much further
            away than j are not pushed any further.

    Source: the 1998 paper, equation (9); chapter 12, equation (12.3).

    Raises:
        ValueError: j is not above 0.
    """

    j: float = RUBBISH_DISTANCE
    name: ClassVar[str] = "maximum a posteriori"
    score_sign: ClassVar[int] = -1

    def __post_init__(self) -> None:
        require_number("j", self.j, above=0)

    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image, (n,), in nats, from squared distances (n, classes).

        y_t is taken into the sum, ln Σ e^(y_t − y_i), so that no large number is added and subtracted again.
        """
        import tensorflow as tf

        rubbish = tf.fill((tf.shape(outputs)[0], 1), tf.cast(self.j, outputs.dtype))
        others = tf.concat([outputs, rubbish], axis=1)
        own = _of_label(labels, outputs)[:, tf.newaxis]
        return tf.reduce_logsumexp(own - others, axis=1)

    def of_arrays(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the loss of each image, (n,), as `__call__` does, without TensorFlow."""
        own = outputs[np.arange(len(outputs)), labels][:, np.newaxis]
        others = np.concatenate([outputs, np.full_like(own, self.j)], axis=1)
        least = others.min(axis=1, keepdims=True)
        powers = np.exp(least - others).sum(axis=1)
        return (own - least)[:, 0] + np.log(powers)


Loss = CrossEntropy | MaximumLikelihood | MaximumAPosteriori


def make_loss(
    architecture: Architecture,
    name: str | None,
    j: float | None,
    smoothing: float = 0.0,
) -> Loss:
    """Return the loss to train a network with.

    Args:
        architecture: its last layer gives probabilities or distances, and so decides which losses fit.
        name: of a loss; None for cross-entropy of probabilities and equation (9) of distances.
        j: of equation (9); None for `RUBBISH_DISTANCE`.
        smoothing: of the labels, for cross-entropy; see `CrossEntropy`.

    Raises:
        ValueError: the loss does not fit the network's outputs; the text says which do.
    """
    last = architecture.layers[-1]
    distances = isinstance(last, RBF)
    is_dense, activation = isinstance(last, Dense), activation_of(last)
    if not distances and not (is_dense and activation == "softmax"):
        raise ValueError(
            f"the last layer, {last.name}, is {last.kind} with the activation {activation}; expected dense with "
            "softmax, which gives probabilities, or RBF, which gives distances. Change the last layer."
        )
    fitting = ["maximum a posteriori", "maximum likelihood"]
    fitting = fitting if distances else ["cross-entropy"]
    if name not in (None, *fitting):
        gives = "distances" if distances else "probabilities"
        raise ValueError(
            f"loss is {name!r}, but {architecture.name} gives {gives}; expected "
            f"{' or '.join(fitting)}. Choose that, or leave the loss out."
        )
    name = name or fitting[0]
    for field, value, owner in (
        ("label_smoothing", smoothing, CrossEntropy),
        ("rubbish_distance", j, MaximumAPosteriori),
    ):
        if value and name != owner.name:
            raise ValueError(
                f"{field} is {value!r}, but {name} has none. Leave it out."
            )
    if name == CrossEntropy.name:
        return CrossEntropy(smoothing)
    if name == MaximumLikelihood.name:
        return MaximumLikelihood()
    return MaximumAPosteriori(RUBBISH_DISTANCE if j is None else j)


def posterior(distances: np.ndarray, j: float = RUBBISH_DISTANCE) -> np.ndarray:
    """Return the probability of each class: e^(−y_i) / (e^(−j) + Σ_k e^(−y_k)).

    The probability of the rubbish class is what the ten lack to 1. The most probable class is that of the smallest distance,
    even if all ten are too far away for a number to hold their probability.

    Args:
        distances: y, (n, classes), 0 or more.
        j: above 0, as in `MaximumAPosteriori`.

    Returns:
        float64 (n, classes); each row sums to less than 1.

    Source: the 1998 paper, section II.C, below equation (9); chapter 12, equation (12.4).

    Raises:
        ValueError: j is not above 0; a distance is below 0 or NaN.
    """
    require_number("j", j, above=0)
    distances = np.asarray(distances, np.float64)
    _require_rows(distances, (distances >= 0).all(axis=1), "distances of 0 or more")
    shift = np.minimum(distances.min(axis=1, keepdims=True), j)
    powers = np.exp(shift - distances)
    found = powers / (np.exp(shift - j) + powers.sum(axis=1, keepdims=True))
    nearest = np.arange(len(found)), distances.argmin(axis=1)
    found[nearest] = np.maximum(found[nearest], np.nextafter(0.0, 1.0))
    return found


def probabilities(
    architecture: Architecture | None, outputs: np.ndarray
) -> np.ndarray:
    """Return a network's outputs (n, classes) as probabilities: of distances the posterior, see `posterior`."""
    if architecture and isinstance(architecture.layers[-1], RBF):
        return posterior(outputs)
    return require_probabilities(outputs)


def require_probabilities(outputs: np.ndarray) -> np.ndarray:
    """Return a network's outputs (n, classes), which must be 0 or more and in each row add up to 1."""
    whole = abs(outputs.sum(axis=-1, dtype=np.float64) - 1) < 1e-3
    _require_rows(outputs, whole & (outputs >= 0).all(axis=-1), "probabilities")
    return outputs


def _require_rows(outputs: np.ndarray, fits: np.ndarray, expected: str) -> None:
    """Raise ValueError unless all rows of a network's outputs (n, classes) fit."""
    if outputs.ndim != 2 or not fits.all():
        row = outputs[~fits][0] if outputs.ndim == 2 else outputs
        raise ValueError(
            f"the network's outputs of shape {outputs.shape} lie between {row.min():g} and {row.max():g} and add up to "
            f"{row.sum():g}; expected rows of {expected}. Take a network that ends in softmax or RBF and did not diverge."
        )


def for_keras(loss: Loss) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a loss as `model.compile` takes it: Keras names a scope after a loss, and such a name has no spaces."""
    return loss.__call__
