"""The recipe of a training: every hyperparameter that is chosen, and nothing that is trained.

As `spec` says what the layers are, this module says how they are trained: batch size, learning rate and its schedule,
distortions. A schedule is a function of the step and of the validation losses so far, both of which are in the record of a
run, so a schedule has no state to save. Plain numbers only: no TensorFlow is needed to read or compare recipes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from lenet5lib.spec import require_choice, require_size


def require_number(
    what: str,
    value: Any,
    least: float = 0.0,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """Return `value` as a float if it is a finite number from `least` to `most`, else raise ValueError naming `what`.

    With `below` the upper end itself is excluded.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not least <= value <= most or not value < below:
        span = (
            f"from {least:g} to {most:g}"
            if not math.isinf(most)
            else f"from {least:g} to below {below:g}"
            if not math.isinf(below)
            else f"of {least:g} or more"
        )
        raise ValueError(
            f"{what} is {value!r}; expected a number {span}. Choose another."
        )
    return float(value)


LOSSES = ("cross-entropy", "maximum likelihood", "maximum a posteriori")
"""The losses by their names; `losses` computes them."""
OPTIMIZERS = ("adam", "sgd", "levenberg-marquardt")
"""The optimizers by their names: Adam as Keras computes it, gradient descent, the 1998 paper's, which is in `optimizer`."""
OPTIONS_OF = {
    "adam": {"weight_decay", "average_decay"},
    "sgd": {"momentum", "average_decay"},
    "levenberg-marquardt": {"damping"},
}
"""The fields of a recipe that not every optimizer has, by those that have them."""
INITIAL = ("glorot", "he", "fan-in")
"""The initial weights by their names: Glorot and Bengio's of 2010, He and others' of 2015, the 1998 paper's."""


def usual_initial(activation: str) -> str:
    """Return the initial weights of a layer where none are chosen: Glorot's, Keras's own choice.

    A layer that squashes as the 1998 paper's do starts as the paper's do, since both were made for each other.
    """
    return "fan-in" if activation == "scaled_tanh" else "glorot"


def require_rate(
    what: str, value: Any, advice: str = "Adam's usual rate is 0.001."
) -> float:
    """Return `value` as a float if it is a finite number above 0, else raise ValueError naming `what`."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not 0 < value < math.inf:
        raise ValueError(
            f"{what} is {value!r}; expected a number above 0. Choose another; {advice}"
        )
    return float(value)


@dataclass(frozen=True)
class OneCycle:
    """One cycle: the rate rises to its peak along half a cosine, then falls to almost nothing along another.

    The cycle is `epochs` long, whatever number of epochs is trained; after it the rate stays at its last value.

    Attributes:
        peak: the highest rate.
        epochs: the length of the cycle.
        rise: the share of the cycle before the peak, above 0 and below 1.
        start: the first rate, as a share of the peak.
        end: the last rate, as a share of the peak.

    Source: Smith and Topin 2018; the shape is that of fastai and PyTorch.
    """

    peak: float
    epochs: int
    rise: float = 0.3
    start: float = 0.04
    end: float = 0.0001
    kind: ClassVar[str] = "one-cycle"

    def __post_init__(self) -> None:
        require_rate("peak of OneCycle", self.peak)
        require_size("epochs of OneCycle", self.epochs)
        for name in ("rise", "start", "end"):
            require_number(f"{name} of OneCycle", getattr(self, name), 0, 1)

    def rates(
        self, steps: np.ndarray, steps_an_epoch: int, val_losses: Sequence[float]
    ) -> np.ndarray:
        """Return the rate of each step, counted from 0 over the whole run."""
        length = max(1, self.epochs * steps_an_epoch - 1)
        done = np.minimum(steps / length, 1.0)
        up = np.minimum(done, self.rise) / (self.rise or 1.0)
        down = np.maximum(done - self.rise, 0.0) / (1.0 - self.rise or 1.0)
        rising = _cosine(self.start, 1.0, up)
        falling = _cosine(1.0, self.end, down)
        return self.peak * np.where(done < self.rise, rising, falling)


def _cosine(first: float, last: float, share: np.ndarray) -> np.ndarray:
    """Go from one value to another along half a cosine."""
    return last + (first - last) * (1 + np.cos(np.pi * share)) / 2


@dataclass(frozen=True)
class Stairs:
    """A rate for so many epochs, then another; the last one stays.

    Attributes:
        stairs: pairs of (epochs, rate).
    """

    stairs: tuple[tuple[int, float], ...]
    kind: ClassVar[str] = "stairs"

    def __post_init__(self) -> None:
        if not self.stairs:
            raise ValueError(
                "Stairs are empty; expected pairs of (epochs, rate). Give one at least."
            )
        for epochs, rate in self.stairs:
            require_size("epochs of a stair", epochs)
            require_rate("rate of a stair", rate)

    def rates(
        self, steps: np.ndarray, steps_an_epoch: int, val_losses: Sequence[float]
    ) -> np.ndarray:
        """Return the rate of each step, counted from 0 over the whole run."""
        ends = np.cumsum([epochs for epochs, _ in self.stairs]) * steps_an_epoch
        stair = np.searchsorted(ends, steps, side="right")
        values = np.array([rate for _, rate in self.stairs])
        return values[np.minimum(stair, len(values) - 1)]


@dataclass(frozen=True)
class Plateau:
    """A rate that is multiplied by `factor` whenever the validation loss has not improved for `patience` epochs.

    Computed anew from the validation losses of all epochs so far, which the record holds: nothing else is to be saved.

    Attributes:
        rate: the first rate.
        factor: above 0 and below 1.
        patience: epochs without improvement, since the best or since the last change, after which the rate changes.
        least_gain: how much lower a loss must be to count as better, in nats a digit.
        least_rate: the rate does not fall below this.

    The defaults of `least_gain` and the counting are those of Keras's ReduceLROnPlateau.
    """

    rate: float
    factor: float = 0.5
    patience: int = 5
    least_gain: float = 0.0001
    least_rate: float = 0.0
    kind: ClassVar[str] = "plateau"

    def __post_init__(self) -> None:
        require_rate("rate of Plateau", self.rate)
        require_number("factor of Plateau", self.factor, 0, 1)
        require_size("patience of Plateau", self.patience)
        require_number("least_gain of Plateau", self.least_gain)
        require_number("least_rate of Plateau", self.least_rate)

    def rates(
        self, steps: np.ndarray, steps_an_epoch: int, val_losses: Sequence[float]
    ) -> np.ndarray:
        """Return the rate of each step, counted from 0 over the whole run; all of one epoch have the same."""
        rate, best, waited = self.rate, math.inf, 0
        for loss in val_losses:
            if loss < best - self.least_gain:
                best, waited = loss, 0
                continue
            waited += 1
            if waited >= self.patience:
                rate, waited = max(rate * self.factor, self.least_rate), 0
        return np.full(len(steps), rate)


Schedule = OneCycle | Stairs | Plateau
SCHEDULES: dict[str, type] = {
    schedule.kind: schedule for schedule in (OneCycle, Stairs, Plateau)
}

RATES_1998 = Stairs(((2, 5e-4), (3, 2e-4), (3, 1e-4), (4, 5e-5), (8, 1e-5)))
"""The 1998 paper's rates of all weights, for 20 epochs of stochastic diagonal Levenberg–Marquardt; see `optimizer`.

A rate is divided by µ + h of each weight, so these are no rates for Adam. Source: the 1998 paper, section III.B.
"""


@dataclass(frozen=True)
class Distortion:
    """How far each training digit is distorted, anew in each epoch; `augment.distort` does it.

    Each amount is the half-width of a uniform distribution around no change.

    Attributes:
        translation: pixels, down and across, each drawn for itself.
        scaling: of the whole digit, as a share: 0.1 gives factors of 0.9 to 1.1.
        squeezing: as a share, one axis made narrower and the other wider by the same factor.
        shear: horizontal, pixels across for each pixel down.
        rotation: degrees.
        elastic: standard deviation of the displacement of a pixel, in pixels; neighbours move alike.
        smoothness: standard deviation of the Gaussian that smooths the displacements, in pixels.
    """

    translation: float = 0.0
    scaling: float = 0.0
    squeezing: float = 0.0
    shear: float = 0.0
    rotation: float = 0.0
    elastic: float = 0.0
    smoothness: float = 4.0

    def __post_init__(self) -> None:
        most = {"scaling": 0.9, "squeezing": 0.9, "rotation": 180}
        for name, value in vars(self).items():
            require_number(f"{name} of Distortion", value, 0, most.get(name, 1000))
        require_number("smoothness of Distortion", self.smoothness, 0.1, 1000)


AFFINE = Distortion(translation=2, scaling=0.1, squeezing=0.1, shear=0.2)
"""The kinds of distortion that the 1998 paper names; how far it went it does not say, so these amounts are ours."""
# Assumption: the amounts; the paper gives the kinds only.


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of one training.

    Attributes:
        batch_size: digits a step; the last step of an epoch takes what is left.
        learning_rate: the optimizer's step size: a number, or a schedule.
        weight_decay: the share by which each kernel shrinks in a step, times the learning rate (Loshchilov and Hutter 2019);
            biases do not.
        distortion: what is done to each training digit, anew in each epoch; None for nothing.
        loss: one of `LOSSES`; None for the one that goes with the network's output, see `losses.choose`.
        rubbish_distance: the j of the paper's equation (9); None for the library's value.
        optimizer: one of `OPTIMIZERS`.
        momentum: of gradient descent, the share of the last move that is made again; from 0 to below 1.
        damping: the µ of the Levenberg–Marquardt optimizer, above 0; None for the library's value.
        initial: one of `INITIAL`; None for what goes with each layer's activation, see `usual_initial`.
        label_smoothing: the share of the probability that the loss wants spread over all classes alike, below 1.
        average_decay: if above 0, validated and kept are not the weights themselves but their average over the steps; each
            step keeps this share of it and takes the rest from the new weights; below 1.

    Raises:
        ValueError: a value that cannot be; the text says what came and what was expected.
    """

    batch_size: int = 32
    learning_rate: float | Schedule = 0.001
    weight_decay: float = 0.0
    distortion: Distortion | None = None
    loss: str | None = None
    rubbish_distance: float | None = None
    optimizer: str = "adam"
    damping: float | None = None
    initial: str | None = None
    label_smoothing: float = 0.0
    average_decay: float = 0.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        require_size("batch_size", self.batch_size)
        if not isinstance(self.learning_rate, tuple(SCHEDULES.values())):
            require_rate("learning_rate", self.learning_rate)
        require_number("weight_decay", self.weight_decay)
        if not isinstance(self.distortion, Distortion | None):
            raise ValueError(
                f"distortion is {self.distortion!r}; expected a Distortion or None. Build it from lenet5lib.recipe."
            )

        if self.loss is not None:
            require_choice("loss", self.loss, LOSSES)
        if self.rubbish_distance is not None:
            require_rate(
                "rubbish_distance", self.rubbish_distance, "12 is usual here."
            )
        require_choice("optimizer", self.optimizer, OPTIMIZERS)
        if self.initial is not None:
            require_choice("initial", self.initial, INITIAL)
        for name in ("label_smoothing", "average_decay", "momentum"):
            require_number(name, getattr(self, name), 0, below=1)
        if self.damping is not None:
            require_rate("damping", self.damping, "Values of 0.02 to 1 are usual.")
        fitting = OPTIONS_OF[self.optimizer]
        others = (name for names in OPTIONS_OF.values() for name in names - fitting)
        for field in filter(lambda name: getattr(self, name), others):
            raise ValueError(
                f"{field} is {getattr(self, field)}, but {self.optimizer} has none. Leave it out, or choose the other "
                "optimizer."
            )

    def rates(
        self, steps: np.ndarray, steps_an_epoch: int, val_losses: Sequence[float]
    ) -> np.ndarray:
        """Return the learning rate of each step.

        Args:
            steps: whole numbers, counted from 0 over the whole run.
            steps_an_epoch: how many make an epoch.
            val_losses: of all epochs that are done.

        Returns:
            float32, as many as steps.
        """
        if isinstance(self.learning_rate, Real):
            return np.full(len(steps), self.learning_rate, np.float32)
        rates = self.learning_rate.rates(steps, steps_an_epoch, val_losses)
        return rates.astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values; what has its default is left out, but for batch size and learning rate."""
        values: dict[str, Any] = {
            "batch_size": int(self.batch_size),
            "learning_rate": _plain(self.learning_rate),
        }
        for field in dataclasses.fields(self)[2:]:
            value = getattr(self, field.name)
            if value != field.default:
                values[field.name] = _plain(value)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Build the recipe that `to_dict` wrote; entries of other names are left alone.

        >>> recipe = Recipe(learning_rate=OneCycle(0.01, epochs=20))
        >>> Recipe.from_dict(recipe.to_dict()) == recipe
        True
        """
        names = {field.name for field in dataclasses.fields(cls)}
        found = {name: value for name, value in values.items() if name in names}
        rate = found.get("learning_rate")
        if isinstance(rate, dict):
            rest = {
                name: _tuples(value)
                for name, value in rate.items()
                if name != "kind"
            }
            require_choice("kind of schedule", rate.get("kind"), tuple(SCHEDULES))
            found["learning_rate"] = SCHEDULES[rate["kind"]](**rest)
        if isinstance(found.get("distortion"), dict):
            found["distortion"] = Distortion(**found["distortion"])
        return cls(**found)


USUAL = Recipe()
"""What is trained with where nothing else is said: the article's own hyperparameters."""


def _plain(value: Any) -> Any:
    """Return a value of a recipe as plain JSON values."""
    if dataclasses.is_dataclass(value):
        kind = {"kind": value.kind} if hasattr(value, "kind") else {}
        return kind | {name: _plain(entry) for name, entry in vars(value).items()}
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "__index__"):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _tuples(value: Any) -> Any:
    """Return nested lists as nested tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
