"""The ablation: its steps are what they say, its runs are counted by hand, its tables are those of records made by hand."""

import dataclasses
from dataclasses import replace

import made
import numpy as np
import pytest

from lenet5lib import arithmetic, evaluation, records
from lenet5lib.records import Record, RecordError
from lenet5lib.spec import LENET5, LENET5_RELU
from lenet5lib.studies import ablation
from lenet5lib.studies.ablation import ARTICLE, STEPS, Step, Variant
from lenet5lib.training.recipe import DEFAULT_RECIPE, Distortion, Recipe
from lenet5lib.training.schedules import OneCycle

FIRST = Variant("first")
SECOND = replace(FIRST, name="second", architecture=LENET5_RELU)
LOW, HIGH = (
    SECOND.with_recipe(f"rate-{rate}", learning_rate=rate) for rate in (0.002, 0.02)
)
LAST = replace(
    SECOND.with_recipe("last", weight_decay=0.1), train_on_all=True, epochs=3
)
ONE, TWO = Step("one", FIRST), Step("two", SECOND, (LOW, SECOND, HIGH))
THREE = (ONE, TWO, Step("three", LAST))


def test_a_variant_with_a_different_recipe_keeps_the_rest():
    assert Variant("second", LENET5_RELU, DEFAULT_RECIPE) == SECOND
    cycle = OneCycle(0.01, 7)
    both = LAST.with_recipe("both", batch_size=64, learning_rate=cycle)
    assert both.recipe == Recipe(64, cycle, weight_decay=0.1)
    rest = (both.name, both.architecture, both.epochs, both.train_on_all)
    assert rest == ("both", LENET5_RELU, 3, True)
    assert Variant("first") == FIRST  # Nothing was changed in place.
    with pytest.raises(TypeError, match="colour"):
        FIRST.with_recipe("third", colour="blue")
    with pytest.raises(ValueError, match="batch_size is 0"):
        FIRST.with_recipe("third", batch_size=0)


def all_variants() -> dict[Variant, None]:
    return dict.fromkeys(
        one for step in STEPS for one in (*step.trials, step.selected)
    )


def test_every_variant_has_its_own_name_and_its_own_change():
    variants = all_variants()
    names = [variant.name for variant in variants]
    assert len(set(names)) == len(names)
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert all(name and set(name) <= allowed for name in names)
    trained = [replace(one, name="") for one in variants]
    assert len(set(trained)) == len(trained)
    changes = [step.change for step in STEPS]
    assert len(set(changes)) == len(changes)


def test_the_first_step_is_the_articles_network_and_the_parameters_stay():
    assert Step(STEPS[0].change, ARTICLE) == STEPS[0]
    assert (ARTICLE.architecture, ARTICLE.recipe) == (LENET5, DEFAULT_RECIPE)
    for variant in all_variants():
        rows = arithmetic.table(variant.architecture)
        assert sum(row.params for row in rows) == 61_706, variant.name


def test_what_a_step_selected_is_among_its_trials():
    """But for a step that trains on all images, which cannot be compared on the validation images itself."""
    for step in STEPS:
        if step.trials:
            like = [
                replace(one, name="", train_on_all=False) for one in step.trials
            ]
            selected = replace(step.selected, name="", train_on_all=False)
            assert selected in like


@pytest.mark.parametrize("seeds", [1, 2, 5, 7])
def test_runs_are_every_seed_of_what_was_selected_and_two_of_other_trials(seeds):
    found = list(ablation.runs(THREE, seeds))
    selected = [
        (one.selected, seed, (1,)) for one in THREE for seed in range(seeds)
    ]
    two = [(one, seed, ()) for one in (LOW, HIGH) for seed in range(min(seeds, 2))]
    assert len(found) == len(set(found)) == len(selected) + len(two)
    assert set(found) == {*selected, *two}
    # A step is whole before the next begins.
    order = [["first", "second", "last"].index(one.name) for one, _, _ in found if one not in (LOW, HIGH)]  # fmt: skip
    assert order == sorted(order)


def test_by_default_there_are_five_seeds_of_every_step():
    selected = dict.fromkeys(step.selected for step in STEPS)
    found = {(one, seed) for one in selected for seed in range(5)}
    assert {run[:2] for run in ablation.runs() if run[2]} == found
    assert {seed for _, seed, views in ablation.runs() if not views} <= {0, 1}


def test_several_views_are_a_step_without_training():
    augmented = Step("more", LAST, views=7)
    plain = list(ablation.runs(THREE, 2))
    both = list(ablation.runs((*THREE, augmented), 2))
    assert [run[:2] for run in both] == [run[:2] for run in plain]
    assert both[-2:] == [(LAST, 0, (1, 7)), (LAST, 1, (1, 7))]
    assert both[:-2] == plain[:-2]
    assert list(ablation.runs((augmented,), 1)) == [(LAST, 0, (7,))]


def test_what_differs_between_two_steps_is_told_with_both_values():
    def told(before, after):
        table = ablation.differences(before, after)
        return {
            name: (row["before"], row["after"]) for name, row in table.iterrows()
        }

    layers = ("C1", "C3", "C5", "F6")
    assert told(ONE, TWO) == {
        f"{name}.activation": ("sigmoid", "relu") for name in layers
    }
    he = Step("he", SECOND.with_recipe("he", kernel_initializer="he"))
    assert told(TWO, he) == {"kernel_initializer": ("glorot", "he")}
    assert told(TWO, THREE[2]) == {
        "weight_decay": ("0.0", "0.1"),
        "epochs": ("20", "3"),
        "train_on_all": ("False", "True"),
    }
    augmented = Step("more", LAST, views=7)
    assert told(THREE[2], augmented) == {"views": ("1", "7")}
    assert told(ONE, ONE) == {}


def test_of_a_schedule_or_distortion_only_what_differs_is_told():
    def step(**recipe):
        return Step("one", FIRST.with_recipe("one", **recipe))

    short = step(
        learning_rate=OneCycle(0.1, 4), distortion=Distortion(rotation=2.5)
    )
    long = step(learning_rate=OneCycle(0.1, 9), distortion=Distortion(rotation=3.5))
    found = ablation.differences(short, long)
    assert found.to_dict("index") == {
        "learning_rate.epochs": {"before": "4", "after": "9"},
        "distortion.rotation": {"before": "2.5", "after": "3.5"},
    }
    found = ablation.differences(ONE, short)["after"]
    assert found["learning_rate"] == "OneCycle(max_lr=0.1, epochs=4)"
    assert found["distortion"] == "Distortion(rotation=2.5)"


ERRORS = {
    "first": [[0, 1, 2, 3], [0, 1, 4, 5]],
    "second": [[0, 1], [0, 6]],
    "last": [[0], [0, 7]],
}
VALIDATION = {
    "first": [(0.5, 0.90), (0.3, 0.94)],
    "second": [(0.2, 0.95), (0.2, 0.97)],
    "rate-0.002": [(0.1, 0.96), (0.3, 0.98)],
    "rate-0.02": [(0.4, 0.5), (0.6, 0.7)],
    "last": [(0.0, 1.0), (0.0, 1.0)],
}


def ending(seed: int, loss: float, accuracy: float) -> Record:
    """Return the record of two epochs; what the first was does not count."""
    first = made.epoch(1, val_loss=0.01, val_accuracy=0.99)
    last = made.epoch(2, val_loss=loss, val_accuracy=accuracy)
    return Record(made.config(seed), epochs=[first, last])


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Write the records of the three steps, two seeds each, tested on 40 images, changed as a test asks."""
    monkeypatch.setattr(ablation, "STEPS", THREE)
    monkeypatch.setattr(records, "RECORDED", tmp_path)
    folders = (tmp_path / str(n) for n in range(9))

    def write(more=None, without=(), views=()) -> None:
        runs, errors = {}, {}
        for name, ends in VALIDATION.items():
            for seed, end in enumerate(ends):
                run = f"one-change/{name}/seed-{seed}"
                runs[run] = ending(seed, *end)
                if name in ERRORS and run not in without:
                    errors[run, 1] = ERRORS[name][seed]
        runs |= more or {}
        errors |= dict(views)
        folder = next(folders)
        monkeypatch.setattr(records, "RECORDED", folder)
        made.write_tables(folder, runs, errors, num_test=40)
        ablation.misclassified.cache_clear()

    yield write
    records.table.cache_clear()
    ablation.misclassified.cache_clear()


def test_validation_is_of_the_last_epoch_a_row_a_seed(shelf):
    shelf()
    table = ablation.validation(FIRST)
    assert list(table.columns) == ["loss", "error"]
    assert table.index.tolist() == [0, 1]
    assert table["loss"].tolist() == [0.5, 0.3]
    assert table["error"].tolist() == pytest.approx([0.10, 0.06])


def test_validation_is_in_the_order_of_the_seeds_as_numbers(shelf):
    more = {f"one-change/first/seed-{n}": ending(n, 0.1, 0.9) for n in (10, 2)}
    shelf(more)
    assert ablation.validation(FIRST).index.tolist() == [0, 1, 2, 10]


def test_trials_are_judged_by_two_seeds_the_lowest_error_first(shelf):
    shelf({"one-change/second/seed-2": ending(2, 9.0, 0.0)})
    table = ablation.trials(THREE[1])
    assert table.index.tolist() == ["rate-0.002", "second", "rate-0.02"]
    assert table.index.name == "variant"
    assert table["error"].tolist() == pytest.approx([0.03, 0.04, 0.4])
    assert table["loss"].tolist() == pytest.approx([0.2, 0.2, 0.5])
    with_other = ablation.trials(THREE[1], FIRST)
    assert set(with_other.index) == {*table.index, "first"}
    # Trained on all images, it has no validation error.
    assert ablation.trials(THREE[2], FIRST).index.tolist() == ["first"]


def test_the_error_comes_before_the_loss_in_the_order_of_trials(shelf):
    """The trial with the lowest error has the highest loss here."""
    low = {f"one-change/rate-0.002/seed-{n}": ending(n, 9.0, 0.99) for n in (0, 1)}
    shelf(low)
    table = ablation.trials(THREE[1])
    assert table.index.tolist() == ["rate-0.002", "second", "rate-0.02"]
    assert table["loss"].idxmax() == "rate-0.002"


def test_errors_are_of_every_seed(shelf):
    shelf()
    found = ablation.misclassified(TWO)
    assert (found.shape, found.dtype) == ((2, 40), bool)
    assert [np.flatnonzero(row).tolist() for row in found] == ERRORS["second"]


def test_errors_with_several_views_are_those_of_these_views(shelf):
    augmented = Step("more", SECOND, views=7)
    shelf()
    with pytest.raises(RecordError, match="7 views"):
        ablation.misclassified(augmented)
    runs = [f"one-change/second/seed-{seed}" for seed in (0, 1)]
    shelf(views={(run, 7): [30 + seed] for seed, run in enumerate(runs)})
    found = ablation.misclassified(augmented)
    assert [np.flatnonzero(row).tolist() for row in found] == [[30], [31]]
    assert not (found & ablation.misclassified(TWO)).any()


def test_the_table_is_the_records_in_percent_step_by_step(shelf):
    shelf()
    table = ablation.table()
    assert table.index.tolist() == ["one", "two", "three"]
    assert table.index.name == "step"
    assert table["test"].tolist() == pytest.approx([10.0, 5.0, 3.75])
    # Of two values the standard deviation is their difference over the root of two.
    assert table["sd"].tolist() == pytest.approx([0, 0, 2.5 / np.sqrt(2)])
    assert table["validation"].tolist()[:2] == pytest.approx([8.0, 4.0])
    assert np.isnan(table.loc["three", "validation"])  # Nothing was held out.
    assert table["change"].tolist()[1:] == pytest.approx([-5.0, -1.25])
    assert table.loc["one", ["change", "from", "to"]].isna().all()
    both = ablation.misclassified(ONE), ablation.misclassified(TWO)
    interval = [100 * end for end in evaluation.paired_bootstrap(*both)]
    assert table.loc["two", ["from", "to"]].tolist() == pytest.approx(interval)
    assert table.loc["two", "from"] < -5 < table.loc["two", "to"]


def test_the_table_needs_the_test_errors_of_every_run(shelf):
    shelf(without=["one-change/last/seed-1"])
    with pytest.raises(RecordError, match="last/seed-1"):
        ablation.table()


def test_a_variant_that_was_not_recorded_is_named(shelf):
    shelf()
    with pytest.raises(RecordError, match="'one-change/none'"):
        ablation.validation(Variant("none"))


def test_a_setting_is_written_as_the_command_line_reads_it():
    assert ablation.as_call(0.001) == "0.001"
    assert ablation.as_call("he") == "he"
    assert ablation.as_call(OneCycle(0.1, 4)) == "OneCycle(max_lr=0.1, epochs=4)"
    changed = dataclasses.replace(OneCycle(0.1, 4), pct_start=0.5)
    assert ablation.as_call(changed).endswith("epochs=4, pct_start=0.5)")
