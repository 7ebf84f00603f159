"""What the training loop asks of an engine; `keras_engine` and `loops_engine` are the two."""

from __future__ import annotations

import math
import platform
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from lenet5lib import arithmetic, data
from lenet5lib._checks import require_choice
from lenet5lib.data import Digits, Splits
from lenet5lib.loops import compiled, update
from lenet5lib.records import Config
from lenet5lib.spec import Architecture
from lenet5lib.training.losses import Loss
from lenet5lib.training.recipe import Recipe

if TYPE_CHECKING:
    import keras


ENGINES = ("loops", "keras")
"""The names of the engines."""


def require_fitting(architecture: Architecture, splits: Splits) -> None:
    """Raise ValueError unless a network can read all images, and has an output unit for each label."""
    units = [outputs for _, _, outputs in arithmetic.walk(architecture)][-1][-1]
    for name in ("train", "validation", "test"):
        digits = getattr(splits, name)
        try:
            data.fit(digits.images[:1], architecture.input_shape)
        except ValueError as error:
            raise ValueError(f"the {name} images do not fit: {error}") from None
        wrong = digits.labels[(digits.labels < 0) | (digits.labels >= units)]
        if len(wrong):
            raise ValueError(
                f"the {name} labels hold {wrong[0]}; expected 0 to {units - 1}, since {architecture.layers[-1].name} has "
                f"{units} units. Give it a unit for each class, or correct the labels."
            )


class DivergedError(ValueError):
    """A loss or a weight is no finite number; the text says where, nothing of it is saved."""


class Engine(Protocol):
    """A network, its optimizer, and the training step.

    Args:
        config: the architecture, the recipe, and the seed of the initial weights and of dropout.
        loss: what is minimised.
        digits: the training images and labels.

    Attributes:
        name: "keras" or "loops".
        images: the training images, uint8 (n, height, width), of the size of the network's input.
        batch_size: at most the number of training images.
        packages: the names of the packages that compute.
        steps_per_execution: training steps for each call from Python (Keras's word); between two calls training can be
            saved and stopped.
    """

    config: Config
    loss: Loss
    images: np.ndarray
    batch_size: int
    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    steps_per_execution: ClassVar[int] = 100

    def __init__(self, config: Config, loss: Loss, digits: Digits) -> None:
        self.config, self.loss = config, loss
        self.images = data.fit(digits.images, config.architecture.input_shape)
        self.batch_size = min(int(config.recipe.batch_size), len(digits))

    @property
    def threads(self) -> int:
        """The number of threads."""
        ...

    @property
    def versions(self) -> dict[str, str]:
        """The versions of Python and of the packages that compute."""
        found = {name: version(name) for name in self.packages}
        return {"python": platform.python_version()} | found

    def begin_epoch(self, images: np.ndarray, epoch: int, begun: bool) -> None:
        """Take the images of an epoch, uint8 (n, height, width); `begun` says that some of its steps are done already."""
        ...

    def train_steps(
        self, batches: np.ndarray, learning_rates: np.ndarray
    ) -> tuple[float, int]:
        """Take a training step for each batch.

        Args:
            batches: (steps, batch size), positions of training images, −1 for none at the end of the last.
            learning_rates: float32 (steps,).

        Returns:
            The sum of the images' losses and the number of correct predictions, both before the updates.
        """
        ...

    def is_finite(self) -> bool:
        """Return whether all trained weights are finite numbers."""
        ...

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Return the network's outputs for uint8 images, (n, classes)."""
        ...

    def ema_weights(self) -> AbstractContextManager[None]:
        """Use the exponential moving average of the weights inside a `with` block, if the recipe has one."""
        ...

    def use_ema_weights(self) -> None:
        """Replace the weights by their exponential moving average, if the recipe has one."""
        ...

    def contents(self, with_optimizer: bool = True) -> bytes:
        """Return the bytes of a Keras weights file, with the optimizer's state or without."""
        ...

    def restore(self, contents: bytes) -> None:
        """Load weights and optimizer state from the bytes of a weights file that either engine wrote.

        Raises:
            ValueError, KeyError: they do not fit.
        """
        ...

    def model(self) -> keras.Model:
        """Return a Keras model with these weights and this optimizer's state."""
        ...


def choose_engine(recipe: Recipe, name: str | None) -> str:
    """Return the name of the engine to train with; Keras where the loops cannot, said in a line if numba is missing.

    Args:
        recipe: whose optimizer the engine must have.
        name: one of `ENGINES`, or None for the loops where they can.

    Raises:
        ValueError: a different name; or the loops were asked for and do not have the recipe's optimizer.
    """
    if name is not None:
        require_choice("engine", name, ENGINES)
    if name == "keras" or (
        name is None and recipe.optimizer not in update.OPTIMIZERS
    ):
        return "keras"
    update.require_optimizer(recipe)
    if compiled.available():
        return "loops"
    compiled.say_missing("Keras takes the place of the compiled loops")
    return "keras"


def require_finite(engine: Engine, losses: dict[str, float], where: str) -> None:
    """Raise DivergedError unless these losses and the engine's weights are finite numbers."""
    weights = {} if engine.is_finite() else {"a weight": math.nan}
    for name, value in (losses | weights).items():
        if not math.isfinite(value):
            raise DivergedError(
                f"{name} is {value} in {where}; expected finite numbers. What was saved before is left as it is. Train "
                "with a lower learning rate, in a different folder or with --no-resume (resume=False)."
            )
