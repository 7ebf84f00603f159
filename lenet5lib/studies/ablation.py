"""From the article's network to today's training, one change at a time: what is trained, and what the records say of it.

Layout and the 61,706 parameters stay. A rung of the ladder is one change: of the architecture's functions, of the recipe, or
of how the trained network is asked. Of a few variants one was chosen by its error on the validation digits. `one_change`
trains them; what is here needs neither TensorFlow nor the data. Chapter 14 is about this module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from lenet5lib import evaluation, records
from lenet5lib._checks import require_choice
from lenet5lib.spec import LENET5, Architecture
from lenet5lib.training.recipe import (
    AFFINE,
    DEFAULT_RECIPE,
    Distortion,
    Recipe,
    default_initializer,
)
from lenet5lib.training.schedules import OneCycle

NAME = "one-change"
"""The experiment's name on the command line and among the records."""
EPOCHS = 20
SEEDS = range(5)
"""The seeds of every chosen variant."""


@dataclass(frozen=True)
class Variant:
    """A training: what, how, for how long.

    Attributes:
        name: of its folder.
        architecture: what is trained.
        recipe: its hyperparameters.
        epochs: how many.
        all_digits: train on the validation digits too, which then cannot judge.
    """

    name: str
    architecture: Architecture = LENET5
    recipe: Recipe = DEFAULT_RECIPE
    epochs: int = EPOCHS
    all_digits: bool = False

    def changed(self, name: str, **changes: Any) -> Variant:
        """Return another training: fields of the recipe by their names, or `architecture`, `epochs`, `all_digits`."""
        own = {field.name for field in dataclasses.fields(self)}
        recipe = {key: changes[key] for key in changes.keys() - own}
        rest = {key: changes[key] for key in changes.keys() & own}
        return dataclasses.replace(
            self,
            name=name,
            recipe=dataclasses.replace(self.recipe, **recipe),
            **rest,
        )


@dataclass(frozen=True)
class Rung:
    """One change.

    Attributes:
        change: in a few words.
        chosen: what goes on to the next rung.
        tried: the other variants.
        seeds: of the variants when they were compared.
        looks: at each test digit, see `evaluation.evaluate`. With more than one, the networks are those of the rung before.
    """

    change: str
    chosen: Variant
    tried: tuple[Variant, ...] = ()
    seeds: tuple[int, ...] = (0, 1)
    looks: int = 1


def _max_pooling(architecture: Architecture) -> Architecture:
    """Return a copy whose pooling layers take the largest value."""
    for name in ("S2", "S4"):
        architecture = architecture.change(name, mode="max")
    return architecture


ARTICLE = Variant("article")
TANH = ARTICLE.changed(
    "scaled-tanh",
    architecture=LENET5.with_hidden_activation("scaled_tanh"),
    kernel_initializer="glorot",
)
RELU = TANH.changed(
    "relu",
    architecture=LENET5.with_hidden_activation("relu"),
    kernel_initializer=None,
)
MAX = RELU.changed("max-pooling", architecture=_max_pooling(RELU.architecture))
HE = MAX.changed("he", kernel_initializer="he")
CYCLES = {
    peak: HE.changed(f"one-cycle-{peak}", learning_rate=OneCycle(peak, EPOCHS))
    for peak in (0.002, 0.004, 0.008)
}
CYCLE = CYCLES[0.004]
DECAYS = tuple(
    CYCLE.changed(f"decay-{share}", weight_decay=share)
    for share in (0.02, 0.1, 0.3)
)
SMOOTHED = tuple(
    CYCLE.changed(f"smooth-{share}", label_smoothing=share) for share in (0.05, 0.1)
)


DECAY = DECAYS[1]
AFFINES = {
    name: DECAY.changed(f"affine-{name}", distortion=distortion)
    for name, distortion in {
        "1998": AFFINE,
        "small": Distortion(
            translation=1, scaling=0.1, squeezing=0.1, shear=0.1, rotation=8
        ),
        "turned": Distortion(
            translation=2, scaling=0.15, squeezing=0.1, shear=0.1, rotation=12
        ),
    }.items()
}
MOVED = AFFINES["small"]
ELASTICS = {
    pixels: MOVED.changed(
        f"elastic-{pixels}",
        distortion=dataclasses.replace(MOVED.recipe.distortion, elastic=pixels),
    )
    for pixels in (0.4, 0.7, 1.4)
}
BENT = ELASTICS[0.4]
LIGHTER = BENT.changed("lighter-0.02", weight_decay=0.02)
AVERAGES = {
    kept: LIGHTER.changed(f"averaged-{kept}", ema_decay=kept)
    for kept in (0.999, 0.9997)
}
AVERAGED = AVERAGES[0.9997]
LONG = AVERAGED.changed(
    "long",
    learning_rate=OneCycle(CYCLE.recipe.learning_rate.max_lr, 100),
    epochs=100,
)
STRONGS = {
    pixels: LONG.changed(
        f"strong-{pixels}",
        distortion=dataclasses.replace(
            AFFINES["turned"].recipe.distortion, elastic=pixels
        ),
    )
    for pixels in (0.7, 1.2)
}
WHOLE = LONG.changed("long-all", all_digits=True)
AGAIN = {
    "decay-0.1": LONG.changed("again-decay-0.1", weight_decay=0.1),
    "smooth-0.05": LONG.changed("again-smooth-0.05", label_smoothing=0.05),
    **{
        f"average-{kept}": LONG.changed(
            f"again-average-{kept}",
            learning_rate=OneCycle(CYCLE.recipe.learning_rate.max_lr, cycle),
            ema_decay=kept,
        )
        for kept, cycle in ((0.9999, 120), (0.99995, 150))
    },
}
FINAL = AGAIN["smooth-0.05"].changed("again-all", all_digits=True)
"""The last training of the ladder; its network is the book's best."""


def _rung(change: str, chosen: Variant, among: Iterable[Variant] = ()) -> Rung:
    """Return the rung to one of some variants."""
    return Rung(change, chosen, tuple(one for one in among if one != chosen))


RUNGS: tuple[Rung, ...] = (
    _rung("the article's network", ARTICLE),
    _rung("scaled tanh for sigmoid", TANH),
    _rung("ReLU for scaled tanh", RELU),
    _rung("max for average pooling", MAX),
    _rung("He's initial weights", HE),
    _rung("one cycle of the rate", CYCLE, CYCLES.values()),
    _rung("weight decay", DECAY, (*DECAYS, *SMOOTHED)),
    _rung("affine distortions", MOVED, AFFINES.values()),
    _rung("elastic distortions", BENT, ELASTICS.values()),
    _rung("less weight decay", LIGHTER),
    _rung("averaged weights", AVERAGED, AVERAGES.values()),
    Rung("100 epochs", LONG, tuple(STRONGS.values()), (0,)),
    _rung("all 60,000 digits", WHOLE),
    _rung("label smoothing", FINAL, AGAIN.values()),
    Rung("sixteen looks", FINAL, looks=16),
)


def differences(before: Rung, after: Rung) -> pd.DataFrame:
    """Return what differs between two rungs: `what`, and its value `before` and `after`, a row for each."""
    one, other = before.chosen, after.chosen
    rows = []
    for first, second in zip(
        one.architecture.layers, other.architecture.layers, strict=True
    ):
        rows += [
            (f"{name} of {first.name}", value, getattr(second, name))
            for name, value in vars(first).items()
            if value != getattr(second, name)
        ]
    starts = _initial(one), _initial(other)
    if starts[0] != starts[1]:
        rows.append(("initial weights", *starts))
    for old, new in ((one.recipe, other.recipe), (one, other)):
        rows += [
            row
            for field in dataclasses.fields(old)
            if field.name not in ("name", "architecture", "recipe", "initial")
            for row in _changed(
                field.name, vars(old)[field.name], vars(new)[field.name]
            )
        ]
    rows += _changed("looks", before.looks, after.looks)
    return pd.DataFrame(rows, columns=["what", "before", "after"]).set_index("what")


def _initial(variant: Variant) -> str:
    """Return how the kernels of a variant start, chosen or usual; all its hidden layers have one activation."""
    activation = variant.architecture.layers[0].activation
    return variant.recipe.kernel_initializer or default_initializer(activation)


def _changed(name: str, old: Any, new: Any) -> list[tuple[str, str, str]]:
    """Return (name, old, new) if two values differ; of two schedules or distortions what differs within, each by itself."""
    if type(old) is type(new) and dataclasses.is_dataclass(old):
        return [
            row
            for inner in vars(old)
            for row in _changed(
                f"{inner} of {name}", vars(old)[inner], vars(new)[inner]
            )
        ]
    return [] if old == new else [(name, _short(old), _short(new))]


def _short(value: Any) -> str:
    """Write a value in a few words; of a schedule or distortion only what is not its default."""
    if not dataclasses.is_dataclass(value):
        return str(value)
    shown = (
        f"{field.name}={getattr(value, field.name)}"
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    )
    return f"{type(value).__name__}({', '.join(shown)})"


def rungs_named(names: list[str] | None = None) -> tuple[Rung, ...]:
    """Return the rungs whose chosen variants have these names, each once; without names, all."""
    known = list(dict.fromkeys(rung.chosen.name for rung in RUNGS))
    for name in names or ():
        require_choice("rung", name, known)
    asked = dict.fromkeys(names or known)
    return tuple(
        rung for name in asked for rung in RUNGS if rung.chosen.name == name
    )


def runs(
    rungs: tuple[Rung, ...] = RUNGS, seeds: int = len(SEEDS)
) -> Iterator[tuple[Variant, int, tuple[int, ...]]]:
    """Yield every training of the experiment once, as (variant, seed, looks).

    `looks` says with how many looks the test digits are read at its end, a number for each rung that the training is of; it
    is empty for what was only tried.
    """
    planned: dict[tuple[Variant, int], tuple[int, ...]] = {}
    for rung in rungs:
        for variant in rung.tried:
            planned |= {(variant, seed): () for seed in rung.seeds[:seeds]}
        for seed in range(seeds):
            before = planned.get((rung.chosen, seed), ())
            planned[rung.chosen, seed] = (*before, rung.looks)
    for (variant, seed), looks in planned.items():
        yield variant, seed, looks


def validation(variant: Variant) -> pd.DataFrame:
    """Return what validation says at the end of each recorded run, a row a seed: `loss` (nats a digit) and `error` (0–1)."""
    rows = {}
    for folder in records.recorded(f"{NAME}/{variant.name}").values():
        record = records.read(folder)
        last = record.epochs[-1]
        rows[record.config["seed"]] = last["val_loss"], 1 - last["val_accuracy"]
    columns = ["loss", "error"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns).sort_index()


def tried(rung: Rung, beside: Variant | None = None) -> pd.DataFrame:
    """Return the mean validation loss and error of a rung's variants, over the seeds that all have; the best first.

    Args:
        rung: whose variants; one that was trained on all digits cannot be judged and is left out.
        beside: another variant to compare with, such as the one before.
    """
    variants = [rung.chosen, *rung.tried, *([beside] if beside else [])]
    rows = {
        one.name: validation(one).loc[list(rung.seeds)].mean()
        for one in variants
        if not one.all_digits
    }
    return (
        pd.DataFrame(rows).T.rename_axis("variant").sort_values(["error", "loss"])
    )


@cache
def wrong(rung: Rung) -> np.ndarray:
    """Return which test digits each recorded run of a rung got wrong: bool (seeds, digits)."""
    return evaluation.recorded_wrong(f"{NAME}/{rung.chosen.name}", rung.looks)


def table() -> pd.DataFrame:
    """Return the ladder: a row for each rung, errors in percent of the digits.

    Returns:
        Indexed by the change, in order: `validation`, the mean error of the five seeds at the last epoch (empty where all
        digits were trained on); `test` and `sd`, mean and standard deviation of their test errors; `change`, the difference
        of the mean from the rung before, and `from` and `to`, its 95 % interval by a paired bootstrap over the test digits.
    """
    rows: dict[str, dict[str, float]] = {}
    before, mean = None, 0.0
    for rung in RUNGS:
        now = wrong(rung)
        errors = 100 * now.mean(axis=1)
        row = {
            "validation": np.nan,
            "test": errors.mean(),
            "sd": errors.std(ddof=1),
        }
        if not rung.chosen.all_digits:
            row["validation"] = 100 * validation(rung.chosen)["error"].mean()
        if before is not None:
            low, high = evaluation.paired_bootstrap(before, now)
            row |= {
                "change": row["test"] - mean,
                "from": 100 * low,
                "to": 100 * high,
            }
        rows[rung.change] = row
        before, mean = now, row["test"]
    return pd.DataFrame(rows).T.rename_axis("rung")
