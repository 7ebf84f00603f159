"""The ladder: its rungs are what they say, its runs are counted by hand, its tables are those of records made by hand."""

import dataclasses
import json

import numpy as np
import pytest

from lenet5lib import arithmetic, evaluation, records
from lenet5lib.records import Record, RecordError
from lenet5lib.spec import LENET5
from lenet5lib.studies import ablation
from lenet5lib.studies.ablation import ARTICLE, RUNGS, Rung, Variant
from lenet5lib.training.recipe import DEFAULT_RECIPE, Recipe
from lenet5lib.training.schedules import OneCycle

RELU = LENET5.with_hidden_activation("relu")
FIRST = Variant("first")
SECOND = FIRST.changed("second", architecture=RELU)
LOW, HIGH = (
    SECOND.changed(f"rate-{rate}", learning_rate=rate) for rate in (0.002, 0.02)
)
LAST = SECOND.changed("last", all_digits=True, epochs=3, weight_decay=0.1)
ONE, TWO = Rung("one", FIRST), Rung("two", SECOND, (LOW, HIGH))
THREE = (ONE, TWO, Rung("three", LAST))


def test_a_change_is_of_the_recipe_or_of_the_variant_and_nothing_else():
    assert Variant("second", RELU, DEFAULT_RECIPE) == SECOND
    both = SECOND.changed("both", batch_size=64, epochs=7, all_digits=True)
    assert both == Variant("both", RELU, Recipe(64), 7, all_digits=True)
    cycle = both.changed("cycle", learning_rate=OneCycle(0.01, 7))
    assert cycle.recipe == Recipe(64, OneCycle(0.01, 7))
    assert (cycle.epochs, cycle.all_digits, cycle.architecture) == (7, True, RELU)
    assert Variant("first") == FIRST  # Nothing was changed in place.
    with pytest.raises(TypeError, match="colour"):
        FIRST.changed("third", colour="blue")
    with pytest.raises(ValueError, match="batch_size is 0"):
        FIRST.changed("third", batch_size=0)


def all_variants() -> list[Variant]:
    return [one for rung in RUNGS for one in (rung.chosen, *rung.tried)]


def test_every_variant_has_a_folder_of_its_own_and_a_change_of_its_own():
    variants = dict.fromkeys(all_variants())  # Of several looks those of one.
    assert len(all_variants()) - len(variants) == sum(
        rung.looks > 1 for rung in RUNGS
    )
    names = [variant.name for variant in variants]
    assert len(set(names)) == len(names)
    assert all(
        name and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        for name in names
    )
    trained = [dataclasses.replace(one, name="") for one in variants]
    assert len(set(trained)) == len(trained)
    changes = [rung.change for rung in RUNGS]
    assert len(set(changes)) == len(changes)


def test_the_first_step_is_the_articles_network_and_the_parameters_stay():
    assert RUNGS[0] == Rung(RUNGS[0].change, ARTICLE)
    assert (ARTICLE.architecture, ARTICLE.recipe) == (LENET5, DEFAULT_RECIPE)
    for variant in all_variants():
        rows = arithmetic.table(variant.architecture)
        assert sum(row.params for row in rows) == 61_706, variant.name


def test_steps_are_found_by_the_names_of_what_was_chosen(monkeypatch):
    monkeypatch.setattr(ablation, "RUNGS", THREE)
    assert ablation.rungs_named() == ablation.rungs_named([]) == THREE
    assert ablation.rungs_named(["last", "first"]) == (THREE[2], THREE[0])
    assert ablation.rungs_named(["second", "second"]) == (THREE[1],)
    for name in ("rate-0.02", "one", "FIRST"):
        with pytest.raises(ValueError, match="rung is") as caught:
            ablation.rungs_named(["first", name])
        assert str(caught.value) == (
            f"rung is {name!r}; expected one of first, second, last. Choose one of these."
        )


@pytest.mark.parametrize("seeds", [1, 2, 5, 7])
def test_runs_are_every_seed_of_what_was_chosen_and_two_of_what_was_tried(seeds):
    found = list(ablation.runs(THREE, seeds))
    chosen = [(one.chosen, seed, (1,)) for one in THREE for seed in range(seeds)]
    two = [(one, seed, ()) for one in (LOW, HIGH) for seed in range(min(seeds, 2))]
    assert len(found) == len(set(found)) == len(chosen) + len(two)
    assert set(found) == {*chosen, *two}
    # A rung is whole before the next begins, and what it chose among comes first.
    order = list(dict.fromkeys(variant.name for variant, _, _ in found))
    assert order == ["first", "rate-0.002", "rate-0.02", "second", "last"]


def test_by_default_there_are_five_seeds_of_every_step():
    chosen = dict.fromkeys(rung.chosen for rung in RUNGS)
    found = [(one, seed) for one in chosen for seed in range(5)]
    assert [run[:2] for run in ablation.runs() if run[2]] == found
    assert {seed for _, seed, looks in ablation.runs() if not looks} <= {0, 1}


def test_several_looks_are_a_rung_without_a_training(monkeypatch):
    looking = Rung("more", LAST, looks=7)
    plain, both = (
        list(ablation.runs(THREE, 2)),
        list(ablation.runs((*THREE, looking), 2)),
    )
    assert [run[:2] for run in both] == [run[:2] for run in plain]
    assert both[-2:] == [(LAST, 0, (1, 7)), (LAST, 1, (1, 7))]
    assert both[:-2] == plain[:-2]
    assert list(ablation.runs((looking,), 1)) == [(LAST, 0, (7,))]
    monkeypatch.setattr(ablation, "RUNGS", (*THREE, looking))
    assert ablation.rungs_named(["last"]) == (THREE[2], looking)


def test_what_differs_between_two_rungs_is_told_with_both_values():
    def told(before, after):
        table = ablation.differences(before, after)
        return {
            what: (row["before"], row["after"]) for what, row in table.iterrows()
        }

    layers = ("C1", "C3", "C5", "F6")
    assert told(ONE, TWO) == {
        f"activation of {name}": ("sigmoid", "relu") for name in layers
    }
    he = Rung("he", SECOND.changed("he", kernel_initializer="he"))
    assert told(TWO, he) == {"initial weights": ("glorot", "he")}
    assert told(TWO, THREE[2]) == {
        "weight_decay": ("0.0", "0.1"),
        "epochs": ("20", "3"),
        "all_digits": ("False", "True"),
    }
    looking = Rung("more", LAST, looks=7)
    assert told(THREE[2], looking) == {"looks": ("1", "7")}
    assert told(ONE, ONE) == {}


WRONG = {
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


def line(epoch: int, loss: float, accuracy: float) -> dict:
    return {
        "epoch": epoch,
        "loss": 9.0,
        "accuracy": 0.1,
        "val_loss": loss,
        "val_accuracy": accuracy,
    }


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Records of the three rungs, two seeds each and of 40 test digits, in a folder that stands for the package's own."""
    monkeypatch.setattr(ablation, "RUNGS", THREE)
    monkeypatch.setattr(records, "RECORDED", tmp_path)
    for name, ends in VALIDATION.items():
        for seed, end in enumerate(ends):
            folder = tmp_path / ablation.NAME / name / f"seed-{seed}"
            folder.mkdir(parents=True)
            config = {"seed": seed, "data": {"source": "x"}}
            # What an earlier epoch was does not count.
            record = Record(config, [line(1, 0.01, 0.99), line(2, *end)])
            (folder / records.NAME).write_text(record.to_json())
            if name in WRONG:
                wrong = [
                    {"position": n, "label": 1, "answer": 7}
                    for n in WRONG[name][seed]
                ]
                result = {"source": "x", "digits": 40, "wrong": wrong}
                (folder / "test.json").write_text(json.dumps(result))
    ablation.wrong.cache_clear()
    yield tmp_path
    ablation.wrong.cache_clear()


def test_validation_is_of_the_last_epoch_a_row_a_seed(recorded):
    table = ablation.validation(FIRST)
    assert list(table.columns) == ["loss", "error"]
    assert table.index.tolist() == [0, 1]
    assert table["loss"].tolist() == [0.5, 0.3]
    assert table["error"].tolist() == pytest.approx([0.10, 0.06])


def test_validation_is_in_the_order_of_the_seeds_as_numbers(recorded):
    folder = recorded / ablation.NAME / "first"
    (folder / "seed-1").rename(folder / "seed-10")
    record = records.read(folder / "seed-10")
    record.config["seed"] = 10
    (folder / "seed-10" / records.NAME).write_text(record.to_json())
    record.config["seed"] = 2
    (folder / "seed-2").mkdir()
    (folder / "seed-2" / records.NAME).write_text(record.to_json())
    assert ablation.validation(FIRST).index.tolist() == [0, 2, 10]


def test_what_was_tried_is_judged_by_two_seeds_the_lowest_error_first(recorded):
    extra = recorded / ablation.NAME / "second" / "seed-2"
    extra.mkdir()
    record = Record({"seed": 2, "data": {"source": "x"}}, [line(1, 9.0, 0.0)])
    (extra / records.NAME).write_text(record.to_json())
    table = ablation.tried(THREE[1])
    assert table.index.tolist() == ["rate-0.002", "second", "rate-0.02"]
    assert table.index.name == "variant"
    assert table["error"].tolist() == pytest.approx([0.03, 0.04, 0.4])
    assert table["loss"].tolist() == pytest.approx([0.2, 0.2, 0.5])


def test_wrong_answers_are_of_every_seed(recorded):
    found = ablation.wrong(TWO)
    assert (found.shape, found.dtype) == ((2, 40), bool)
    assert [np.flatnonzero(row).tolist() for row in found] == WRONG["second"]


def test_wrong_answers_with_several_looks_are_those_of_their_own_file(recorded):
    looking = Rung("more", SECOND, looks=7)
    with pytest.raises(RecordError, match="test-7-looks"):
        ablation.wrong(looking)
    for seed in (0, 1):
        folder = recorded / ablation.NAME / "second" / f"seed-{seed}"
        wrong = [{"position": 30 + seed, "label": 1, "answer": 7}]
        result = {"source": "x", "digits": 40, "wrong": wrong}
        (folder / "test-7-looks.json").write_text(json.dumps(result))
    found = ablation.wrong(looking)
    assert [np.flatnonzero(row).tolist() for row in found] == [[30], [31]]
    assert not (found & ablation.wrong(TWO)).any()


def test_the_table_is_the_records_in_percent_rung_by_rung(recorded):
    table = ablation.table()
    assert table.index.tolist() == ["one", "two", "three"]
    assert table.index.name == "rung"
    assert table["test"].tolist() == pytest.approx([10.0, 5.0, 3.75])
    # Of two values the standard deviation is their difference over the root of two.
    assert table["sd"].tolist() == pytest.approx([0, 0, 2.5 / np.sqrt(2)])
    assert table["validation"].tolist()[:2] == pytest.approx([8.0, 4.0])
    assert np.isnan(table.loc["three", "validation"])  # Nothing was held out.
    assert table["change"].tolist()[1:] == pytest.approx([-5.0, -1.25])
    assert table.loc["one", ["change", "from", "to"]].isna().all()
    interval = evaluation.paired_bootstrap(ablation.wrong(ONE), ablation.wrong(TWO))
    assert table.loc["two", ["from", "to"]].tolist() == pytest.approx(
        [100 * end for end in interval]
    )
    assert table.loc["two", "from"] < -5 < table.loc["two", "to"]


def test_the_table_needs_the_test_digits_of_every_rung(recorded):
    (recorded / ablation.NAME / "last" / "seed-1" / "test.json").unlink()
    with pytest.raises(RecordError, match="no test result at"):
        ablation.table()


def test_a_variant_that_was_not_recorded_is_named(recorded):
    with pytest.raises(
        RecordError, match="no recorded experiment 'one-change/none'"
    ):
        ablation.validation(Variant("none"))
