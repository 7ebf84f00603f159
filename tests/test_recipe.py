"""Recipes and schedules: their values by hand, their limits, and that they come back from JSON."""

import json
import math
import re

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5lib._checks import require_number
from lenet5lib.training.recipe import (
    AFFINE,
    DEFAULT_RECIPE,
    INITIALIZERS,
    Distortion,
    Recipe,
)
from lenet5lib.training.schedules import (
    SCHEDULE_1998,
    OneCycle,
    PiecewiseConstant,
    ReduceOnPlateau,
)

RATES = st.floats(1e-6, 10)
SCHEDULES = st.one_of(
    st.builds(OneCycle, RATES, st.integers(1, 50), st.floats(0, 1)),
    st.builds(
        PiecewiseConstant,
        st.lists(st.tuples(st.integers(1, 9), RATES), min_size=1).map(tuple),
    ),
    st.builds(ReduceOnPlateau, RATES, st.floats(0.01, 0.99), st.integers(1, 9)),
)


def rates(schedule, epochs: int, steps: int, val_losses=()) -> np.ndarray:
    return Recipe(32, schedule).learning_rates(
        np.arange(epochs * steps), steps, val_losses
    )


def test_a_number_stays_what_it_is():
    assert rates(0.001, 2, 3).tolist() == [np.float32(0.001)] * 6


def test_one_cycle_begins_peaks_and_ends_where_it_says():
    found = rates(OneCycle(0.01, epochs=10), 12, 101)
    assert found[0] == pytest.approx(0.0004)
    assert found.max() == pytest.approx(0.01, rel=1e-4)
    assert found.argmax() in (302, 303)  # At 0.3 of 1,009.
    assert found[1009] == pytest.approx(1e-6)
    assert set(found[1009:].tolist()) == {found[1009]}
    assert (np.diff(found[:303]) > 0).all()
    assert (np.diff(found[303:1009]) < 0).all()


def test_one_cycle_by_hand_at_quarters():
    """Half-way up, half a cosine stands half-way between its ends; so does it half-way down."""
    cycle = OneCycle(1.0, epochs=1, pct_start=0.5, div_factor=5, final_div_factor=2)
    assert rates(cycle, 1, 5).tolist() == pytest.approx([0.2, 0.6, 1.0, 0.55, 0.1])


def test_stairs_are_those_of_the_paper_epoch_by_epoch():
    stairs = PiecewiseConstant(
        ((2, 5e-4), (3, 2e-4), (3, 1e-4), (4, 5e-5), (8, 1e-5))
    )
    recipe = Recipe(32, stairs, optimizer="levenberg-marquardt")
    found = recipe.learning_rates(np.arange(42), 2, [])[::2]
    wanted = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 9
    assert found.tolist() == np.float32(wanted).tolist()


def test_plateau_agrees_with_keras():
    losses = [1.0, 0.9, 0.95, 0.9, 0.9, 0.91, 0.5, 0.5, 0.6, 0.6, 0.6, 0.49, 0.6]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    callback = keras.callbacks.ReduceLROnPlateau(
        factor=0.3, patience=2, min_lr=0.004
    )
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        plateau = ReduceOnPlateau(0.1, 0.3, patience=2, min_lr=0.004)
        mine = rates(plateau, 1, 3, losses[:epoch])
        assert mine.tolist() == pytest.approx(
            [float(model.optimizer.learning_rate)] * 3
        )
        callback.on_epoch_end(epoch, {"val_loss": loss})
    assert mine[0] < 0.03


def test_a_loss_that_is_lower_by_exactly_min_delta_is_no_improvement():
    """As in Keras, which asks for less than the best by more than that; 1/16 is exact."""
    plateau = ReduceOnPlateau(0.8, 0.5, patience=1, min_delta=1 / 16)
    assert rates(plateau, 1, 1, [1.0, 15 / 16]).tolist() == [np.float32(0.4)]
    assert rates(plateau, 1, 1, [1.0, 14 / 16]).tolist() == [np.float32(0.8)]


@given(SCHEDULES, st.integers(1, 30), st.lists(st.floats(0, 9), max_size=9))
def test_rates_do_not_depend_on_where_one_begins_to_ask(schedule, steps, losses):
    recipe = Recipe(32, schedule)
    numbers = np.arange(4 * steps)
    whole = recipe.learning_rates(numbers, steps, losses)
    assert whole.dtype == np.float32
    assert (whole >= 0).all()
    parts = [
        recipe.learning_rates(part, steps, losses) for part in np.split(numbers, 4)
    ]
    assert np.concatenate(parts).tolist() == whole.tolist()


@given(SCHEDULES, st.floats(0, 1), st.booleans())
def test_a_recipe_comes_back_from_json(schedule, decay, distorted):
    recipe = Recipe(64, schedule, decay, AFFINE if distorted else None)
    text = json.dumps(recipe.to_dict())
    assert Recipe.from_dict(json.loads(text)) == recipe


SHARES = st.floats(0, 1 - 2**-24)


@given(st.sampled_from([None, *INITIALIZERS]), SHARES, SHARES)
def test_what_todays_training_adds_comes_back_from_json(
    kernel_initializer, share, decay
):
    recipe = Recipe(
        kernel_initializer=kernel_initializer,
        label_smoothing=share,
        ema_decay=decay,
    )
    values = json.loads(json.dumps(recipe.to_dict()))
    assert Recipe.from_dict(values) == recipe
    names = {
        "kernel_initializer": kernel_initializer,
        "label_smoothing": share,
        "ema_decay": decay,
    }
    wanted = {name: value for name, value in names.items() if value}
    assert {name: values[name] for name in names if name in values} == wanted


def test_what_has_its_default_is_left_out():
    assert DEFAULT_RECIPE.to_dict() == {}
    assert Recipe(64).to_dict() == {"batch_size": 64}
    assert Recipe.from_dict({}) == DEFAULT_RECIPE


@pytest.mark.parametrize(
    ("make", "field", "value"),
    [
        (lambda: Recipe(0), "batch_size", "0"),
        (lambda: Recipe(32, 0), "learning_rate", "0"),
        (lambda: Recipe(32, math.nan), "learning_rate", "nan"),
        (lambda: Recipe(32, "fast"), "learning_rate", "'fast'"),
        (lambda: Recipe(32, True), "learning_rate", "True"),
        (lambda: Recipe(weight_decay=-1), "weight_decay", "-1"),
        (lambda: Recipe(distortion=2), "distortion", "2"),
        (lambda: Recipe(loss="hinge"), "loss", "'hinge'"),
        (lambda: Recipe(rubbish_distance=0), "rubbish_distance", "0"),
        (lambda: Recipe(optimizer="lbfgs"), "optimizer", "'lbfgs'"),
        (lambda: Recipe(damping=0.1), "damping", "0.1"),
        (
            lambda: Recipe(damping=0, optimizer="levenberg-marquardt"),
            "damping",
            "0",
        ),
        (
            lambda: Recipe(optimizer="levenberg-marquardt", weight_decay=0.1),
            "weight_decay",
            "0.1",
        ),
        (
            lambda: Recipe(kernel_initializer="xavier"),
            "kernel_initializer",
            "'xavier'",
        ),
        (lambda: Recipe(label_smoothing=1), "label_smoothing", "1"),
        (lambda: Recipe(label_smoothing=-0.1), "label_smoothing", "-0.1"),
        (lambda: Recipe(label_smoothing=True), "label_smoothing", "True"),
        (lambda: Recipe(ema_decay=1.0), "ema_decay", "1.0"),
        (lambda: Recipe(ema_decay=math.nan), "ema_decay", "nan"),
        (
            lambda: Recipe(optimizer="levenberg-marquardt", ema_decay=0.9),
            "ema_decay",
            "0.9",
        ),
        (lambda: OneCycle(0, 3), "max_lr", "0"),
        (lambda: OneCycle(1, 0), "epochs", "0"),
        (lambda: OneCycle(1, 3, pct_start=2), "pct_start", "2"),
        (lambda: OneCycle(1, 3, div_factor=0.5), "div_factor", "0.5"),
        (lambda: PiecewiseConstant(()), "pieces", "()"),
        (lambda: PiecewiseConstant(((0, 0.1),)), "epochs", "0"),
        (lambda: PiecewiseConstant(((1, -0.1),)), "learning rate", "-0.1"),
        (lambda: ReduceOnPlateau(0.1, factor=3), "factor", "3"),
        (lambda: ReduceOnPlateau(0.1, patience=0), "patience", "0"),
        (lambda: ReduceOnPlateau(0.1, min_delta=math.inf), "min_delta", "inf"),
        (lambda: Recipe(32, 1e39), "learning_rate", "1e+39"),
        (lambda: Recipe(32, 1e-50), "learning_rate", "1e-50"),
        (lambda: OneCycle(1e39, 3), "max_lr", "1e+39"),
        (lambda: ReduceOnPlateau(0.1, factor=1), "factor", "1"),
        (lambda: ReduceOnPlateau(0.1, factor=0), "factor", "0"),
        (lambda: ReduceOnPlateau(0.1, min_lr=0.2), "min_lr", "0.2"),
        (lambda: PiecewiseConstant(((1,),)), "pieces", "((1,),)"),
        (lambda: Recipe(32, SCHEDULE_1998), "learning_rate", "adam"),
        (
            lambda: Recipe(32, SCHEDULE_1998, optimizer="sgd"),
            "learning_rate",
            "sgd",
        ),
        (lambda: Recipe(momentum=0.9), "momentum", "0.9"),
        (
            lambda: Recipe(optimizer="sgd", weight_decay=0.1),
            "weight_decay",
            "0.1",
        ),
        (
            lambda: Recipe(loss="maximum likelihood", label_smoothing=0.1),
            "label_smoothing",
            "0.1",
        ),
        (
            lambda: Recipe(loss="maximum likelihood", rubbish_distance=3),
            "rubbish_distance",
            "3",
        ),
        (
            lambda: Recipe(loss="cross-entropy", rubbish_distance=3),
            "rubbish_distance",
            "3",
        ),
        (lambda: Recipe(ema_decay=1 - 1e-12), "ema_decay", "0.99"),
        (lambda: Distortion(smoothness=2), "smoothness", "2"),
        (lambda: Distortion(scaling=1.5), "scaling", "1.5"),
        (lambda: Distortion(shear=-1), "shear", "-1"),
        (lambda: Distortion(elastic=1, smoothness=0), "smoothness", "0"),
        (
            lambda: Recipe.from_dict({"learning_rate": {"kind": "zigzag"}}),
            "kind",
            "'zigzag'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, field, value):
    with pytest.raises(ValueError, match=re.escape(value)) as error:
        make()
    assert str(error.value).startswith(field)


def test_the_end_that_a_number_must_stay_below_is_not_in_its_span():
    below = math.nextafter(1, 0)
    assert require_number("share", below, below=1) == below
    assert require_number("share", np.float32(0.5), below=1) == 0.5
    assert type(require_number("share", 0, below=1)) is float
    with pytest.raises(ValueError, match="share is 1;"):
        require_number("share", 1, below=1)
    assert require_number("share", 1, maximum=1) == 1.0
    for value in (math.inf, math.nan):
        with pytest.raises(ValueError, match="share"):
            require_number("share", value)


def test_numbers_of_numpy_become_pythons_own():
    made = Recipe(np.int64(8), np.float32(0.5), ema_decay=np.array(0.5))
    assert made == Recipe(8, 0.5, ema_decay=0.5)
    assert json.loads(json.dumps(made.to_dict())) == made.to_dict()
    cycle = OneCycle(np.float32(0.5), epochs=np.int64(3))
    assert type(cycle.max_lr) is float
    assert type(cycle.epochs) is int
