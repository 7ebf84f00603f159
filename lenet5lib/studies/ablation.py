"""From the article's network to today's training, one change at a time: what was trained, and what the records say of it.

A cumulative ablation: layer sizes and the 61,706 parameters stay, and each step changes one thing: an activation or the
pooling, the recipe, or the number of views of a test image. Among several variants the one with the lowest validation error
was selected. `tools/one_change.py` trains them; nothing here needs TensorFlow or the data. Chapter 14 is about this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from lenet5lib import _checks, evaluation, records, spec
from lenet5lib.training.recipe import (
    AFFINE,
    DEFAULT_RECIPE,
    Distortion,
    Recipe,
    default_initializer,
)
from lenet5lib.training.schedules import OneCycle

NAME = "one-change"
"""The experiment's name among the recorded runs."""
EPOCHS = 20
NUM_SEEDS = 5
"""Of every selected variant, the seeds 0 to 4 are trained."""


@dataclass(frozen=True)
class Variant:
    """A network and how it is trained.

    Attributes:
        name: of its recorded experiment, after "one-change/".
        architecture: the network.
        recipe: its hyperparameters.
        epochs: their number.
        train_on_all: train on the validation images too; the validation error then says nothing.
    """

    name: str
    architecture: spec.Architecture = spec.LENET5
    recipe: Recipe = DEFAULT_RECIPE
    epochs: int = EPOCHS
    train_on_all: bool = False

    def with_recipe(self, name: str, **changes: Any) -> Variant:
        """Return a variant with this name and these fields of the recipe."""
        return replace(self, name=name, recipe=replace(self.recipe, **changes))


@dataclass(frozen=True)
class Step:
    """One change.

    Attributes:
        change: in a few words.
        selected: the variant that the next step starts from.
        trials: the variants that were compared on the validation images, if there were several.
        seeds: of the variants when they were compared.
        views: of each test image, see `evaluation.evaluate`. With more than one the networks are those of the step before.
    """

    change: str
    selected: Variant
    trials: tuple[Variant, ...] = ()
    seeds: tuple[int, ...] = (0, 1)
    views: int = 1


ARTICLE = Variant("article")
TANH = Variant("scaled-tanh", spec.LENET5_TANH, Recipe(kernel_initializer="glorot"))
RELU = Variant("relu", spec.LENET5_RELU)
MAX_POOLING = Variant("max-pooling", spec.LENET5_RELU_MAX)
HE = MAX_POOLING.with_recipe("he", kernel_initializer="he")
ONE_CYCLES = tuple(
    HE.with_recipe(f"one-cycle-{rate}", learning_rate=OneCycle(rate, EPOCHS))
    for rate in (0.002, 0.004, 0.008)
)
ONE_CYCLE_004 = ONE_CYCLES[1]
WEIGHT_DECAYS = tuple(
    ONE_CYCLE_004.with_recipe(f"decay-{share}", weight_decay=share)
    for share in (0.02, 0.1, 0.3)
)
SMOOTHINGS = tuple(
    ONE_CYCLE_004.with_recipe(f"smooth-{share}", label_smoothing=share)
    for share in (0.05, 0.1)
)
WEIGHT_DECAY_01 = WEIGHT_DECAYS[1]
SMALL = Distortion(translation=1, scaling=0.1, squeezing=0.1, shear=0.1, rotation=8)
LARGE = Distortion(
    translation=2, scaling=0.15, squeezing=0.1, shear=0.1, rotation=12
)
AFFINES = tuple(
    WEIGHT_DECAY_01.with_recipe(f"affine-{name}", distortion=amounts)
    for name, amounts in {"1998": AFFINE, "small": SMALL, "turned": LARGE}.items()
)
AFFINE_SMALL = AFFINES[1]
ELASTICS = tuple(
    AFFINE_SMALL.with_recipe(
        f"elastic-{pixels}", distortion=replace(SMALL, elastic=pixels)
    )
    for pixels in (0.4, 0.7, 1.4)
)
ELASTIC_04 = ELASTICS[0]
LESS_DECAY = ELASTIC_04.with_recipe("lighter-0.02", weight_decay=0.02)
EMAS = tuple(
    LESS_DECAY.with_recipe(f"averaged-{decay}", ema_decay=decay)
    for decay in (0.999, 0.9997)
)
EMA_09997 = EMAS[1]
LONG = replace(
    EMA_09997.with_recipe("long", learning_rate=OneCycle(0.004, 100)), epochs=100
)
LONG_LARGE = tuple(
    LONG.with_recipe(f"strong-{pixels}", distortion=replace(LARGE, elastic=pixels))
    for pixels in (0.7, 1.2)
)
LONG_ON_ALL = replace(LONG, name="long-all", train_on_all=True)
LONG_DECAY = LONG.with_recipe("again-decay-0.1", weight_decay=0.1)
LONG_SMOOTHING = LONG.with_recipe("again-smooth-0.05", label_smoothing=0.05)
LONG_EMAS = tuple(
    LONG.with_recipe(
        f"again-average-{decay}", ema_decay=decay, learning_rate=schedule
    )
    for decay, schedule in (
        (0.9999, OneCycle(0.004, 120)),
        (0.99995, OneCycle(0.004, 150)),
    )
)
FINAL = replace(LONG_SMOOTHING, name="again-all", train_on_all=True)
"""The variant of the last steps; with seed 0 it is the book's default network."""

STEPS: tuple[Step, ...] = (
    Step("the article's network", ARTICLE),
    Step("scaled tanh for sigmoid", TANH),
    Step("ReLU for scaled tanh", RELU),
    Step("max for average pooling", MAX_POOLING),
    Step("He's initial weights", HE),
    Step("one-cycle learning rate", ONE_CYCLE_004, ONE_CYCLES),
    Step("weight decay", WEIGHT_DECAY_01, (*WEIGHT_DECAYS, *SMOOTHINGS)),
    Step("affine distortions", AFFINE_SMALL, AFFINES),
    Step("elastic distortions", ELASTIC_04, ELASTICS),
    Step("less weight decay", LESS_DECAY),
    Step("EMA of the weights", EMA_09997, EMAS),
    Step("100 epochs", LONG, (LONG, *LONG_LARGE), seeds=(0,)),
    Step("all 60,000 images", LONG_ON_ALL),
    Step("label smoothing", FINAL, (LONG_DECAY, LONG_SMOOTHING, *LONG_EMAS)),
    Step("16 views (TTA)", FINAL, views=16),
)


def differences(before: Step, after: Step) -> pd.DataFrame:
    """Return the settings that differ between two steps: a row for each, with its value `before` and `after`."""
    rows: list[tuple[str, Any, Any]] = []
    for name, old, new in _checks.differences(_settings(before), _settings(after)):
        if type(old) is type(new) and is_dataclass(old):
            rows += _checks.differences(vars(old), vars(new), name)
        else:
            rows.append((name, old, new))
    texts = [(name, as_call(old), as_call(new)) for name, old, new in rows]
    table = pd.DataFrame(texts, columns=["setting", "before", "after"])
    return table.set_index("setting")


def _settings(step: Step) -> dict[str, Any]:
    """Return everything that a step may change, by name."""
    variant, recipe = step.selected, step.selected.recipe
    layers = variant.architecture.layers
    # All hidden layers of these networks have one activation.
    usual = default_initializer(spec.activation_of(layers[0]))
    return vars(recipe) | {
        "layers": [vars(layer) for layer in layers],
        "kernel_initializer": recipe.kernel_initializer or usual,
        "epochs": variant.epochs,
        "train_on_all": variant.train_on_all,
        "views": step.views,
    }


def as_call(value: Any) -> str:
    """Return a setting as it is written on the command line, a schedule or distortion without the fields with a default.

    >>> as_call(OneCycle(0.004, 20)), as_call(0.001)
    ('OneCycle(max_lr=0.004, epochs=20)', '0.001')
    """
    if not is_dataclass(value):
        return str(value)
    written = (
        f"{field.name}={getattr(value, field.name)!r}"
        for field in fields(value)
        if getattr(value, field.name) != field.default
    )
    return f"{type(value).__name__}({', '.join(written)})"


def runs(
    steps: Sequence[Step] = STEPS, num_seeds: int = NUM_SEEDS
) -> Iterator[tuple[Variant, int, tuple[int, ...]]]:
    """Yield every training run of the experiment once, as (variant, seed, views).

    `views` are the numbers of views with which the run is tested, one for each step that selected it; none for a trial,
    which is judged on the validation images alone.
    """
    planned: dict[tuple[Variant, int], tuple[int, ...]] = {}
    for step in steps:
        for variant in step.trials:
            for seed in step.seeds[:num_seeds]:
                planned.setdefault((variant, seed), ())
        for seed in range(num_seeds):
            before = planned.get((step.selected, seed), ())
            planned[step.selected, seed] = (*before, step.views)
    for (variant, seed), views in planned.items():
        yield variant, seed, views


def validation(variant: Variant) -> pd.DataFrame:
    """Return the last validation `loss` (nats per image) and `error` (0–1) of each recorded run, a row for each seed."""
    rows = {}
    for record in records.recorded(f"{NAME}/{variant.name}").values():
        last = record.epochs[-1]
        rows[record.config.seed] = last["val_loss"], 1 - last["val_accuracy"]
    columns = ["loss", "error"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns).sort_index()


def trials(step: Step, other: Variant | None = None) -> pd.DataFrame:
    """Return the mean validation loss and error of a step's variants, over the seeds that all have; the best first.

    Args:
        step: whose variants; one that was trained on all images has no validation error and is left out.
        other: one more variant to compare with, such as the one of the step before.
    """
    variants = dict.fromkeys((step.selected, *step.trials, other))
    rows = {
        variant.name: validation(variant).loc[list(step.seeds)].mean()
        for variant in variants
        if variant and not variant.train_on_all
    }
    table = pd.DataFrame(rows).T.rename_axis("variant")
    return table.sort_values(["error", "loss"])


@cache
def misclassified(step: Step) -> np.ndarray:
    """Return which test images each recorded run of a step misclassified: bool (seeds, images)."""
    experiment = f"{NAME}/{step.selected.name}"
    return evaluation.recorded_misclassified(experiment, step.views)


def table() -> pd.DataFrame:
    """Return the ablation: a row for each step, errors in percent of the images.

    Returns:
        Indexed by the change, in order: `validation`, the mean error of the five seeds after the last epoch (empty where the
        validation images were trained on); `test` and `sd`, mean and standard deviation of their test errors; `change`, the
        difference of the mean from that of the step before, and `from` and `to`, the ends of its 95 % confidence interval
        by a paired bootstrap over the test images.
    """
    rows = pd.DataFrame(
        index=pd.Index([step.change for step in STEPS], name="step")
    )
    errors = [100 * misclassified(step).mean(axis=1) for step in STEPS]
    rows["validation"] = [
        np.nan
        if step.selected.train_on_all
        else 100 * validation(step.selected)["error"].mean()
        for step in STEPS
    ]
    rows["test"] = [of_seeds.mean() for of_seeds in errors]
    rows["sd"] = [of_seeds.std(ddof=1) for of_seeds in errors]
    rows["change"] = rows["test"].diff()
    intervals = [
        evaluation.paired_bootstrap(misclassified(before), misclassified(after))
        for before, after in pairwise(STEPS)
    ]
    rows[["from", "to"]] = [(np.nan, np.nan), *(100 * np.array(intervals))]
    return rows
