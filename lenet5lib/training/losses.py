"""The losses: the paper's two, on the distances of the RBF output, and today's, on probabilities.

Each is a small frozen value that is called with labels (n,) and a network's outputs (n, 10) and returns the loss of each
digit, (n,), in nats; the mean over a batch is the trainer's to take. Chapter 12 is about this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lenet5lib.spec import RBF, Architecture

if TYPE_CHECKING:
    import tensorflow as tf

EPSILON = np.float32(1e-7)
"""Probabilities are kept so far from 0 and 1 before their logarithm is taken, as in Keras."""
RUBBISH_DISTANCE = 12.0
"""The j of equation (9) where none is chosen: how far from a code a digit may lie until rubbish is the better answer."""
# Assumption: the paper says of j only that it is positive. The two digits nearest to each other, 6 and 8, have codes at a
# squared distance of 48; a point midway lies at 12 from both.


def require_rubbish(j: Any) -> None:
    """Raise ValueError unless j is a finite number above 0."""
    if not isinstance(j, Real) or not 0 < j < math.inf:
        raise ValueError(
            f"j is {j!r}; expected a number above 0, the distance of the rubbish class. The default is {RUBBISH_DISTANCE}."
        )


def _of_label(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return each row's output at its label, (n,)."""
    import tensorflow as tf

    return tf.gather(outputs, tf.cast(labels, tf.int32), axis=1, batch_dims=1)


@dataclass(frozen=True)
class CrossEntropy:
    """Categorical cross-entropy of probabilities: −ln of the probability given to the label, as Keras computes it.

    Args:
        smoothing: the share of the wanted probability that is spread over all classes alike, the label's too; 0 for none.

    Source: for the smoothing, Szegedy and others 2016, section 7; chapter 14.
    """

    smoothing: float = 0.0
    name: ClassVar[str] = "cross-entropy"
    best: ClassVar[int] = 1  # The answer is the largest output.

    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Return the loss of each digit, (n,), in nats."""
        import keras
        import tensorflow as tf

        if not self.smoothing:
            return keras.losses.sparse_categorical_crossentropy(labels, outputs)
        wanted = tf.one_hot(labels, outputs.shape[1], dtype=outputs.dtype)
        return keras.losses.categorical_crossentropy(
            wanted, outputs, label_smoothing=self.smoothing
        )

    def of_arrays(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the loss of each digit, (n,), in nats, from a network's probabilities (n, classes), without TensorFlow."""
        logs = np.log(np.clip(outputs, EPSILON, 1 - EPSILON))
        logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
        own = logs[np.arange(len(logs)), labels]
        share = outputs.dtype.type(self.smoothing)
        return -(1 - share) * own - share * logs.mean(axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return the loss as plain JSON values."""
        return {"name": self.name} | asdict(self)


@dataclass(frozen=True)
class MaximumLikelihood:
    """The paper's equation (8): a digit's loss is the distance from the code of its label, y_t.

    It is the squared error of F6 against the code. Nothing keeps the distances from other codes large.

    Source: the 1998 paper, equation (8); chapter 12, equation (12.2).
    """

    name: ClassVar[str] = "maximum likelihood"
    best: ClassVar[int] = -1  # The answer is the smallest output.

    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Return the loss of each digit, (n,), from squared distances (n, 10)."""
        return _of_label(labels, outputs)

    def of_arrays(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the loss of each digit, (n,), from squared distances (n, 10), without TensorFlow."""
        return outputs[np.arange(len(outputs)), labels]

    def to_dict(self) -> dict[str, Any]:
        """Return the loss as plain JSON values."""
        return {"name": self.name}


@dataclass(frozen=True)
class MaximumAPosteriori:
    """The paper's equation (9): y_t + ln(e^(−j) + Σ_i e^(−y_i)), which also pushes the distances from other codes up.

    Args:
        j: above 0, the distance of a rubbish class to which a pattern that is no digit would belong. A code much further
            than j is not pushed away any more.

    Source: the 1998 paper, equation (9); chapter 12, equation (12.3).

    Raises:
        ValueError: j is not above 0.
    """

    j: float = RUBBISH_DISTANCE
    name: ClassVar[str] = "maximum a posteriori"
    best: ClassVar[int] = -1

    def __post_init__(self) -> None:
        require_rubbish(self.j)

    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Return the loss of each digit, (n,), in nats, from squared distances (n, 10).

        y_t is taken into the sum, ln Σ e^(y_t − y_i), so that no large number is added and subtracted again.
        """
        import tensorflow as tf

        rubbish = tf.fill((tf.shape(outputs)[0], 1), tf.cast(self.j, outputs.dtype))
        others = tf.concat([outputs, rubbish], axis=1)
        own = _of_label(labels, outputs)[:, tf.newaxis]
        return tf.reduce_logsumexp(own - others, axis=1)

    def of_arrays(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the loss of each digit, (n,), in nats, from squared distances (n, 10), without TensorFlow."""
        own = outputs[np.arange(len(outputs)), labels][:, np.newaxis]
        others = np.concatenate([outputs, np.full_like(own, self.j)], axis=1)
        least = others.min(axis=1, keepdims=True)
        powers = np.exp(least - others).sum(axis=1)
        return (own - least)[:, 0] + np.log(powers)

    def to_dict(self) -> dict[str, Any]:
        """Return the loss as plain JSON values."""
        return {"name": self.name} | asdict(self)


Loss = CrossEntropy | MaximumLikelihood | MaximumAPosteriori


def choose(
    architecture: Architecture,
    name: str | None,
    j: float | None,
    smoothing: float = 0.0,
) -> Loss:
    """Return the loss to train a network with.

    Args:
        architecture: the network; what its last layer gives decides which losses make sense.
        name: of a loss; None for cross-entropy on probabilities and equation (9) on distances.
        j: of equation (9); None for `RUBBISH_DISTANCE`.
        smoothing: of the labels, for cross-entropy; see `CrossEntropy`.

    Raises:
        ValueError: the loss does not go with the output; the text says which do.
    """
    distances = isinstance(architecture.layers[-1], RBF)
    fitting = (
        (MaximumAPosteriori, MaximumLikelihood) if distances else (CrossEntropy,)
    )
    names = [loss.name for loss in fitting]
    if name is not None and name not in names:
        gives = "distances" if distances else "probabilities"
        raise ValueError(
            f"loss is {name!r}, but {architecture.name} gives {gives}; expected {' or '.join(names)}. Choose that, or leave "
            "the loss out."
        )
    chosen = fitting[names.index(name) if name else 0]
    if smoothing and chosen is not CrossEntropy:
        raise ValueError(
            f"label_smoothing is {smoothing!r}, but {chosen.name} has none; expected 0. Leave it out."
        )
    if chosen is not MaximumAPosteriori:
        if j is not None:
            raise ValueError(
                f"rubbish_distance is {j!r}, but {chosen.name} has none; expected None. Leave it out."
            )
        return chosen(smoothing) if smoothing else chosen()
    return chosen(RUBBISH_DISTANCE if j is None else j)


def posterior(distances: np.ndarray, j: float = RUBBISH_DISTANCE) -> np.ndarray:
    """Return the probability of each digit: e^(−y_i) / (e^(−j) + Σ_k e^(−y_k)).

    What the ten lack to 1 is the probability of the rubbish class. The most probable digit is that of the smallest distance,
    even if all ten are too far away for a number to hold their probability.

    Args:
        distances: y, (n, 10), 0 or more.
        j: above 0, as in `MaximumAPosteriori`.

    Returns:
        float64 (n, 10); each row sums to less than 1.

    Source: the 1998 paper, section II.C, below equation (9); chapter 12, equation (12.4).

    Raises:
        ValueError: j is not above 0.
    """
    require_rubbish(j)
    distances = np.asarray(distances, np.float64)
    shift = np.minimum(distances.min(axis=1, keepdims=True), j)
    powers = np.exp(shift - distances)
    found = powers / (np.exp(shift - j) + powers.sum(axis=1, keepdims=True))
    nearest = np.arange(len(found)), distances.argmin(axis=1)
    found[nearest] = np.maximum(found[nearest], np.nextafter(0.0, 1.0))
    return found


def probabilities(
    architecture: Architecture | None, outputs: np.ndarray
) -> np.ndarray:
    """Return a network's outputs (n, classes) as probabilities.

    Those of a softmax are probabilities. Of an RBF output's distances the posterior is taken, see `posterior`: its largest
    value is that of the smallest distance, and a row sums to less than 1.
    """
    if architecture and isinstance(architecture.layers[-1], RBF):
        return posterior(outputs)
    return outputs


def for_keras(loss: Loss) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a loss as `model.compile` takes it: Keras makes a scope of a loss's name, and a scope's name has no spaces."""
    return loss.__call__
