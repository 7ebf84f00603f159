"""LeNet-5 in Keras: built from the specification, and confirmed against the arithmetic and the paper."""

import functools

from lenet5lib._keras import keras, require_settings
from lenet5lib.models import plain
from lenet5lib.models.build import (
    activations,
    build,
    keras_layer,
    outputs,
    predict,
    prepared,
    scaled,
    set_initial_weights,
    weights,
)
from lenet5lib.models.confirm import (
    ConfirmationError,
    compare,
    confirm,
    confirm_paper,
    summary_text,
)

__all__ = [
    "ConfirmationError",
    "activations",
    "build",
    "compare",
    "confirm",
    "confirm_paper",
    "keras_layer",
    "lenet5",
    "outputs",
    "predict",
    "prepared",
    "scaled",
    "set_initial_weights",
    "summary_text",
    "weights",
]


@functools.wraps(plain.lenet5)
def lenet5() -> keras.Sequential:
    require_settings()  # Here, since what the book shows is Keras alone.
    return plain.lenet5()
