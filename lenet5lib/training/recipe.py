"""The recipe of a training run: every hyperparameter that is chosen, and nothing that is trained.

As `spec` says what the layers are, this module says how they are trained. The command line takes its options from the fields
of `Recipe`. Plain numbers only: no TensorFlow is needed to read or compare recipes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from lenet5lib._checks import (
    ONE,
    from_plain,
    make,
    put,
    python_value,
    require_choice,
    require_int,
    require_number,
    require_rate,
    to_plain,
)
from lenet5lib.training.schedules import SCHEDULE_1998, SCHEDULES, Schedule

LOSSES = ("cross-entropy", "maximum likelihood", "maximum a posteriori")
"""The losses by their names; `losses` computes them."""
OPTIMIZERS = ("adam", "sgd", "levenberg-marquardt")
"""Adam as Keras computes it, gradient descent, and the 1998 paper's optimizer, which is in `lenet1998.optimizer`."""
OPTIONS_OF: dict[str | None, set[str]] = {
    "adam": {"weight_decay", "ema_decay"},
    "sgd": {"momentum", "ema_decay"},
    "levenberg-marquardt": {"damping"},
    "cross-entropy": {"label_smoothing"},
    "maximum likelihood": set(),
    "maximum a posteriori": {"rubbish_distance"},
    None: {"label_smoothing", "rubbish_distance"},
}
"""The fields of a recipe that not every optimizer or loss has, by those that have them; None: the network chooses."""
INITIALIZERS = ("glorot", "he", "lecun-1998")
"""The distributions of the initial weights: Glorot and Bengio 2010, He and others 2015, the 1998 paper's appendix A."""


def default_initializer(activation: str) -> str:
    """Return the initializer of a layer where none is chosen: Glorot's, Keras's own choice.

    A layer with the 1998 paper's activation starts as the paper's do, since both were made for each other.
    """
    return "lecun-1998" if activation == "scaled_tanh" else "glorot"


@dataclass(frozen=True)
class Distortion:
    """How far each training image is distorted, differently in each epoch; `augment.distort` does it.

    Each amount is the half-width of a uniform distribution around no change.

    Attributes:
        translation: pixels, down and across, drawn independently.
        scaling: of the whole image, as a share: 0.1 gives factors of 0.9 to 1.1.
        squeezing: as a share, one axis made narrower and the other wider by the same factor.
        shear: horizontal, pixels across for each pixel down.
        rotation: degrees.
        elastic: standard deviation of the displacement of a pixel, in pixels; neighbours move together.
        smoothness: standard deviation of the Gaussian that smooths the displacements, in pixels.
    """

    translation: float = 0.0
    scaling: float = 0.0
    squeezing: float = 0.0
    shear: float = 0.0
    rotation: float = 0.0
    elastic: float = 0.0
    smoothness: float = 4.0
    kind: ClassVar[str] = "distortion"

    def __post_init__(self) -> None:
        most = {"scaling": 0.9, "squeezing": 0.9, "rotation": 180}
        for name, value in vars(self).items():
            maximum = most.get(name, 1000)
            require_number(f"{name} of Distortion", value, maximum=maximum)
            put(self, **{name: python_value(value)})
        require_number("smoothness of Distortion", self.smoothness, minimum=0.1)
        if self.smoothness != Distortion.smoothness and not self.elastic:
            raise ValueError(
                f"smoothness of Distortion is {self.smoothness}, but elastic is 0. Leave "
                "it out, or give elastic."
            )


AFFINE = Distortion(translation=2, scaling=0.1, squeezing=0.1, shear=0.2)
"""The kinds of distortion that the 1998 paper names; how far it went it does not say, so these amounts are ours."""
# Assumption: the amounts; the paper gives the kinds only.


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of one training run.

    Attributes:
        batch_size: images in a batch; the last batch of an epoch takes what is left.
        learning_rate: the optimizer's step size: a number, or a schedule.
        weight_decay: the share by which each kernel shrinks in a step, times the learning rate (Loshchilov and Hutter 2019);
            biases do not.
        distortion: of each training image, differently in each epoch; by default none.
        loss: one of `LOSSES`; by default the one that goes with the network's output, see `losses.make_loss`.
        rubbish_distance: the j of the paper's equation (9), above 0; by default `losses.RUBBISH_DISTANCE`.
        optimizer: one of `OPTIMIZERS`.
        damping: the µ of the Levenberg–Marquardt optimizer, above 0; by default the paper's.
        kernel_initializer: one of `INITIALIZERS`; by default what goes with each layer's activation, see
            `default_initializer`.
        label_smoothing: the share of the target probability that is spread evenly over all classes, below 1.
        ema_decay: above 0, what is validated and kept is the exponential moving average of the weights; each step keeps this
            share of it and takes the rest from the new weights; below 1.
        momentum: of gradient descent, the share of the last update that is repeated; below 1.

    Raises:
        ValueError: a value that cannot be; the field, the value and what was expected are named.
    """

    batch_size: int = 32
    learning_rate: float | Schedule = 0.001
    weight_decay: float = 0.0
    distortion: Distortion | None = None
    loss: str | None = field(default=None, metadata={"choices": LOSSES})
    rubbish_distance: float | None = None
    optimizer: str = field(default="adam", metadata={"choices": OPTIMIZERS})
    damping: float | None = None
    kernel_initializer: str | None = field(
        default=None, metadata={"choices": INITIALIZERS}
    )
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        put(self, batch_size=require_int("batch_size", self.batch_size))
        if not isinstance(self.learning_rate, tuple(SCHEDULES.values())):
            rate = require_rate("learning_rate", self.learning_rate)
            put(self, learning_rate=rate)
        if not isinstance(self.distortion, Distortion | None):
            raise ValueError(
                f"distortion is {self.distortion!r}; expected a Distortion or None. "
                "Build it from lenet5lib.training.recipe."
            )
        for one in fields(self):
            value = getattr(self, one.name)
            if "choices" in one.metadata and value != one.default:
                require_choice(one.name, value, one.metadata["choices"])
        for name in ("rubbish_distance", "damping"):
            if (value := getattr(self, name)) is not None:
                put(self, **{name: require_number(name, value, above=0)})
        for name in ("weight_decay", "label_smoothing", "ema_decay", "momentum"):
            below = math.inf if name == "weight_decay" else ONE
            made = require_number(name, getattr(self, name), below=below)
            put(self, **{name: made})
        self._require_options(OPTIMIZERS, self.optimizer)
        self._require_options(LOSSES, self.loss)
        if self.learning_rate == SCHEDULE_1998 and self.optimizer != OPTIMIZERS[2]:
            raise ValueError(
                f"learning_rate is SCHEDULE_1998, but optimizer is {self.optimizer}; "
                f"expected {OPTIMIZERS[2]}. Choose it, or other rates."
            )

    def _require_options(self, names: Sequence[str], chosen: str | None) -> None:
        """Raise ValueError if a field is set that the optimizer or the loss that was chosen does not have."""
        fields = set().union(*map(OPTIONS_OF.__getitem__, names))
        for name in sorted(fields - OPTIONS_OF[chosen]):
            if value := getattr(self, name):
                raise ValueError(
                    f"{name} is {value}, but {chosen} has none. Leave it out, or choose "
                    "what has it."
                )

    def learning_rates(
        self, steps: np.ndarray, steps_per_epoch: int, val_losses: Sequence[float]
    ) -> np.ndarray:
        """Return the learning rate of each step.

        Args:
            steps: whole numbers, counted from 0 over the whole run.
            steps_per_epoch: how many make an epoch.
            val_losses: of all epochs that are done.

        Returns:
            float32, as many as steps.
        """
        schedule = self.learning_rate
        if isinstance(schedule, int | float):
            return np.full(len(steps), schedule, np.float32)
        rates = schedule.learning_rates(steps, steps_per_epoch, val_losses)
        return rates.astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values, without what has its default."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Build the recipe that `to_dict` wrote.

        >>> from lenet5lib.training.schedules import OneCycle
        >>> recipe = Recipe(learning_rate=OneCycle(0.01, epochs=20))
        >>> Recipe.from_dict(recipe.to_dict()) == recipe
        True
        """
        kinds = SCHEDULES | {Distortion.kind: Distortion}
        plain = {name: from_plain(one, kinds) for name, one in values.items()}
        return make(cls, plain)


DEFAULT_RECIPE = Recipe()
"""The defaults: the article's hyperparameters."""
