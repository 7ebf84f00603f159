"""From the article's network to today's training, one change at a time: what is trained, and what the records say of it.

Layout and the 61,706 parameters stay. A step of the ladder is one change of the architecture's functions or of the recipe;
of a few variants one was chosen by its error on the validation digits. `experiments` trains them; what is here needs neither
TensorFlow nor the data. Chapter 13 is about this module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from lenet5lib import evaluation, records
from lenet5lib.recipe import USUAL, OneCycle, Recipe
from lenet5lib.spec import LENET5, Architecture, require_choice

NAME = "one-change"
"""The experiment's name on the command line and among the records."""
EPOCHS = 20
SEEDS = range(5)
"""The seeds of every chosen variant."""
TRIED = range(2)
"""The seeds of a variant that was tried only; the choice is made by these two of all variants."""


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
    recipe: Recipe = USUAL
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
class Step:
    """One change.

    Attributes:
        change: in a few words.
        chosen: what goes on to the next step.
        tried: the other variants.
    """

    change: str
    chosen: Variant
    tried: tuple[Variant, ...] = ()


def _max_pooling(architecture: Architecture) -> Architecture:
    """Return a copy whose pooling layers take the largest value."""
    for name in ("S2", "S4"):
        architecture = architecture.change(name, mode="max")
    return architecture


ARTICLE = Variant("article")
TANH = ARTICLE.changed(
    "scaled-tanh",
    architecture=LENET5.with_hidden_activation("scaled_tanh"),
    initial="glorot",
)
RELU = TANH.changed(
    "relu", architecture=LENET5.with_hidden_activation("relu"), initial=None
)
MAX = RELU.changed("max-pooling", architecture=_max_pooling(RELU.architecture))
HE = MAX.changed("he", initial="he")
CYCLES = {
    peak: HE.changed(f"one-cycle-{peak}", learning_rate=OneCycle(peak, EPOCHS))
    for peak in (0.002, 0.004, 0.008)
}
CYCLE = CYCLES[0.004]
DECAYS = tuple(
    CYCLE.changed(f"decay-{share}", weight_decay=share) for share in (0.02, 0.1)
)
SMOOTHED = tuple(
    CYCLE.changed(f"smooth-{share}", label_smoothing=share) for share in (0.05, 0.1)
)


def _others(variants: tuple[Variant, ...], chosen: Variant) -> tuple[Variant, ...]:
    """Return the variants that were not chosen."""
    return tuple(one for one in variants if one != chosen)


STEPS: tuple[Step, ...] = (
    Step("the article's network", ARTICLE),
    Step("scaled tanh for sigmoid", TANH),
    Step("ReLU for scaled tanh", RELU),
    Step("max for average pooling", MAX),
    Step("He's initial weights for Glorot's", HE),
    Step("one cycle of the rate", CYCLE, _others(tuple(CYCLES.values()), CYCLE)),
)


def steps_named(names: list[str] | None = None) -> tuple[Step, ...]:
    """Return the steps whose chosen variants have these names, each once; without names, all."""
    known = {step.chosen.name: step for step in STEPS}
    for name in names or ():
        require_choice("step", name, tuple(known))
    return tuple(known[name] for name in dict.fromkeys(names or known))


def runs(
    steps: tuple[Step, ...] = STEPS, seeds: int = len(SEEDS)
) -> Iterator[tuple[Variant, int, bool]]:
    """Yield every training of the experiment, as (variant, seed, whether the test digits are read at its end)."""
    for step in steps:
        for variant in step.tried:
            for seed in TRIED[:seeds]:
                yield variant, seed, False
        for seed in range(seeds):
            yield step.chosen, seed, True


def validation(variant: Variant) -> pd.DataFrame:
    """Return what validation says at the end of each recorded run, a row a seed: `loss` (nats a digit) and `error` (0–1)."""
    rows = {}
    for folder in records.recorded(f"{NAME}/{variant.name}").values():
        record = records.read(folder)
        last = record.epochs[-1]
        rows[record.config["seed"]] = last["val_loss"], 1 - last["val_accuracy"]
    columns = ["loss", "error"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns).sort_index()


def tried(step: Step) -> pd.DataFrame:
    """Return the mean validation loss and error of a step's variants, over the two seeds that all have; the best first."""
    rows = {
        one.name: validation(one).loc[list(TRIED)].mean()
        for one in (step.chosen, *step.tried)
    }
    return pd.DataFrame(rows).T.rename_axis("variant").sort_values("error")


@cache
def wrong(variant: Variant) -> np.ndarray:
    """Return which test digits each recorded run of a chosen variant got wrong: bool (seeds, digits)."""
    return evaluation.recorded_wrong(f"{NAME}/{variant.name}")


def table() -> pd.DataFrame:
    """Return the ladder: a row for each step, errors in percent of the digits.

    Returns:
        Indexed by the change, in order: `validation`, the mean error of the five seeds at the last epoch (empty where all
        digits were trained on); `test` and `sd`, mean and standard deviation of their test errors; `change`, the difference
        of the mean from the step before, and `from` and `to`, its 95 % interval by a paired bootstrap over the test digits.
    """
    rows: dict[str, dict[str, float]] = {}
    before, mean = None, 0.0
    for step in STEPS:
        now = wrong(step.chosen)
        errors = 100 * now.mean(axis=1)
        row = {
            "validation": np.nan,
            "test": errors.mean(),
            "sd": errors.std(ddof=1),
        }
        if not step.chosen.all_digits:
            row["validation"] = 100 * validation(step.chosen)["error"].mean()
        if before is not None:
            low, high = evaluation.paired_bootstrap(before, now)
            row |= {
                "change": row["test"] - mean,
                "from": 100 * low,
                "to": 100 * high,
            }
        rows[step.change] = row
        before, mean = now, row["test"]
    return pd.DataFrame(rows).T.rename_axis("step")
