"""The recorded runs that the book cites: whole, made by the command that is recorded, and what their weights compute."""

import json
import os
import shlex
import statistics
from pathlib import Path

import numpy as np
import one_change
import pytest

from lenet5lib import arithmetic, cli, data, evaluation, records
from lenet5lib.records import RecordError
from lenet5lib.studies import ablation
from lenet5lib.studies.speedrun import RECIPES
from lenet5lib.training import checkpoint

ALL = {
    f"{experiment}/{name}": record
    for experiment in records.experiments()
    for name, record in records.recorded(experiment).items()
}
REMOVED = "space-to-depth (removed)"
"""The engine that trained some of them."""
LONG = {
    name: record for name, record in ALL.items() if name.startswith("lenet5-200/")
}
FINAL = {
    name: record
    for name, record in ALL.items()
    if name.startswith(("lenet5-1998-plain", "lenet5-1998-distorted"))
}
KEPT = [
    path.relative_to(records.RECORDED)
    for path in sorted(records.RECORDED.rglob("*.weights.h5"))
]
WITH_MNIST = pytest.mark.skipif(
    not os.environ.get("LENET5_MNIST", "").endswith(".npz"),
    reason="needs MNIST: LENET5_MNIST names no file",
)


@pytest.mark.parametrize("name", ALL)
def test_the_recorded_command_trains_this_run(name):
    """Architecture, recipe, seed, epochs and data: what the command line reads is what the record says."""
    record = ALL[name]
    program, *arguments = shlex.split(record.command)
    assert program == "lenet5lib"
    options = cli.parser().parse_args(arguments)
    config = record.config
    assert options.command == "train"
    assert options.run_dir == Path("runs") / name
    assert cli.NETWORKS[options.architecture] == config.architecture
    assert cli.recipe_of(options) == config.recipe
    assert options.seed == config.seed
    assert options.epochs == len(record.epochs)
    assert options.train_on_all == config.data.train_on_all
    assert options.watch_test == (config.data.test_checksum is not None)
    assert (options.data, options.limit, options.resume) == (None, None, True)


@pytest.mark.parametrize("name", ALL)
def test_every_record_is_of_a_whole_run_on_mnist(name):
    record = ALL[name]
    assert record.dataset_name == "MNIST"
    assert record.unfinished_epoch is None
    assert record.column("epoch") == list(range(1, len(record.epochs) + 1))
    assert record.config.data.num_validation == 5_000
    num_train = 60_000 if record.config.data.train_on_all else 55_000
    assert record.config.data.num_train == num_train
    losses = record.column("val_loss")
    best = {"epoch": int(np.argmin(losses)) + 1, "val_loss": min(losses)}
    assert record.best == best


@pytest.mark.parametrize("path", KEPT, ids=str)
def test_record_and_weights_are_of_one_run(path):
    record = ALL[path.parent.as_posix()]
    kept = checkpoint.read_record(records.RECORDED / path)
    assert path.name == record.weights_name
    assert kept.config == record.config
    assert kept.best == record.best
    measured = [
        {name: value for name, value in epoch.items() if name != "steps"}
        for epoch in kept.epochs
    ]
    for ours, theirs in zip(record.epochs, measured, strict=False):
        assert {name: ours[name] for name in theirs} == theirs
    last = (
        record.best["epoch"] if path.name == checkpoint.BEST else len(record.epochs)
    )
    assert len(kept.epochs) == last


def test_weights_are_kept_of_what_the_book_loads():
    runs = {path.parent.as_posix() for path in KEPT}
    assert runs == {*LONG, *FINAL, records.DEFAULT_RUN}


@WITH_MNIST
@pytest.mark.parametrize("name", LONG)
def test_the_weights_make_the_mistakes_on_record(name):
    record = LONG[name]
    digits = data.load_digits(report=lambda line: None)
    splits = data.split(digits)
    checksum = data.checksum(splits.train, splits.validation)
    assert record.config.data.checksum == checksum
    model = checkpoint.load_model(records.weights(name).parent)
    result = evaluation.evaluate(model, digits.test)
    epoch = record.epochs[record.best["epoch"] - 1]
    # A different processor may round differently where two probabilities are nearly equal.
    assert abs(len(result.mistakes) - 10_000 * (1 - epoch["test_accuracy"])) < 1.5


@pytest.mark.parametrize("name", FINAL)
def test_a_final_run_was_not_watched_and_its_network_is_the_papers(name):
    record = FINAL[name]
    assert record.config.data.train_on_all
    assert record.metrics == records.METRICS
    model = checkpoint.load_model(records.weights(name).parent, checkpoint.LAST)
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == 60_000


def test_the_final_recipes_were_selected_on_validation():
    """Each is the one of its kind with the lowest validation loss among the trials, and nothing but the data differs."""
    trials = evaluation.trials("lenet5-1998-tried")
    adam = trials[trials["optimizer"] == "adam"]
    for experiment, distorted in (
        ("lenet5-1998-plain", False),
        ("lenet5-1998-distorted", True),
    ):
        kind = adam[adam["distorted"] == distorted]
        best = ALL[f"lenet5-1998-tried/{kind['validation loss'].idxmin()}"]
        seeds = []
        for record in records.recorded(experiment).values():
            assert record.config.recipe == best.config.recipe
            assert len(record.epochs) == len(best.epochs)
            seeds.append(record.config.seed)
        assert seeds == list(range(len(seeds)))
        assert len(seeds) >= 3


def test_the_readme_quotes_the_records():
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    rule = "lowest validation loss"
    chosen = [
        evaluation.epoch_by_selection_rule(record).loc[rule, "test error"]
        for record in LONG.values()
    ]
    for errors in (
        evaluation.recorded_errors("lenet5-1998-plain"),
        evaluation.recorded_errors("lenet5-1998-distorted"),
        np.array(chosen),
        ablation.misclassified(ablation.STEPS[-2]).mean(axis=1),
        ablation.misclassified(ablation.STEPS[-1]).mean(axis=1),
    ):
        low, high = evaluation.mean_interval(100 * errors)
        _, found, rest = text.partition(f"{100 * errors.mean():.2f} % (")
        assert found
        assert f"{low:.2f} to {high:.2f}" in rest.partition(")")[0]


def test_the_papers_figures_are_reached():
    for experiment, paper in (
        ("lenet5-1998-plain", 0.0095),
        ("lenet5-1998-distorted", 0.0080),
    ):
        assert evaluation.recorded_errors(experiment).mean() <= paper


@WITH_MNIST
@pytest.mark.parametrize("name", [*FINAL, records.DEFAULT_RUN])
def test_the_last_weights_make_the_mistakes_on_record(name):
    digits = data.load_digits(report=lambda line: None)
    model = checkpoint.load_model(records.weights(name).parent, checkpoint.LAST)
    found = set(evaluation.evaluate(model, digits.test).mistakes.tolist())
    recorded = evaluation.recorded_mistakes(name)
    # A different processor may round differently where two probabilities are nearly equal.
    assert len(found ^ set(recorded["position"])) <= 2
    assert (digits.test.labels[recorded["position"]] == recorded["label"]).all()


def test_a_run_that_was_not_tested_is_refused():
    with pytest.raises(RecordError, match=r"'lenet5-1998-tried/a-rate-0\.003'"):
        evaluation.recorded_mistakes("lenet5-1998-tried/a-rate-0.003")


def test_test_errors_are_misclassified_images_of_recorded_runs():
    errors, runs = records.table("test_errors"), records.table("runs")
    tested = runs[runs["num_test"].notna()]
    assert set(errors["run"]) == set(tested["run"])
    assert (tested["num_test"] == 10_000).all()
    assert errors["position"].between(0, 9_999).all()
    assert (errors["label"] != errors["prediction"]).all()
    assert errors[["label", "prediction"]].isin(range(10)).all(axis=None)
    assert not errors.duplicated(["run", "views", "position"]).any()


def test_the_long_runs_are_what_chapter_10_says():
    first, *others = LONG.values()
    assert [run.config.seed for run in LONG.values()] == [0, 1, 2]
    for run in LONG.values():
        assert len(run.epochs) == 200
        assert run.config.recipe.batch_size == 32
        assert [one["engine"] for one in run.sessions] == ["loops"]
    for run in others:
        assert run.config.to_dict() | {"seed": 0} == first.config.to_dict()


ABLATION = [
    pytest.param(*run, id=f"{run[0].name}/seed-{run[1]}") for run in ablation.runs()
]


@pytest.mark.parametrize(("variant", "seed", "views"), ABLATION)
def test_a_run_of_the_ablation_is_what_the_ablation_says(variant, seed, views):
    name = f"{ablation.NAME}/{variant.name}/seed-{seed}"
    record, config = ALL[name], ALL[name].config
    assert config.architecture == variant.architecture
    assert config.recipe == variant.recipe
    assert config.seed == seed
    assert len(record.epochs) == variant.epochs
    assert config.data.train_on_all == variant.train_on_all
    assert record.metrics == records.METRICS, "the test images were not watched"
    errors = records.table("test_errors")
    assert set(errors["views"][errors["run"] == name]) == set(views)
    assert {one["engine"] for one in record.sessions} == {REMOVED}
    recorded = cli.parser().parse_args(shlex.split(record.command)[1:])
    words = one_change.command(variant, seed, Path("runs") / name)
    assert cli.parser().parse_args(words) == recorded


def test_no_run_is_on_record_that_the_ablation_does_not_know():
    """All trials are told, the bad with the good."""
    known = {
        f"{ablation.NAME}/{variant.name}/seed-{seed}"
        for variant, seed, _ in ablation.runs()
    }
    assert {name for name in ALL if name.startswith(ablation.NAME)} == known


def test_each_variant_of_the_ablation_was_selected_on_validation():
    compared = 0
    for step in ablation.STEPS:
        if step.trials:
            variants = {variant.name: variant for variant in step.trials}
            best = variants[ablation.trials(step).index[0]]
            assert not best.train_on_all
            # Of a step that trains on all images, its like that held some out.
            assert best.recipe == step.selected.recipe
            assert best.architecture == step.selected.architecture
            assert best.epochs == step.selected.epochs
            compared += 1
    assert compared >= 6


def test_the_table_of_the_ablation_by_other_means():
    """The lines of the files counted one by one and compared with the table; then the table with the chapter's page."""
    lines = (records.RECORDED / "test_errors.csv").read_text().splitlines()
    table = ablation.table()
    before = None
    for step in ablation.STEPS:
        name, row = step.selected.name, table.loc[step.change]
        counts, held_out = [], []
        for seed in range(5):
            run = f"one-change/{name}/seed-{seed}"
            start = f"{run},{step.views},"
            counts.append(sum(line.startswith(start) for line in lines))
            held_out.append(100 - 100 * ALL[run].epochs[-1]["val_accuracy"])
        assert row["test"] == pytest.approx(statistics.mean(counts) / 100)
        assert row["sd"] == pytest.approx(statistics.stdev(counts) / 100)
        if not step.selected.train_on_all:
            assert row["validation"] == pytest.approx(statistics.mean(held_out))
        if before is not None:
            change = (statistics.mean(counts) - before) / 100
            assert row["change"] == pytest.approx(change)
            assert row["from"] <= change <= row["to"]
        before = statistics.mean(counts)
    path = Path(__file__).parent.parent / "book/14_one_change_at_a_time.ipynb"
    printed = [
        "".join(output["data"]["text/plain"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    whole = next(
        text for text in printed if all(name in text for name in table.index)
    )
    for change, row in table.iterrows():
        line = next(line for line in whole.splitlines() if line.startswith(change))
        shown = [f"{value:.2f}" for value in row if not np.isnan(value)]
        assert line.removeprefix(change).split() == shown


def test_the_last_step_errs_half_as_often_as_the_paper_with_the_articles_parameters():
    for step in ablation.STEPS[-2:]:
        assert step.selected == ablation.FINAL
        assert ablation.misclassified(step).mean() <= 0.0045
    rows = arithmetic.table(ablation.FINAL.architecture)
    assert sum(row.params for row in rows) == 61_706


def test_the_default_network_is_the_ablations_last():
    assert f"{ablation.NAME}/{ablation.FINAL.name}/seed-0" == records.DEFAULT_RUN


def test_the_recorded_speedrun_is_of_the_librarys_recipes():
    text = (records.RECORDED / "speedrun.json").read_text(encoding="utf-8")
    recorded = json.loads(text)["recipes"]
    assert set(recorded) == set(RECIPES)
    for name, chosen in RECIPES.items():
        expected = {"epochs": chosen.epochs, **chosen.recipe.to_dict()}
        assert expected.items() <= recorded[name].items()


def test_an_unknown_experiment_is_refused_with_those_that_are_known():
    with pytest.raises(RecordError, match="'vgg'") as refused:
        records.recorded("vgg")
    assert "lenet5-1998-distorted, lenet5-1998-plain" in str(refused.value)
